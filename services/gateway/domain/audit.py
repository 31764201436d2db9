"""What is kept of a call: who asked for what, when, from where, and what came of it.

Pure. Of a call's own words only ids of our form are kept; an address loses its last part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

from libs.events.envelope import Position
from libs.kernel.ids import is_order_id, pool_no_of
from services.gateway.domain.source_address import plain_address

IPV4_BITS = 24
IPV6_BITS = 48
SINGLE_REFUSALS_MAX = 10
"""Equal refusals of one batch that have a row each; more of them share one."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


class CallNote(NamedTuple):
    """One call at its end, as the request's path leaves it behind; cheap to make.

    *address* is the whole source address and goes no further than `row_of` and the access
    log, which shorten it. *command_id* is set for a mutation that was carried out or tried.
    *path_id* is what the path named, of any form; *made_id* what the call made. *source*
    and *position* say where the answering log stood; the event that a mutation led to is at
    or before it.
    """

    at: datetime
    method: str
    route: str
    status: int
    word: str | None
    partner_id: str | None
    key_id: str | None
    request_id: str
    traceparent: str
    address: str | None
    replayed: bool
    command_id: str | None
    path_id: str | None
    made_id: str | None
    source: str | None
    position: Position | None
    duration_s: float


class AuditRow(NamedTuple):
    """A record of one call, or of *calls* refusals that were alike but for their moment.

    The fields are the columns of the table ``audit``, in its order. *at* and *row_id*
    together are a row's place: rows are listed newest first.
    """

    at: datetime
    row_id: int
    calls: int
    partner_id: str | None
    key_id: str | None
    method: str
    route: str
    status: int
    word: str | None
    request_id: str | None
    address: str
    replayed: bool
    command_id: str | None
    reservation_id: str | None
    order_id: str | None
    answered_by: str | None
    generation: int | None
    partition: int | None
    seq: int | None
    duration_us: int

    @property
    def is_mutation(self) -> bool:
        """Whether the call got as far as to be carried out."""
        return self.command_id is not None


class EventRecord(NamedTuple):
    """An event as an operator looks at it: what, when, where it stands, and who caused it.

    *service* and the position name it for good. *command_id* is that of the call, or of the
    expiry, which it goes back to.
    """

    decided_at: datetime
    service: str
    generation: int
    partition: int
    seq: int
    type: str
    command_id: str
    partner_id: str | None
    key_id: str | None
    request_id: str | None
    traceparent: str | None


@lru_cache(maxsize=4096)
def shortened(address: str) -> str:
    """Return the network of an address, /24 or /48; empty for what is no address."""
    plain = plain_address(address)
    if plain is None:
        return ""
    bits = IPV6_BITS if ":" in plain else IPV4_BITS
    return str(ip_network((plain, bits), strict=False))


def is_recorded(note: CallNote) -> bool:
    """Say whether a call has an audit record: every mutation, and everything refused."""
    return note.command_id is not None or note.status >= 400


def row_of(note: CallNote, *, row_id: int, calls: int = 1) -> AuditRow:
    """Return the record of a call; of several alike, *note* is the last."""
    reservation_id, order_id = _named(note) if calls == 1 else (None, None)
    position = note.position
    return AuditRow(
        at=note.at,
        row_id=row_id,
        calls=calls,
        partner_id=note.partner_id,
        key_id=note.key_id,
        method=method_of(note),
        route=note.route,
        status=note.status,
        word=note.word,
        request_id=note.request_id if calls == 1 else None,
        address=shortened(note.address or ""),
        replayed=note.replayed,
        command_id=note.command_id,
        reservation_id=reservation_id,
        order_id=order_id,
        answered_by=note.source,
        generation=position.generation if position else None,
        partition=position.partition if position else None,
        seq=position.seq if position else None,
        duration_us=round(note.duration_s * 1_000_000),
    )


def method_of(note: CallNote) -> str:
    """Return the call's method; one that a caller made up is ``OTHER``."""
    return note.method if note.method in METHODS else "OTHER"


def rows_of(
    notes: Iterable[CallNote],
    *,
    row_ids: Iterator[int],
    singles_max: int = SINGLE_REFUSALS_MAX,
) -> list[AuditRow]:
    """Return the records of one batch of calls, in their order, with the next of *row_ids*.

    A mutation has a row of its own, always. So has a refusal, unless more than
    *singles_max* of the batch are alike (caller, address, word, route): those share a row
    that counts them, at the place of the last.
    """
    recorded = [note for note in notes if is_recorded(note)]
    alike: dict[object, list[int]] = {}
    for place, note in enumerate(recorded):
        if note.command_id is None:
            alike.setdefault(_kind(note), []).append(place)
    shared: dict[int, int] = {}
    left_out: set[int] = set()
    for places in alike.values():
        if len(places) > singles_max:
            shared[places[-1]] = len(places)
            left_out.update(places[:-1])
    return [
        row_of(note, row_id=next(row_ids), calls=shared.get(place, 1))
        for place, note in enumerate(recorded)
        if place not in left_out
    ]


def _named(note: CallNote) -> tuple[str | None, str | None]:
    """Return the reservation and the order that a call is about; other ids are nobody's."""
    reservation_id = order_id = None
    for each in (note.path_id, note.made_id):
        if each is not None and pool_no_of(each) is not None:
            reservation_id = each
        elif each is not None and is_order_id(each):
            order_id = each
    return reservation_id, order_id


def _kind(note: CallNote) -> Sequence[object]:
    return (
        shortened(note.address or ""),
        note.partner_id,
        note.key_id,
        note.word,
        note.status,
        method_of(note),
        note.route,
    )

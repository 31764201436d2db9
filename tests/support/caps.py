"""Checks of partners' caps, from the ledger's events alone; a part of `tests.support.ledger`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol


class Event(Protocol):
    """An event as its row has it; see `tests.support.ledger.StoredEvent`."""

    @property
    def partition(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def body(self) -> dict[str, Any]: ...


def wrong_caps(events: Iterable[Event], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A cap counts its partner's open holds, and no hold was accepted above it."""
    open_units: Counter[tuple[int, str]] = Counter()
    caps: dict[tuple[int, str], int | None] = {}
    holds: dict[str, tuple[tuple[int, str], int]] = {}
    for event in events:
        body, kind = event.body, event.type.removeprefix("ota.inventory.")
        where = f"{event.partition}-{event.seq}"
        at = (body.get("pool_no", 0), body.get("partner_id", ""))
        if kind == "partner_cap_set":
            caps[at] = body["units"]
            if body["held"] != open_units[at]:
                yield f"the cap at {where} begins with {body['held']}, {open_units[at]} are held"
        elif kind == "units_held":
            open_units[at] += body["quantity"]
            holds[body["reservation_id"]] = (at, body["quantity"])
            cap = caps.get(at)
            if cap is not None and open_units[at] > cap:
                yield f"the hold at {where} is above the cap of {cap}"
        elif kind in {"units_sold", "units_released"} and body["reservation_id"] in holds:
            at, quantity = holds.pop(body["reservation_id"])
            open_units[at] -= quantity
    for row in rows:
        at = (row["pool_no"], row["partner_id"])
        expected = (caps.get(at), open_units[at] if caps.get(at) is not None else 0)
        if (row["units"], row["held"]) != expected:
            yield f"cap {row['name']}: its row says other than its events"

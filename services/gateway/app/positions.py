"""Positions that callers were told: what a write has answered, later reads show.

A mark says how far a service's log of one partition must be visible. Marks are kept for
this gateway's own callers, and travel in the header ``OTA-Position`` to any other gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

from libs.events.requests import Reply

Mark = tuple[int, int]
"""Restore generation and sequence number; later marks compare greater."""

Place = tuple[str, int]
"""A service's name and a partition."""

Marks = Mapping[Place, Mark]

NOTHING: Marks = {}
SOURCES = ("inventory", "reservation", "fulfillment")
ENTRIES_MAX = 64
_DIGITS_MAX = 18


def encode_marks(marks: Marks) -> str:
    """Return *marks* as the value of ``OTA-Position``: opaque to clients, equal for equal marks."""
    return ",".join(
        f"{source}.{generation}.{partition}.{seq}"
        for (source, partition), (generation, seq) in sorted(marks.items())
    )


def decode_marks(text: str) -> dict[Place, Mark] | None:
    """Return the marks in a header's value, the highest of each place; None if it is not ours."""
    entries = text.split(",")
    if len(entries) > ENTRIES_MAX:
        return None
    marks: dict[Place, Mark] = {}
    for entry in entries:
        parts = entry.strip().split(".")
        if len(parts) != 4 or parts[0] not in SOURCES or not all(map(_is_number, parts[1:])):
            return None
        generation, partition, seq = map(int, parts[1:])
        place = (parts[0], partition)
        marks[place] = max(marks.get(place, (0, 0)), (generation, seq))
    return marks


def merged(first: Marks, second: Marks) -> Marks:
    """Return the highest mark of each place of both."""
    if not first:
        return second
    together = dict(first)
    for place, mark in second.items():
        if together.get(place, (0, 0)) < mark:
            together[place] = mark
    return together


def mark_of(reply: Reply) -> Marks:
    """Return the mark that an answer leaves; none for a log without any event."""
    position = reply.position
    if position.seq == 0:
        return NOTHING
    return {(reply.source, position.partition): (position.generation, position.seq)}


class AnsweredPositions:
    """The highest positions that this gateway has answered, by partner.

    Bounded by partners, services and partitions.
    """

    def __init__(self) -> None:
        self._by_partner: dict[str, dict[Place, Mark]] = {}

    def note(self, *, partner_id: str, reply: Reply) -> None:
        """Remember that *partner_id* was given *reply*."""
        marks = self._by_partner.setdefault(partner_id, {})
        for place, mark in mark_of(reply).items():
            if marks.get(place, (0, 0)) < mark:
                marks[place] = mark

    def of(self, partner_id: str) -> Marks:
        """Return what *partner_id* was told here."""
        return self._by_partner.get(partner_id, NOTHING)


def _is_number(text: str) -> bool:
    return len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit()

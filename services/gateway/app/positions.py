"""Positions that callers were told: what a write has answered, later reads show.

A mark says how far a service's log of one partition must be visible. Marks are kept for
this gateway's own callers, and travel in the header ``OTA-Position`` to any other gateway:
sealed, for sequence numbers would tell every partner the volume of all the others.
"""

from __future__ import annotations

import struct
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from libs.events.requests import Reply

Mark = tuple[int, int]
"""Restore generation and sequence number; later marks compare greater."""

Place = tuple[str, int]
"""A service's name and a partition."""

Marks = Mapping[Place, Mark]

NOTHING: Marks = {}
SOURCES = ("inventory", "reservation", "fulfillment")
"""Their order is written in sealed values: who changes it changes the version as well."""

VALUES_MAX = 64
_VERSION = b"\x01"
_NUMBERS = {source: number for number, source in enumerate(SOURCES)}
# Source, partition, generation, number: of one length, for a length would tell a magnitude.
_ENTRY = struct.Struct(">BBIQ")


def merged(first: Marks, second: Marks) -> Marks:
    """Return the highest mark of each place of both."""
    if not first:
        return second
    if not second:
        return first
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


class PositionSeal:
    """Writes marks as a text that only gateways with the same *key* (64 bytes) can read."""

    __slots__ = ("_cipher", "_last")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(key)
        self._last: dict[Place, tuple[Mark, str]] = {}

    def encode_marks(self, marks: Marks) -> str:
        """Return *marks* as the value of ``OTA-Position``, the same for equal marks."""
        if not marks:
            return ""
        if len(marks) > 1:
            return self._sealed(marks)
        ((place, mark),) = marks.items()  # all answers of one batch have the same
        last = self._last.get(place)
        if last is None or last[0] != mark:
            last = self._last[place] = (mark, self._sealed(marks))
        return last[1]

    def _sealed(self, marks: Marks) -> str:
        entries = [
            _ENTRY.pack(_NUMBERS[source], partition, generation, seq)
            for (source, partition), (generation, seq) in marks.items()
        ]
        entries.sort()
        sealed = self._cipher.encrypt(b"".join(entries), [_VERSION])
        return urlsafe_b64encode(_VERSION + sealed).rstrip(b"=").decode()

    def decode_marks(self, text: str) -> Marks | None:
        """Return the highest mark of each place in a header's values; None if one is not ours."""
        values = text.split(",")
        if len(values) > VALUES_MAX:
            return None
        marks: Marks = NOTHING
        for value in values:
            opened = self._opened(value.strip())
            if opened is None:
                return None
            marks = merged(marks, opened)
        return marks

    def _opened(self, value: str) -> dict[Place, Mark] | None:
        try:
            raw = b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            if raw[:1] != _VERSION:
                return None
            entries = self._cipher.decrypt(raw[1:], [_VERSION])
        except (ValueError, InvalidTag):
            return None
        return {
            (SOURCES[source], partition): (generation, seq)
            for source, partition, generation, seq in _ENTRY.iter_unpack(entries)
        }


class AnsweredPositions:
    """The highest positions that this gateway has answered, by partner.

    Bounded by partners, services and partitions.
    """

    def __init__(self) -> None:
        self._by_partner: dict[str, dict[Place, Mark]] = {}

    def note(self, *, partner_id: str, reply: Reply) -> None:
        """Remember that *partner_id* was given *reply*."""
        position = reply.position
        if position.seq == 0:
            return
        marks = self._by_partner.setdefault(partner_id, {})
        place, mark = (reply.source, position.partition), (position.generation, position.seq)
        if marks.get(place, (0, 0)) < mark:
            marks[place] = mark

    def of(self, partner_id: str) -> Marks:
        """Return what *partner_id* was told here."""
        return self._by_partner.get(partner_id, NOTHING)

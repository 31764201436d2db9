"""Ids and times as the contract and the design write them; made anew here, from their words.

A command id is f(partner, method, concrete path, Idempotency-Key): each part as UTF-8 behind its
length (4 bytes, big-endian), BLAKE2b with 16 bytes and the person ``command``, as a UUID of
version 8.
A reservation id holds its pool's number in its highest 16 bits (of 130 shown in base 32).
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS = {character: value for value, character in enumerate(_CROCKFORD)}

RESERVATION_ID = re.compile(r"res_[0-7][0-9A-HJKMNP-TV-Z]{25}")
ANY_ID = re.compile(
    r"res_[0-7][0-9A-HJKMNP-TV-Z]{25}"
    r"|ORD-[0-9]{13}(?![0-9])"
    r"|CONF-[2-9A-HJKMNP-Z]{8}(?![0-9A-Z])"
    r"|[A-Z][A-Z0-9-]{2,40}-[0-9]{13}(?![0-9])"
)
"""Ids of reservations, orders, confirmations and tickets, wherever they stand in a text."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def command_id(*, partner_id: str, method: str, path: str, key: str) -> str:
    """Return the id of the command that a call leads to."""
    parts = [part.encode() for part in (partner_id, method, path, key)]
    framed = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    raw = bytearray(hashlib.blake2b(framed, digest_size=16, person=b"command").digest())
    raw[6] = raw[6] & 15 | 128
    raw[8] = raw[8] & 63 | 128
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def pool_in(reservation_id: str) -> int | None:
    """Return the number of the pool that an id names; None for other texts."""
    if not RESERVATION_ID.fullmatch(reservation_id):
        return None
    value = 0
    for character in reservation_id[4:]:
        value = value * 32 + _DIGITS[character]
    return value >> 112


@lru_cache(maxsize=512)
def micros(text: str) -> int:
    """Return an instant as microseconds since 1970; raises ValueError without a time zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    passed = at - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def short_digest(text: str) -> int:
    """Return 8 bytes that tell texts apart."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

"""The hash chain over a partition's events: any later edit, removal or swap shows."""

from __future__ import annotations

import hashlib
from binascii import Error, a2b_base64, b2a_base64
from datetime import UTC, datetime
from functools import lru_cache

from libs.events.envelope import Position

GENESIS = bytes(32)
"""The hash before the first event."""


def chain_hash(
    *,
    previous: bytes,
    source: str,
    position: Position,
    type: str,
    version: int,
    subject: str,
    decided_at: datetime,
    meta: str,
    data: str,
) -> bytes:
    """Return SHA-256 over the previous hash and the event exactly as stored.

    The fields are joined by newlines; none of the header fields can contain one,
    and meta and data are JSON on one line.
    """
    return hashed_value(
        previous,
        hashed_text(
            source=source,
            position=position,
            type=type,
            version=version,
            subject=subject,
            decided_at=decided_at,
            meta=meta,
            data=data,
        ),
    )


def hashed_text(
    *,
    source: str,
    position: Position,
    type: str,
    version: int,
    subject: str,
    decided_at: datetime,
    meta: str,
    data: str,
) -> str:
    """Return the text of an event that its hash is made of, behind the previous hash."""
    return "\n".join(
        (
            source,
            position.event_id(),
            type,
            str(version),
            subject,
            _text(decided_at),
            meta,
            data,
        )
    )


def hashed_value(previous: bytes, text: str) -> bytes:
    """Return the hash of an event from the one before and its `hashed_text`."""
    return hashlib.sha256(previous + text.encode()).digest()


def anchor_text(*, service: str, position: Position, hash: bytes, anchored_at: datetime) -> str:
    """Return what an anchor signs, as docs/tamper-evidence.md tells it."""
    at = anchored_at.astimezone(UTC).isoformat(timespec="microseconds")
    return "\n".join(("ota-anchor-v1", service, position.event_id(), hash.hex(), at))


def evidence_of(position: Position, hash: bytes) -> str:
    """Return the text that names an event and what it was: ``generation-partition-seq.hash``."""
    return f"{position.event_id()}.{b2a_base64(hash, newline=False).decode()}"


def parse_evidence(text: str) -> tuple[Position, bytes]:
    """Return the position and the hash in a text of `evidence_of`; raises ValueError."""
    place, _, encoded = text.partition(".")
    generation, partition, seq = map(int, place.split("-"))
    try:
        hash = a2b_base64(encoded)
    except Error as error:
        raise ValueError("no hash") from error
    if len(hash) != len(GENESIS):
        raise ValueError(f"a hash has {len(GENESIS)} bytes")
    return Position(generation, partition, seq), hash


@lru_cache(maxsize=16)
def _text(decided_at: datetime) -> str:
    """All events of a batch have the same time."""
    return decided_at.astimezone(UTC).isoformat(timespec="microseconds")

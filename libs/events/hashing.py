"""The hash chain over a partition's events: any later edit, removal or swap shows."""

from __future__ import annotations

import hashlib
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
    text = "\n".join(
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
    return hashlib.sha256(previous + text.encode()).digest()


@lru_cache(maxsize=16)
def _text(decided_at: datetime) -> str:
    """All events of a batch have the same time."""
    return decided_at.astimezone(UTC).isoformat(timespec="microseconds")

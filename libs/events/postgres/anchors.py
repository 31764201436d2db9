"""Anchors in a service's own database."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import asyncpg

from libs.events.contracts.platform import HeadAnchored
from libs.runtime.postgres import acquire

_SELECT = "SELECT partition, generation, seq, hash, anchored_at, key_id, signature FROM anchor"


class PostgresAnchorTable:
    """See `libs.events.anchors.AnchorTable`."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, service: str) -> None:
        self._pool = pool
        self._service = service

    async def keep_key(self, *, key_id: str, public_key: bytes) -> None:
        """See the port."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO anchor_key (key_id, public_key) VALUES ($1, $2)"
                " ON CONFLICT DO NOTHING",
                key_id,
                public_key,
            )

    async def keep(self, anchor: HeadAnchored) -> HeadAnchored:
        """See the port."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO anchor (partition, generation, seq, hash, anchored_at, key_id,"
                " signature) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                anchor.partition,
                anchor.generation,
                anchor.seq,
                bytes.fromhex(anchor.hash),
                anchor.anchored_at,
                anchor.key_id,
                base64.urlsafe_b64decode(anchor.signature + "=="),
            )
            row = await connection.fetchrow(
                f"{_SELECT} WHERE partition = $1 AND generation = $2 AND seq = $3",
                anchor.partition,
                anchor.generation,
                anchor.seq,
            )
        assert row is not None, "anchors are never deleted"
        return self._anchor(row)

    async def latest(self, *, partition: int, limit: int) -> Sequence[HeadAnchored]:
        """See the port."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"{_SELECT} WHERE partition = $1 ORDER BY generation DESC, seq DESC LIMIT $2",
                partition,
                limit,
            )
        return [self._anchor(row) for row in reversed(rows)]

    def _anchor(self, row: asyncpg.Record) -> HeadAnchored:
        signature = base64.urlsafe_b64encode(row["signature"]).rstrip(b"=").decode()
        return HeadAnchored(
            **{**row, "hash": row["hash"].hex(), "signature": signature}, service=self._service
        )

"""The ledger's read views as operators need them: pools, caps, open holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.store.database import Pool, borrowed

_POOLS = """
SELECT pool_no, product_id, channel, partition, allotted, held, sold, available, selling
  FROM read_v1.pool ORDER BY product_id, channel
"""
_CAPS = """
SELECT c.partner_id, p.product_id, p.channel, c.units, c.held
  FROM read_v1.partner_cap c JOIN read_v1.pool p USING (pool_no)
 ORDER BY c.partner_id, p.product_id
"""
_OPEN_HOLDS = """
SELECT reservation_id, partition, quantity FROM read_v1.hold
 WHERE partner_id = $1 AND status = 'held' ORDER BY held_at, reservation_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRow:
    """A pool as of its partition's head."""

    pool_no: int
    product_id: int
    channel: str
    partition: int
    allotted: int
    held: int
    sold: int
    available: int
    selling: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRow:
    """A cap on what a partner may hold of a product at once."""

    partner_id: str
    product_id: int
    channel: str
    units: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHold:
    """A hold whose units are neither sold nor released."""

    reservation_id: str
    partition: int
    quantity: int


class StockViews:
    """Reads the inventory service's views."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def pools(self) -> Sequence[StockRow]:
        """Return every pool; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            return [StockRow(**dict(row)) for row in await connection.fetch(_POOLS)]

    async def caps(self) -> Sequence[CapRow]:
        """Return every cap that is in force; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            return [CapRow(**dict(row)) for row in await connection.fetch(_CAPS)]

    async def open_holds(self, *, partner_id: str) -> Sequence[OpenHold]:
        """Return a partner's open holds, the oldest first; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_OPEN_HOLDS, partner_id)
        return [OpenHold(**dict(row)) for row in rows]

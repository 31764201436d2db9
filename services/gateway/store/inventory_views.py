"""The inventory service's read views: catalogue, pools, holds."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from libs.events.contracts.inventory import PoolFigures
from libs.kernel.catalogue import Catalogue
from services.gateway.domain.records import HoldRecord
from services.gateway.store.database import Pool, borrowed

_CATALOGUE = "SELECT document::text FROM read_v1.catalogue WHERE current"
_PUBLISHED = "SELECT document::text FROM read_v1.catalogue WHERE version = $1"
_POOLS = """
SELECT pool_no, product_id, channel, partition, allotted, available, selling, generation, seq
  FROM read_v1.pool
"""
_HOLD = """
SELECT reservation_id, product_id, quantity, status, held_at, expires_at,
       rule_version, visit_date
  FROM read_v1.hold WHERE reservation_id = $1 AND partner_id = $2
"""

_DOCUMENT = TypeAdapter(Catalogue)


class InventoryViews:
    """See the Protocols in `services.gateway.app`: catalogue, availability, reservation_reads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def current_catalogue(self) -> Catalogue | None:
        """Return the current catalogue, None before the first; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            document = await connection.fetchval(_CATALOGUE)
        return None if document is None else _DOCUMENT.validate_json(document)

    async def catalogue(self, version: int) -> Catalogue | None:
        """Return a published version, None if there is none; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            document = await connection.fetchval(_PUBLISHED, version)
        return None if document is None else _DOCUMENT.validate_json(document)

    async def pools(self) -> Sequence[PoolFigures]:
        """Return every pool's figures as of its partition's head; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_POOLS)
        return [PoolFigures(**dict(row)) for row in rows]

    async def hold(self, *, partner_id: str, reservation_id: str) -> HoldRecord | None:
        """Return a partner's hold; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(_HOLD, reservation_id, partner_id)
        if row is None:
            return None
        return HoldRecord(
            reservation_id=row["reservation_id"],
            product_id=row["product_id"],
            quantity=row["quantity"],
            open=row["status"] == "held",
            held_at=row["held_at"],
            expires_at=row["expires_at"],
            rule_version=row["rule_version"],
            visit_date=row["visit_date"],
        )

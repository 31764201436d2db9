"""The reservation service's read views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from services.gateway.domain.records import (
    ReservationFilter,
    ReservationRecord,
    ReservationStatus,
    Slice,
)
from services.gateway.store.conditions import Conditions
from services.gateway.store.database import Connection, Pool, borrowed

_COLUMNS = """
SELECT reservation_id, product_id, quantity, status, held_at, expires_at,
       rule_version, visit_date, order_id, ended_at
"""
_FROM = "FROM read_v1.reservation"
_COUNTED = "SELECT coalesce(sum(reservations), 0)::bigint FROM read_v1.reservation_count"

# Open and ended holds have an index each. As text, not as parameters: a plan made for every value
# could not tell which index has them.
_STATES: Mapping[ReservationStatus | None, Sequence[str]] = {
    None: ("status = 'active'", "status <> 'active'"),
    "active": ("status = 'active'",),
    "activated": ("status = 'activated'",),
    "cancelled": ("status = 'cancelled'",),
    "expired": ("status = 'expired'",),
}
_EXPIRED = """
SELECT count(*)::int AS expired, max(ended_at) AS last FROM read_v1.reservation
 WHERE partner_id = $1 AND status = 'expired' AND ended_at > coalesce($2::timestamptz, '-infinity')
"""


class ReservationViews:
    """See the Protocols of `services.gateway.app.reservation_reads` and `cleanup`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reservation(
        self, *, partner_id: str, reservation_id: str
    ) -> ReservationRecord | None:
        """Return a partner's reservation; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(
                f"{_COLUMNS} {_FROM} WHERE reservation_id = $1 AND partner_id = $2",
                reservation_id,
                partner_id,
            )
        return None if row is None else _record(row)

    async def reservations(
        self, *, partner_id: str, which: ReservationFilter, rows: Slice
    ) -> tuple[Sequence[ReservationRecord], int]:
        """Return rows, newest first, and how many there are in all; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            total = await _total(connection, partner_id, which)
            where = _conditions(partner_id, which)
            where.after("held_at", "reservation_id", rows.after)
            first, shown = where.first(rows), where.limit(rows)
            lists = (
                f"({_COLUMNS} {_FROM} {where} AND {state}"
                f" ORDER BY held_at DESC, reservation_id {first})"
                for state in _STATES[which.status]
            )
            found = await connection.fetch(
                f"SELECT * FROM ({' UNION ALL '.join(lists)}) AS list"
                f" ORDER BY held_at DESC, reservation_id {shown}",
                *where.values,
            )
        return [_record(row) for row in found], total

    async def expired_since(
        self, *, partner_id: str, since: datetime | None
    ) -> tuple[int, datetime | None]:
        """Count holds that ran out after *since*, and say when the last did.

        Raises StoreUnavailable.
        """
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(_EXPIRED, partner_id, since)
        assert row is not None  # an aggregate always has a row
        return row["expired"], row["last"]


async def _total(connection: Connection, partner_id: str, which: ReservationFilter) -> int:
    """Add up what the owner has counted; holds with one reference are few, and counted here."""
    where = _conditions(partner_id, which)
    where.equal("status", which.status)
    query = _COUNTED if which.customer_reference_hash is None else f"SELECT count(*) {_FROM}"
    total: int = await connection.fetchval(f"{query} {where}", *where.values)
    return total


def _conditions(partner_id: str, which: ReservationFilter) -> Conditions:
    where = Conditions()
    where.equal("partner_id", partner_id)
    where.equal("product_id", which.product_id)
    where.equal("customer_reference_hash", which.customer_reference_hash)
    return where


def _record(row: asyncpg.Record) -> ReservationRecord:
    return ReservationRecord(
        reservation_id=row["reservation_id"],
        product_id=row["product_id"],
        quantity=row["quantity"],
        status=row["status"],
        held_at=row["held_at"],
        expires_at=row["expires_at"],
        rule_version=row["rule_version"],
        visit_date=row["visit_date"],
        order_id=row["order_id"],
        ended_at=row["ended_at"],
    )

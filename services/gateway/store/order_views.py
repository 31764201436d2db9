"""The fulfillment service's read views."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.gateway.domain.records import OrderFilter, OrderRecord, Slice, TicketRecord
from services.gateway.store.conditions import Conditions
from services.gateway.store.database import Pool, borrowed
from services.gateway.store.documents import entitlements_of, sealed_of

_COLUMNS = """
SELECT order_id, reservation_id, product_id, quantity, confirmation_code, visit_date,
       total_minor, currency, customer::text AS customer, entitlements::text AS entitlements,
       status, created_at
"""
_FROM = "FROM read_v1.customer_order"
_COUNTED = "SELECT coalesce(sum(orders), 0)::bigint FROM read_v1.order_count"
_TICKETS = """
SELECT ticket_code, qr_token, customer_type, status FROM read_v1.ticket
 WHERE order_id = $1 ORDER BY position
"""


class OrderViews:
    """See `services.gateway.app.orders.OrderView`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def order(self, *, partner_id: str, order_id: str) -> OrderRecord | None:
        """Return a partner's order; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(
                f"{_COLUMNS} {_FROM} WHERE order_id = $1 AND partner_id = $2",
                order_id,
                partner_id,
            )
        return None if row is None else _record(row)

    async def orders(
        self, *, partner_id: str, which: OrderFilter, rows: Slice
    ) -> tuple[Sequence[OrderRecord], int]:
        """Return rows, newest first, and how many there are in all; raises StoreUnavailable."""
        where = Conditions()
        where.equal("partner_id", partner_id)
        where.equal("product_id", which.product_id)
        where.equal("payment_reference_hash", which.payment_reference_hash)
        where.equal("confirmation_code", which.confirmation_code)
        where.period("created_at", which.created_from, which.created_before)
        async with borrowed(self._pool) as connection:
            query = _COUNTED if _only_counted(which) else f"SELECT count(*) {_FROM}"
            total = await connection.fetchval(f"{query} {where}", *where.values)
            where.after("created_at", "order_id", rows.after)
            found = await connection.fetch(
                f"{_COLUMNS} {_FROM} {where} ORDER BY created_at DESC, order_id"
                f" {where.limit(rows)}",
                *where.values,
            )
        return [_record(row) for row in found], total

    async def tickets(self, *, order_id: str) -> Sequence[TicketRecord]:
        """Return an order's tickets in their order; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_TICKETS, order_id)
        return [
            TicketRecord(
                ticket_code=row["ticket_code"],
                qr_token=row["qr_token"],
                customer_type=row["customer_type"],
                status=row["status"].upper(),
            )
            for row in rows
        ]


def _only_counted(which: OrderFilter) -> bool:
    """Whether the owner's counts tell the total: they know partner and product, nothing else."""
    return which == OrderFilter(product_id=which.product_id)


def _record(row: asyncpg.Record) -> OrderRecord:
    return OrderRecord(
        order_id=row["order_id"],
        reservation_id=row["reservation_id"],
        product_id=row["product_id"],
        quantity=row["quantity"],
        confirmation_code=row["confirmation_code"],
        visit_date=row["visit_date"],
        total_minor=row["total_minor"],
        currency=row["currency"],
        customer=sealed_of(row["customer"]),
        entitlements=entitlements_of(row["entitlements"]),
        status=row["status"],
        created_at=row["created_at"],
    )

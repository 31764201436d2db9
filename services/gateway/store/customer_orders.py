"""Which reservation became which order, for operators: of every partner, so never for a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.gateway.store.database import Pool, borrowed


class CustomerOrders:
    """Reads the fulfillment service's views."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reservation_of(self, order_id: str) -> str | None:
        """Return an order's reservation, None without such an order; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            found: str | None = await connection.fetchval(
                "SELECT reservation_id FROM read_v1.customer_order WHERE order_id = $1", order_id
            )
        return found

    async def of_reservations(self, reservation_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the orders that reservations became, by reservation; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT reservation_id, order_id FROM read_v1.customer_order"
                " WHERE reservation_id = ANY($1::text[])",
                list(reservation_ids),
            )
        return {row["reservation_id"]: row["order_id"] for row in rows}

"""Orders and their tickets, as the partner that bought them reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pydantic_core import to_json

from libs.kernel.ids import is_order_id
from services.gateway.app import refusals, rendering
from services.gateway.app.call import Call
from services.gateway.app.positions import AnsweredPositions
from services.gateway.app.progress import ViewProgress
from services.gateway.app.reservations import QrImages
from services.gateway.app.sealing import Sealer
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.paging import AskedPage, finish_page, rows_of, start_page
from services.gateway.domain.records import OrderFilter, OrderRecord, Slice, TicketRecord
from services.gateway.domain.refusal import Refusal

FOLLOWS = frozenset({"fulfillment", "reservation"})
TICKETS_MAX = 100
"""Tickets of one order at most, so that a page can show all of them."""

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class OrderView(Protocol):
    """The fulfillment service's read view."""

    async def order(self, *, partner_id: str, order_id: str) -> OrderRecord | None:
        """Return a partner's order; raises StoreUnavailable."""
        ...

    async def orders(
        self, *, partner_id: str, which: OrderFilter, rows: Slice
    ) -> tuple[Sequence[OrderRecord], int]:
        """Return rows, newest first, and how many there are in all; raises StoreUnavailable."""
        ...

    async def tickets(self, *, order_id: str) -> Sequence[TicketRecord]:
        """Return an order's tickets in their order; raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersAsked:
    """Which orders a partner asks for, from *created_from* until before *created_before*."""

    product_id: int | None
    created_from: datetime | None
    created_before: datetime | None
    payment_reference: str | None
    confirmation_code: str | None


class Orders:
    """The use cases around orders."""

    def __init__(
        self,
        *,
        hashes: KeyedHashes,
        sealer: Sealer,
        view: OrderView,
        progress: ViewProgress,
        positions: AnsweredPositions,
        images: QrImages,
    ) -> None:
        self._hashes = hashes
        self._sealer = sealer
        self._view = view
        self._progress = progress
        self._positions = positions
        self._images = images

    async def one(self, call: Call, order_id: str) -> bytes | Refusal:
        """Return an order; raises StoreUnavailable, ViewBehind."""
        record = await self._read(call, order_id)
        if record is None:
            return refusals.ORDER_NOT_FOUND
        [row] = await self._rows([record])
        return to_json(row)

    async def page(self, call: Call, asked: OrdersAsked, page: AskedPage) -> bytes | Refusal:
        """Return a page of orders, newest first; raises StoreUnavailable, ViewBehind."""
        partner_id = call.caller.partner_id
        which = OrderFilter(
            product_id=asked.product_id,
            created_from=asked.created_from,
            created_before=asked.created_before,
            payment_reference_hash=None
            if asked.payment_reference is None
            else self._hashes.reference(
                kind="payment", partner_id=partner_id, text=asked.payment_reference
            ),
            confirmation_code=asked.confirmation_code,
        )
        scope = f"orders/{partner_id}/{which}"
        request = start_page(hashes=self._hashes, scope=scope, asked=page)
        if isinstance(request, Refusal):
            return request
        await self._caught_up(call)
        rows, total = await self._view.orders(
            partner_id=partner_id, which=which, rows=request.slice
        )
        shown = finish_page(
            hashes=self._hashes,
            scope=scope,
            request=request,
            rows=rows,
            total=total,
            place=lambda row: (row.created_at, row.order_id),
        )
        return rendering.listing("orders", await self._rows(shown.rows), shown)

    async def tickets(
        self, call: Call, order_id: str, page: AskedPage, *, images: bool
    ) -> bytes | Refusal:
        """Return an order's tickets, with their QR codes if *images*.

        Raises StoreUnavailable, ViewBehind.
        """
        scope = f"tickets/{call.caller.partner_id}/{order_id}"
        request = start_page(hashes=self._hashes, scope=scope, asked=page, size_default=TICKETS_MAX)
        if isinstance(request, Refusal):
            return request
        record = await self._read(call, order_id)
        if record is None:
            return refusals.ORDER_NOT_FOUND
        issued = await self._view.tickets(order_id=order_id)
        shown = finish_page(
            hashes=self._hashes,
            scope=scope,
            request=request,
            rows=rows_of(request=request, rows=issued, row_id=lambda row: row.ticket_code),
            total=len(issued),
            place=lambda row: (_NO_TIME, row.ticket_code),
        )
        rows = rendering.tickets(
            shown.rows,
            statuses=[ticket.status for ticket in shown.rows],
            images=await self._draw(call, shown.rows) if images else None,
            order_id=record.order_id,
            product_id=record.product_id,
            visit_date=record.visit_date,
            entitlements=record.entitlements,
        )
        return rendering.listing("tickets", rows, shown, order_id=record.order_id)

    async def _read(self, call: Call, order_id: str) -> OrderRecord | None:
        if not is_order_id(order_id):
            return None
        await self._caught_up(call)
        return await self._view.order(partner_id=call.caller.partner_id, order_id=order_id)

    async def _caught_up(self, call: Call) -> None:
        told = self._positions.of(call.caller.partner_id)
        wanted = self._progress.concerning(call.marks, told)
        await self._progress.wait(wanted, deadline=call.view_deadline)

    async def _rows(self, records: Sequence[OrderRecord]) -> list[rendering.Json]:
        opened = await self._sealer.open(
            [(record.customer, record.reservation_id) for record in records]
        )
        return [rendering.order(record, each) for record, each in zip(records, opened, strict=True)]

    async def _draw(self, call: Call, tickets: Sequence[TicketRecord]) -> list[str]:
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._images.render([ticket.qr_token for ticket in tickets])
        except (TimeoutError, RuntimeError) as error:
            raise StoreUnavailable("the tickets' images were not ready in time") from error

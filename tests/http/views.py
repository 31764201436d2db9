"""What the gateway reads of the market: the read views of the deciding services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.events.contracts.inventory import PoolFigures
from libs.kernel.catalogue import Catalogue
from services.gateway.domain.records import (
    HoldRecord,
    OrderFilter,
    OrderRecord,
    RecordedEvent,
    ReservationFilter,
    ReservationRecord,
    Slice,
    TicketRecord,
)
from tests.http.market import Mark, Market, Place


@dataclass(frozen=True, slots=True)
class Views:
    """All read views of a market; conforms to the gateway's ports."""

    market: Market

    async def current_catalogue(self) -> Catalogue | None:
        """See `services.gateway.app.catalogue.CatalogueSource`."""
        return self.market.catalogue

    async def catalogue(self, version: int) -> Catalogue | None:
        """See `services.gateway.app.catalogue.CatalogueSource`."""
        return self.market.published.get(version)

    async def pools(self) -> Sequence[PoolFigures]:
        """See `services.gateway.app.availability.PoolSource`."""
        return [self.market.figures(pool) for pool in self.market.pools_by_no.values()]

    async def event(self, source: str, *, partition: int, seq: int) -> RecordedEvent | None:
        """See `services.gateway.app.receipts.EventRecords`."""
        return self.market.events.get((source, partition, seq))

    async def hold(self, *, partner_id: str, reservation_id: str) -> HoldRecord | None:
        """See `services.gateway.app.reservation_reads.HoldView`."""
        hold = self.market.own(reservation_id, partner_id)
        if hold is None:
            return None
        record = hold.record
        return HoldRecord(
            reservation_id=record.reservation_id,
            product_id=record.product_id,
            quantity=record.quantity,
            open=record.status == "active",
            held_at=record.held_at,
            expires_at=record.expires_at,
            rule_version=record.rule_version,
            visit_date=record.visit_date,
        )

    async def reservation(
        self, *, partner_id: str, reservation_id: str
    ) -> ReservationRecord | None:
        """See `services.gateway.app.reservation_reads.ReservationView`."""
        hold = self.market.own(reservation_id, partner_id)
        return hold.record if hold is not None and reservation_id in self.market.shown else None

    async def reservations(
        self, *, partner_id: str, which: ReservationFilter, rows: Slice
    ) -> tuple[Sequence[ReservationRecord], int]:
        """See `services.gateway.app.reservation_reads.ReservationView`."""
        found = [
            hold.record
            for reservation_id, hold in self.market.holds.items()
            if reservation_id in self.market.shown
            and hold.command.partner_id == partner_id
            and which.status in (None, hold.record.status)
            and which.product_id in (None, hold.record.product_id)
            and which.customer_reference_hash in (None, hold.command.customer_reference_hash)
        ]
        places = [(row.held_at, row.reservation_id) for row in found]
        return [found[index] for index in _window(places, rows)], len(found)

    async def expired_since(
        self, *, partner_id: str, since: datetime | None
    ) -> tuple[int, datetime | None]:
        """See `services.gateway.app.cleanup.ExpiredView`."""
        ends = [
            hold.record.ended_at
            for hold in self.market.holds.values()
            if hold.command.partner_id == partner_id
            and hold.record.status == "expired"
            and hold.record.ended_at is not None
            and (since is None or hold.record.ended_at > since)
        ]
        return len(ends), max(ends, default=None)

    async def order(self, *, partner_id: str, order_id: str) -> OrderRecord | None:
        """See `services.gateway.app.orders.OrderView`."""
        order, owner, _ = self.market.orders_by_id.get(order_id, (None, "", ""))
        return order if owner == partner_id else None

    async def orders(
        self, *, partner_id: str, which: OrderFilter, rows: Slice
    ) -> tuple[Sequence[OrderRecord], int]:
        """See `services.gateway.app.orders.OrderView`."""
        found = [
            order
            for order, owner, payment in self.market.orders_by_id.values()
            if owner == partner_id
            and which.product_id in (None, order.product_id)
            and which.payment_reference_hash in (None, payment)
            and which.confirmation_code in (None, order.confirmation_code)
            and (which.created_from is None or order.created_at >= which.created_from)
            and (which.created_before is None or order.created_at < which.created_before)
        ]
        places = [(row.created_at, row.order_id) for row in found]
        return [found[index] for index in _window(places, rows)], len(found)

    async def tickets(self, *, order_id: str) -> Sequence[TicketRecord]:
        """See `services.gateway.app.orders.OrderView`."""
        return self.market.tickets_by_order[order_id]


@dataclass(frozen=True, slots=True)
class Progress:
    """See `services.gateway.app.progress.ProgressSource`; *service* is whose views these are."""

    market: Market
    service: str

    async def progress(self) -> Mapping[Place, Mark]:
        """Return how far the service's views are."""
        marks = {
            place: (1, seq) for place, seq in self.market.heads.items() if place[0] == self.service
        }
        if self.service == "reservation":
            for partition, seq in self.market.inventory_seen.items():
                marks["inventory", partition] = (1, seq)
        else:
            for (source, partition), seq in self.market.heads.items():
                if source == "reservation":
                    marks[source, partition] = (1, seq)
        return marks


def _window(places: Sequence[tuple[datetime, str]], rows: Slice) -> list[int]:
    """Return the indices of a slice, newest first, then by id."""

    def order(place: tuple[datetime, str]) -> tuple[float, str]:
        return -place[0].timestamp(), place[1]

    indices = sorted(range(len(places)), key=lambda index: order(places[index]))
    if rows.after is not None:
        last = order(rows.after)
        indices = [index for index in indices if order(places[index]) > last]
    return indices[rows.offset : rows.offset + rows.limit]

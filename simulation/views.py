"""The read views of the deciding services, as the gateway and the services themselves see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Envelope
from libs.events.memory.log import MemoryDatabase
from libs.events.topics import FULFILLMENT_EVENTS, INVENTORY_EVENTS, RESERVATION_EVENTS
from libs.kernel.catalogue import Catalogue
from services.fulfillment.domain.order import Order, Ticket
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.records import (
    HoldRecord,
    OrderFilter,
    OrderRecord,
    ReservationFilter,
    ReservationRecord,
    Slice,
    TicketRecord,
)
from services.inventory.domain.ledger import Hold, Pool
from services.reservation.domain.hold import Reservation
from simulation.market import CATALOGUE

Databases = Mapping[str, MemoryDatabase]
_SOURCES = {
    INVENTORY_EVENTS.name: "inventory",
    RESERVATION_EVENTS.name: "reservation",
    FULFILLMENT_EVENTS.name: "fulfillment",
}


def entities(database: MemoryDatabase, kind: type) -> list[Any]:
    """Return a database's rows of a kind."""
    return [entity for (of, _), (_, entity) in database.rows.items() if of is kind]


def find(database: MemoryDatabase, kind: type, key: str) -> Any:
    """Return a row by its key, None if there is none."""
    found = database.rows.get((kind, key))
    return found[1] if found is not None else None


class HoldsLookup:
    """See `services.reservation.app.behaviour.HoldsLookup`."""

    def __init__(self, databases: Databases) -> None:
        self._own, self._ledger = databases["reservation"], databases["inventory"]

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        """See the Protocol."""
        found = (find(self._own, Reservation, id) for id in reservation_ids)
        return [each for each in found if each is not None]

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        """See the Protocol."""
        found = (self._ledger.rows.get((Hold, id)) for id in reservation_ids)
        seqs = sorted(row[1].seq for row in found if row is not None and row[0] == partition)  # type: ignore[attr-defined]
        return [
            event
            for seq in seqs
            for event in self._ledger.envelopes(partition, after_seq=seq - 1, limit=1)
        ]

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        """See the Protocol."""
        return {
            entity.reservation_id: entity.ledger_seq
            for at, entity in self._own.rows.values()
            if at == partition and isinstance(entity, Reservation)
            if entity.ledger_seq > ledger_seq
        }


class Views:
    """All read views; conforms to the gateway's ports. While *away* none can be asked."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.away: set[str] = set()

    def _database(self, service: str) -> MemoryDatabase:
        if service in self.away:
            raise StoreUnavailable(f"the views of {service} are away")
        return self._databases[service]

    async def current_catalogue(self) -> Catalogue | None:
        """See `services.gateway.app.catalogue.CatalogueSource`."""
        return CATALOGUE

    async def catalogue(self, version: int) -> Catalogue | None:
        """See `services.gateway.app.catalogue.CatalogueSource`."""
        return CATALOGUE if version == CATALOGUE.version else None

    async def pools(self) -> Sequence[PoolFigures]:
        """See `services.gateway.app.availability.PoolSource`."""
        database = self._database("inventory")
        found = []
        for partition, entity in database.rows.values():
            if not isinstance(entity, Pool):
                continue
            head = database.heads[partition]
            found.append(
                PoolFigures(
                    pool_no=entity.pool_no,
                    product_id=entity.product_id,
                    channel=entity.channel,
                    allotted=entity.allotted,
                    available=entity.available if entity.selling else 0,
                    selling=entity.selling,
                    generation=head.generation,
                    partition=partition,
                    seq=head.seq,
                )
            )
        return found

    async def hold(self, *, partner_id: str, reservation_id: str) -> HoldRecord | None:
        """See `services.gateway.app.reservation_reads.HoldView`."""
        hold = find(self._database("inventory"), Hold, reservation_id)
        if hold is None or hold.partner_id != partner_id:
            return None
        return HoldRecord(
            reservation_id=hold.reservation_id,
            product_id=hold.product_id,
            quantity=hold.quantity,
            open=hold.status == "held",
            held_at=hold.held_at,
            expires_at=hold.expires_at,
            rule_version=hold.rule_version,
            visit_date=hold.visit_date,
        )

    async def reservation(
        self, *, partner_id: str, reservation_id: str
    ) -> ReservationRecord | None:
        """See `services.gateway.app.reservation_reads.ReservationView`."""
        found = find(self._database("reservation"), Reservation, reservation_id)
        return _reservation(found) if found is not None and found.partner_id == partner_id else None

    async def reservations(
        self, *, partner_id: str, which: ReservationFilter, rows: Slice
    ) -> tuple[Sequence[ReservationRecord], int]:
        """See `services.gateway.app.reservation_reads.ReservationView`."""
        found = [
            _reservation(each)
            for each in entities(self._database("reservation"), Reservation)
            if each.partner_id == partner_id
            and which.status in (None, each.status)
            and which.product_id in (None, each.product_id)
        ]
        found.sort(key=lambda each: (-each.held_at.timestamp(), each.reservation_id))
        return found[rows.offset : rows.offset + rows.limit], len(found)

    async def order(self, *, partner_id: str, order_id: str) -> OrderRecord | None:
        """See `services.gateway.app.orders.OrderView`."""
        found = find(self._database("fulfillment"), Order, order_id)
        return _order(found) if found is not None and found.partner_id == partner_id else None

    async def orders(
        self, *, partner_id: str, which: OrderFilter, rows: Slice
    ) -> tuple[Sequence[OrderRecord], int]:
        """See `services.gateway.app.orders.OrderView`."""
        found = [
            _order(each)
            for each in entities(self._database("fulfillment"), Order)
            if each.partner_id == partner_id and which.product_id in (None, each.product_id)
        ]
        found.sort(key=lambda each: (-each.created_at.timestamp(), each.order_id))
        return found[rows.offset : rows.offset + rows.limit], len(found)

    async def tickets(self, *, order_id: str) -> Sequence[TicketRecord]:
        """See `services.gateway.app.orders.OrderView`."""
        tickets = entities(self._database("fulfillment"), Ticket)
        found = sorted((t for t in tickets if t.order_id == order_id), key=lambda t: t.position)
        return [
            TicketRecord(
                ticket_code=ticket.ticket_code,
                qr_token=ticket.qr_token,
                customer_type=ticket.customer_type,
                status=ticket.status,
            )
            for ticket in found
        ]


class Progress:
    """See `services.gateway.app.progress.ProgressSource`; *service* is whose views these are."""

    def __init__(self, views: Views, service: str) -> None:
        self._views, self._service = views, service

    async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """See the Protocol."""
        marks: dict[tuple[str, int], tuple[int, int]] = {}
        for partition, head in self._views._database(self._service).heads.items():
            marks[self._service, partition] = (head.generation, head.seq)
            for topic, place in head.inputs.items():
                if topic in _SOURCES:
                    marks[_SOURCES[topic], partition] = (place.generation, place.seq)
        return marks


def _reservation(found: Reservation) -> ReservationRecord:
    return ReservationRecord(
        reservation_id=found.reservation_id,
        product_id=found.product_id,
        quantity=found.quantity,
        status=found.status,
        held_at=found.held_at,
        expires_at=found.expires_at,
        rule_version=found.rule_version,
        visit_date=found.visit_date,
        order_id=found.order_id,
        ended_at=found.ended_at,
    )


def _order(found: Order) -> OrderRecord:
    return OrderRecord(
        order_id=found.order_id,
        reservation_id=found.reservation_id,
        product_id=found.product_id,
        quantity=found.quantity,
        confirmation_code=found.confirmation_code,
        visit_date=found.visit_date,
        total_minor=found.total_minor,
        currency=found.currency,
        customer=found.customer,
        entitlements=found.entitlements,
        status=found.status,
        created_at=found.created_at,
    )

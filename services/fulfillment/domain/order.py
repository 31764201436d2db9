"""Orders and tickets: what is true of them, and how events change that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from libs.events.contracts.fulfillment import OrderCreated
from libs.events.contracts.inventory import Sealed
from libs.kernel.catalogue import Entitlement
from libs.kernel.pricing import PriceLine
from libs.kernel.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The one order of an activation."""

    order_id: str
    reservation_id: str
    pool_no: int
    partner_id: str
    product_id: int
    channel: str
    quantity: int
    confirmation_code: str
    visit_date: date | None
    day_class: str
    total_minor: int
    currency: str
    rule_version: int
    lines: tuple[PriceLine, ...]
    customer: Sealed
    payment_reference_hash: str
    entitlements: tuple[Entitlement, ...]
    status: Literal["confirmed"]
    created_at: datetime

    @property
    def key(self) -> str:
        """The order's id."""
        return self.order_id

    @property
    def kept(self) -> bool:
        """Orders are not needed to decide about others."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One package unit's ticket."""

    ticket_code: str
    order_id: str
    position: int
    qr_token: str
    customer_type: str
    status: Literal["ACTIVE", "USED", "CANCELLED"]

    @property
    def key(self) -> str:
        """The ticket's code."""
        return self.ticket_code

    @property
    def kept(self) -> bool:
        """Tickets are not needed to decide about orders."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How many confirmation codes and tickets a partition has given."""

    name: str
    orders: int
    tickets: int

    @property
    def key(self) -> str:
        """There is one in each partition."""
        return self.name

    @property
    def kept(self) -> bool:
        """It stays in memory."""
        return True


def numbering(state: State) -> Numbering:
    """Return the partition's counters."""
    name = f"partition-{state.partition}"
    return state.get(Numbering, name) or Numbering(name=name, orders=0, tickets=0)


def evolve(state: State, event: OrderCreated, decided_at: datetime) -> None:
    """Stage what an event changes."""
    before = numbering(state)
    tickets = before.tickets + len(event.tickets)
    state.put(replace(before, orders=before.orders + 1, tickets=tickets))
    state.put(
        Order(
            order_id=event.order_id,
            reservation_id=event.reservation_id,
            pool_no=event.pool_no,
            partner_id=event.partner_id,
            product_id=event.product_id,
            channel=event.channel,
            quantity=event.quantity,
            confirmation_code=event.confirmation_code,
            visit_date=event.visit_date,
            day_class=event.day_class,
            total_minor=event.total_minor,
            currency=event.currency,
            rule_version=event.rule_version,
            lines=event.lines,
            customer=event.customer,
            payment_reference_hash=event.payment_reference_hash,
            entitlements=event.entitlements,
            status="confirmed",
            created_at=decided_at,
        )
    )
    for position, issued in enumerate(event.tickets):
        state.put(
            Ticket(
                ticket_code=issued.ticket_code,
                order_id=event.order_id,
                position=position,
                qr_token=issued.qr_token,
                customer_type=issued.customer_type,
                status="ACTIVE",
            )
        )

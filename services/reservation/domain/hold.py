"""The life of a hold: what is true of it, and how events change that."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Literal

from libs.events.contracts.inventory import Sealed, UnitsHeld
from libs.events.contracts.reservation import (
    ReservationActivated,
    ReservationCancelled,
    ReservationExpired,
)
from libs.kernel.state import State
from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A hold from its opening to its one end."""

    reservation_id: str
    pool_no: int
    product_id: int
    channel: str
    partner_id: str
    quantity: int
    status: Literal["active", "activated", "cancelled", "expired"]
    held_at: datetime
    expires_at: datetime
    rule_version: int
    visit_date: date | None
    customer_reference: Sealed | None
    customer_reference_hash: str | None
    ledger_seq: int
    order_id: str | None
    ended_at: datetime | None
    ended_by: str | None

    @property
    def key(self) -> str:
        """The reservation's id."""
        return self.reservation_id

    @property
    def kept(self) -> bool:
        """Ended reservations leave memory."""
        return self.status == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How many order numbers a partition has given."""

    name: str
    orders: int

    @property
    def key(self) -> str:
        """There is one in each partition."""
        return self.name

    @property
    def kept(self) -> bool:
        """It stays in memory."""
        return True


ReservationEvent = ReservationActivated | ReservationCancelled | ReservationExpired


def numbering(state: State) -> Numbering:
    """Return the partition's counter of orders."""
    name = f"partition-{state.partition}"
    return state.get(Numbering, name) or Numbering(name=name, orders=0)


def opened(held: UnitsHeld, *, held_at: datetime, ledger_seq: int) -> Reservation:
    """Return the life that begins with a ledger event and its position."""
    return Reservation(
        reservation_id=held.reservation_id,
        pool_no=held.pool_no,
        product_id=held.product_id,
        channel=held.channel,
        partner_id=held.partner_id,
        quantity=held.quantity,
        status="active",
        held_at=held_at,
        expires_at=held.expires_at,
        rule_version=held.rule_version,
        visit_date=held.visit_date,
        customer_reference=held.customer_reference,
        customer_reference_hash=held.customer_reference_hash,
        ledger_seq=ledger_seq,
        order_id=None,
        ended_at=None,
        ended_by=None,
    )


def evolve(
    state: State, event: ReservationEvent, correlation_id: str, decided_at: datetime
) -> None:
    """Stage what an event changes; *correlation_id* is the command that ended a hold."""
    reservation = state.get(Reservation, event.reservation_id)
    assert reservation is not None, f"{event.reservation_id} ends before it was opened"
    assert reservation.status == "active", f"{event.reservation_id} ends twice"
    ended = replace(reservation, ended_at=decided_at, ended_by=correlation_id)
    match event:
        case ReservationActivated():
            before = numbering(state)
            state.put(replace(before, orders=before.orders + 1))
            state.put(replace(ended, status="activated", order_id=event.order_id))
        case ReservationCancelled():
            state.put(replace(ended, status="cancelled"))
        case ReservationExpired():
            state.put(replace(ended, status="expired"))

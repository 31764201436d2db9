"""The reservation service's commands, events and answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from libs.events.contracts.inventory import Sealed
from libs.kernel.catalogue import PriceRules
from libs.kernel.pricing import PriceLine
from libs.kernel.values import dataclass

# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateReservation:
    """Turn a hold into an order.

    *customer_types* is one word for all units, or a list with one for each. *visit_date*
    wins over the one given with the hold.
    """

    reservation_id: str
    partner_id: str
    customer_types: str | tuple[str, ...]
    visit_date: date | None
    customer: Sealed
    payment_reference_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReservation:
    """Give a hold's units back before its time."""

    reservation_id: str
    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireReservation:
    """A hold's time has run out; made by the partition's own clock, never by a client."""

    reservation_id: str


# Events


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationOpened:
    """A hold's life began; *held_at* and *ledger_seq* are those of its `UnitsHeld`.

    In old logs only: the ledger's event is the opening now (ADR 17).
    """

    reservation_id: str
    pool_no: int
    product_id: int
    channel: str
    partner_id: str
    quantity: int
    held_at: datetime
    expires_at: datetime
    prices: PriceRules
    ledger_seq: int
    visit_date: date | None = None
    customer_reference: Sealed | None = None
    customer_reference_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationActivated:
    """A hold became an order; prices are final (contract, section 3)."""

    reservation_id: str
    pool_no: int
    product_id: int
    channel: str
    partner_id: str
    quantity: int
    order_id: str
    customer_types: tuple[str, ...]
    visit_date: date | None
    day_class: str
    lines: tuple[PriceLine, ...]
    total_minor: int
    currency: str
    rule_version: int
    customer: Sealed
    payment_reference_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationCancelled:
    """A hold was given back by its partner."""

    reservation_id: str
    pool_no: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationExpired:
    """A hold's time ran out; *due_at* is the deadline, the event's own time the decision."""

    reservation_id: str
    pool_no: int
    quantity: int
    due_at: datetime


# Unlogged, for the service that completes an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequested:
    """Answer again what was recorded under *command_id*; moves nothing, has no position."""

    command_id: str


# Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedDownstream:
    """Recorded in place of an answer that another service completes under *command_id*."""

    command_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRefused:
    """The command changed nothing, or only recorded that the hold had expired."""

    reason: Literal[
        "reservation_not_found",
        "reservation_expired",
        "reservation_cancelled",
        "already_activated",
        "cannot_cancel_activated",
        "customer_types_do_not_match",
    ]
    reservation_id: str
    order_id: str | None = None
    quantity: int | None = None

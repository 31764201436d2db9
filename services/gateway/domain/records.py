"""Rows of other services' read views, as values, and how lists of them are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from libs.events.contracts.inventory import Sealed
from libs.events.envelope import Position
from libs.kernel.catalogue import Entitlement

ReservationStatus = Literal["active", "activated", "cancelled", "expired"]
STATUSES: tuple[ReservationStatus, ...] = ("active", "activated", "cancelled", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRecord:
    """A hold and how it ended; *ended_at* is None while it is active."""

    reservation_id: str
    product_id: int
    quantity: int
    status: ReservationStatus
    held_at: datetime
    expires_at: datetime
    rule_version: int
    visit_date: date | None
    order_id: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRecord:
    """A hold as the ledger knows it; *open* until its units are sold or released."""

    reservation_id: str
    product_id: int
    quantity: int
    open: bool
    held_at: datetime
    expires_at: datetime
    rule_version: int
    visit_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """An order; the customer's data are sealed."""

    order_id: str
    reservation_id: str
    product_id: int
    quantity: int
    confirmation_code: str
    visit_date: date | None
    total_minor: int
    currency: str
    customer: Sealed
    entitlements: tuple[Entitlement, ...]
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRecord:
    """A ticket of an order."""

    ticket_code: str
    qr_token: str
    customer_type: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A personal key as it is stored; *wrapped* is None after an erasure."""

    wrapped: bytes | None
    master_key_id: str
    erased_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A personal key to store, with the hashes by which an erasure finds it."""

    key_id: str
    partner_id: str
    reservation_id: str
    wrapped: bytes
    master_key_id: str
    email_hash: str | None
    phone_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationFilter:
    """Which of a partner's reservations; None does not restrict."""

    status: ReservationStatus | None = None
    product_id: int | None = None
    customer_reference_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which of a partner's orders, from *created_from* until before *created_before*."""

    product_id: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    payment_reference_hash: str | None = None
    confirmation_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which rows of a list, newest first: after a row's time and id, or after so many rows."""

    limit: int
    offset: int = 0
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnchor:
    """A signed head at or after an event; *public_key* None if that of *key_id* is not stored."""

    generation: int
    seq: int
    hash: bytes
    anchored_at: datetime
    key_id: str
    signature: bytes
    public_key: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as it is stored now, with the first anchor that covers it."""

    position: Position
    type: str
    version: int
    subject: str
    decided_at: datetime
    meta: str
    data: str
    previous_hash: bytes
    hash: bytes
    anchor: RecordedAnchor | None

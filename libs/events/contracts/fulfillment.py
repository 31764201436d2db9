"""The fulfillment service's events and answers."""

from __future__ import annotations

from datetime import date, datetime

from libs.events.contracts.inventory import Sealed
from libs.kernel.catalogue import Entitlement
from libs.kernel.pricing import PriceLine
from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTicket:
    """A ticket as issued; the token is stored and never signed again (design, rule 3)."""

    ticket_code: str
    qr_token: str
    customer_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCreated:
    """The one order of an activation, with its tickets."""

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
    lines: tuple[PriceLine, ...]
    total_minor: int
    currency: str
    rule_version: int
    customer: Sealed
    payment_reference_hash: str
    entitlements: tuple[Entitlement, ...]
    tickets: tuple[IssuedTicket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmed:
    """The answer to an activation."""

    order_id: str
    reservation_id: str
    product_id: int
    confirmation_code: str
    visit_date: date | None
    created_at: datetime
    lines: tuple[PriceLine, ...]
    total_minor: int
    currency: str
    entitlements: tuple[Entitlement, ...]
    tickets: tuple[IssuedTicket, ...]

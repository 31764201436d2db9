"""What the API answers, typed. Fields that a later API adds are in *answer* of an exchange only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]

_PNG = "data:image/png;base64,"
_RECEIPT_HASH = slice(16, 48)
"""Where a receipt has the hash of its event (docs/receipts.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who travels: a name in any script, an e-mail address, a telephone number."""

    name: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What can be had of a product now; *status* is available, low or sold_out."""

    product_id: int
    name: str
    sku: str
    available: int
    capacity: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The stock of your channel. *pricing_context* is as the API gives it."""

    stock: Mapping[int, Stock]
    as_of: datetime
    pricing_context: Row

    def available(self, product_id: int) -> int:
        """Return a product's available units, 0 for one that your channel does not sell."""
        found = self.stock.get(product_id)
        return 0 if found is None else found.available


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """What one unit costs a customer of a type."""

    customer_type: str
    unit_price: Decimal
    discount_applied: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSnapshot:
    """The prices that a hold has frozen."""

    base_price: Decimal
    weekend_premium: Decimal
    unit_prices: Mapping[str, UnitPrice]
    currency: str
    captured_at: datetime
    rule_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Held units; *status* is active, activated, cancelled or expired.

    *receipt* comes with the answer that made it: evidence to keep.
    """

    reservation_id: str
    product_id: int
    quantity: int
    status: str
    expires_at: datetime
    created_at: datetime
    prices: PriceSnapshot
    visit_date: date | None = None
    order_id: str | None = None
    activated_at: datetime | None = None
    cancelled_at: datetime | None = None
    expired_at: datetime | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """Something that a ticket is good for, so many times."""

    function_code: str
    function_name: str
    max_uses: int
    used_count: int
    remaining_uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One person's ticket; *qr_token* is the text in its QR code."""

    ticket_code: str
    qr_token: str
    qr_code: str | None
    status: str
    customer_type: str
    product_id: int
    order_id: str
    visit_date: date | None
    entitlements: tuple[Entitlement, ...]

    @property
    def qr_png(self) -> bytes | None:
        """The QR code as a PNG image, None if it was not asked for."""
        if self.qr_code is None:
            return None
        return base64.b64decode(self.qr_code.removeprefix(_PNG), validate=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """Units of an order at the same price."""

    customer_type: str
    count: int
    unit_price: Decimal
    subtotal: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was sold. Tickets and price lines come with an activation only.

    The customer's fields come when an order is read; after an erasure they are None and
    *erased_at* is set. *receipt* comes with an activation only: evidence to keep.
    """

    order_id: str
    reservation_id: str
    product_id: int
    quantity: int
    confirmation_code: str
    status: str
    total_amount: Decimal
    currency: str
    created_at: datetime
    visit_date: date | None
    customer_name: str | None = None
    customer_email: str | None = None
    customer_phone: str | None = None
    payment_reference: str | None = None
    special_requests: str | None = None
    erased_at: datetime | None = None
    price_breakdown: tuple[PriceLine, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    receipt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A signed head of the log: Ed25519 *signature* (base64url) of *key_id* over *signed*."""

    position: str
    hash: str
    anchored_at: datetime
    key_id: str
    public_key: str | None
    signature: str
    signed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptCheck:
    """What became of the event that a receipt names; *status* is recorded, altered or missing.

    What follows *hash* comes with ``recorded`` only.
    """

    receipt: str
    status: str
    service: str
    position: str
    hash: str
    event_type: str | None = None
    subject: str | None = None
    decided_at: datetime | None = None
    previous_hash: str | None = None
    hashed: str | None = None
    anchored: Anchor | None = None

    @property
    def proven(self) -> bool:
        """Whether what is shown gives the hash that the receipt has had from the beginning.

        Computed here: the server's word is not needed.
        """
        if self.status != "recorded" or self.hashed is None or self.previous_hash is None:
            return False
        kept = base64.urlsafe_b64decode(self.receipt + "=" * (-len(self.receipt) % 4))
        content = bytes.fromhex(self.previous_hash) + self.hashed.encode()
        return hashlib.sha256(content).digest() == kept[_RECEIPT_HASH]


def inventory_of(row: Row) -> Inventory:
    """Read the answer of ``GET /inventory``."""
    return Inventory(
        stock={
            each["product_id"]: Stock(
                product_id=each["product_id"],
                name=each["name"],
                sku=each["sku"],
                available=each["available"],
                capacity=each["capacity"],
                status=each["status"],
            )
            for each in row["inventory"]
        },
        as_of=_instant(row["as_of"]),
        pricing_context=row["pricing_context"],
    )


def reservation_of(row: Row, *, receipt: str | None = None) -> Reservation:
    """Read a reservation; *receipt* is that of the answer."""
    prices = row["pricing_snapshot"]
    return Reservation(
        reservation_id=row["reservation_id"],
        product_id=row["product_id"],
        quantity=row["quantity"],
        status=row["status"],
        expires_at=_instant(row["expires_at"]),
        created_at=_instant(row["created_at"]),
        prices=PriceSnapshot(
            base_price=_money(prices["base_price"]),
            weekend_premium=_money(prices["weekend_premium"]),
            unit_prices={
                each["customer_type"]: UnitPrice(
                    customer_type=each["customer_type"],
                    unit_price=_money(each["unit_price"]),
                    discount_applied=_money(each["discount_applied"]),
                )
                for each in prices["customer_type_pricing"]
            },
            currency=prices["currency"],
            captured_at=_instant(prices["captured_at"]),
            rule_version=prices["rule_version"],
        ),
        visit_date=_day(row.get("visit_date")),
        order_id=row.get("order_id"),
        activated_at=_maybe_instant(row.get("activated_at")),
        cancelled_at=_maybe_instant(row.get("cancelled_at")),
        expired_at=_maybe_instant(row.get("expired_at")),
        receipt=receipt,
    )


def order_of(row: Row, *, receipt: str | None = None) -> Order:
    """Read an order, of an activation or of a list; *receipt* is that of the answer."""
    return Order(
        order_id=row["order_id"],
        reservation_id=row["reservation_id"],
        product_id=row["product_id"],
        quantity=row["quantity"],
        confirmation_code=row["confirmation_code"],
        status=row["status"],
        total_amount=_money(row["total_amount"]),
        currency=row["currency"],
        created_at=_instant(row["created_at"]),
        visit_date=_day(row.get("visit_date")),
        customer_name=row.get("customer_name"),
        customer_email=row.get("customer_email"),
        customer_phone=row.get("customer_phone"),
        payment_reference=row.get("payment_reference"),
        special_requests=row.get("special_requests"),
        erased_at=_maybe_instant(row.get("erased_at")),
        price_breakdown=tuple(
            PriceLine(
                customer_type=line["customer_type"],
                count=line["count"],
                unit_price=_money(line["unit_price"]),
                subtotal=_money(line["subtotal"]),
            )
            for line in row.get("price_breakdown", ())
        ),
        tickets=tuple(ticket_of(each) for each in row.get("tickets", ())),
        receipt=receipt,
    )


def receipt_check_of(row: Row) -> ReceiptCheck:
    """Read the answer of ``GET /receipts/{receipt}``."""
    anchor = row.get("anchored")
    return ReceiptCheck(
        receipt=row["receipt"],
        status=row["status"],
        service=row["service"],
        position=row["position"],
        hash=row["hash"],
        event_type=row.get("event_type"),
        subject=row.get("subject"),
        decided_at=_maybe_instant(row.get("decided_at")),
        previous_hash=row.get("previous_hash"),
        hashed=row.get("hashed"),
        anchored=None
        if anchor is None
        else Anchor(
            position=anchor["position"],
            hash=anchor["hash"],
            anchored_at=_instant(anchor["anchored_at"]),
            key_id=anchor["key_id"],
            public_key=anchor["public_key"],
            signature=anchor["signature"],
            signed=anchor["signed"],
        ),
    )


def ticket_of(row: Row) -> Ticket:
    """Read a ticket."""
    return Ticket(
        ticket_code=row["ticket_code"],
        qr_token=row["qr_token"],
        qr_code=row.get("qr_code"),
        status=row["status"],
        customer_type=row["customer_type"],
        product_id=row["product_id"],
        order_id=row["order_id"],
        visit_date=_day(row.get("visit_date")),
        entitlements=tuple(
            Entitlement(
                function_code=use["function_code"],
                function_name=use["function_name"],
                max_uses=use["max_uses"],
                used_count=use["used_count"],
                remaining_uses=use["remaining_uses"],
            )
            for use in row["entitlements"]
        ),
    )


def _money(value: object) -> Decimal:
    # By way of text, so that 0.1 is 0.1 also where a number was read as a float.
    return Decimal(str(value))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe_instant(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)

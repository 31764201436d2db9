"""Answers as the contract's JSON: the same answer always gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Protocol

from pydantic_core import to_json

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import HoldPlaced
from libs.kernel.catalogue import AddOn, Entitlement, PriceRules, Product
from libs.kernel.money import amount
from libs.kernel.pricing import PriceLine, Quote, rule_sheet
from services.gateway.app.sealing import Opened
from services.gateway.domain.paging import Page, Row
from services.gateway.domain.records import OrderRecord, ReservationRecord

Json = dict[str, object]

_SNAPSHOTS_MAX = 1024


class TicketLike(Protocol):
    """What an issued ticket and a stored one have in common."""

    @property
    def ticket_code(self) -> str:
        """The number on the ticket."""
        ...

    @property
    def qr_token(self) -> str:
        """The signed text in its QR code."""
        ...

    @property
    def customer_type(self) -> str:
        """Whom it is for."""
        ...


@lru_cache(maxsize=64)
def instant(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC with ``Z``, always with six decimals.

    All holds of one batch have the same.
    """
    text = at.isoformat(timespec="microseconds")
    if not text.endswith("+00:00"):
        text = at.astimezone(UTC).isoformat(timespec="microseconds")
    return text[:-6] + "Z"


def snapshot(*, prices: PriceRules, captured_at: datetime) -> Json:
    """Return the prices that were frozen into a hold."""
    return {**_snapshot_fields(prices), "captured_at": instant(captured_at)}


class HoldRendering:
    """Renders accepted holds, with the parts that repeat kept as bytes."""

    def __init__(self) -> None:
        self._snapshots: dict[tuple[int, int], bytes] = {}

    def placed(self, placed: HoldPlaced, prices: PriceRules) -> bytes:
        """Return the body of a 201 to a reserve, with the *prices* that were frozen."""
        held_at, expires_at = instant(placed.held_at), instant(placed.expires_at)
        head = (
            f'{{"reservation_id":"{placed.reservation_id}","product_id":{placed.product_id},'
            f'"quantity":{placed.quantity},"status":"active","reserved_until":"{expires_at}",'
            f'"expires_at":"{expires_at}","created_at":"{held_at}","pricing_snapshot":'
        )
        tail = f',"captured_at":"{held_at}"}}}}'
        return head.encode() + self._opening(placed.product_id, prices) + tail.encode()

    def _opening(self, product_id: int, prices: PriceRules) -> bytes:
        """Return the snapshot's JSON up to the time at its end, without the closing brace."""
        key = (product_id, prices.rule_version)
        if (known := self._snapshots.get(key)) is not None:
            return known
        if len(self._snapshots) >= _SNAPSHOTS_MAX:
            self._snapshots.clear()
        opening = to_json(_snapshot_fields(prices))[:-1]
        self._snapshots[key] = opening
        return opening


def reservation(record: ReservationRecord, prices: PriceRules) -> Json:
    """Return a reservation as its partner reads it, with the *prices* that were frozen."""
    row: Json = {
        "reservation_id": record.reservation_id,
        "product_id": record.product_id,
        "quantity": record.quantity,
        "status": record.status,
        "reserved_until": instant(record.expires_at),
        "expires_at": instant(record.expires_at),
        "created_at": instant(record.held_at),
        "pricing_snapshot": snapshot(prices=prices, captured_at=record.held_at),
    }
    if record.visit_date is not None:
        row["visit_date"] = record.visit_date.isoformat()
    if record.order_id is not None:
        row["order_id"] = record.order_id
    if record.ended_at is not None:
        row[f"{record.status}_at"] = instant(record.ended_at)
    return row


def order_confirmed(confirmed: OrderConfirmed, *, images: Sequence[str] | None) -> bytes:
    """Return the body of a 201 to an activation; *images* are its tickets' QR codes, if wanted."""
    return to_json(
        {
            "order_id": confirmed.order_id,
            "reservation_id": confirmed.reservation_id,
            "product_id": confirmed.product_id,
            "quantity": sum(line.count for line in confirmed.lines),
            "confirmation_code": confirmed.confirmation_code,
            "status": "confirmed",
            "visit_date": _day(confirmed.visit_date),
            "created_at": instant(confirmed.created_at),
            "total_amount": amount(confirmed.total_minor),
            "currency": confirmed.currency,
            "price_breakdown": [_line(line) for line in confirmed.lines],
            "tickets": tickets(
                confirmed.tickets,
                statuses=("ACTIVE",) * len(confirmed.tickets),
                images=images,
                order_id=confirmed.order_id,
                product_id=confirmed.product_id,
                visit_date=confirmed.visit_date,
                entitlements=confirmed.entitlements,
            ),
        }
    )


def order(record: OrderRecord, opened: Opened) -> Json:
    """Return an order as its partner reads it; after an erasure the customer's fields are null."""
    fields = opened.fields
    row: Json = {
        "order_id": record.order_id,
        "reservation_id": record.reservation_id,
        "product_id": record.product_id,
        "quantity": record.quantity,
        "customer_name": fields.get("name"),
        "customer_email": fields.get("email"),
        "customer_phone": fields.get("phone"),
        "payment_reference": fields.get("payment_reference"),
        "total_amount": amount(record.total_minor),
        "currency": record.currency,
        "status": record.status,
        "created_at": instant(record.created_at),
        "confirmation_code": record.confirmation_code,
        "visit_date": _day(record.visit_date),
        "special_requests": fields.get("special_requests"),
    }
    if opened.erased_at is not None:
        row["erased_at"] = instant(opened.erased_at)
    return row


def tickets(
    issued: Sequence[TicketLike],
    *,
    statuses: Sequence[str],
    images: Sequence[str] | None,
    order_id: str,
    product_id: int,
    visit_date: date | None,
    entitlements: Iterable[Entitlement],
) -> list[Json]:
    """Return tickets of one order as the contract has them (section 5)."""
    uses = [
        {
            "function_code": entitlement.function_code,
            "function_name": entitlement.function_name,
            "max_uses": entitlement.max_uses,
            "used_count": 0,
            "remaining_uses": entitlement.max_uses,
        }
        for entitlement in entitlements
    ]
    day = _day(visit_date)
    rows: list[Json] = []
    for index, ticket in enumerate(issued):
        row: Json = {"ticket_code": ticket.ticket_code}
        if images is not None:
            row["qr_code"] = images[index]
        row |= {
            "qr_token": ticket.qr_token,
            "entitlements": uses,
            "status": statuses[index],
            "customer_type": ticket.customer_type,
            "product_id": product_id,
            "order_id": order_id,
            "visit_date": day,
        }
        rows.append(row)
    return rows


def listing(name: str, rows: Sequence[Json], page: Page[Row], **extra: object) -> bytes:
    """Return a list under its own name and as ``items``, with the fields of both generations."""
    return to_json(
        {
            name: rows,
            "items": rows,
            "total_count": page.total,
            "total": page.total,
            "page": page.request.page,
            "page_size": page.request.size,
            "limit": page.request.size,
            "has_more": page.has_more,
            "next_cursor": page.next_cursor,
            **extra,
        }
    )


def pricing_context(products: Sequence[Product], *, currency: str) -> Json:
    """Return the prices of *products* as the inventory shows them."""
    special: dict[str, Json] = {}
    for product in products:
        for day in product.prices.special_dates:
            special[day.on.isoformat()] = {"multiplier": _factor(day.multiplier_permille)}
    return {
        "base_prices": {
            str(product.product_id): {
                "weekday": amount(product.prices.adult_weekday_minor),
                "weekend": amount(product.prices.adult_weekend_minor),
            }
            for product in products
        },
        "customer_types": ["adult", "child", "elderly"],
        "customer_discounts": {
            str(product.product_id): _discounts(product.prices) for product in products
        },
        "special_dates": dict(sorted(special.items())),
        "currency": currency,
    }


def product_info(products: Iterable[Product]) -> Mapping[str, Json]:
    """Return what each product is, by its id."""
    return {
        str(product.product_id): {
            "name": product.name,
            "sku": product.sku,
            "functions": functions(product),
        }
        for product in products
    }


def functions(product: Product) -> list[Json]:
    """Return what one package of a product entitles to."""
    return [
        {
            "function_code": entitlement.function_code,
            "function_name": entitlement.function_name,
            "max_uses": entitlement.max_uses,
        }
        for entitlement in product.entitlements
    ]


def price_rules(product: Product, *, addons: Sequence[AddOn]) -> Json:
    """Return a product's price rules as anybody may read them (contract, section 7)."""
    sheet = rule_sheet(rules=product.prices)
    return {
        "product_id": product.product_id,
        "name": product.name,
        "currency": sheet.currency,
        "base_prices": {
            rule.customer_type: amount(rule.unit_price_minor) for rule in sheet.customer_rules
        },
        "time_rules": [
            {
                "day_type": rule.day_class,
                "days": ["saturday", "sunday"],
                "customer_type": rule.customer_type,
                "unit_price": amount(rule.unit_price_minor),
                "premium": amount(rule.premium_minor),
            }
            for rule in sheet.time_rules
        ],
        "customer_rules": [
            {
                "customer_type": rule.customer_type,
                "unit_price": amount(rule.unit_price_minor),
                "discount": amount(rule.discount_minor),
            }
            for rule in sheet.customer_rules
        ],
        "special_dates": [
            {
                "date": special.on.isoformat(),
                "multiplier": _factor(special.multiplier_permille),
                "adult_price": amount(special.adult_price_minor),
            }
            for special in sheet.special_prices
        ],
        "package_tiers": [],
        "available_addons": [
            {
                "addon_id": addon.addon_id,
                "name": addon.name,
                "unit_price": amount(addon.unit_price_minor),
                "tokens": addon.tokens,
            }
            for addon in addons
        ],
        "rule_version": sheet.rule_version,
    }


def quoted(quote: Quote, *, product_id: int) -> Json:
    """Return a quote and how it came about (contract, section 7)."""
    return {
        "product_id": product_id,
        "base_price": amount(quote.base_minor),
        "adjustments": [],
        "addons_total": amount(quote.addons_minor),
        "final_total": amount(quote.final_minor),
        "currency": quote.currency,
        "rule_version": quote.rule_version,
        "breakdown": {
            "per_customer_costs": [_line(line) for line in quote.customer_lines],
            "addon_details": [
                {
                    "addon_id": line.addon_id,
                    "name": line.name,
                    "unit_price": amount(line.unit_price_minor),
                    "quantity": line.quantity,
                    "subtotal": amount(line.subtotal_minor),
                }
                for line in quote.addon_lines
            ],
            "time_adjustments": [
                {
                    "date": day.on.isoformat(),
                    "day_type": day.day_class,
                    "amount": amount(day.amount_minor),
                }
                for day in quote.day_adjustments
            ],
        },
    }


def _snapshot_fields(prices: PriceRules) -> Json:
    return {
        "base_price": amount(prices.adult_weekday_minor),
        "weekend_premium": amount(prices.adult_weekend_minor - prices.adult_weekday_minor),
        "customer_discounts": _discounts(prices),
        "customer_type_pricing": [
            {
                "customer_type": rule.customer_type,
                "unit_price": amount(rule.unit_price_minor),
                "discount_applied": amount(rule.discount_minor),
            }
            for rule in rule_sheet(rules=prices).customer_rules
        ],
        "currency": prices.currency,
        "rule_version": prices.rule_version,
    }


def _discounts(prices: PriceRules) -> Json:
    return {
        rule.customer_type: amount(rule.discount_minor)
        for rule in rule_sheet(rules=prices).customer_rules
        if rule.customer_type != "adult"
    }


def _line(line: PriceLine) -> Json:
    return {
        "customer_type": line.customer_type,
        "count": line.count,
        "unit_price": amount(line.unit_price_minor),
        "subtotal": amount(line.subtotal_minor),
    }


def _factor(permille: int) -> int | float:
    whole, rest = divmod(permille, 1000)
    return permille / 1000 if rest else whole


def _day(on: date | None) -> str | None:
    return None if on is None else on.isoformat()

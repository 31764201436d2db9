"""Customers like no other, and what partners do for them over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.support.agency import Agency

PRODUCT: Final = 108


@dataclass(frozen=True)
class Customer:
    """Everything that is told about a customer, no word of which may be found anywhere."""

    details: Mapping[str, str]
    payment_reference: str
    special_requests: str
    customer_reference: str

    @property
    def canaries(self) -> dict[str, str]:
        """Return all of it by name."""
        return {
            **self.details,
            "payment_reference": self.payment_reference,
            "special_requests": self.special_requests,
            "customer_reference": self.customer_reference,
        }


def a_customer() -> Customer:
    """Return a customer like no other."""
    mark = secrets.token_hex(6)
    digits = str(secrets.randbelow(10**10)).zfill(10)
    return Customer(
        details={
            "name": f"陳金絲雀 Canary{mark}",
            "email": f"canary.{mark}@example.com",
            "phone": f"+852 {digits[:5]} {digits[5:]}",
        },
        payment_reference=f"PAYMENT-{mark}-canary",
        special_requests=f"A wheelchair, and a song {mark} for the canary",
        customer_reference=f"our file {mark}/canary",
    )


async def hold(agency: Agency, customer: Customer) -> str:
    """Reserve for a customer."""
    answer = await agency.reserve(PRODUCT, 1, customer_reference=customer.customer_reference)
    assert 201 == answer.status, answer.body
    return str(answer.json["reservation_id"])


async def sell(agency: Agency, customer: Customer, *, key: str | None = None) -> dict[str, Any]:
    """Sell a unit to a customer and return the order's answer."""
    answer = await agency.call(
        "POST",
        f"/reservations/{await hold(agency, customer)}/activate",
        {
            "customer_details": dict(customer.details),
            "payment_reference": customer.payment_reference,
            "special_requests": customer.special_requests,
        },
        key=key,
    )
    assert 201 == answer.status, answer.body
    return answer.json


async def read(agency: Agency, order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as it is read now."""
    answer = await agency.call("GET", f"/orders/{order['order_id']}")
    assert 200 == answer.status, answer.body
    return answer.json


def told(order: Mapping[str, Any]) -> list[Any]:
    """Return what an order tells of its customer."""
    names = ("customer_name", "customer_email", "customer_phone")
    return [order[name] for name in (*names, "payment_reference", "special_requests")]


def expected(customer: Customer) -> list[str]:
    """Return the same of a customer."""
    return [*customer.details.values(), customer.payment_reference, customer.special_requests]

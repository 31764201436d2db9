"""How the rules of bodies are worded."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.domain.refusal import Refusal
from services.gateway.http.bodies import read_activate, read_reserve
from services.gateway.http.quote_body import read_quote

ACTIVATION: dict[str, Any] = {
    "customer_details": {"name": "陳大文", "email": "a@example.com", "phone": "+852 9123 4567"},
    "payment_reference": "PAY-1",
}
QUOTE: dict[str, Any] = {
    "product_id": 106,
    "customer_breakdown": [{"customer_type": "adult", "count": 1}],
}
HOLD: dict[str, Any] = {"product_id": 106, "quantity": 1}


@pytest.mark.parametrize(
    ("read", "body", "detail"),
    [
        (read_activate, ACTIVATION | {"payment_reference": "x" * 101}, "at most 100 characters"),
        (read_activate, ACTIVATION | {"special_requests": "x" * 1001}, "at most 1000 characters"),
        (read_activate, ACTIVATION | {"payment_reference": ""}, "must not be empty"),
        (read_reserve, HOLD | {"customer_reference": "x" * 101}, "at most 100 characters"),
        (read_quote, QUOTE | {"customer_breakdown": []}, "must not be empty"),
        (
            read_quote,
            QUOTE | {"customer_breakdown": QUOTE["customer_breakdown"] * 101},
            "at most 100 entries",
        ),
        (read_quote, QUOTE | {"booking_dates": ["2026-01-31"] * 367}, "at most 366 entries"),
    ],
)
def test_texts_have_characters_and_lists_have_entries(
    read: Any, body: dict[str, Any], detail: str
) -> None:
    """Neither is called the other."""
    refusal = read(body)
    assert isinstance(refusal, Refusal)
    (fault,) = refusal.faults
    assert fault.detail.endswith(detail)

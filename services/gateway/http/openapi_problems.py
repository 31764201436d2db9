"""An example of each error word, whole and as the API answers it; pages and document show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.runtime.problem import CATALOGUE, FieldError, Problem, Word

_BASE = "/api/ota"
_ONE_RESERVATION = f"{_BASE}/reservations/res_0005Q6R6ZE0CWQQK51WEDNM5FV"
_ONE_ORDER = f"{_BASE}/orders/ORD-6531189553717"
_QUOTE = "/pricing/calculate"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One refusal: its `detail` if the meaning does not say it, where, and its own members.

    *faults* are fields with what is wrong there; `detail` is made of them if it is empty.
    """

    detail: str = ""
    at: str = f"{_BASE}/reserve"
    extra: dict[str, object] = field(default_factory=dict)
    faults: tuple[tuple[str, str], ...] = ()


_OCCURRENCES: dict[Word, Occurrence] = {
    "API_KEY_REQUIRED": Occurrence(
        "Send your API key in the header X-API-Key, or as Authorization: Bearer."
    ),
    "INVALID_API_KEY": Occurrence("The API key is unknown, expired or revoked."),
    "INSUFFICIENT_PERMISSIONS": Occurrence(
        "Your key lacks the permission orders:read.",
        f"{_BASE}/orders",
        {"required_permission": "orders:read"},
    ),
    "RATE_LIMIT_EXCEEDED": Occurrence(
        "Your limit of 100 calls within 60 seconds is used up; the next one is free in 12 s."
        " Nothing was done.",
        extra={"limit": 100, "window_seconds": 60, "retry_after": 12},
    ),
    "INVALID_REQUEST": Occurrence(faults=(("quantity", "is missing"),)),
    "REQUEST_TIMEOUT": Occurrence("The request's head was not complete after 10 seconds."),
    "INVALID_PRODUCT_ID": Occurrence(
        "The product id in the address must be a positive whole number.", "/pricing/rules/none"
    ),
    "PAYLOAD_TOO_LARGE": Occurrence(
        "The body is larger than 65536 bytes.", extra={"limit_bytes": 65536}
    ),
    "UNSUPPORTED_MEDIA_TYPE": Occurrence("Send Content-Type: application/json, in UTF-8."),
    "VALIDATION_ERROR": Occurrence(
        faults=(
            ("quantity", "must be a whole number between 1 and 100, the limit of a reservation"),
        )
    ),
    "INVALID_PRODUCT_IDS": Occurrence(
        "product_ids must be up to 100 positive whole numbers, separated by commas.",
        f"{_BASE}/inventory",
        {"parameter": "product_ids"},
    ),
    "INVALID_PARAMETER": Occurrence(
        "page must be a whole number from 1 to 1000000", f"{_BASE}/orders", {"parameter": "page"}
    ),
    "INVALID_CUSTOMER_DETAILS": Occurrence(
        at=f"{_ONE_RESERVATION}/activate",
        faults=(("customer_details/email", "must be an e-mail address"),),
    ),
    "INVALID_CUSTOMER_TYPE": Occurrence(
        at=_QUOTE,
        faults=(("customer_breakdown/0/customer_type", "must be one of adult, child, elderly"),),
    ),
    "INVALID_DATE": Occurrence(
        at=_QUOTE, faults=(("booking_dates/0", "must be a date such as 2026-01-31"),)
    ),
    "INVALID_COUNT": Occurrence(
        at=_QUOTE,
        faults=(("customer_breakdown/0/count", "must be a whole number between 1 and 100"),),
    ),
    "IDEMPOTENCY_KEY_REUSED": Occurrence(
        "The Idempotency-Key was used before on this path with another body."
    ),
    "NOT_FOUND": Occurrence("There is nothing at this address.", f"{_BASE}/stock"),
    "PRODUCT_NOT_FOUND": Occurrence("No product that is on sale has this product_id."),
    "RESERVATION_NOT_FOUND": Occurrence(at=_ONE_RESERVATION),
    "ORDER_NOT_FOUND": Occurrence(at=_ONE_ORDER),
    "METHOD_NOT_ALLOWED": Occurrence(
        "This address takes POST.", extra={"allowed_methods": ["POST"]}
    ),
    "SOLD_OUT": Occurrence(
        "Your channel has 3 units of this product available.", extra={"available": 3}
    ),
    "HOLD_LIMIT_REACHED": Occurrence(
        "You may hold 50 units of this product at once, and hold 49 now.",
        extra={"limit": 50, "held": 49},
    ),
    "RESERVATION_EXPIRED": Occurrence(
        "The reservation has expired; its units were given back.", f"{_ONE_RESERVATION}/activate"
    ),
    "RESERVATION_CANCELLED": Occurrence(
        "The reservation was cancelled; its units were given back.", f"{_ONE_RESERVATION}/activate"
    ),
    "ALREADY_ACTIVATED": Occurrence(
        "The reservation is activated already; see order_id.",
        f"{_ONE_RESERVATION}/activate",
        {"order_id": "ORD-6531189553717"},
    ),
    "CANNOT_CANCEL_ACTIVATED": Occurrence(
        "The reservation is activated and can no longer be cancelled.",
        _ONE_RESERVATION,
        {"order_id": "ORD-6531189553717"},
    ),
    "IDEMPOTENCY_IN_PROGRESS": Occurrence(
        "The first request with this Idempotency-Key is still running.", extra={"retry_after": 1}
    ),
    "NOT_EXECUTED": Occurrence(extra={"retry_after": 1}),
    "OUTCOME_UNKNOWN": Occurrence(
        "The outcome is not known yet; repeat with the same Idempotency-Key to learn it.",
        extra={"retry_after": 1},
    ),
    "INTERNAL_ERROR": Occurrence("An internal error; its request id is checkout-4711.1."),
}


def example_of(word: Word) -> dict[str, object]:
    """Return a problem document of *word* with all its members."""
    meaning = CATALOGUE[word]
    shown = _OCCURRENCES.get(word, Occurrence())
    told = " ".join(f"{name.replace('/', '.')} {rule}." for name, rule in shown.faults)
    problem = Problem(
        word=word,
        detail=shown.detail or told or meaning.meaning,
        extra=shown.extra,
        errors=tuple(FieldError(pointer=f"#/{name}", detail=rule) for name, rule in shown.faults),
    )
    request_id = "checkout-4711.1" if meaning.status >= 500 else None
    return problem.document(instance=shown.at, request_id=request_id)

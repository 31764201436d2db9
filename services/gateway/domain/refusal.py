"""A refusal as a value: the contract's word and what the integrator is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Word = Literal[
    "ALREADY_ACTIVATED",
    "API_KEY_REQUIRED",
    "CANNOT_CANCEL_ACTIVATED",
    "HOLD_LIMIT_REACHED",
    "IDEMPOTENCY_IN_PROGRESS",
    "IDEMPOTENCY_KEY_REUSED",
    "INSUFFICIENT_PERMISSIONS",
    "INTERNAL_ERROR",
    "INVALID_API_KEY",
    "INVALID_COUNT",
    "INVALID_CUSTOMER_DETAILS",
    "INVALID_CUSTOMER_TYPE",
    "INVALID_DATE",
    "INVALID_PARAMETER",
    "INVALID_PRODUCT_ID",
    "INVALID_PRODUCT_IDS",
    "INVALID_REQUEST",
    "METHOD_NOT_ALLOWED",
    "NOT_EXECUTED",
    "NOT_FOUND",
    "ORDER_NOT_FOUND",
    "OUTCOME_UNKNOWN",
    "PAYLOAD_TOO_LARGE",
    "PRODUCT_NOT_FOUND",
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TIMEOUT",
    "RESERVATION_CANCELLED",
    "RESERVATION_EXPIRED",
    "RESERVATION_NOT_FOUND",
    "SOLD_OUT",
    "UNSUPPORTED_MEDIA_TYPE",
    "VALIDATION_ERROR",
]
"""The words of the contract (section 6) that the gateway itself gives."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One bad field: a JSON pointer in fragment form (``#/quantity``), and what is wrong."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was not granted.

    *detail* never quotes what the client sent. *extra* are members of the answer beside
    the usual ones; *retry_after_s* tells when a repeat may do better.
    """

    word: Word
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    retry_after_s: int | None = None


def invalid_parameter(name: str, rule: str) -> Refusal:
    """Refuse a query parameter or header; *rule* says what its value must be."""
    return Refusal(word="INVALID_PARAMETER", detail=f"{name} {rule}", extra={"parameter": name})

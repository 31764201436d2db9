"""Request bodies: JSON read strictly, then checked field by field.

A missing field or a value of the wrong type is 400; a value outside its rule is 422
(contract, sections 1 and 4). No answer quotes what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from libs.kernel.pricing import CUSTOMER_TYPES
from services.gateway.app.reservations import ActivateRequest, ReserveRequest
from services.gateway.domain.refusal import Fault, Refusal, Word
from services.gateway.domain.visit import parse_date
from services.gateway.http.customer import CUSTOMER_FIELDS, customer_faults
from services.gateway.http.parameters import parse_instant

QUANTITY_MAX = 100
_ADULTS = ("adult",)

NOT_JSON = Refusal(word="INVALID_REQUEST", detail="The body is not JSON.")
NOT_AN_OBJECT = Refusal(word="INVALID_REQUEST", detail="The body must be a JSON object.")
REPEATED_FIELD = Refusal(
    word="INVALID_REQUEST", detail="An object in the body has the same field twice."
)

_QUANTITY_RULE = f"must be a whole number between 1 and {QUANTITY_MAX}, the limit of a reservation"
_TYPE_RULE = f"must be one of {', '.join(CUSTOMER_TYPES)}, or a list of these with one per unit"


def read_object(raw: bytes) -> dict[str, object] | Refusal:
    """Return the JSON object in *raw*; the same field twice is refused, not overwritten."""
    try:
        body = from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return NOT_JSON
    if not isinstance(body, dict):
        return NOT_AN_OBJECT
    # Each field has a colon. More colons than fields may stand in texts: only then look closer.
    if raw.count(b":") != _fields(body) and _repeats_a_field(raw):
        return REPEATED_FIELD
    return body


def _fields(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_fields, value.values()))
    if isinstance(value, list):
        return sum(map(_fields, value))
    return 0


class _RepeatedField(ValueError):
    """An object has a field twice."""


def _repeats_a_field(raw: bytes) -> bool:
    def once(pairs: Sequence[tuple[str, object]]) -> None:
        if len(dict(pairs)) != len(pairs):
            raise _RepeatedField

    try:
        json.loads(raw, object_pairs_hook=once)
    except _RepeatedField:
        return True
    return False


def _to_whole(value: object) -> object:
    """Take 5.0 for 5; a fraction is a number outside the rule, anything else a wrong type."""
    if type(value) is float:
        if value.is_integer():
            return int(value)
        raise PydanticCustomError("fraction", "must be a whole number")
    return value


def _to_day(value: object) -> date | None:
    day = parse_date(_text(value)) if value is not None else None
    if value is not None and day is None:
        raise PydanticCustomError("not_a_date", "must be a date such as 2026-01-31")
    return day


def _to_instant(value: object) -> datetime | None:
    text = _text(value) if value is not None else None
    at = parse_instant(text) if text is not None and len(text) > 10 else None
    if value is not None and at is None:
        raise PydanticCustomError(
            "not_an_instant", "must be an ISO 8601 time such as 2026-01-31T08:00:00Z"
        )
    return at


def _to_customer_types(value: object) -> tuple[str, ...]:
    if value is None:
        return _ADULTS
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in words):
        raise PydanticCustomError("word_type", "must be a word, or a list of words")
    if not 1 <= len(words) <= QUANTITY_MAX or any(word not in CUSTOMER_TYPES for word in words):
        raise PydanticCustomError("unknown_word", _TYPE_RULE)
    return tuple(words)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("text_type", "must be text")
    return value


def _not_blank(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise PydanticCustomError("blank", "must not be empty")
    return value


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


Whole = Annotated[int, BeforeValidator(_to_whole)]
Day = Annotated[date | None, BeforeValidator(_to_day)]
Instant = Annotated[datetime | None, BeforeValidator(_to_instant)]


class ReserveBody(_Body):
    """POST /reserve."""

    product_id: Whole
    quantity: Annotated[Whole, Field(ge=1, le=QUANTITY_MAX)]
    reservation_expires_at: Instant = None
    visit_date: Day = None
    customer_reference: Annotated[str | None, Field(max_length=100)] = None


class ActivateBody(_Body):
    """POST /reservations/{id}/activate."""

    customer_details: dict[str, Any]
    payment_reference: Annotated[str, BeforeValidator(_not_blank), Field(max_length=100)]
    customer_type: Annotated[tuple[str, ...], BeforeValidator(_to_customer_types)] = _ADULTS
    visit_date: Day = None
    special_requests: Annotated[str | None, Field(max_length=1000)] = None


RESERVE_FIELDS = frozenset(ReserveBody.model_fields)
ACTIVATE_FIELDS = frozenset(ActivateBody.model_fields)


def read_reserve(body: Mapping[str, object]) -> ReserveRequest | Refusal:
    """Check the body of a reserve."""
    try:
        sent = ReserveBody.model_validate(body)
    except ValidationError as error:
        return _refused(error.errors(include_url=False, include_input=False))
    return ReserveRequest(
        product_id=sent.product_id,
        quantity=sent.quantity,
        expires_at=sent.reservation_expires_at,
        visit_date=sent.visit_date,
        customer_reference=sent.customer_reference or None,
    )


def read_activate(body: Mapping[str, object]) -> ActivateRequest | Refusal:
    """Check the body of an activation; what is wrong with the customer has a word of its own."""
    errors: list[ErrorDetails] = []
    try:
        sent = ActivateBody.model_validate(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    details = body.get("customer_details")
    about_customer = customer_faults(details) if isinstance(details, dict) else ()
    if about_customer and not any(map(_is_unreadable, errors)):
        faults = (*about_customer, *map(_fault, errors))
        return Refusal(word="INVALID_CUSTOMER_DETAILS", detail=_sentence(faults), faults=faults)
    if errors:
        return _refused(errors)
    customer = sent.customer_details
    return ActivateRequest(
        customer_name=customer["name"].strip(),
        customer_email=customer["email"],
        customer_phone=customer["phone"].strip(),
        payment_reference=sent.payment_reference,
        customer_types=sent.customer_type,
        visit_date=sent.visit_date,
        special_requests=sent.special_requests or None,
    )


def ignored_fields(body: Mapping[str, object], known: frozenset[str]) -> list[str]:
    """Return the fields that are not known, those of the customer with their path."""
    ignored = [name for name in body if name not in known]
    details = body.get("customer_details")
    if "customer_details" in known and isinstance(details, dict):
        ignored += [f"customer_details.{name}" for name in details if name not in CUSTOMER_FIELDS]
    return ignored


def _refused(errors: Sequence[ErrorDetails]) -> Refusal:
    unreadable = [error for error in errors if _is_unreadable(error)]
    faults = tuple(map(_fault, unreadable or errors))
    word: Word = "INVALID_REQUEST" if unreadable else "VALIDATION_ERROR"
    return Refusal(word=word, detail=_sentence(faults), faults=faults)


def _is_unreadable(error: ErrorDetails) -> bool:
    return error["type"] == "missing" or error["type"].endswith("_type")


def _fault(error: ErrorDetails) -> Fault:
    name = str(error["loc"][0])
    return Fault(f"#/{name}", _rule(name, error))


def _rule(name: str, error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is missing"
    if kind == "int_type":
        return "must be a whole number"
    if kind in ("dict_type", "mapping_type"):
        return "must be an object"
    if kind == "string_type":
        return "must be text"
    if name == "quantity":
        return _QUANTITY_RULE
    if kind == "string_too_long":
        return f"must have at most {error['ctx']['max_length']} characters"
    return error["msg"]


def _sentence(faults: Iterable[Fault]) -> str:
    return " ".join(f"{fault.pointer[2:].replace('/', '.')} {fault.detail}." for fault in faults)

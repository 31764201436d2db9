"""Request bodies: JSON read strictly, then checked field by field.

A missing field or a value of the wrong type is 400; a value outside its rule is 422
(contract, sections 1 and 4). No answer quotes what was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from libs.kernel.pricing import CUSTOMER_TYPES
from services.gateway.app.reservations import ActivateRequest, ReserveRequest
from services.gateway.domain.refusal import Fault, Refusal, Word
from services.gateway.domain.visit import parse_date
from services.gateway.http.customer import (
    CUSTOMER_EXAMPLE,
    CUSTOMER_FIELDS,
    CUSTOMER_SCHEMA,
    customer_faults,
)
from services.gateway.http.parameters import parse_instant

QUANTITY_MAX = 100
_ADULTS = "adult"

NOT_JSON = Refusal(word="INVALID_REQUEST", detail="The body is not JSON.")
NOT_AN_OBJECT = Refusal(word="INVALID_REQUEST", detail="The body must be a JSON object.")
REPEATED_FIELD = Refusal(
    word="INVALID_REQUEST", detail="An object in the body has the same field twice."
)

_VISIBLE_CHARACTER = r"[^\s\u0000-\u001f\u007f-\u009f]"
_QUANTITY_RULE = f"must be a whole number between 1 and {QUANTITY_MAX}, the limit of a reservation"
_DATE_RULE = "must be a date such as 2026-01-31"
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


def _fields(value: dict[str, object] | list[object]) -> int:
    if isinstance(value, dict):
        inner: Iterable[object] = value.values()
        found = len(value)
    else:
        inner, found = value, 0
    for each in inner:
        if type(each) is dict or type(each) is list:
            found += _fields(each)
    return found


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


def to_day(value: object) -> date | None:
    """Read a date such as 2026-01-31, before pydantic looks at it."""
    day = parse_date(text_of(value)) if value is not None else None
    if value is not None and day is None:
        raise PydanticCustomError("not_a_date", _DATE_RULE)
    return day


def _to_instant(value: object) -> datetime | None:
    text = text_of(value) if value is not None else None
    at = parse_instant(text) if text is not None and len(text) > 10 else None
    if value is not None and at is None:
        raise PydanticCustomError(
            "not_an_instant", "must be an ISO 8601 time such as 2026-01-31T08:00:00Z"
        )
    return at


def _to_customer_types(value: object) -> str | tuple[str, ...]:
    if value is None:
        return _ADULTS
    words: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in words):
        raise PydanticCustomError("word_type", "must be a word, or a list of words")
    if not 1 <= len(words) <= QUANTITY_MAX or any(word not in CUSTOMER_TYPES for word in words):
        raise PydanticCustomError("unknown_word", _TYPE_RULE)
    return tuple(words) if isinstance(value, list) else str(value)


def text_of(value: object) -> str:
    """Return a text as it is; anything else is of the wrong type."""
    if not isinstance(value, str):
        raise PydanticCustomError("text_type", "must be text")
    return value


def _not_blank(value: object) -> object:
    if isinstance(value, str) and not re.search(_VISIBLE_CHARACTER, value):
        raise PydanticCustomError("blank", "must not be empty")
    return value


class Body(BaseModel):
    """What all bodies have in common: strict types, unknown fields passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


Whole = Annotated[int, BeforeValidator(_to_whole)]
Day = Annotated[date | None, BeforeValidator(to_day)]
Instant = Annotated[datetime | None, BeforeValidator(_to_instant)]

_TYPE_WORD = {"type": "string", "enum": list(CUSTOMER_TYPES)}
_CustomerTypes = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_to_customer_types),
    WithJsonSchema(
        {
            "anyOf": [
                _TYPE_WORD,
                {"type": "array", "items": _TYPE_WORD, "minItems": 1, "maxItems": QUANTITY_MAX},
            ],
            "nullable": True,
        }
    ),
]
_Details = Annotated[dict[str, Any], WithJsonSchema(CUSTOMER_SCHEMA)]
_Visible = Annotated[
    str, BeforeValidator(_not_blank), Field(json_schema_extra={"pattern": _VISIBLE_CHARACTER})
]


class ReserveBody(Body):
    """What to hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"product_id": 106, "quantity": 2, "customer_reference": "basket-4711"}
        }
    )

    product_id: Annotated[Whole, Field(description="The product.", examples=[106])]
    quantity: Annotated[
        Whole, Field(ge=1, le=QUANTITY_MAX, description="Units to hold.", examples=[2])
    ]
    reservation_expires_at: Annotated[
        Instant,
        Field(
            description="Until when to hold them: in the future, cut to 48 hours from now."
            " A time without offset is UTC. Without it, 24 hours.",
        ),
    ] = None
    visit_date: Annotated[
        Day,
        Field(
            description="Day of the visit in Hong Kong: today or later, up to a year ahead."
            " May be given at activation instead; without any, the tickets are open-dated.",
        ),
    ] = None
    customer_reference: Annotated[
        str | None,
        Field(
            max_length=100,
            description="A text of your own, to find the reservation by. Stored encrypted.",
            examples=["basket-4711"],
        ),
    ] = None


class ActivateBody(Body):
    """Who comes, who has paid, and when."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_details": CUSTOMER_EXAMPLE,
                "payment_reference": "PAY-1",
                "customer_type": "adult",
            }
        }
    )

    customer_details: Annotated[_Details, Field(description="The customer; stored encrypted.")]
    payment_reference: Annotated[
        _Visible,
        Field(max_length=100, description="Your reference of the payment.", examples=["PAY-1"]),
    ]
    customer_type: Annotated[
        _CustomerTypes,
        Field(
            description="One word for all units, or an array with one for each unit.",
            examples=[["adult", "child"]],
        ),
    ] = _ADULTS
    visit_date: Annotated[
        Day,
        Field(
            description="Day of the visit in Hong Kong: today or later, up to a year ahead."
            " Wins over the one given with the reservation.",
        ),
    ] = None
    special_requests: Annotated[
        str | None,
        Field(
            max_length=1000,
            description="Free text for the venue; stored encrypted.",
            examples=["Wheelchair"],
        ),
    ] = None


RESERVE_FIELDS = frozenset(ReserveBody.model_fields)
ACTIVATE_FIELDS = frozenset(ActivateBody.model_fields)


def read_reserve(body: Mapping[str, object]) -> ReserveRequest | Refusal:
    """Check the body of a reserve."""
    try:
        sent = ReserveBody.model_validate(body)
    except ValidationError as error:
        return refused(error.errors(include_url=False, include_input=False))
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
        return refused(errors)
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


def refused(
    errors: Sequence[ErrorDetails],
    word_of: Callable[[ErrorDetails], Word] = lambda _: "VALIDATION_ERROR",
) -> Refusal:
    """Refuse a body; what cannot be read goes before what is outside its rule.

    *word_of* gives the word of a value outside its rule; the first one's counts.
    """
    unreadable = [error for error in errors if _is_unreadable(error)]
    faults = tuple(map(_fault, unreadable or errors))
    word: Word = "INVALID_REQUEST" if unreadable else word_of(errors[0])
    return Refusal(word=word, detail=_sentence(faults), faults=faults)


def _is_unreadable(error: ErrorDetails) -> bool:
    return error["type"] == "missing" or error["type"].endswith("_type")


def _fault(error: ErrorDetails) -> Fault:
    # Fields are named by our models: nothing in a path needs to be escaped.
    return Fault("#/" + "/".join(map(str, error["loc"])), _rule(error))


def _rule(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is missing"
    if kind == "int_type":
        return "must be a whole number"
    if kind in ("dict_type", "mapping_type", "model_type"):
        return "must be an object"
    if kind == "list_type":
        return "must be a list"
    if kind == "string_type":
        return "must be text"
    if kind == "date_type":
        return _DATE_RULE
    if error["loc"] == ("quantity",):
        return _QUANTITY_RULE
    if error["loc"][-1] in ("count", "quantity"):
        return f"must be a whole number between 1 and {QUANTITY_MAX}"
    if kind == "too_short":
        return "must not be empty"
    if kind in ("too_long", "string_too_long"):
        # A text that a validator of ours has seen first is "too_long" as well.
        of = "entries" if error["ctx"].get("field_type") == "List" else "characters"
        return f"must have at most {error['ctx']['max_length']} {of}"
    return error["msg"]


def _sentence(faults: Iterable[Fault]) -> str:
    return " ".join(f"{fault.pointer[2:].replace('/', '.')} {fault.detail}." for fault in faults)

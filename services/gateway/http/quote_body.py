"""The body of POST /pricing/calculate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from libs.kernel.pricing import COUNT_MAX, CUSTOMER_TYPES, AddOnCount, CustomerCount
from services.gateway.app.pricing import QuoteRequest
from services.gateway.domain.refusal import Refusal, Word
from services.gateway.http.bodies import Body, Whole, refused, text_of, to_day

DATES_MAX = 366
ENTRIES_MAX = 100
_COUNTS = ("count", "quantity")


def _to_customer_type(value: object) -> str:
    if text_of(value) not in CUSTOMER_TYPES:
        raise PydanticCustomError("unknown_word", f"must be one of {', '.join(CUSTOMER_TYPES)}")
    return text_of(value)


_Count = Annotated[Whole, Field(ge=1, le=COUNT_MAX, examples=[2])]
_CustomerType = Annotated[
    str,
    BeforeValidator(_to_customer_type),
    WithJsonSchema({"type": "string", "enum": list(CUSTOMER_TYPES)}),
]


class CustomerEntry(Body):
    """So many customers of one type."""

    customer_type: Annotated[_CustomerType, Field(description="Who.", examples=["adult"])]
    count: Annotated[_Count, Field(description="How many.")]


class AddonEntry(Body):
    """So many of one add-on."""

    addon_id: Annotated[
        str, Field(description="One of `available_addons`.", examples=["tokens-plan-a"])
    ]
    quantity: Annotated[_Count, Field(description="How many.")]


class QuoteBody(Body):
    """What to price."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "product_id": 106,
                "booking_dates": ["2026-01-31"],
                "customer_breakdown": [
                    {"customer_type": "adult", "count": 2},
                    {"customer_type": "child", "count": 1},
                ],
                "addons": [{"addon_id": "tokens-plan-a", "quantity": 1}],
            }
        }
    )

    product_id: Annotated[Whole, Field(description="The product.", examples=[106])]
    booking_dates: Annotated[
        list[Annotated[date, BeforeValidator(to_day)]] | None,
        Field(
            max_length=DATES_MAX,
            description="Days of the visit in Hong Kong, any of the calendar; several are summed."
            " Without any, the weekday price.",
            examples=[["2026-01-31"]],
        ),
    ] = None
    customer_breakdown: Annotated[
        list[CustomerEntry],
        Field(min_length=1, max_length=ENTRIES_MAX, description="Who comes."),
    ]
    addons: Annotated[
        list[AddonEntry] | None,
        Field(max_length=ENTRIES_MAX, description="What is bought with it at the venue."),
    ] = None
    package_tier: Annotated[
        str | None,
        Field(description="There are no package tiers today: leave it out, or null."),
        WithJsonSchema({"type": "string", "nullable": True, "enum": [None]}),
    ] = None


def read_quote(body: Mapping[str, object]) -> QuoteRequest | Refusal:
    """Check the body of a question for a price."""
    try:
        sent = QuoteBody.model_validate(body)
    except ValidationError as error:
        return refused(error.errors(include_url=False, include_input=False), _word)
    return QuoteRequest(
        product_id=sent.product_id,
        booking_dates=tuple(sent.booking_dates or ()),
        customers=tuple(
            CustomerCount(customer_type=entry.customer_type, count=entry.count)
            for entry in sent.customer_breakdown
        ),
        addons=tuple(
            AddOnCount(addon_id=entry.addon_id, quantity=entry.quantity)
            for entry in sent.addons or ()
        ),
        package_tier=sent.package_tier,
    )


def ignored_in_quote(body: Mapping[str, object]) -> list[str]:
    """Return the fields that are not known, those of entries with the list's name."""
    ignored = [name for name in body if name not in QuoteBody.model_fields]
    entries: dict[str, type[Body]] = {"customer_breakdown": CustomerEntry, "addons": AddonEntry}
    for name, entry in entries.items():
        sent = body.get(name)
        rows = [row for row in sent if isinstance(row, dict)] if isinstance(sent, list) else []
        unknown = {field for row in rows for field in row if field not in entry.model_fields}
        ignored += [f"{name}[].{field}" for field in sorted(unknown)]
    return ignored


def _word(error: ErrorDetails) -> Word:
    path = error["loc"]
    if path[-1] in _COUNTS or error["type"] in ("too_long", "too_short"):
        return "INVALID_COUNT"
    if path[-1] == "customer_type":
        return "INVALID_CUSTOMER_TYPE"
    return "INVALID_DATE" if path[0] == "booking_dates" else "VALIDATION_ERROR"

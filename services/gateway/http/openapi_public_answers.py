"""Shapes of answers that need no key: prices, problems and their explanations, health."""

from __future__ import annotations

from libs.kernel.pricing import CUSTOMER_TYPES
from libs.runtime.problem import CATALOGUE
from services.gateway.http.openapi_schema import (
    Schema,
    component,
    day,
    fields,
    money,
    rows,
    text,
    truth,
    whole,
    word,
)

ORDER_ID_PATTERN = "^ORD-[0-9]{13}$"

CURRENCY = text("ISO 4217 code of all amounts beside it.", example="HKD")
CUSTOMER_TYPE = word("Whom it is for.", CUSTOMER_TYPES)
ORDER_ID = text("The order.", example="ORD-6531189553717", pattern=ORDER_ID_PATTERN)
PRODUCT_ID = whole("The product.", example=106)
RULE_VERSION = whole("Version of the price rules.", example=1)

_QUOTE_LINE = fields(
    customer_type=CUSTOMER_TYPE,
    count=whole("Customers of this entry.", example=2),
    unit_price=money("Price of one over all dates.", example=318),
    subtotal=money("`count` times `unit_price`.", example=636),
)
_ADDON = {
    "addon_id": text("The add-on.", example="tokens-plan-a"),
    "name": text(example="10 playground tokens"),
    "unit_price": money("Price of one.", example=100),
}

_QUOTE = fields(
    product_id=PRODUCT_ID,
    base_price=money("All customers' prices of all dates, premiums included.", example=824),
    adjustments=rows({"type": "object"}, "Nothing that `base_price` has already; empty today."),
    addons_total=money("Price of the add-ons.", example=100),
    final_total=money("`base_price` + adjustments + `addons_total`.", example=924),
    currency=CURRENCY,
    rule_version=RULE_VERSION,
    breakdown=fields(
        "How the prices came about.",
        per_customer_costs=rows(component("QuoteLine"), "A row for each entry sent."),
        addon_details=rows(
            fields(
                **_ADDON,
                quantity=whole("As asked.", example=1),
                subtotal=money("`quantity` times `unit_price`.", example=100),
            ),
            "A row for each add-on sent.",
        ),
        time_adjustments=rows(
            fields(
                date=day("The date."),
                day_type=word("`special` wins over `weekend`.", ("weekday", "weekend", "special")),
                amount=money(
                    "What the date adds to the weekday price of all customers;"
                    " part of `base_price`.",
                    example=60,
                ),
            ),
            "A row for each date sent.",
        ),
    ),
)

_PRICE_RULES = fields(
    product_id=PRODUCT_ID,
    name=text(example="Premium Plan (Central to Cheung Chau)"),
    currency=CURRENCY,
    base_prices=fields(
        "Weekday prices.",
        adult=money("Adult.", example=288),
        child=money("Child.", example=188),
        elderly=money("Elderly person.", example=188),
    ),
    time_rules=rows(
        fields(
            day_type=word("Kind of day.", ("weekend",)),
            days=rows(text(example="saturday"), "Days of the week in Hong Kong."),
            customer_type=CUSTOMER_TYPE,
            unit_price=money("Price of one.", example=318),
            premium=money("More than on a weekday by this.", example=30),
        ),
        "Days of the week with another price.",
    ),
    customer_rules=rows(
        fields(
            customer_type=CUSTOMER_TYPE,
            unit_price=money("Price of one on a weekday.", example=188),
            discount=money("Less than an adult pays by this.", example=100),
        )
    ),
    special_dates=rows(
        fields(
            date=day("The date."),
            multiplier=money("Factor of the adult price of that day.", example=1.5),
            adult_price=money("What an adult pays, in whole dollars.", example=432),
        )
    ),
    package_tiers=rows({"type": "object"}, "There are none today."),
    available_addons=rows(
        fields(**_ADDON, tokens=whole("Tokens in it.", example=10)),
        "Sold at the venue.",
    ),
    rule_version=RULE_VERSION,
)

_PROBLEM = fields(
    "A problem document (RFC 9457), with the names that older clients look for.",
    (
        "request_id",
        "errors",
        "available",
        "limit",
        "held",
        "window_seconds",
        "order_id",
        "retry_after",
        "parameter",
        "limit_bytes",
        "required_permission",
        "allowed_methods",
    ),
    type=text(
        "Address of the page that explains the word, relative to this server.",
        example="/problems/sold-out",
    ),
    title=text("The word in a few words; always the same.", example="Not enough units"),
    status=whole("The HTTP status.", example=409),
    detail=text("What was wrong with this request, for a developer."),
    instance=text("Path of the request.", example="/api/ota/reserve"),
    error=text("The same as `code`, for older clients.", example="SOLD_OUT"),
    code=word("The error word; decide by this.", tuple(CATALOGUE), example="SOLD_OUT"),
    message=text("The same as `detail`, for older clients."),
    request_id=text("On errors of ours: quote it to the operator."),
    errors=rows(
        fields(
            pointer=text("JSON pointer to the field.", example="#/quantity"),
            detail=text("What its rule is.", example="must be a whole number"),
        ),
        "Each bad field of the body.",
    ),
    available=whole("SOLD_OUT: units that your channel has left.", minimum=0),
    limit=whole(
        "HOLD_LIMIT_REACHED: open units that you may have of the product."
        " RATE_LIMIT_EXCEEDED: calls in any `window_seconds`."
    ),
    window_seconds=whole("RATE_LIMIT_EXCEEDED: the window that calls are counted in."),
    held=whole("HOLD_LIMIT_REACHED: open units that you have."),
    order_id=ORDER_ID,
    retry_after=whole("Seconds to wait; the same as `Retry-After`.", minimum=0),
    parameter=text("Name of the parameter or header that is wrong."),
    limit_bytes=whole("PAYLOAD_TOO_LARGE: bytes that a body may have."),
    required_permission=text("INSUFFICIENT_PERMISSIONS: what your key lacks."),
    allowed_methods=rows(text(), "METHOD_NOT_ALLOWED: what the address takes."),
)

_EXPLANATION = fields(
    type=text("Address of this explanation.", example="/problems/sold-out"),
    code=word("The error word.", tuple(CATALOGUE), example="SOLD_OUT"),
    status=whole("The HTTP status it comes with.", example=409),
    title=text("The word in a few words.", example="Not enough units are available"),
    meaning=text("What it means."),
    what_to_do=text("What its receiver should do."),
    retryable=truth("Whether the same request, sent again, may succeed."),
)

PUBLIC_SHAPES: dict[str, Schema] = {
    "QuoteLine": _QUOTE_LINE,
    "Quote": _QUOTE,
    "PriceRules": _PRICE_RULES,
    "Health": fields(status=word("Always `ok`.", ("ok",))),
    "Problem": _PROBLEM,
    "Explanation": _EXPLANATION,
}

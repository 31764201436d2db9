"""The shapes of all answers, as the document tells them.

`services.gateway.app.rendering` writes the answers; a test holds every answer that the
HTTP tests see against these shapes.
"""

from __future__ import annotations

from services.gateway.domain.records import STATUSES
from services.gateway.http.openapi_public_answers import (
    CURRENCY,
    CUSTOMER_TYPE,
    ORDER_ID,
    PRODUCT_ID,
    PUBLIC_SHAPES,
    RULE_VERSION,
)
from services.gateway.http.openapi_schema import (
    Schema,
    component,
    day,
    fields,
    instant,
    keyed,
    money,
    nullable,
    rows,
    text,
    truth,
    whole,
    word,
)

RESERVATION_ID_PATTERN = "^res_[0-7][0-9A-HJKMNP-TV-Z]{25}$"

_QUANTITY = whole("Number of units.", example=2, minimum=1, maximum=100)
_RESERVATION_ID = text(
    "The reservation.", example="res_0005Q6R6ZE0CWQQK51WEDNM5FV", pattern=RESERVATION_ID_PATTERN
)
_VISIT_DATE = nullable(day("Day of the visit in Hong Kong; null is open-dated."))

_EVENT_POSITION = text(
    "Generation, partition and number of the event.",
    example="1-0-17",
    pattern="^[0-9]+-[0-9]+-[0-9]+$",
)
_HASH = text("SHA-256 in hexadecimal.", pattern="^[0-9a-f]{64}$")
_ANCHOR = fields(
    "The first signed head at or after the event; null until there is one, mostly a minute.",
    position=_EVENT_POSITION,
    seq=whole("Number of the event that was the head.", minimum=1),
    hash=_HASH,
    anchored_at=instant("When it was signed."),
    key_id=text("The key, the same id as on our list of keys.", pattern="^[0-9a-f]{12}$"),
    public_key=nullable(text("Ed25519, raw, in hexadecimal.", pattern="^[0-9a-f]{64}$")),
    signature=text("Ed25519 over `signed`, base64url.", pattern="^[A-Za-z0-9_-]{86}$"),
    signed=text("The text that was signed; it names position, hash and time."),
)

_FUNCTION = fields(
    function_code=text("Code of the entitlement.", example="ferry"),
    function_name=text("Its readable name.", example="Ferry ride"),
    max_uses=whole("How often one package entitles to it.", example=1, minimum=1),
)

_INVENTORY_ROW = fields(
    product_id=PRODUCT_ID,
    name=text(example="Premium Plan (Central to Cheung Chau)"),
    sku=text("Stock keeping unit.", example="CRUISE-2025-PREMIUM"),
    available=whole("Units that can be reserved now.", example=1990, minimum=0),
    capacity=whole("Units allotted to your channel.", example=2000, minimum=0),
    status=word("`low` is a tenth of the capacity or less.", ("available", "low", "sold_out")),
)

_PRICING_CONTEXT = fields(
    "What the shown products cost. Prices are the same in every channel.",
    base_prices=keyed(
        fields(weekday=money("Adult, weekday."), weekend=money("Adult, weekend.")),
        "Adult prices by product id.",
        example={"106": {"weekday": 288, "weekend": 318}},
    ),
    customer_types=rows(CUSTOMER_TYPE, "The customer types that there are."),
    customer_discounts=keyed(
        fields(child=money("Less for a child."), elderly=money("Less for an elderly person.")),
        "By product id: what is taken off the adult weekday price.",
        example={"106": {"child": 100, "elderly": 100}},
    ),
    special_dates=keyed(
        fields(multiplier=money("Factor of the adult price.", example=1.5)),
        "Dates with a special adult price.",
        example={"2026-12-31": {"multiplier": 1.5}},
    ),
    currency=CURRENCY,
)

_UNKNOWN_IDS = rows(whole(), "Ids you asked for that are no product on sale.")

_SNAPSHOT = fields(
    "The prices, frozen when the hold was made; its order is charged by them.",
    base_price=money("Adult, weekday.", example=288),
    weekend_premium=money("Added for an adult on Saturday and Sunday.", example=30),
    customer_discounts=keyed(
        money("Taken off the adult weekday price."),
        "By customer type.",
        example={"child": 100, "elderly": 100},
    ),
    customer_type_pricing=rows(
        fields(
            customer_type=CUSTOMER_TYPE,
            unit_price=money("Price of one unit on a weekday.", example=288),
            discount_applied=money("Less than the adult price by this.", example=0),
        )
    ),
    currency=CURRENCY,
    captured_at=instant("When the prices were frozen."),
    rule_version=RULE_VERSION,
)

_HOLD = {
    "reservation_id": _RESERVATION_ID,
    "product_id": PRODUCT_ID,
    "quantity": _QUANTITY,
    "reserved_until": instant("The same as `expires_at`, for older clients."),
    "expires_at": instant("From then on the units are given back."),
    "created_at": instant("When the units were held."),
    "pricing_snapshot": component("PricingSnapshot"),
}

_TICKET = fields(
    "",
    ("qr_code",),
    ticket_code=text("Number on the ticket.", example="CRUISE-2025-FERRY-6420501176945"),
    qr_code=text(
        "PNG image of the QR code as a data URI; left out with `qr=token`.",
        example="data:image/png;base64,iVBORw0KGgo=",
        pattern="^data:image/png;base64,",
    ),
    qr_token=text("The signed text in the QR code; holds no personal data.", example="AGLJTVC"),
    entitlements=rows(
        fields(
            **_FUNCTION["properties"],
            used_count=whole("Used up so far.", example=0, minimum=0),
            remaining_uses=whole("Left to use.", example=1, minimum=0),
        )
    ),
    status=word("USED when the last use is gone.", ("ACTIVE", "USED", "CANCELLED")),
    customer_type=CUSTOMER_TYPE,
    product_id=PRODUCT_ID,
    order_id=ORDER_ID,
    visit_date=_VISIT_DATE,
)

_PRICE_LINE = fields(
    customer_type=CUSTOMER_TYPE,
    count=whole("Units of this type.", example=2),
    unit_price=money("Price of one.", example=318),
    subtotal=money("`count` times `unit_price`.", example=636),
)

_ORDER_CONFIRMED = fields(
    order_id=ORDER_ID,
    reservation_id=_RESERVATION_ID,
    product_id=PRODUCT_ID,
    quantity=_QUANTITY,
    confirmation_code=text("For the customer to quote.", example="CONF-JNS4KDGT"),
    status=word("Always `confirmed`.", ("confirmed",)),
    visit_date=_VISIT_DATE,
    created_at=instant("When the order was made."),
    total_amount=money("Sum of all lines.", example=636),
    currency=CURRENCY,
    price_breakdown=rows(component("PriceLine"), "A line for each customer type."),
    tickets=rows(component("Ticket"), "One ticket for each unit."),
)


def _personal(example: str, description: str = "Null after an erasure.") -> Schema:
    return nullable(text(description, example=example))


_ORDER = fields(
    "",
    ("erased_at",),
    order_id=ORDER_ID,
    reservation_id=_RESERVATION_ID,
    product_id=PRODUCT_ID,
    quantity=_QUANTITY,
    customer_name=_personal("陳大文"),
    customer_email=_personal("tai.man.chan@example.com"),
    customer_phone=_personal("+852 9123 4567"),
    payment_reference=_personal("PAY-1"),
    total_amount=money("What the order costs.", example=636),
    currency=CURRENCY,
    status=word("Always `confirmed` today.", ("confirmed",)),
    created_at=instant("When the order was made."),
    confirmation_code=text("For the customer to quote.", example="CONF-JNS4KDGT"),
    visit_date=_VISIT_DATE,
    special_requests=_personal("Wheelchair", "As sent; null if nothing was, or after an erasure."),
    erased_at=instant("Set once the customer's data were erased."),
)

_PRODUCT = fields(
    product_id=PRODUCT_ID,
    name=text(example="Premium Plan (Central to Cheung Chau)"),
    sku=text("Stock keeping unit.", example="CRUISE-2025-PREMIUM"),
    unit_price=money("Adult, weekday.", example=288),
    currency=CURRENCY,
    status=word("Only active products can be reserved.", ("active", "inactive")),
    functions=rows(component("Function"), "What one package entitles to."),
    channel_allocations=keyed(
        fields(
            allocated=whole("Units allotted.", example=2000),
            available=whole("Units that can be reserved now.", example=1990),
        ),
        "Your channel's stock; that of all channels with `admin:read`.",
        example={"ota": {"allocated": 2000, "available": 1990}},
    ),
)


def _listing(name: str, row: str, **more: Schema) -> Schema:
    return fields(
        **{name: rows(component(row), "The rows of this page.")},
        items=rows(component(row), f"The same rows as `{name}`, under a name all lists share."),
        total_count=whole("Rows on all pages.", minimum=0),
        total=whole("The same as `total_count`.", minimum=0),
        page=whole("Number of this page.", minimum=1),
        page_size=whole("Rows on a full page.", minimum=1),
        limit=whole("The same as `page_size`.", minimum=1),
        has_more=truth("Whether rows follow."),
        next_cursor=nullable(text("Give it as `cursor` for the next page; null on the last.")),
        **more,
    )


SHAPES: dict[str, Schema] = {
    "Inventory": fields(
        available_quantities=keyed(
            whole(), "Available units by product id.", example={"106": 1990}
        ),
        inventory=rows(_INVENTORY_ROW, "In the order asked."),
        pricing_context=_PRICING_CONTEXT,
        product_info=keyed(
            fields(name=text(), sku=text(), functions=rows(component("Function"))),
            "What each product is, by its id.",
        ),
        as_of=instant("The figures held at least until then."),
        position=text(
            "How new the figures are, opaque; see `OTA-Position`.",
            example="AbT1AjKph9mfrIZkRb1ruJ3fbrKXwZL00G9nLMcdOA",
        ),
        unknown_product_ids=_UNKNOWN_IDS,
    ),
    "Function": _FUNCTION,
    "PricingSnapshot": _SNAPSHOT,
    "HoldPlaced": fields(**_HOLD, status=word("Always `active`.", ("active",))),
    "Reservation": fields(
        "",
        ("visit_date", "order_id", "activated_at", "cancelled_at", "expired_at"),
        **_HOLD,
        status=word("What has become of it.", STATUSES),
        visit_date=day("As given with the reservation."),
        order_id=ORDER_ID,
        activated_at=instant("When it became an order."),
        cancelled_at=instant("When it was cancelled."),
        expired_at=instant("When its time ran out."),
    ),
    "ReservationList": _listing("reservations", "Reservation"),
    "PriceLine": _PRICE_LINE,
    "Ticket": _TICKET,
    "OrderConfirmed": _ORDER_CONFIRMED,
    "Order": _ORDER,
    "OrderList": _listing("orders", "Order"),
    "TicketList": _listing("tickets", "Ticket", order_id=ORDER_ID),
    "Product": _PRODUCT,
    "ProductList": _listing("products", "Product", unknown_product_ids=_UNKNOWN_IDS),
    "Cleanup": fields(
        message=text("For people.", example="Cleanup completed: 2 reservations expired."),
        expired_reservations=whole("Holds that ran out since the last call.", minimum=0),
    ),
    "Receipt": fields(
        "What follows `hash` is there when the status is `recorded`.",
        (
            "event_type",
            "event_version",
            "subject",
            "decided_at",
            "previous_hash",
            "hashed",
            "anchored",
        ),
        receipt=text("As it was given.", pattern="^[A-Za-z0-9_-]{86}$"),
        status=word("What became of the event.", ("recorded", "altered", "missing")),
        service=text("The service that recorded it.", example="inventory"),
        position=_EVENT_POSITION,
        hash=_HASH,
        event_type=text("What happened.", example="ota.inventory.units_held"),
        event_version=whole("Version of the event's data.", minimum=1),
        subject=text("What it is about, mostly a reservation.", minLength=1),
        decided_at=instant("When it was decided."),
        previous_hash=_HASH,
        hashed=text("SHA-256 over the bytes of `previous_hash` and this text gives `hash`."),
        anchored=nullable(_ANCHOR),
    ),
    **PUBLIC_SHAPES,
}

"""What integrators are told of each endpoint: meaning, answers, refusals of its own."""

from __future__ import annotations

from services.gateway.http.endpoint import Operation, Success

RESERVATIONS, ORDERS, CATALOGUE = "Reservations", "Orders and tickets", "Stock and products"
RECEIPTS, PRICING, BESIDE = "Receipts", "Pricing", "Beside the API"
TAGS = {
    CATALOGUE: "What is for sale in your channel, and how much of it is left.",
    RESERVATIONS: "Hold units for up to 48 hours, then activate them or give them back.",
    ORDERS: "What activated reservations have become.",
    RECEIPTS: "Evidence of what was recorded for you, which nobody can change later unnoticed.",
    PRICING: "Prices for anybody, without a key: 120 calls a minute for each address. There are no"
    " rate-limit headers here, only `Retry-After` on a 429.",
    BESIDE: "Needs no key and does not count against your limit.",
}

_WRITTEN = ("OTA-Position", "Idempotency-Key", "Idempotent-Replayed", "OTA-Ignored")
_MADE = ("OTA-Receipt", *_WRITTEN)
_READ = ("OTA-Ignored",)
_RESERVATION = {"reservation_id": "$response.body#/reservation_id"}
_ORDER = {"order_id": "$response.body#/order_id"}
_LISTS = (
    " Newest first. Walk with `cursor` = `next_cursor` until `has_more` is false; `page` and"
    " `page_size` jump to a page."
)

INVENTORY = Operation(
    id="getInventory",
    tag=CATALOGUE,
    summary="What is left",
    description="Units that your channel can still reserve, with prices. Answered from memory, so"
    " poll it freely, best with `If-None-Match`: nothing new is a 304 without a body. What a"
    " write has answered is in it at once.",
    successes=(
        Success(
            status=200,
            description="The figures.",
            shape="Inventory",
            headers=("ETag", "Cache-Control", "Vary", *_READ),
        ),
        Success(
            status=304,
            description="Nothing has changed since the answer that `If-None-Match` names.",
            headers=("ETag", "Cache-Control", "Vary", *_READ),
        ),
    ),
    words=("INVALID_PRODUCT_IDS",),
    request_headers=("If-None-Match",),
)

PRODUCTS = Operation(
    id="listProducts",
    tag=CATALOGUE,
    summary="Products",
    description="The products of your channel, inactive ones too, with their stock; all channels"
    " with the permission `admin:read`. A page has 100 rows unless `page_size` says otherwise.",
    successes=(Success(status=200, description="A page.", shape="ProductList", headers=_READ),),
    words=("INVALID_PRODUCT_IDS",),
)

RESERVE = Operation(
    id="reserve",
    tag=RESERVATIONS,
    summary="Reserve units",
    description="Holds up to 100 units of a product and freezes their prices. They are yours until"
    " `expires_at`; activate them before, or they are given back. Send an `Idempotency-Key`:"
    " then a repeat gets the first answer again and holds nothing twice.",
    successes=(
        Success(
            status=201,
            description="The units are held.",
            shape="HoldPlaced",
            headers=("Location", *_MADE),
            links={
                "read": ("getReservation", _RESERVATION),
                "activate": ("activateReservation", _RESERVATION),
                "cancel": ("cancelReservation", _RESERVATION),
            },
        ),
    ),
    words=("VALIDATION_ERROR", "PRODUCT_NOT_FOUND", "SOLD_OUT", "HOLD_LIMIT_REACHED"),
)

LIST_RESERVATIONS = Operation(
    id="listReservations",
    tag=RESERVATIONS,
    summary="Your reservations",
    description="Active ones, unless `status` says otherwise." + _LISTS,
    successes=(Success(status=200, description="A page.", shape="ReservationList", headers=_READ),),
)

GET_RESERVATION = Operation(
    id="getReservation",
    tag=RESERVATIONS,
    summary="One reservation",
    description="Whatever has become of it.",
    successes=(Success(status=200, description="It.", shape="Reservation", headers=_READ),),
    words=("RESERVATION_NOT_FOUND",),
)

ACTIVATE = Operation(
    id="activateReservation",
    tag=RESERVATIONS,
    summary="Activate: order and tickets",
    description="Turns a reservation into an order, at the frozen prices, with one signed ticket"
    " for each unit. One order for one reservation, ever, whoever repeats. The customer's data"
    " are encrypted and only you can read them. `qr=token` leaves the images out: faster, and"
    " a tenth of the size.",
    successes=(
        Success(
            status=201,
            description="The order and its tickets.",
            shape="OrderConfirmed",
            headers=("Location", *_MADE),
            links={"order": ("getOrder", _ORDER), "tickets": ("listTickets", _ORDER)},
        ),
    ),
    words=(
        "INVALID_CUSTOMER_DETAILS",
        "VALIDATION_ERROR",
        "RESERVATION_NOT_FOUND",
        "RESERVATION_EXPIRED",
        "RESERVATION_CANCELLED",
        "ALREADY_ACTIVATED",
    ),
)

CANCEL = Operation(
    id="cancelReservation",
    tag=RESERVATIONS,
    summary="Cancel a reservation",
    description="Gives the units back; once it is answered they are available. To cancel what is"
    " cancelled already is fine.",
    successes=(Success(status=204, description="The units are available again.", headers=_MADE),),
    words=("RESERVATION_NOT_FOUND", "RESERVATION_EXPIRED", "CANNOT_CANCEL_ACTIVATED"),
)

CLEAN_UP = Operation(
    id="cleanUpReservations",
    tag=RESERVATIONS,
    summary="Count what ran out",
    description="For older integrations: says how many of your reservations have run out since you"
    " last asked. Units are given back by the clock, whether or not anybody calls this.",
    successes=(Success(status=200, description="How many.", shape="Cleanup", headers=_WRITTEN),),
)

LIST_ORDERS = Operation(
    id="listOrders",
    tag=ORDERS,
    summary="Your orders",
    description="With their customers, whom only you can read." + _LISTS,
    successes=(Success(status=200, description="A page.", shape="OrderList", headers=_READ),),
)

GET_ORDER = Operation(
    id="getOrder",
    tag=ORDERS,
    summary="One order",
    description="After the customer's data were erased, their fields are null and `erased_at` is"
    " set.",
    successes=(Success(status=200, description="It.", shape="Order", headers=_READ),),
    words=("ORDER_NOT_FOUND",),
)

LIST_TICKETS = Operation(
    id="listTickets",
    tag=ORDERS,
    summary="An order's tickets",
    description="All on one page, unless `page_size` says otherwise; `qr=token` leaves the images"
    " out.",
    successes=(Success(status=200, description="A page.", shape="TicketList", headers=_READ),),
    words=("ORDER_NOT_FOUND",),
)

CHECK_RECEIPT = Operation(
    id="checkReceipt",
    tag=RECEIPTS,
    summary="Check a receipt",
    description="Looks up the event that the `OTA-Receipt` of an answer names, and compares it."
    " `recorded`: it stands where it stood, as it was; `hashed` and `anchored` are there for you"
    " to verify that yourself. `altered` or `missing`: it does not, and we were told as well.",
    successes=(Success(status=200, description="What was found.", shape="Receipt", headers=_READ),),
    words=("NOT_FOUND",),
)

PRICE_RULES = Operation(
    id="getPriceRules",
    tag=PRICING,
    summary="Price rules of a product",
    description="What is charged on which day, spelled out.",
    successes=(Success(status=200, description="The rules.", shape="PriceRules", headers=_READ),),
    words=("INVALID_PRODUCT_ID", "NOT_FOUND", "NOT_EXECUTED"),
)

CALCULATE = Operation(
    id="calculatePrice",
    tag=PRICING,
    summary="What a visit costs",
    description="Binds nobody: a reservation freezes its own prices, by the same rules.",
    successes=(Success(status=200, description="The price.", shape="Quote", headers=_READ),),
    words=(
        "PRODUCT_NOT_FOUND",
        "INVALID_DATE",
        "INVALID_CUSTOMER_TYPE",
        "INVALID_COUNT",
        "VALIDATION_ERROR",
        "NOT_EXECUTED",
    ),
)

HEALTH = Operation(
    id="health",
    tag=BESIDE,
    summary="Is the API there?",
    description="Says that it listens, and nothing about its inside.",
    successes=(Success(status=200, description="It is.", shape="Health"),),
)

PROBLEM_PAGE = Operation(
    id="explainProblem",
    tag=BESIDE,
    summary="What an error means",
    description="The page that a problem document's `type` names: meaning, what to do, whether a"
    " repeat helps. For programs as JSON.",
    successes=(
        Success(
            status=200,
            description="The explanation; HTML for browsers.",
            shape="Explanation",
            headers=("Vary", "OTA-Ignored"),
            page=True,
        ),
        Success(
            status=301,
            description="A word as `code` has it, `SOLD_OUT`, leads to its page.",
            headers=("Location", "OTA-Ignored"),
        ),
    ),
    words=("NOT_FOUND",),
)

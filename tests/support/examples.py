"""One valid example of everything: identifiers, amounts, entities, messages, envelopes.

A test replaces what it is about and takes the rest from here. The golden files are made of
these values: change none that exists, add new ones beside them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from libs.events import messages
from libs.events.contracts import fulfillment, gateway, inventory, platform, reservation
from libs.events.envelope import Actor, Envelope, Position
from libs.events.messages import MESSAGES
from libs.kernel import catalogue, ids
from libs.kernel.pricing import PriceLine
from services.fulfillment.domain.order import Numbering as OrderNumbering
from services.fulfillment.domain.order import Order, Ticket
from services.inventory.domain.ledger import Hold, PartnerCap, Pool, PublishedCatalogue, cap_name
from services.reservation.domain.hold import Numbering as ReservationNumbering
from services.reservation.domain.hold import Reservation

# Instants and days

HELD_AT: Final = datetime(2026, 3, 2, 4, 5, 6, 789012, tzinfo=UTC)
EXPIRES_AT: Final = HELD_AT + timedelta(hours=24)
NOW: Final = HELD_AT + timedelta(minutes=10)
"""When examples are decided that come after the hold."""
WEEKDAY: Final = date(2026, 3, 4)
WEEKEND: Final = date(2026, 3, 7)
SPECIAL_WEEKDAY: Final = date(2026, 12, 31)
SPECIAL_WEEKEND: Final = date(2027, 2, 6)

# Identifiers

POOL_NO: Final = 1
OTHER_POOL_NO: Final = 4
PARTITION: Final = 0
PRODUCT_ID: Final = 106
CHANNEL: Final = "ota"
PARTNER_ID: Final = "test_partner"
NUMBERS: Final = ids.Numbers(bytes(range(32)))
PLACE_ID: Final = "ae9e2078-d1d6-8474-bc93-a57214dda04e"
ACTIVATE_ID: Final = "3f0e5d4c-5a6b-8c7d-9e8f-0a1b2c3d4e5f"
CANCEL_ID: Final = "77c0a1b2-93d4-8ef5-a607-18293a4b5c6d"
RESERVATION_ID: Final = ids.reservation_id(command_id=PLACE_ID, pool_no=POOL_NO)
ORDER_ID: Final = NUMBERS.order_id(partition=PARTITION, counter=0)
CONFIRMATION_CODE: Final = NUMBERS.confirmation_code(partition=PARTITION, counter=0)
TICKET_PREFIX: Final = "CRUISE-2025-FERRY"
TICKET_CODE: Final = NUMBERS.ticket_code(prefix=TICKET_PREFIX, partition=PARTITION, counter=0)
QR_TOKEN: Final = "AH3Q7K5XJ2"
FINGERPRINT: Final = "9b74c9897bac770ffc029102a200c5de"
TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

# Amounts and values

QUANTITY: Final = 3
ADULT_WEEKDAY_MINOR: Final = 28_800
ADULT_WEEKEND_MINOR: Final = 31_800
CHILD_MINOR: Final = 18_800
PRICES: Final = catalogue.PriceRules(
    rule_version=7,
    currency="HKD",
    adult_weekday_minor=ADULT_WEEKDAY_MINOR,
    adult_weekend_minor=ADULT_WEEKEND_MINOR,
    child_minor=CHILD_MINOR,
    elderly_minor=CHILD_MINOR,
    special_dates=(
        catalogue.SpecialDate(on=SPECIAL_WEEKDAY, multiplier_permille=1500),
        catalogue.SpecialDate(on=SPECIAL_WEEKEND, multiplier_permille=1300),
    ),
)
SEALED: Final = inventory.Sealed(key_id="k-0001", ciphertext="bm9ib2R5IGNhbiByZWFkIHRoaXM=")
ENTITLEMENTS: Final = (
    catalogue.Entitlement(function_code="ferry", function_name="Ferry ride", max_uses=1),
    catalogue.Entitlement(
        function_code="playground_tokens", function_name="Playground token", max_uses=10
    ),
)
PRODUCT: Final = catalogue.Product(
    product_id=PRODUCT_ID,
    name="Premium Plan (Central to Cheung Chau)",
    sku="CRUISE-2025-PREMIUM",
    ticket_prefix=TICKET_PREFIX,
    active=True,
    prices=PRICES,
    entitlements=ENTITLEMENTS,
)
CATALOGUE: Final = catalogue.Catalogue(
    version=7,
    products=(PRODUCT,),
    addons=(
        catalogue.AddOn(
            addon_id="tokens-plan-a",
            name="10 playground tokens",
            unit_price_minor=10_000,
            tokens=10,
        ),
    ),
    pools=(
        catalogue.PoolPlan(
            pool_no=POOL_NO,
            product_id=PRODUCT_ID,
            channel=CHANNEL,
            partition=PARTITION,
            units=2000,
        ),
    ),
)
LINES: Final = (
    PriceLine(
        customer_type="adult",
        count=2,
        unit_price_minor=ADULT_WEEKEND_MINOR,
        subtotal_minor=2 * ADULT_WEEKEND_MINOR,
    ),
    PriceLine(
        customer_type="child", count=1, unit_price_minor=CHILD_MINOR, subtotal_minor=CHILD_MINOR
    ),
)
TOTAL_MINOR: Final = 2 * ADULT_WEEKEND_MINOR + CHILD_MINOR
CUSTOMER_TYPES: Final = ("adult", "child", "adult")
TICKETS: Final = tuple(
    fulfillment.IssuedTicket(
        ticket_code=NUMBERS.ticket_code(
            prefix=TICKET_PREFIX, partition=PARTITION, counter=position
        ),
        qr_token=QR_TOKEN + str(position),
        customer_type=customer_type,
    )
    for position, customer_type in enumerate(CUSTOMER_TYPES)
)
PAYMENT_REFERENCE_HASH: Final = "2c26b46b68ffc68ff99b453c1d304134"
CUSTOMER_REFERENCE_HASH: Final = "fcde2b2edba56bf408601fb721fe9b5c"

_OF_POOL: Final[dict[str, Any]] = {
    "pool_no": POOL_NO,
    "product_id": PRODUCT_ID,
    "channel": CHANNEL,
}
_OF_HOLD: Final[dict[str, Any]] = {
    "reservation_id": RESERVATION_ID,
    "partner_id": PARTNER_ID,
    "quantity": QUANTITY,
    "expires_at": EXPIRES_AT,
    "rule_version": CATALOGUE.version,
    "visit_date": WEEKEND,
    "customer_reference": SEALED,
    "customer_reference_hash": CUSTOMER_REFERENCE_HASH,
}
_OF_SALE: Final[dict[str, Any]] = {
    "reservation_id": RESERVATION_ID,
    "partner_id": PARTNER_ID,
    "quantity": QUANTITY,
    "order_id": ORDER_ID,
    "visit_date": WEEKEND,
    "day_class": "weekend",
    "lines": LINES,
    "total_minor": TOTAL_MINOR,
    "currency": "HKD",
    "rule_version": PRICES.rule_version,
    "customer": SEALED,
    "payment_reference_hash": PAYMENT_REFERENCE_HASH,
}

# Commands

PLACE_HOLD: Final = inventory.PlaceHold(pool_no=POOL_NO, hold_s=None, **_OF_HOLD)
SET_ALLOTMENT: Final = inventory.SetAllotment(units=2000, **_OF_POOL)
STOP_SALES: Final = inventory.StopSales(pool_no=POOL_NO, reason="typhoon signal 8")
RESUME_SALES: Final = inventory.ResumeSales(pool_no=POOL_NO)
CAP_PARTNER: Final = inventory.CapPartner(pool_no=POOL_NO, partner_id=PARTNER_ID, units=10)
PUBLISH_CATALOGUE: Final = inventory.PublishCatalogue(catalogue=CATALOGUE)
ACTIVATE: Final = reservation.ActivateReservation(
    reservation_id=RESERVATION_ID,
    partner_id=PARTNER_ID,
    customer_types=CUSTOMER_TYPES,
    visit_date=None,
    customer=SEALED,
    payment_reference_hash=PAYMENT_REFERENCE_HASH,
)
CANCEL: Final = reservation.CancelReservation(reservation_id=RESERVATION_ID, partner_id=PARTNER_ID)
EXPIRE: Final = reservation.ExpireReservation(reservation_id=RESERVATION_ID)

# Events

ALLOTMENT_SET: Final = inventory.AllotmentSet(units=2000, **_OF_POOL)
UNITS_HELD: Final = inventory.UnitsHeld(**_OF_POOL, **_OF_HOLD)
UNITS_SOLD: Final = inventory.UnitsSold(
    reservation_id=RESERVATION_ID, pool_no=POOL_NO, quantity=QUANTITY
)
UNITS_RELEASED: Final = inventory.UnitsReleased(
    reservation_id=RESERVATION_ID, pool_no=POOL_NO, quantity=QUANTITY, reason="cancelled"
)
SALES_STOPPED: Final = inventory.SalesStopped(pool_no=POOL_NO, reason="typhoon signal 8")
SALES_RESUMED: Final = inventory.SalesResumed(pool_no=POOL_NO)
PARTNER_CAP_SET: Final = inventory.PartnerCapSet(
    pool_no=POOL_NO, partner_id=PARTNER_ID, units=10, held=QUANTITY
)
LEDGER_CONFLICT_FOUND: Final = inventory.LedgerConflictFound(
    reservation_id=RESERVATION_ID,
    pool_no=POOL_NO,
    event_type="ReservationExpired",
    event_id="1-0-12",
    reason="not held",
)
CATALOGUE_PUBLISHED: Final = inventory.CataloguePublished(catalogue=CATALOGUE)
RESERVATION_OPENED: Final = reservation.ReservationOpened(
    held_at=HELD_AT,
    ledger_seq=11,
    prices=PRICES,
    **_OF_POOL,
    **{name: value for name, value in _OF_HOLD.items() if name != "rule_version"},
)
RESERVATION_ACTIVATED: Final = reservation.ReservationActivated(
    customer_types=CUSTOMER_TYPES, **_OF_POOL, **_OF_SALE
)
RESERVATION_CANCELLED: Final = reservation.ReservationCancelled(
    reservation_id=RESERVATION_ID, pool_no=POOL_NO, quantity=QUANTITY
)
RESERVATION_EXPIRED: Final = reservation.ReservationExpired(
    reservation_id=RESERVATION_ID, pool_no=POOL_NO, quantity=QUANTITY, due_at=EXPIRES_AT
)
ORDER_CREATED: Final = fulfillment.OrderCreated(
    confirmation_code=CONFIRMATION_CODE,
    entitlements=ENTITLEMENTS,
    tickets=TICKETS,
    **_OF_POOL,
    **_OF_SALE,
)

# Signals and answers

FIGURES: Final = inventory.PoolFigures(
    allotted=2000,
    available=1997,
    selling=True,
    generation=1,
    partition=PARTITION,
    seq=11,
    **_OF_POOL,
)
ANSWER_REQUESTED: Final = reservation.AnswerRequested(command_id=ACTIVATE_ID)
HEAD_ANCHORED: Final = platform.HeadAnchored(
    service="inventory",
    partition=PARTITION,
    generation=1,
    seq=17,
    hash="ab" * 32,
    anchored_at=NOW,
    key_id="0123456789ab",
    signature="A" * 86,
)
AVAILABILITY_REPORTED: Final = inventory.AvailabilityReported(
    generation=1,
    partition=PARTITION,
    seq=11,
    catalogue_version=CATALOGUE.version,
    full=True,
    pools=(FIGURES,),
)
HOLD_PLACED: Final = inventory.HoldPlaced(
    reservation_id=RESERVATION_ID,
    pool_no=POOL_NO,
    product_id=PRODUCT_ID,
    quantity=QUANTITY,
    held_at=HELD_AT,
    expires_at=EXPIRES_AT,
    rule_version=CATALOGUE.version,
)
HOLD_REFUSED: Final = inventory.HoldRefused(reason="sold_out", available=2)
HOLD_LIMIT_REFUSED: Final = inventory.HoldRefused(
    reason="hold_limit", available=1990, limit=10, held=8
)
HOLD_RELEASED: Final = inventory.HoldReleased(reservation_id=RESERVATION_ID)
LEDGER_CHANGED: Final = inventory.LedgerChanged(pool_no=POOL_NO)
LEDGER_CHANGE_REFUSED: Final = inventory.LedgerChangeRefused(
    reason="below_held_and_sold", detail="3 units are held and 0 sold"
)
RESERVATION_REFUSED: Final = reservation.ReservationRefused(
    reason="already_activated", reservation_id=RESERVATION_ID, order_id=ORDER_ID
)
COMPLETED_DOWNSTREAM: Final = reservation.CompletedDownstream(command_id=ACTIVATE_ID)
ORDER_CONFIRMED: Final = fulfillment.OrderConfirmed(
    order_id=ORDER_ID,
    reservation_id=RESERVATION_ID,
    product_id=PRODUCT_ID,
    confirmation_code=CONFIRMATION_CODE,
    visit_date=WEEKEND,
    created_at=NOW,
    lines=LINES,
    total_minor=TOTAL_MINOR,
    currency="HKD",
    entitlements=ENTITLEMENTS,
    tickets=TICKETS,
)
KEY_REUSED: Final = gateway.KeyReused(command_id=PLACE_ID)

COMMANDS: Final[tuple[object, ...]] = (
    PLACE_HOLD,
    SET_ALLOTMENT,
    STOP_SALES,
    RESUME_SALES,
    CAP_PARTNER,
    PUBLISH_CATALOGUE,
    ACTIVATE,
    CANCEL,
    EXPIRE,
)
EVENTS: Final[tuple[object, ...]] = (
    UNITS_HELD,
    UNITS_SOLD,
    UNITS_RELEASED,
    ALLOTMENT_SET,
    SALES_STOPPED,
    SALES_RESUMED,
    PARTNER_CAP_SET,
    LEDGER_CONFLICT_FOUND,
    CATALOGUE_PUBLISHED,
    RESERVATION_OPENED,
    RESERVATION_ACTIVATED,
    RESERVATION_CANCELLED,
    RESERVATION_EXPIRED,
    ORDER_CREATED,
)
SIGNALS: Final[tuple[object, ...]] = (
    ANSWER_REQUESTED,
    AVAILABILITY_REPORTED,
    HEAD_ANCHORED,
)
ANSWERS: Final[tuple[object, ...]] = (
    HOLD_PLACED,
    HOLD_REFUSED,
    HOLD_RELEASED,
    LEDGER_CHANGED,
    LEDGER_CHANGE_REFUSED,
    RESERVATION_REFUSED,
    COMPLETED_DOWNSTREAM,
    ORDER_CONFIRMED,
    KEY_REUSED,
)
EXAMPLES: Final = (*COMMANDS, *EVENTS, *SIGNALS, *ANSWERS)

# Entities

POOL: Final = Pool(allotted=2000, held=QUANTITY, sold=0, selling=True, **_OF_POOL)
HOLD: Final = Hold(status="held", held_at=HELD_AT, seq=11, **_OF_POOL, **_OF_HOLD)
PARTNER_CAP: Final = PartnerCap(
    name=cap_name(POOL_NO, PARTNER_ID),
    pool_no=POOL_NO,
    partner_id=PARTNER_ID,
    units=10,
    held=QUANTITY,
)
PUBLISHED_CATALOGUE: Final = PublishedCatalogue(
    version=CATALOGUE.version, document=CATALOGUE, published_at=HELD_AT
)
RESERVATION: Final = Reservation(
    status="active",
    held_at=HELD_AT,
    ledger_seq=11,
    order_id=None,
    ended_at=None,
    ended_by=None,
    **_OF_POOL,
    **_OF_HOLD,
)
RESERVATION_NUMBERING: Final = ReservationNumbering(name=f"partition-{PARTITION}", orders=1)
ORDER: Final = Order(
    confirmation_code=CONFIRMATION_CODE,
    entitlements=ENTITLEMENTS,
    status="confirmed",
    created_at=NOW,
    **_OF_POOL,
    **_OF_SALE,
)
TICKET: Final = Ticket(
    ticket_code=TICKET_CODE,
    order_id=ORDER_ID,
    position=0,
    qr_token=QR_TOKEN + "0",
    customer_type="adult",
    status="ACTIVE",
)
ORDER_NUMBERING: Final = OrderNumbering(
    name=f"partition-{PARTITION}", orders=1, tickets=len(TICKETS)
)

# Envelopes

ACTOR: Final = Actor(partner_id=PARTNER_ID, key_id="key-1", request_id="req-0001")
POSITION: Final = Position(1, PARTITION, 11)


def envelope_of(data: object) -> Envelope:
    """Return *data* in the envelope that messages of its kind travel in."""
    kind = MESSAGES.message_of(data)
    source = kind.shape.__module__.rsplit(".", 1)[1]
    if kind in messages.EVENTS:
        return _envelope(data, id=POSITION.event_id(), source=source, position=POSITION)
    if kind in messages.SIGNALS:
        return _envelope(data, id=f"signal:{PLACE_ID}", source=source)
    if kind in messages.ANSWERS:
        id, source = f"answer:{PLACE_ID}", "inventory" if source == "gateway" else source
        return _envelope(data, id=id, source=source, position=POSITION, replayed=True)
    return _envelope(data, id=PLACE_ID, source="gateway")


def _envelope(
    data: object,
    *,
    id: str,
    source: str,
    position: Position | None = None,
    replayed: bool = False,
) -> Envelope:
    return Envelope(
        id=id,
        source=source,
        time=HELD_AT,
        data=data,
        correlation_id=PLACE_ID,
        causation_id=PLACE_ID,
        actor=ACTOR,
        traceparent=TRACEPARENT,
        fingerprint=FINGERPRINT,
        reply_to=2,
        position=position,
        replayed=replayed,
    )

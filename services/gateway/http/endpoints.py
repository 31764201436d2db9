"""The endpoints of the partner contract (section 4): from HTTP to a use case and back."""

from __future__ import annotations

from typing import Any, cast

from services.gateway.app.call import Call, Write
from services.gateway.app.cleanup import Cleanup
from services.gateway.app.inventory import Inventory
from services.gateway.app.orders import Orders, OrdersAsked
from services.gateway.app.receipts import Receipts
from services.gateway.app.reservation_reads import ReservationReads, ReservationsAsked
from services.gateway.app.reservations import Reservations
from services.gateway.domain.partner import (
    INVENTORY_READ,
    ORDERS_READ,
    RESERVE_ACTIVATE,
    RESERVE_CREATE,
)
from services.gateway.domain.records import STATUSES, ReservationStatus
from services.gateway.domain.refusal import Refusal
from services.gateway.http import operations
from services.gateway.http.bodies import (
    ACTIVATE_FIELDS,
    RESERVE_FIELDS,
    ActivateBody,
    ReserveBody,
    ignored_fields,
    read_activate,
    read_reserve,
)
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import Answer, Exchange
from services.gateway.http.headers import tag_matches
from services.gateway.http.parameters import (
    PAGING,
    Choice,
    Instant,
    Parameter,
    ProductIds,
    Text,
    Whole,
)

BASE = "/api/ota"
PRODUCT_ID_MAX = 2_147_483_647
_NO_FIELDS: frozenset[str] = frozenset()

PRODUCT_IDS = ProductIds(
    name="product_ids",
    description="Only these products, in this order, separated by commas: `106,107`."
    " Without it, all that are allotted to your channel.",
)
PRODUCT_ID = Whole(
    name="product_id",
    description="Only of this product.",
    low=1,
    high=PRODUCT_ID_MAX,
)
STATUS = Choice(
    name="status",
    description="Only of this status, `active` unless given; `all` for every one.",
    options=(*STATUSES, "all"),
)
CUSTOMER_REFERENCE = Text(
    name="customer_reference",
    description="Only with exactly this reference of yours.",
)
CREATED_AFTER = Instant(
    name="created_after",
    description="Only those made at this time or later. A date stands for its first moment in"
    " Hong Kong; a time without offset is UTC: `2026-01-31T08:00:00Z`.",
)
CREATED_BEFORE = Instant(
    name="created_before", description="Only those made before this time, read likewise."
)
PAYMENT_REFERENCE = Text(
    name="payment_reference",
    description="Only with exactly this payment reference.",
)
CONFIRMATION_CODE = Text(
    name="confirmation_code",
    description="Only the order with this confirmation code.",
)
QR = Choice(
    name="qr",
    description="`token` leaves the QR images out of the tickets.",
    options=("image", "token"),
)

RESERVATION_FILTERS: tuple[Parameter[Any], ...] = (STATUS, PRODUCT_ID, CUSTOMER_REFERENCE)
ORDER_FILTERS: tuple[Parameter[Any], ...] = (
    PRODUCT_ID,
    CREATED_AFTER,
    CREATED_BEFORE,
    PAYMENT_REFERENCE,
    CONFIRMATION_CODE,
)


async def healthz(exchange: Exchange) -> Answer:
    """Say that the gateway is there, and nothing about its inside."""
    return Answer(200, b'{"status":"ok"}')


HEALTH = Endpoint(method="GET", path="/healthz", operation=operations.HEALTH, public=healthz)


class InventoryEndpoints:
    """Stock and products."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        may = (INVENTORY_READ,)
        return (
            Endpoint(
                method="GET",
                path=f"{BASE}/inventory",
                operation=operations.INVENTORY,
                permissions=may,
                query=(PRODUCT_IDS,),
                read=self.stock,
            ),
            Endpoint(
                method="GET",
                path=f"{BASE}/products",
                operation=operations.PRODUCTS,
                permissions=may,
                query=(PRODUCT_IDS, *PAGING),
                read=self.products,
            ),
        )

    async def stock(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /inventory."""
        parameters = exchange.parameters
        product_ids = parameters.get(PRODUCT_IDS)
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        stock = await self._inventory.stock(call, product_ids)
        headers = {
            "ETag": stock.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "X-API-Key, Authorization",
        }
        if tag_matches(exchange.request.headers.get("If-None-Match"), stock.etag):
            return Answer(304, b"", headers)
        return Answer(200, stock.body, headers)

    async def products(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /products."""
        parameters = exchange.parameters
        product_ids = parameters.get(PRODUCT_IDS)
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(await self._inventory.products(call, product_ids, page))


class ReservationEndpoints:
    """Holds: placed, read, activated, cancelled."""

    def __init__(
        self, *, reservations: Reservations, reads: ReservationReads, cleanup: Cleanup
    ) -> None:
        self._reservations = reservations
        self._reads = reads
        self._cleanup = cleanup

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        one = f"{BASE}/reservations/{{reservation_id}}"
        return (
            Endpoint(
                method="POST",
                path=f"{BASE}/reserve",
                operation=operations.RESERVE,
                permissions=(RESERVE_CREATE,),
                body=ReserveBody,
                keeps_deadline=True,
                write=self.reserve,
            ),
            Endpoint(
                method="GET",
                path=f"{BASE}/reservations",
                operation=operations.LIST_RESERVATIONS,
                query=(*RESERVATION_FILTERS, *PAGING),
                read=self.page,
            ),
            Endpoint(
                method="POST",
                path=f"{BASE}/reservations/cleanup",
                operation=operations.CLEAN_UP,
                write=self.clean_up,
            ),
            Endpoint(method="GET", path=one, operation=operations.GET_RESERVATION, read=self.one),
            Endpoint(
                method="DELETE",
                path=one,
                operation=operations.CANCEL,
                keeps_deadline=True,
                write=self.cancel,
            ),
            Endpoint(
                method="POST",
                path=f"{one}/activate",
                operation=operations.ACTIVATE,
                permissions=(RESERVE_ACTIVATE,),
                query=(QR,),
                body=ActivateBody,
                keeps_deadline=True,
                write=self.activate,
            ),
        )

    async def reserve(self, exchange: Exchange, write: Write) -> Answer | Refusal:
        """POST /reserve."""
        exchange.ignored = _ignored(exchange, RESERVE_FIELDS)
        asked = read_reserve(exchange.body)
        if isinstance(asked, Refusal):
            return asked
        outcome = await self._reservations.place(write, asked)
        return exchange.conclude(outcome, status=201, location=f"{BASE}/reservations")

    async def activate(self, exchange: Exchange, write: Write) -> Answer | Refusal:
        """POST /reservations/{id}/activate."""
        qr = exchange.parameters.get(QR)
        exchange.ignored = _ignored(exchange, ACTIVATE_FIELDS)
        asked = read_activate(exchange.body)
        if isinstance(asked, Refusal):
            return asked
        if exchange.parameters.refusal is not None:
            return exchange.parameters.refusal
        outcome = await self._reservations.activate(
            write, exchange.id_in_path, asked, images=qr != "token"
        )
        return exchange.conclude(outcome, status=201, location=f"{BASE}/orders")

    async def cancel(self, exchange: Exchange, write: Write) -> Answer | Refusal:
        """DELETE /reservations/{id}."""
        exchange.ignored = _ignored(exchange, _NO_FIELDS)
        outcome = await self._reservations.cancel(write, exchange.id_in_path)
        return exchange.conclude(outcome, status=204)

    async def clean_up(self, exchange: Exchange, write: Write) -> Answer | Refusal:
        """POST /reservations/cleanup."""
        exchange.ignored = _ignored(exchange, _NO_FIELDS)
        return exchange.conclude(await self._cleanup.run(write), status=200)

    async def one(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /reservations/{id}."""
        exchange.ignored = exchange.parameters.ignored
        return _read(await self._reads.one(call, exchange.id_in_path))

    async def page(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /reservations."""
        parameters = exchange.parameters
        status = parameters.get(STATUS) or STATUS.options[0]
        asked = ReservationsAsked(
            status=None if status == "all" else cast("ReservationStatus", status),
            product_id=parameters.get(PRODUCT_ID),
            customer_reference=parameters.get(CUSTOMER_REFERENCE),
        )
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(await self._reads.page(call, asked, page))


class OrderEndpoints:
    """Orders and their tickets."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        may = (ORDERS_READ, RESERVE_ACTIVATE)
        one = f"{BASE}/orders/{{order_id}}"
        return (
            Endpoint(
                method="GET",
                path=f"{BASE}/orders",
                operation=operations.LIST_ORDERS,
                permissions=may,
                query=(*ORDER_FILTERS, *PAGING),
                read=self.page,
            ),
            Endpoint(
                method="GET",
                path=one,
                operation=operations.GET_ORDER,
                permissions=may,
                read=self.one,
            ),
            Endpoint(
                method="GET",
                path=f"{one}/tickets",
                operation=operations.LIST_TICKETS,
                permissions=may,
                query=(QR, *PAGING),
                read=self.tickets,
            ),
        )

    async def one(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders/{id}."""
        exchange.ignored = exchange.parameters.ignored
        return _read(await self._orders.one(call, exchange.id_in_path))

    async def page(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders."""
        parameters = exchange.parameters
        asked = OrdersAsked(
            product_id=parameters.get(PRODUCT_ID),
            created_from=parameters.get(CREATED_AFTER),
            created_before=parameters.get(CREATED_BEFORE),
            payment_reference=parameters.get(PAYMENT_REFERENCE),
            confirmation_code=parameters.get(CONFIRMATION_CODE),
        )
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(await self._orders.page(call, asked, page))

    async def tickets(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders/{id}/tickets."""
        parameters = exchange.parameters
        qr = parameters.get(QR)
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(
            await self._orders.tickets(call, exchange.id_in_path, page, images=qr != "token")
        )


class ReceiptEndpoints:
    """Evidence of what was recorded."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        return (
            Endpoint(
                method="GET",
                path=f"{BASE}/receipts/{{receipt}}",
                operation=operations.CHECK_RECEIPT,
                read=self.check,
            ),
        )

    async def check(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /receipts/{receipt}."""
        exchange.ignored = exchange.parameters.ignored
        return _read(await self._receipts.check(call, exchange.id_in_path))


def _read(content: bytes | Refusal) -> Answer | Refusal:
    return content if isinstance(content, Refusal) else Answer(200, content)


def _ignored(exchange: Exchange, known: frozenset[str]) -> list[str]:
    return ignored_fields(exchange.body, known) + exchange.parameters.ignored

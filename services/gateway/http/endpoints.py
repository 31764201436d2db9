"""The endpoints of the partner contract (section 4): from HTTP to a use case and back."""

from __future__ import annotations

from typing import cast

from services.gateway.app.call import Call, Write
from services.gateway.app.cleanup import Cleanup
from services.gateway.app.inventory import Inventory
from services.gateway.app.orders import Orders, OrdersAsked
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
from services.gateway.http.bodies import (
    ACTIVATE_FIELDS,
    RESERVE_FIELDS,
    ignored_fields,
    read_activate,
    read_reserve,
)
from services.gateway.http.edge import Endpoint
from services.gateway.http.exchange import Answer, Exchange

BASE = "/api/ota"
PRODUCT_ID_MAX = 2_147_483_647
_NO_FIELDS: frozenset[str] = frozenset()


def healthz(exchange: Exchange) -> Answer:
    """Say that the gateway is there, and nothing about its inside."""
    return Answer(200, b'{"status":"ok"}')


class InventoryEndpoints:
    """Stock and products."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        may = (INVENTORY_READ,)
        return (
            Endpoint(method="GET", path=f"{BASE}/inventory", permissions=may, read=self.stock),
            Endpoint(method="GET", path=f"{BASE}/products", permissions=may, read=self.products),
        )

    async def stock(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /inventory."""
        product_ids = exchange.parameters.product_ids()
        exchange.ignored = exchange.parameters.ignored
        if isinstance(product_ids, Refusal):
            return product_ids
        stock = await self._inventory.stock(call, product_ids)
        headers = {
            "ETag": stock.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "X-API-Key, Authorization",
        }
        if _matches(exchange.request.headers.get("If-None-Match"), stock.etag):
            return Answer(304, b"", headers)
        return Answer(200, stock.body, headers)

    async def products(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /products."""
        parameters = exchange.parameters
        product_ids = parameters.product_ids()
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if isinstance(product_ids, Refusal):
            return product_ids
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
        one = f"{BASE}/reservations/{{id}}"
        return (
            Endpoint(
                method="POST",
                path=f"{BASE}/reserve",
                permissions=(RESERVE_CREATE,),
                needs_body=True,
                keeps_deadline=True,
                write=self.reserve,
            ),
            Endpoint(method="GET", path=f"{BASE}/reservations", read=self.page),
            Endpoint(method="POST", path=f"{BASE}/reservations/cleanup", write=self.clean_up),
            Endpoint(method="GET", path=one, read=self.one),
            Endpoint(method="DELETE", path=one, keeps_deadline=True, write=self.cancel),
            Endpoint(
                method="POST",
                path=f"{one}/activate",
                permissions=(RESERVE_ACTIVATE,),
                needs_body=True,
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
        qr = exchange.parameters.choice("qr", ("image", "token"))
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
        status = parameters.choice("status", (*STATUSES, "all")) or "active"
        asked = ReservationsAsked(
            status=None if status == "all" else cast("ReservationStatus", status),
            product_id=parameters.whole("product_id", low=1, high=PRODUCT_ID_MAX),
            customer_reference=parameters.text("customer_reference"),
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
        one = f"{BASE}/orders/{{id}}"
        return (
            Endpoint(method="GET", path=f"{BASE}/orders", permissions=may, read=self.page),
            Endpoint(method="GET", path=one, permissions=may, read=self.one),
            Endpoint(method="GET", path=f"{one}/tickets", permissions=may, read=self.tickets),
        )

    async def one(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders/{id}."""
        exchange.ignored = exchange.parameters.ignored
        return _read(await self._orders.one(call, exchange.id_in_path))

    async def page(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders."""
        parameters = exchange.parameters
        asked = OrdersAsked(
            product_id=parameters.whole("product_id", low=1, high=PRODUCT_ID_MAX),
            created_from=parameters.instant("created_after"),
            created_before=parameters.instant("created_before"),
            payment_reference=parameters.text("payment_reference"),
            confirmation_code=parameters.text("confirmation_code"),
        )
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(await self._orders.page(call, asked, page))

    async def tickets(self, exchange: Exchange, call: Call) -> Answer | Refusal:
        """GET /orders/{id}/tickets."""
        parameters = exchange.parameters
        qr = parameters.choice("qr", ("image", "token"))
        page = parameters.page()
        exchange.ignored = parameters.ignored
        if parameters.refusal is not None:
            return parameters.refusal
        return _read(
            await self._orders.tickets(call, exchange.id_in_path, page, images=qr != "token")
        )


def _read(content: bytes | Refusal) -> Answer | Refusal:
    return content if isinstance(content, Refusal) else Answer(200, content)


def _ignored(exchange: Exchange, known: frozenset[str]) -> list[str]:
    return [*ignored_fields(exchange.body, known), *exchange.parameters.ignored]


def _matches(given: str | None, etag: str) -> bool:
    """Compare entity tags weakly, as RFC 9110 (13.1.2) asks for GET."""
    if given is None:
        return False
    bare = etag.removeprefix("W/")
    return given.strip() == "*" or any(
        tag.strip().removeprefix("W/") == bare for tag in given.split(",")
    )

"""The partner API as an object: one method for each thing that a partner does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp

from ota_client.calling import Caller
from ota_client.exchange import Answer, Watcher
from ota_client.records import (
    Customer,
    Inventory,
    Order,
    ReceiptCheck,
    Reservation,
    Row,
    Ticket,
    inventory_of,
    order_of,
    receipt_check_of,
    reservation_of,
    ticket_of,
)
from ota_client.retrying import RetryPolicy

PAGE_SIZE_MAX = 100
CONNECTIONS_MAX = 100
REMEMBERED_MAX = 16
RECEIPT = "OTA-Receipt"
USER_AGENT = "ota-client-python/0.1.0"

T = TypeVar("T")


class OtaClient:
    """A partner with its key. Use it as a context manager; it is safe for concurrent calls.

    Every write has an idempotency key, kept over its retries; give one of your own and store
    it first to be able to repeat the call after a crash. Methods raise what is in
    `ota_client.errors`. *session* is for connections of your own making, which stay open.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        retries: RetryPolicy | None = None,
        watcher: Watcher | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._retries = retries or RetryPolicy()
        self._watcher = watcher or Watcher()
        self._given = session
        self._own: aiohttp.ClientSession | None = None
        self._caller: Caller | None = None
        # By what was asked for: the entity tag of the last answer, and what it said.
        self._remembered: dict[str, tuple[str, Inventory]] = {}

    async def __aenter__(self) -> OtaClient:
        """Open connections."""
        session = self._given
        if session is None:
            session = self._own = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                headers={"User-Agent": USER_AGENT},
            )
        self._caller = Caller(
            session=session,
            url=self._url,
            api_key=self._api_key,
            retries=self._retries,
            watcher=self._watcher,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections that this client has opened."""
        self._caller = None
        if self._own is not None:
            await self._own.close()
            self._own = None

    async def inventory(self, *product_ids: int) -> Inventory:
        """Return the stock of these products, without any of all that your channel sells.

        What has not changed since you last asked is not sent again.
        """
        path = "/inventory"
        if product_ids:
            path += "?product_ids=" + ",".join(map(str, product_ids))
        known = self._remembered.get(path)
        answer = await self.send(
            "GET", path, headers={} if known is None else {"If-None-Match": known[0]}
        )
        if answer.status == 304 and known is not None:
            return known[1]
        found = inventory_of(_read(answer))
        if tag := answer.headers.get("ETag"):
            self._remembered.pop(path, None)
            self._remembered[path] = (tag, found)
            if len(self._remembered) > REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
        return found

    async def reserve(
        self,
        product_id: int,
        quantity: int,
        *,
        visit_date: date | None = None,
        expires_at: datetime | None = None,
        customer_reference: str | None = None,
        idempotency_key: str | None = None,
    ) -> Reservation:
        """Hold units, for 24 hours unless *expires_at* (an aware time) says less or up to 48."""
        body = {
            "product_id": product_id,
            "quantity": quantity,
            "visit_date": None if visit_date is None else visit_date.isoformat(),
            "reservation_expires_at": None if expires_at is None else expires_at.isoformat(),
            "customer_reference": customer_reference,
        }
        answer = await self.send("POST", "/reserve", body=body, idempotency_key=idempotency_key)
        return reservation_of(_read(answer), receipt=answer.headers.get(RECEIPT))

    async def activate(
        self,
        reservation_id: str,
        customer: Customer,
        *,
        payment_reference: str,
        customer_types: str | Sequence[str] | None = None,
        visit_date: date | None = None,
        special_requests: str | None = None,
        images: bool = True,
        idempotency_key: str | None = None,
    ) -> Order:
        """Sell held units: return the order with its tickets.

        *customer_types*: one word for all units (adult, child, elderly), or one for each.
        Without *images* tickets come without QR codes, which saves most of the bytes.
        """
        types = customer_types
        body = {
            "customer_details": asdict(customer),
            "payment_reference": payment_reference,
            "customer_type": types if types is None or isinstance(types, str) else list(types),
            "visit_date": None if visit_date is None else visit_date.isoformat(),
            "special_requests": special_requests,
        }
        path = f"/reservations/{_id(reservation_id)}/activate" + ("" if images else "?qr=token")
        answer = await self.send("POST", path, body=body, idempotency_key=idempotency_key)
        return order_of(_read(answer), receipt=answer.headers.get(RECEIPT))

    async def cancel(self, reservation_id: str, *, idempotency_key: str | None = None) -> None:
        """Give held units back."""
        path = f"/reservations/{_id(reservation_id)}"
        await self.send("DELETE", path, idempotency_key=idempotency_key)

    async def reservation(self, reservation_id: str) -> Reservation:
        """Return one of your reservations."""
        return reservation_of(_read(await self.send("GET", f"/reservations/{_id(reservation_id)}")))

    def reservations(
        self,
        *,
        status: str = "active",
        product_id: int | None = None,
        customer_reference: str | None = None,
        page_size: int = PAGE_SIZE_MAX,
    ) -> AsyncIterator[Reservation]:
        """Walk through your reservations, newest first, none skipped and none twice."""
        asked = {
            "status": status,
            "product_id": product_id,
            "customer_reference": customer_reference,
        }
        return self._walk("/reservations", "reservations", asked, page_size, reservation_of)

    async def order(self, order_id: str) -> Order:
        """Return one of your orders, with its customer."""
        return order_of(_read(await self.send("GET", f"/orders/{_id(order_id)}")))

    def orders(
        self,
        *,
        product_id: int | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        payment_reference: str | None = None,
        confirmation_code: str | None = None,
        page_size: int = PAGE_SIZE_MAX,
    ) -> AsyncIterator[Order]:
        """Walk through your orders, newest first, none skipped and none twice."""
        asked = {
            "product_id": product_id,
            "created_after": None if created_after is None else created_after.isoformat(),
            "created_before": None if created_before is None else created_before.isoformat(),
            "payment_reference": payment_reference,
            "confirmation_code": confirmation_code,
        }
        return self._walk("/orders", "orders", asked, page_size, order_of)

    def tickets(
        self, order_id: str, *, images: bool = True, page_size: int = PAGE_SIZE_MAX
    ) -> AsyncIterator[Ticket]:
        """Walk through the tickets of an order."""
        asked = {} if images else {"qr": "token"}
        path = f"/orders/{_id(order_id)}/tickets"
        return self._walk(path, "tickets", asked, page_size, ticket_of)

    async def check_receipt(self, receipt: str) -> ReceiptCheck:
        """Return what became of the event that a receipt of yours names.

        *proven* of it says whether the evidence holds, without trusting the server.
        """
        return receipt_check_of(_read(await self.send("GET", f"/receipts/{_id(receipt)}")))

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Call an endpoint that has no method here; *path* lies below ``/api/ota``.

        Fields of *body* that are None are left out. Retries and raises like all else.
        """
        if self._caller is None:
            raise RuntimeError("use the client in `async with OtaClient(...) as ota:`")
        given = body and {name: value for name, value in body.items() if value is not None}
        return await self._caller.call(
            self._caller.request(
                method, path, body=given, headers=headers, idempotency_key=idempotency_key
            )
        )

    async def _walk(
        self,
        path: str,
        name: str,
        asked: Mapping[str, object],
        page_size: int,
        read: Callable[[Row], T],
    ) -> AsyncIterator[T]:
        query = {key: str(value) for key, value in asked.items() if value is not None}
        query["page_size"] = str(page_size)
        while True:
            page = _read(await self.send("GET", f"{path}?{urlencode(query)}"))
            for row in page[name]:
                yield read(row)
            if page.get("next_cursor") is None:
                return
            query["cursor"] = page["next_cursor"]


def _read(answer: Answer) -> dict[str, Any]:
    """Return the answer's object with money as exact decimals."""
    found: dict[str, Any] = json.loads(answer.body, parse_float=Decimal)
    return found


def _id(text: str) -> str:
    return quote(text, safe="")

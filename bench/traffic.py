"""What clients send, one class for each kind of day; what they send next depends on the answers."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from bench.http1 import RequestTemplate, Response, Site
from bench.tally import ACTIVATE, CANCEL, CREATED_STATUS, LIST, READ, RESERVE, Request

RESERVE_PATH = "/api/ota/reserve"
RESERVATIONS_PATH = "/api/ota/reservations"
ORDERS_PATH = "/api/ota/orders"
INVENTORY_PATH = "/api/ota/inventory"
CUSTOMER: dict[str, Any] = {
    "customer_details": {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": "+44 20 7946 0000",
    },
    "payment_reference": "PAY-1",
    "customer_type": "adult",
}
_ACTIVATION = json.dumps(CUSTOMER, separators=(",", ":")).encode()


class Traffic(Protocol):
    """Decides what is sent; *client* is the number of the connection that is free."""

    def next(self, client: int) -> Request | None:
        """Return the next request, None when there is none any more."""

    def answered(self, client: int, request: Request, response: Response) -> None:
        """Take an answer."""


class Reserves:
    """Reserves with templates that take turns; keeps what it got in *held*, if asked to."""

    def __init__(
        self,
        *,
        templates: Sequence[tuple[RequestTemplate, int, int]],
        key_prefix: str,
        first_number: int = 0,
        requests_max: int | None = None,
        held: deque[Request] | None = None,
    ) -> None:
        self.number = first_number
        self._templates = templates
        self._key_prefix = key_prefix
        self._last = None if requests_max is None else first_number + requests_max
        self._held = held

    def next(self, client: int) -> Request | None:
        """See `Traffic`."""
        number = self.number
        if number == self._last:
            return None
        self.number = number + 1
        template, product, units = self._templates[number % len(self._templates)]
        data = template.request(f"{self._key_prefix}-{number}")
        return Request(RESERVE, data, product, units)

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `Traffic`."""
        if self._held is not None and response.status == CREATED_STATUS:
            request.reservation_id = response.reservation_id()
            self._held.append(request)


class Activations:
    """Activates what is in *held*, until nothing is left."""

    def __init__(self, *, site: Site, key_prefix: str, images: bool, held: deque[Request]) -> None:
        self._held = held
        self._images = images
        self._key_prefix = key_prefix
        self._tail = "/activate" if images else "/activate?qr=token"
        self._head = (
            f" HTTP/1.1\r\nHost: {site.host}:{site.port}\r\nX-API-Key: {site.api_key}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(_ACTIVATION)}\r\nIdempotency-Key: "
        )

    def next(self, client: int) -> Request | None:
        """See `Traffic`."""
        return self.of(self._held.popleft()) if self._held else None

    def of(self, hold: Request) -> Request:
        """Return the activation of a hold."""
        key = f"{self._key_prefix}-{hold.reservation_id}"
        head = (
            f"POST {RESERVATIONS_PATH}/{hold.reservation_id}{self._tail}{self._head}{key}\r\n\r\n"
        )
        return Request(
            ACTIVATE,
            head.encode("ascii") + _ACTIVATION,
            hold.product,
            hold.units,
            hold.reservation_id,
            hold.units if self._images else 0,
        )

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `Traffic`."""


class Pairs:
    """Each client reserves, then activates what it got."""

    def __init__(self, *, reserves: Reserves, activations: Activations) -> None:
        self._reserves = reserves
        self._activations = activations
        self._got: dict[int, Request] = {}

    def next(self, client: int) -> Request | None:
        """See `Traffic`."""
        hold = self._got.pop(client, None)
        return self._reserves.next(client) if hold is None else self._activations.of(hold)

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `Traffic`."""
        if request.kind == RESERVE and response.status == CREATED_STATUS:
            request.reservation_id = response.reservation_id()
            self._got[client] = request


class Reads:
    """Reads the inventory; a *conditional* client says what it has."""

    def __init__(self, *, site: Site, conditional: bool) -> None:
        self._site = site
        self._data = site.bare("GET", INVENTORY_PATH)
        self._conditional = conditional

    def next(self, client: int) -> Request | None:
        """See `Traffic`."""
        return Request(READ, self._data)

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `Traffic`."""
        if self._conditional and (etag := response.etag()) is not None:
            header = b"If-None-Match: " + etag + b"\r\n"
            self._data = self._site.bare("GET", INVENTORY_PATH, headers=header)


class Mixed:
    """A partner's day: 60 % inventory, 20 % reserve, 10 % activate, 4 % cancel, 6 % lists.

    An activation or cancellation takes the oldest own hold; without one it becomes a reserve.
    """

    KINDS: Sequence[tuple[str, float]] = (
        (READ, 0.60),
        (RESERVE, 0.20),
        (ACTIVATE, 0.10),
        (CANCEL, 0.04),
        (LIST, 0.06),
    )

    def __init__(
        self,
        *,
        site: Site,
        reserves: Reserves,
        activations: Activations,
        held: deque[Request],
        seed: int,
    ) -> None:
        self._site = site
        self._reserves, self._activations, self._held = reserves, activations, held
        self._random = random.Random(seed)
        self._read = site.bare("GET", INVENTORY_PATH)
        self._lists = [site.bare("GET", path) for path in (RESERVATIONS_PATH, ORDERS_PATH)]
        self._names = [name for name, _ in self.KINDS]
        self._shares = list(_running(share for _, share in self.KINDS))

    def next(self, client: int) -> Request | None:
        """See `Traffic`."""
        (kind,) = self._random.choices(self._names, cum_weights=self._shares)
        if kind == READ:
            return Request(READ, self._read)
        if kind == LIST:
            return Request(LIST, self._random.choice(self._lists))
        if kind == RESERVE or not self._held:
            return self._reserves.next(client)
        hold = self._held.popleft()
        return self._activations.of(hold) if kind == ACTIVATE else self._cancel(hold)

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `Traffic`."""
        if request.kind == RESERVE:
            self._reserves.answered(client, request, response)

    def _cancel(self, hold: Request) -> Request:
        data = self._site.bare("DELETE", f"{RESERVATIONS_PATH}/{hold.reservation_id}")
        return Request(CANCEL, data, hold.product, hold.units, hold.reservation_id)


def _running(shares: Iterable[float]) -> Iterable[float]:
    total = 0.0
    for share in shares:
        total += share
        yield total

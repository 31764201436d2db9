"""Entry point of `python -m tests.campaign.bounded`: how long each endpoint takes under each fault.

Every endpoint is called without pause while a part of the platform is frozen or away. The promise
is an answer within two seconds, whatever is broken behind the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from bench import facts
from bench.settings import PARTNER_KEY
from deploy import version
from deploy.local.settings import CHECKOUT
from tests.campaign.platform import platform
from tests.campaign.report import write_bounded
from tests.support.deciders import Deciders
from tests.support.servers import Server

PROMISE_S: Final = 2.0
CLIENT_TIMEOUT_S: Final = 15.0
RECOVERY_TIMEOUT_S: Final = 60.0
SETTLE_S: Final = 0.2
PRODUCT: Final = 900
MANY: Final = 100
HOLDS: Final = 60
ASKING: Final = 2
"""Clients of each endpoint at once."""
EVIDENCE: Final = CHECKOUT / "docs" / "evidence"
CUSTOMER: Final = {
    "customer_details": {"name": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000"},
    "payment_reference": "PAY-1",
}
QUOTE: Final = {
    "product_id": 106,
    "booking_dates": ["2026-12-31"],
    "customer_breakdown": [{"customer_type": "adult", "count": 2}],
}

Call = tuple[str, str, Any, Mapping[str, str]]
"""Method, path, body and headers."""


@dataclass(slots=True)
class Seen:
    """What one endpoint has answered."""

    statuses: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return it for a report."""
        return {"slowest_ms": round(self.slowest_s * 1000), "statuses": dict(self.statuses)}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong: how it begins and how it ends."""

    name: str
    begin: Callable[[Deciders], None]
    end: Callable[[Deciders], None]


def _frozen(name: str, *servers: Callable[[Deciders], Server]) -> Fault:
    def begin(deciders: Deciders) -> None:
        for server in servers:
            server(deciders).pause()

    def end(deciders: Deciders) -> None:
        for server in servers:
            server(deciders).resume()

    return Fault(f"{name} frozen", begin, end)


def _killed(name: str, server: Callable[[Deciders], Server]) -> Fault:
    def end(deciders: Deciders) -> None:
        server(deciders).start()

    return Fault(f"{name} killed", lambda deciders: server(deciders).kill(), end)


def _service(name: str) -> Callable[[Deciders], Server]:
    return lambda deciders: deciders.processes[name]


NOTHING: Final = Fault("nothing", lambda _: None, lambda _: None)
FAULTS: Final = (
    NOTHING,
    _frozen("inventory", _service("inventory")),
    _frozen("reservation", _service("reservation")),
    _frozen("fulfillment", _service("fulfillment")),
    _frozen("postgres", lambda deciders: deciders.stack._backend.postgres),
    _killed("postgres", lambda deciders: deciders.stack._backend.postgres),
    _frozen("kafka", lambda deciders: deciders.stack._backend.kafka),
    _killed("kafka", lambda deciders: deciders.stack._backend.kafka),
    _frozen(
        "postgres and kafka",
        lambda deciders: deciders.stack._backend.postgres,
        lambda deciders: deciders.stack._backend.kafka,
    ),
)


class Partner:
    """Calls everything that there is, with holds and orders made while all was well."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.holds: list[str] = []
        self.many: list[str] = []
        self.order_id = ""
        self.reservation_id = ""
        self.position = ""
        self.receipt = ""

    async def prepare(self) -> None:
        """Make an order with many tickets, and holds to work with."""
        self.reservation_id = await self._hold(MANY)
        path = f"/api/ota/reservations/{self.reservation_id}/activate?qr=token"
        _, answer = await self._ask("POST", path, CUSTOMER, {})
        self.order_id = answer["order_id"]
        self.holds = [await self._hold(1) for _ in range(HOLDS)]
        self.many = [await self._hold(MANY) for _ in range(3)]

    async def _hold(self, quantity: int) -> str:
        body = {"product_id": PRODUCT, "quantity": quantity}
        status, answer = await self._ask("POST", "/api/ota/reserve", body, {})
        assert status == 201, answer
        return str(answer["reservation_id"])

    async def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        sent = {"X-API-Key": PARTNER_KEY, **headers}
        async with self._session.request(
            method, self._url + path, json=body, headers=sent
        ) as answer:
            self.position = answer.headers.get("OTA-Position", self.position)
            self.receipt = answer.headers.get("OTA-Receipt", self.receipt)
            read = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(read) if read and is_json else None

    def calls(self) -> dict[str, Callable[[], Call]]:
        """Return what is called, by name; each gives the next call."""
        holds = itertools.cycle(self.holds)
        many = itertools.cycle(self.many)
        base = "/api/ota"

        def get(path: str, **headers: str) -> Callable[[], Call]:
            return lambda: ("GET", path, None, headers)

        def reserve(**fields: Any) -> Callable[[], Call]:
            body = {"product_id": PRODUCT, "quantity": 1, **fields}
            return lambda: ("POST", f"{base}/reserve", body, {"Idempotency-Key": uuid.uuid4().hex})

        def activate(ids: itertools.cycle[str], query: str = "") -> Callable[[], Call]:
            def call() -> Call:
                id = next(ids)
                path = f"{base}/reservations/{id}/activate{query}"
                return "POST", path, CUSTOMER, {"Idempotency-Key": f"activate-{id}"}

            return call

        def told_elsewhere(path: str) -> Callable[[], Call]:
            return lambda: ("GET", path, None, {"OTA-Position": self.position})

        one = f"{base}/orders/{self.order_id}"
        return {
            "GET /healthz": get("/healthz"),
            "GET /openapi.json": get("/openapi.json"),
            "GET /docs": get("/docs"),
            "GET /problems/{word}": get("/problems/sold-out"),
            "GET /pricing/rules/{id}": get("/pricing/rules/106"),
            "POST /pricing/calculate": lambda: ("POST", "/pricing/calculate", QUOTE, {}),
            "GET /inventory": get(f"{base}/inventory"),
            "GET /inventory, told elsewhere": told_elsewhere(f"{base}/inventory"),
            "GET /products": get(f"{base}/products"),
            "POST /reserve": reserve(),
            "POST /reserve, with a reference": reserve(customer_reference="mine"),
            "GET /reservations": get(f"{base}/reservations?status=all"),
            "GET /reservations, told elsewhere": told_elsewhere(f"{base}/reservations"),
            "GET /reservations/{id}": get(f"{base}/reservations/{self.reservation_id}"),
            "POST /reservations/{id}/activate": activate(holds),
            "POST /reservations/{id}/activate, 100 tickets": activate(many),
            "DELETE /reservations/{id}": lambda: (
                "DELETE",
                f"{base}/reservations/{next(holds)}",
                None,
                {"Idempotency-Key": uuid.uuid4().hex},
            ),
            "POST /reservations/cleanup": lambda: (
                "POST",
                f"{base}/reservations/cleanup",
                None,
                {"Idempotency-Key": uuid.uuid4().hex},
            ),
            "GET /orders": get(f"{base}/orders"),
            "GET /orders, by payment": get(f"{base}/orders?payment_reference=PAY-1"),
            "GET /receipts/{receipt}": lambda: ("GET", f"{base}/receipts/{self.receipt}", None, {}),
            "GET /orders/{id}": get(one),
            "GET /orders/{id}/tickets": get(f"{one}/tickets?qr=token"),
            "GET /orders/{id}/tickets, 100 images": get(f"{one}/tickets"),
        }

    async def call_all(self, *, seconds: float) -> dict[str, Seen]:
        """Call everything again and again for so long; return what was answered, by name."""
        found: dict[str, Seen] = {}
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for name, call in self.calls().items():
                found[name] = Seen()
                for _ in range(ASKING):
                    group.create_task(self._keep_calling(call, found[name], until))
        return found

    async def _keep_calling(self, call: Callable[[], Call], seen: Seen, until: float) -> None:
        while time.monotonic() < until:
            began_at = time.monotonic()
            try:
                status, _ = await self._ask(*call())
                said = str(status)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = type(error).__name__
            took_s = time.monotonic() - began_at
            seen.statuses[said] += 1
            seen.slowest_s = max(seen.slowest_s, took_s)
            await asyncio.sleep(0.02)

    async def recovered(self) -> float:
        """Wait until all goes well again and return how long it took; raises AssertionError."""
        began_at = time.monotonic()
        while time.monotonic() - began_at < RECOVERY_TIMEOUT_S:
            try:
                if await self._works():
                    return time.monotonic() - began_at
            except (AssertionError, aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(f"not recovered after {RECOVERY_TIMEOUT_S} s")

    async def _works(self) -> bool:
        id = await self._hold(1)
        path = f"/api/ota/reservations/{id}/activate"
        done, _ = await self._ask("POST", path, CUSTOMER, {})
        read, _ = await self._ask("GET", f"/api/ota/reservations/{id}", None, {})
        listed, _ = await self._ask("GET", "/api/ota/orders", None, {})
        return (done, read, listed) == (201, 200, 200)


@asynccontextmanager
async def open_partner(url: str) -> AsyncIterator[Partner]:
    """Give a partner with enough connections."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S),
        connector=aiohttp.TCPConnector(limit=200),
    ) as session:
        yield Partner(session, url)


async def under(
    fault: Fault, deciders: Deciders, partner: Partner, *, seconds: float
) -> tuple[dict[str, Seen], float]:
    """Return what everything answers under a fault, and how long recovering took."""
    fault.begin(deciders)
    try:
        await asyncio.sleep(SETTLE_S)
        seen = await partner.call_all(seconds=seconds)
    finally:
        fault.end(deciders)
    return seen, await partner.recovered()


async def measure(deciders: Deciders, *, seconds: float, only: str) -> dict[str, Any]:
    """Go through all faults whose name has *only* in it."""
    found = {}
    async with open_partner(deciders.processes["gateway"].url) as partner:
        await partner.recovered()
        for fault in FAULTS:
            if only not in fault.name:
                continue
            await partner.prepare()
            seen, recovered_s = await under(fault, deciders, partner, seconds=seconds)
            found[fault.name] = {
                "slowest_ms": round(max(each.slowest_s for each in seen.values()) * 1000),
                "answers": sum(each.statuses.total() for each in seen.values()),
                "recovered_s": round(recovered_s, 1),
                "endpoints": {name: each.figures() for name, each in seen.items()},
            }
            print(f"{fault.name:28} {found[fault.name]['slowest_ms']:5} ms", flush=True)
    return found


def too_slow(faults: Mapping[str, Any]) -> list[str]:
    """Return the endpoints that broke the promise, and answers of a kind that must not be."""
    found = []
    for fault, result in faults.items():
        for name, seen in result["endpoints"].items():
            if seen["slowest_ms"] >= PROMISE_S * 1000:
                found.append(f"{fault}: {name} took {seen['slowest_ms']} ms")
            odd = [word for word in seen["statuses"] if word == "500" or not word.isdigit()]
            if odd:
                found.append(f"{fault}: {name} answered {odd}")
    return found


def main() -> int:
    """Run it; return 1 if an answer took too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.bounded", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each fault lasts")
    parser.add_argument("--only", default="", help="part of the names of the faults to run")
    parser.add_argument("--report", help="name of the JSON in docs/evidence/ that is written")
    arguments = parser.parse_args()
    with platform() as deciders:
        faults = asyncio.run(measure(deciders, seconds=arguments.seconds, only=arguments.only))
    broken = too_slow(faults)
    result = {
        "command": f"python -m tests.campaign.bounded --seconds {arguments.seconds:g}",
        "machine": facts.machine(),
        "commit": version.commit(),
        "promise_ms": PROMISE_S * 1000,
        "faults": faults,
        "broken": broken,
    }
    if arguments.report:
        write_bounded(EVIDENCE, name=arguments.report, result=result)
    print("\n".join(broken) or "every answer came within the promise")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

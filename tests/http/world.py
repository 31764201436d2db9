"""The real partner API on ports that are in memory, and a client that calls it."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import BaseTestServer, TestClient
from multidict import CIMultiDict

from libs.kernel.catalogue import (
    AddOn,
    Catalogue,
    Entitlement,
    PoolPlan,
    PriceRules,
    Product,
    SpecialDate,
)
from libs.runtime.metrics import Metrics, new_registry
from libs.runtime.tracing import Tracing
from services.gateway.app.positions import PositionSeal
from services.gateway.domain.audit import AuditRow, CallNote
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import KeyedHashes, api_key_hash
from services.gateway.domain.partner import Caller, DirectoryContent
from services.gateway.domain.records import NewKey, StoredKey
from services.gateway.http.api import PartnerApi
from services.gateway.http.assembly import Gateway, LimitRules, Ports, Secrets, assemble
from tests.http.conformance import Watch
from tests.http.market import Market
from tests.http.views import Progress, Views
from tests.support.quota_table import QuotaRows

SECRETS = Secrets(
    master_keys=lambda: (b"m" * 32,), api_key_pepper=b"p" * 32, fingerprint_key=b"f" * 32
)
SEAL = PositionSeal(KeyedHashes(SECRETS.fingerprint_key).position_key())
"""The gateway's own: reads its positions, and writes those of another gateway."""

TEST_KEY = "ota_test_key_12345"
PROD_KEY = "ota_prod_key_67890"
DUDU_KEY = "dudu_key_12345"
FULL_KEY = "ota_full_access_key_99999"
DIRECT_KEY = "direct_web_key_11111"

CUSTOMER = {"name": "陳大文", "email": "tai.man@example.com", "phone": "+86 138 0000 0001"}
ACTIVATION = {"customer_details": CUSTOMER, "payment_reference": "PAY-1"}

_ALL = ("inventory:read", "reserve:create", "reserve:activate", "orders:read")
_PARTNERS = {
    TEST_KEY: ("test_partner", "ota", (*_ALL, "tickets:bulk-generate", "tickets:activate")),
    PROD_KEY: ("prod_partner", "ota", _ALL),
    DUDU_KEY: ("dudu_partner", "ota", ("inventory:read", "orders:read")),
    FULL_KEY: ("ota_full_access_partner", "ota", (*_ALL, "admin:read")),
    DIRECT_KEY: ("direct_web", "direct", _ALL),
}


def prices(adult: int, weekend: int, *, special: bool = True) -> PriceRules:
    """Return price rules as the development catalogue has them, in whole dollars."""
    days = (SpecialDate(on=date(2026, 12, 31), multiplier_permille=1500),) if special else ()
    return PriceRules(
        rule_version=1,
        currency="HKD",
        adult_weekday_minor=adult * 100,
        adult_weekend_minor=weekend * 100,
        child_minor=18_800,
        elderly_minor=18_800,
        special_dates=days,
    )


def product(product_id: int, name: str, rules: PriceRules, *, active: bool = True) -> Product:
    """Return a product with two entitlements."""
    return Product(
        product_id=product_id,
        name=name,
        sku=f"CRUISE-{product_id}",
        ticket_prefix="CRUISE-2025-FERRY",
        active=active,
        prices=rules,
        entitlements=(
            Entitlement(function_code="ferry", function_name="Ferry ride", max_uses=1),
            Entitlement(function_code="tokens", function_name="Playground token", max_uses=10),
        ),
    )


CATALOGUE = Catalogue(
    version=1,
    products=(
        product(106, "Premium Plan", prices(288, 318)),
        product(107, "Pet Plan", prices(188, 188)),
        product(101, "Day Pass", prices(99, 99, special=False)),
        product(105, "Season Pass", prices(599, 599, special=False), active=False),
    ),
    addons=(AddOn(addon_id="tokens", name="Tokens", unit_price_minor=10_000, tokens=10),),
    pools=(
        PoolPlan(pool_no=1, product_id=106, channel="ota", partition=0, units=200),
        PoolPlan(pool_no=2, product_id=107, channel="ota", partition=1, units=150),
        PoolPlan(pool_no=4, product_id=106, channel="direct", partition=1, units=100),
        PoolPlan(pool_no=11, product_id=101, channel="direct", partition=3, units=1000),
        PoolPlan(pool_no=21, product_id=101, channel="ota", partition=3, units=0),
        PoolPlan(pool_no=25, product_id=105, channel="ota", partition=3, units=10),
    ),
)


@dataclass(slots=True)
class Tables:
    """The gateway's own database in memory."""

    keys: dict[str, StoredKey] = field(default_factory=dict)
    added: list[NewKey] = field(default_factory=list)
    statements: int = 0
    partners: dict[str, tuple[str, str, tuple[str, ...]]] = field(
        default_factory=lambda: dict(_PARTNERS)
    )
    directory_version: int = 1
    limits: dict[str, int] = field(default_factory=dict)
    key_uses: dict[str, datetime] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    ends: dict[str, datetime] = field(default_factory=dict)
    marks: dict[str, datetime | None] = field(default_factory=dict)
    told_by_command: dict[str, int] = field(default_factory=dict)
    audit: list[AuditRow] = field(default_factory=list)
    away: bool = False

    def _reachable(self) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")

    async def version(self) -> int:
        """See `services.gateway.app.directory.DirectorySource`."""
        self._reachable()
        return self.directory_version

    async def content(self) -> DirectoryContent:
        """See `services.gateway.app.directory.DirectorySource`."""
        self._reachable()
        keys = {
            api_key_hash(pepper=SECRETS.api_key_pepper, api_key=key): Caller(
                key_id=f"key_{partner_id}",
                partner_id=partner_id,
                name=partner_id,
                channel=channel,
                permissions=frozenset(permissions),
                calls_per_minute=self.limits.get(partner_id, 1000),
                expires_at=self.ends.get(partner_id),
                suspended=partner_id in self.suspended,
            )
            for key, (partner_id, channel, permissions) in self.partners.items()
        }
        return DirectoryContent(
            version=self.directory_version,
            callers={h: each for h, each in keys.items() if each.partner_id not in self.revoked},
            revoked={h: each for h, each in keys.items() if each.partner_id in self.revoked},
        )

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """See `services.gateway.app.directory.DirectorySource`."""
        self._reachable()
        self.key_uses |= uses

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.key_writer.KeyTable`."""
        self._reachable()
        self.statements += 1
        await asyncio.sleep(0)
        self.added += keys
        for key in keys:
            stored = StoredKey(wrapped=key.wrapped, master_key_id=key.master_key_id, erased_at=None)
            self.keys.setdefault(key.key_id, stored)
        return {key.key_id: self.keys[key.key_id] for key in keys}

    async def stored_keys(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.sealing.KeyReader`."""
        self._reachable()
        return {key_id: self.keys[key_id] for key_id in key_ids if key_id in self.keys}

    async def told(self, *, command_id: str) -> int | None:
        """See `services.gateway.app.cleanup.CleanupMarks`."""
        self._reachable()
        return self.told_by_command.get(command_id)

    async def mark(self, *, partner_id: str) -> datetime | None:
        """See `services.gateway.app.cleanup.CleanupMarks`."""
        return self.marks.get(partner_id)

    async def tell(
        self,
        *,
        partner_id: str,
        command_id: str,
        expired: int,
        since: datetime | None,
        until: datetime | None,
    ) -> bool:
        """See `services.gateway.app.cleanup.CleanupMarks`."""
        if self.marks.get(partner_id) != since:
            return False
        self.marks[partner_id] = until
        self.told_by_command[command_id] = expired
        return True

    async def add_rows(self, rows: Sequence[AuditRow]) -> None:
        """See `services.gateway.app.audit.AuditTable`."""
        self._reachable()
        self.audit += rows

    async def delete_old(self, *, older_than_days: int, rows_max: int) -> int:
        """See `services.gateway.app.audit.AuditTable`."""
        self._reachable()
        return 0


class Lines:
    """The access log in memory."""

    def __init__(self) -> None:
        self.notes: list[CallNote] = []

    def write(self, notes: Sequence[CallNote]) -> None:
        """See `services.gateway.app.audit.CallLines`."""
        self.notes += notes


class Images:
    """Draws no QR codes, but something that can be told from any other token's."""

    async def render(self, tokens: Sequence[str]) -> list[str]:
        """See `services.gateway.app.reservations.QrImages`."""
        return [
            "data:image/png;base64," + base64.b64encode(token.encode()).decode() for token in tokens
        ]


class ApiServer(BaseTestServer):
    """Serves a partner API without the bounds of the real port."""

    def __init__(self, api: PartnerApi) -> None:
        super().__init__()
        self._api = api

    async def _make_runner(self, **_: object) -> web.ServerRunner:
        return web.ServerRunner(self._api.server())


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its body read."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    json: Any


@dataclass(slots=True)
class World:
    """A running partner API."""

    gateway: Gateway
    market: Market
    tables: Tables
    client: TestClient[Any, Any]
    monotonic: list[float]
    lines: Lines
    quotas: QuotaRows

    async def limit(self, partner_id: str, calls_per_minute: int) -> None:
        """Change a partner's limit, and let the gateway learn of it."""
        self.tables.limits[partner_id] = calls_per_minute
        self.tables.directory_version += 1
        await self.gateway.directory.refresh()

    async def audited(self) -> list[AuditRow]:
        """Return the audit records of all calls so far."""
        await self.gateway.audit.collect()
        while self.gateway.audit.backlog:
            await self.gateway.audit.store()
        return self.tables.audit

    async def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = TEST_KEY,
        headers: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Answered:
        """Call the API; *path* is taken below ``/api/ota``."""
        sent = CIMultiDict(headers or {})
        if key is not None:
            sent.setdefault("X-API-Key", key)
        response: ClientResponse
        async with self.client.request(method, f"/api/ota{path}", headers=sent, **rest) as response:
            raw = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return Answered(
                response.status,
                response.headers,
                raw,
                await response.json(content_type=None) if is_json and raw else None,
            )

    async def reserve(self, quantity: int = 2, product_id: int = 106, **rest: Any) -> Answered:
        """Make a hold."""
        fields = {"product_id": product_id, "quantity": quantity, **rest.pop("fields", {})}
        return await self.call("POST", "/reserve", json=fields, **rest)

    async def held(self, quantity: int = 2, **rest: Any) -> str:
        """Make a hold that is accepted, and return its id."""
        answered = await self.reserve(quantity, **rest)
        assert 201 == answered.status, answered.raw
        return str(answered.json["reservation_id"])

    async def activate(self, reservation_id: str, query: str = "", **rest: Any) -> Answered:
        """Turn a hold into an order."""
        fields = {**ACTIVATION, **rest.pop("fields", {})}
        path = f"/reservations/{reservation_id}/activate{query}"
        return await self.call("POST", path, json=fields, **rest)

    async def ordered(self, quantity: int = 2, **rest: Any) -> str:
        """Make a hold and an order of it, and return the order's id."""
        key = rest.get("key", TEST_KEY)
        answered = await self.activate(await self.held(quantity, key=key), **rest)
        assert 201 == answered.status, answered.raw
        return str(answered.json["order_id"])

    def later(self, **duration: float) -> None:
        """Let the clocks on the wall go on."""
        self.market.now += timedelta(**duration)

    def wait(self, seconds: float) -> None:
        """Let the gateway hear nothing of anybody for so long."""
        self.monotonic[0] += seconds


@asynccontextmanager
async def running_world(
    rules: LimitRules | None = None, *, tracing: Tracing | None = None
) -> AsyncIterator[World]:
    """Give a partner API with the partners and products of a small development seed."""
    market, tables, images, lines = Market(CATALOGUE), Tables(), Images(), Lines()
    views = Views(market)
    monotonic = [1000.0]
    quotas = QuotaRows(now_ms=lambda: round(monotonic[0] * 1000))
    counter = itertools.count()
    gateway = assemble(
        ports=Ports(
            client=market,
            partners=tables,
            catalogue=views,
            pools=views,
            holds=views,
            reservations=views,
            expired=views,
            orders=views,
            reservation_progress=Progress(market, "reservation"),
            order_progress=Progress(market, "fulfillment"),
            records=views,
            key_table=tables,
            key_reader=tables,
            cleanup_marks=tables,
            quotas=quotas,
            audit_table=tables,
            call_lines=lines,
            images=images,
            now=lambda: market.now,
            monotonic=lambda: monotonic[0],
            random=lambda size: next(counter).to_bytes(size, "big"),
        ),
        secrets=SECRETS,
        metrics=Metrics(new_registry(), service="gateway", version="test"),
        rules=rules,
        tracing=tracing,
    )
    await gateway.directory.refresh()
    gateway.catalogue.replace(CATALOGUE)
    await gateway.availability.load()
    watch = Watch(gateway.api)
    leasing = asyncio.ensure_future(gateway.quotas.run())  # noqa: TID251
    try:
        async with TestClient(ApiServer(gateway.api)) as client:
            yield World(gateway, market, tables, client, monotonic, lines, quotas)
            assert not watch.faults, "\n".join(watch.faults)
    finally:
        leasing.cancel()

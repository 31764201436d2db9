"""Puts the console together and onto the ops port."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from libs.events.kafka.dead_letters import DeadLetters
from libs.runtime.ops import OpsServer
from libs.runtime.postgres import create_pool
from services.gateway.app.catalogue import CatalogueView
from services.gateway.console.entrance import Entrance
from services.gateway.console.live import Hub
from services.gateway.console.panels import Panels
from services.gateway.console.sessions import Sessions
from services.gateway.console.sources import Sources
from services.gateway.console.web import Console
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.settings import Settings, service_urls
from services.gateway.store.database import Pool
from services.gateway.store.operators import OperatorStore

POOL_MAX = 3
"""Connections to each database, apart from those that partners' calls use."""
STATEMENT_TIMEOUT_S = 1.2
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104


async def add_console(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    number: int,
    ops: OpsServer,
    catalogue: CatalogueView,
) -> Hub:
    """Put the console onto the ops port, which has not started yet; `Hub.run` must be run.

    *number* is this gateway's among the gateways.
    """

    async def pool(dsn: str, *, read_only: bool = True) -> Pool:
        return await _pool(dsn, stack, number=number, read_only=read_only)

    operators = OperatorStore(await pool(settings.gateway_dsn, read_only=False))
    letters = DeadLetters(bootstrap=settings.kafka_bootstrap)
    sources = await _sources(settings, pool, ops=ops, catalogue=catalogue)

    def pool_name(pool_no: int) -> str:
        plan = catalogue.pool_numbered(pool_no)
        return f"{plan.product_id} {plan.channel}" if plan is not None else f"pool {pool_no}"

    def product_name(product_id: int) -> str:
        product = catalogue.product(product_id)
        return product.name if product is not None else ""

    hub = Hub(monotonic=time.monotonic)
    console = Console(
        hub=hub,
        panels=Panels(
            sources=sources,
            letters=letters,
            operators=operators,
            product_name=product_name,
            pool_name=pool_name,
        ),
        sources=sources,
        entrance=Entrance(
            operators=operators,
            sessions=Sessions(
                key=KeyedHashes(settings.fingerprint_key).console_key(),
                length=timedelta(hours=settings.console_session_hours),
            ),
            now=_now,
            monotonic=time.monotonic,
            random=os.urandom,
        ),
        operators=operators,
        letters=letters,
        products=lambda: [(id, product_name(id)) for id in catalogue.product_ids],
        secure=settings.console_url.startswith("https://"),
        now=_now,
    )
    ops.add_routes(console.routes())
    return hub


async def _sources(
    settings: Settings,
    pool: Callable[[str], Awaitable[Pool]],
    *,
    ops: OpsServer,
    catalogue: CatalogueView,
) -> Sources:
    def services() -> dict[str, str]:
        host = _ANY_HOST.get(settings.ops_host, settings.ops_host)
        # Asked for when a page is shown: the port may be one that the system chose.
        return {"gateway": f"http://{host}:{ops.port}"} | service_urls(settings.console_services)

    return Sources(
        own=await pool(settings.gateway_dsn),
        views={
            "inventory": await pool(settings.inventory_read_dsn),
            "reservation": await pool(settings.reservation_read_dsn),
            "fulfillment": await pool(settings.fulfillment_read_dsn),
        },
        services=services,
        prometheus_url=settings.prometheus_url,
        grafana_url=settings.grafana_url,
        pools_of_product=lambda product: [plan.pool_no for plan in catalogue.pools_of(product)],
        now=_now,
    )


async def _pool(dsn: str, stack: AsyncExitStack, *, number: int, read_only: bool) -> Pool:
    opened = await create_pool(
        dsn,
        application_name=f"ota-console-{number}",
        size_min=0,
        size_max=POOL_MAX,
        read_only=read_only,
        connect_timeout_s=STATEMENT_TIMEOUT_S,
        command_timeout_s=STATEMENT_TIMEOUT_S,
    )
    stack.callback(opened.terminate)
    return opened


def _now() -> datetime:
    return datetime.now(UTC)

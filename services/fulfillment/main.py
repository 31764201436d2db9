"""The fulfillment service's process: composition and console commands."""

from __future__ import annotations

import asyncio

from libs.events.console import deciding_service
from libs.events.host import Host
from libs.events.topics import RESERVATION_EVENTS
from libs.kernel.ids import Numbers
from libs.runtime.metrics import Metrics
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.fulfillment.settings import MigrationSettings, Settings
from services.fulfillment.store.catalogues import ViewCatalogues
from services.fulfillment.store.tables import MIGRATIONS, TABLES
from services.fulfillment.tickets import TicketSigning


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the service until *stop*."""
    signing = TicketSigning(settings.ticket_signing_key)
    host = Host(
        service="fulfillment",
        settings=settings,
        dsn=settings.fulfillment_dsn,
        ops_port=settings.fulfillment_ops_port,
        metrics=metrics,
        tables=TABLES,
        sources={"reservation": (RESERVATION_EVENTS, settings.reservation_read_dsn)},
        views={"inventory": settings.inventory_read_dsn},
        ops_routes=signing.routes(),
    )
    async with host:
        catalogues = ViewCatalogues(host.pool("inventory"))
        numbers = Numbers(settings.numbering_key)
        await host.serve(
            stop=stop,
            behaviours=lambda _: FulfillmentBehaviour(
                numbers=numbers, sign=signing, catalogues=catalogues
            ),
        )


def cli() -> None:
    """Run the console command ``ota-fulfillment``."""
    deciding_service(
        service="fulfillment",
        description="Orders and signed tickets.",
        settings=Settings,
        serve=serve,
        migration_settings=MigrationSettings,
        migrations=MIGRATIONS,
    )

"""The reservation service's process: composition and console commands."""

from __future__ import annotations

import asyncio

from libs.events.console import deciding_service
from libs.events.host import Host
from libs.events.topics import INVENTORY_EVENTS
from libs.kernel.ids import Numbers
from libs.runtime.metrics import Metrics
from services.reservation.app.behaviour import ReservationBehaviour
from services.reservation.settings import MigrationSettings, Settings
from services.reservation.store.lookup import PostgresHoldsLookup
from services.reservation.store.tables import MIGRATIONS, TABLES


class HoldMetrics:
    """Shows holds and lateness as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: dict[int, int] = {}

    def holds_open(self, partition: int, number: int) -> None:
        """See `services.reservation.app.behaviour.HoldsWatch`."""
        self._open[partition] = number
        self._metrics.holds_open.set(sum(self._open.values()))

    def expired(self, delay_s: float) -> None:
        """See `services.reservation.app.behaviour.HoldsWatch`."""
        self._metrics.hold_expiry_delay_seconds.observe(delay_s)


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the service until *stop*."""
    host = Host(
        service="reservation",
        settings=settings,
        dsn=settings.reservation_dsn,
        ops_port=settings.reservation_ops_port,
        metrics=metrics,
        tables=TABLES,
        sources={"inventory": (INVENTORY_EVENTS, settings.inventory_read_dsn)},
        lazy_topics=(INVENTORY_EVENTS,),
    )
    async with host:
        lookup = PostgresHoldsLookup(own=host.pool("reservation"), inventory=host.pool("inventory"))
        numbers = Numbers(settings.numbering_key)
        watch = HoldMetrics(metrics)
        await host.serve(
            stop=stop,
            behaviours=lambda _: ReservationBehaviour(numbers=numbers, lookup=lookup, watch=watch),
            lost=lambda partition: watch.holds_open(partition, 0),
        )


def cli() -> None:
    """Run the console command ``ota-reservation``."""
    deciding_service(
        service="reservation",
        description="The life of holds and their deadlines.",
        settings=Settings,
        serve=serve,
        migration_settings=MigrationSettings,
        migrations=MIGRATIONS,
    )

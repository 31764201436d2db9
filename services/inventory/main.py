"""The inventory service's process: composition and console commands."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import structlog
from prometheus_client import Gauge

from libs.events.codec import encode
from libs.events.console import deciding_service, start_logs
from libs.events.contracts.inventory import LedgerConflictFound
from libs.events.envelope import Envelope
from libs.events.host import Host
from libs.events.ports import NotSent, Outgoing
from libs.events.topics import INVENTORY_AVAILABILITY, RESERVATION_EVENTS
from libs.runtime.cli import Command, CommandFailed
from libs.runtime.metrics import Metrics
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.app.catalogue_file import CatalogueFileError, load_catalogue
from services.inventory.domain.ledger import Pool
from services.inventory.loading import LoadRefused, load_into_ledger
from services.inventory.settings import LoadSettings, MigrationSettings, Settings
from services.inventory.store.tables import MIGRATIONS, TABLES

log = structlog.get_logger()

REPORT_S = 0.05
REPORT_FULL_S = 1.0


class StockMetrics:
    """Shows the ledger's figures as metrics, those of the partitions that are served here."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def show(self, served: Iterable[InventoryBehaviour]) -> None:
        """Bring the figures up to date, at a scrape."""
        metrics = self._metrics
        figures: dict[Gauge, Callable[[Pool], int]] = {
            metrics.inventory_allotted_units: attrgetter("allotted"),
            metrics.inventory_available_units: attrgetter("available"),
            metrics.inventory_held_units: attrgetter("held"),
            metrics.inventory_sold_units: attrgetter("sold"),
            metrics.inventory_selling: attrgetter("selling"),
        }
        pools = [pool for behaviour in served for pool in behaviour.pools()]
        for gauge, figure in figures.items():
            # A pool that another instance serves now is that one's to show.
            gauge.clear()
            for pool in pools:
                gauge.labels(str(pool.product_id), pool.channel).set(figure(pool))

    def stock(self, pool: Pool) -> None:
        """See `services.inventory.app.behaviour.StockWatch`."""
        if pool.available < 0:
            self._metrics.oversell_incidents.inc()
            log.critical("ledger.oversold", pool_no=pool.pool_no, units=-pool.available)

    def conflict(self, found: LedgerConflictFound) -> None:
        """See `services.inventory.app.behaviour.StockWatch`."""
        self._metrics.ledger_conflicts.inc()
        log.critical(
            "ledger.conflict",
            pool_no=found.pool_no,
            reservation_id=found.reservation_id,
            causation_id=found.event_id,
            reason=found.reason,
        )


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the service until *stop*."""
    behaviours: dict[int, InventoryBehaviour] = {}
    watch = StockMetrics(metrics)

    def behaviour(partition: int) -> InventoryBehaviour:
        return behaviours.setdefault(partition, InventoryBehaviour(watch=watch))

    host = Host(
        service="inventory",
        settings=settings,
        dsn=settings.inventory_dsn,
        ops_port=settings.inventory_ops_port,
        metrics=metrics,
        tables=TABLES,
        sources={"reservation": (RESERVATION_EVENTS, settings.reservation_read_dsn)},
    )

    def served() -> list[InventoryBehaviour]:
        return [each for partition, each in behaviours.items() if partition in host.serving]

    metrics.at_scrape(lambda: watch.show(served()))
    metrics.at_scrape(lambda: metrics.holds_open.set(sum(each.open_holds() for each in served())))
    async with host:

        async def report() -> None:
            await _report(host, behaviours)

        await host.serve(
            stop=stop,
            behaviours=behaviour,
            lost=lambda partition: behaviours[partition].forget(),
            beside=[report],
        )


async def _report(host: Host, behaviours: dict[int, InventoryBehaviour]) -> None:
    """Publish changed figures at once and all of them each second, for the gateways' views."""
    full_at = 0.0
    while True:
        await asyncio.sleep(REPORT_S)
        full = time.monotonic() >= full_at
        if full:
            full_at = time.monotonic() + REPORT_FULL_S
        records = []
        for partition in host.serving:
            behaviour = behaviours[partition]
            report = behaviour.report(full=full)
            if report is None:
                continue
            now = datetime.now(UTC)
            id = f"report-{report.generation}-{partition}-{report.seq}-{now.timestamp()}"
            headers, value = encode(
                Envelope(
                    id=id,
                    source="inventory",
                    time=now,
                    data=report,
                    correlation_id=id,
                    causation_id=id,
                )
            )
            records.append(
                Outgoing(
                    topic=INVENTORY_AVAILABILITY.name,
                    partition=partition,
                    key=b"%d" % partition,
                    headers=headers,
                    value=value,
                )
            )
        try:
            for acknowledged in await host.publisher.send(records):
                await acknowledged
        except NotSent as error:
            log.warning("report.not_sent", reason=str(error))


def _load(settings: LoadSettings, arguments: argparse.Namespace) -> int:
    start_logs("inventory", settings)
    try:
        catalogue = load_catalogue(path=arguments.file)
        asyncio.run(
            load_into_ledger(
                catalogue, bootstrap=settings.kafka_bootstrap, dsn=settings.inventory_dsn
            )
        )
    except (CatalogueFileError, LoadRefused) as error:
        raise CommandFailed(str(error)) from error
    print(
        f"catalogue version {catalogue.version}: {len(catalogue.products)} products,"
        f" {len(catalogue.pools)} pools"
    )
    return 0


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the catalogue, a TOML file")


def cli() -> None:
    """Run the console command ``ota-inventory``."""
    load = Command(
        name="load-catalogue",
        help="make a catalogue file current: products, prices, allotments",
        settings=LoadSettings,
        run=_load,
        arguments=_file,
    )
    deciding_service(
        service="inventory",
        description="The ledger of units, per product and channel.",
        settings=Settings,
        serve=serve,
        migration_settings=MigrationSettings,
        migrations=MIGRATIONS,
        own_commands=[load],
    )

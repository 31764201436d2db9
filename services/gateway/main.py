"""The gateway's process: composition and console commands."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from libs.events.console import start_logs
from libs.events.host import VERSION
from libs.events.requests import CommandClient
from libs.events.topics import REPLY_PARTITIONS
from libs.runtime.certificates import certificate_files
from libs.runtime.cli import Command, CommandFailed, run_command
from libs.runtime.dependencies import Dependencies
from libs.runtime.metrics import Metrics, new_registry
from libs.runtime.migrate import MigrationError, MigrationSet, migrate
from libs.runtime.ops import OpsServer
from libs.runtime.postgres import create_pool
from libs.runtime.steps import Steps
from libs.runtime.supervise import keep_running, run_service, spawn
from libs.runtime.tracing import Tracing, start_tracing
from libs.tickets.renderer import QrRenderer
from services.gateway.app.audit import CallLines, purge_for_ever
from services.gateway.app.availability import load_first
from services.gateway.app.partners_file import (
    PartnerSeed,
    PartnersFileError,
    decide_seeds,
    load_partners,
)
from services.gateway.app.reservations import QrImages
from services.gateway.broker import BrokerLink
from services.gateway.console.assembly import add_console
from services.gateway.domain.directory import Event
from services.gateway.domain.directory_decisions import Refused
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.http.access_log import ConsoleLines, JsonLines
from services.gateway.http.assembly import Gateway, LimitRules, Ports, Secrets, assemble
from services.gateway.http.connection import Bounds
from services.gateway.http.internal_documents import document_routes
from services.gateway.http.measures import MeasuredClient
from services.gateway.http.server import PartnerServer
from services.gateway.http.serving import serve_partners
from services.gateway.settings import LoadSettings, MigrationSettings, Settings
from services.gateway.store.audit import AuditStore
from services.gateway.store.cleanup_marks import CleanupMarkStore
from services.gateway.store.database import Pool
from services.gateway.store.directory import DirectoryStore
from services.gateway.store.event_records import EventRecordViews
from services.gateway.store.inventory_views import InventoryViews
from services.gateway.store.number import GatewayNumber
from services.gateway.store.order_views import OrderViews
from services.gateway.store.partners import PartnerStore
from services.gateway.store.personal_keys import PersonalKeyStore
from services.gateway.store.progress import ViewProgressSource
from services.gateway.store.quotas import QuotaStore
from services.gateway.store.reservation_views import ReservationViews

log = structlog.get_logger()

MIGRATIONS = MigrationSet(name="gateway", folder=Path(__file__).parent / "store" / "migrations")
OWN_POOL_MAX = 8
QUOTA_POOL_MAX = 1
VIEW_POOL_MAX = 6
STATEMENT_TIMEOUT_S = 1.2
GATEWAYS_MAX = REPLY_PARTITIONS - 1
"""Reply partitions for gateways, the last one is the operators'; further gateways share them."""


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the gateway until *stop*."""
    async with AsyncExitStack() as stack:
        claimed = GatewayNumber(settings.gateway_instance, dsn=settings.gateway_dsn)
        number = await claimed.claim()
        ops = OpsServer(
            service="gateway",
            host=settings.ops_host,
            port=settings.gateway_ops_port,
            registry=metrics.registry,
            # Asked for only when the gateway is there: it is put together below.
            routes=document_routes(lambda: gateway.api.document.content),
        )
        link = _broker_link(settings, metrics, number=number)
        images = _qr_renderer(settings, stack, metrics)
        pools = await _open_pools(settings, stack, number=number)
        dependencies = _dependencies(settings, metrics, pools)
        client = MeasuredClient(link, metrics=metrics, pending=link.pending)
        ports = _real_ports(settings, pools, client=client, images=images)
        gateway = _put_together(settings, ports, metrics, number=number, tracing=_tracing(stack))
        stack.push_async_callback(gateway.audit.close)
        stack.push_async_callback(gateway.quotas.leave)
        warm = asyncio.Event()
        checks: dict[str, Callable[[], str | None]] = {
            "partners": gateway.check_directory,
            "catalogue": gateway.check_catalogue,
            "broker": link.missing,
            "images": lambda: None if warm.is_set() else "the QR workers are starting",
        }
        for name, check in checks.items():
            ops.add_ready_check(name, check)
            ops.add_startup_check(name, check)
        console = await add_console(
            settings, stack, number=number, ops=ops, catalogue=gateway.catalogue
        )
        await ops.start()
        stack.push_async_callback(ops.close)
        running: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "directory": gateway.directory.run,
            "key-uses": gateway.directory.run_uses,
            "catalogue": gateway.catalogue.run,
            "figures": lambda: load_first(gateway.availability),
            "broker": lambda: link.run(gateway.heard),
            "dependencies": lambda: dependencies.run(link.reaches_broker),
            "quotas": gateway.quotas.run,
            "audit": gateway.audit.run,
            "audit-retention": lambda: purge_for_ever(
                ports.audit_table, retention_days=settings.audit_retention_days
            ),
            "images": lambda: _start_workers(images, warm),
            "number": claimed.keep,
            "console": console.run,
        }
        async with asyncio.TaskGroup() as group:
            tasks = [
                spawn(group, name, keep_running(name, factory, stop=stop, log=log))
                for name, factory in running.items()
            ]
            server = _partner_server(settings, gateway, metrics)
            await serve_partners(
                server,
                host=settings.partner_host,
                port=settings.partner_port,
                stop=stop,
                warm=warm,
                ready=lambda: all(check() is None for check in checks.values()),
                stopping=ops.drain,
            )
            for task in tasks:
                task.cancel()


def _dependencies(settings: Settings, metrics: Metrics, pools: Mapping[str, Pool]) -> Dependencies:
    return Dependencies(
        metrics=metrics, pools=pools, own="gateway", certificates=certificate_files(settings)
    )


def _broker_link(settings: Settings, metrics: Metrics, *, number: int) -> BrokerLink:
    return BrokerLink(
        bootstrap=settings.kafka_bootstrap,
        instance=number % GATEWAYS_MAX,
        metrics=metrics,
        step=Steps(settings.kill_at),
    )


def _qr_renderer(settings: Settings, stack: AsyncExitStack, metrics: Metrics) -> QrRenderer:
    images = QrRenderer(processes=settings.qr_processes)
    stack.push_async_callback(images.close)
    metrics.qr_processes.set(settings.qr_processes)
    metrics.at_scrape(lambda: metrics.qr_jobs.set(images.jobs))
    return images


def _tracing(stack: AsyncExitStack) -> Tracing | None:
    tracing = start_tracing(service="gateway", version=VERSION)
    if tracing is not None:
        stack.callback(tracing.close)
    return tracing


def _put_together(
    settings: Settings, ports: Ports, metrics: Metrics, *, number: int, tracing: Tracing | None
) -> Gateway:
    return assemble(
        ports=ports,
        secrets=Secrets(
            master_keys=settings.master_keys,
            api_key_pepper=settings.api_key_pepper,
            fingerprint_key=settings.fingerprint_key,
        ),
        metrics=metrics,
        rules=LimitRules(
            gateway_instance=number,
            address_calls_per_second=settings.address_calls_per_second,
            trusted_proxies=settings.trusted_proxies,
        ),
        tracing=tracing,
    )


def _partner_server(settings: Settings, gateway: Gateway, metrics: Metrics) -> PartnerServer:
    return PartnerServer(
        gateway.api,
        refuser=gateway.edge,
        bounds=Bounds(
            connections_max=settings.connections_max,
            address_connections_max=settings.address_connections_max,
        ),
        metrics=metrics,
        random=os.urandom,
        trusted_proxies=settings.trusted_proxies,
    )


async def _start_workers(images: QrRenderer, warm: asyncio.Event) -> None:
    """Start the QR workers now, so that the first activation does not wait for them."""
    await images.render(["WARM"])
    warm.set()


async def _open_pools(settings: Settings, stack: AsyncExitStack, *, number: int) -> dict[str, Pool]:
    async def pool(dsn: str, *, size_max: int, read_only: bool = True) -> Pool:
        # No connection yet: a database that is away must not keep the gateway from starting.
        opened = await create_pool(
            dsn,
            application_name=f"ota-gateway-{number}",
            size_min=0,
            size_max=size_max,
            read_only=read_only,
            connect_timeout_s=STATEMENT_TIMEOUT_S,
            command_timeout_s=STATEMENT_TIMEOUT_S,
        )
        stack.callback(opened.terminate)
        return opened

    return {
        "gateway": await pool(settings.gateway_dsn, size_max=OWN_POOL_MAX, read_only=False),
        # Of its own, so that no flood of other statements makes it wait.
        "quotas": await pool(settings.gateway_dsn, size_max=QUOTA_POOL_MAX, read_only=False),
        "inventory": await pool(settings.inventory_read_dsn, size_max=VIEW_POOL_MAX),
        "reservation": await pool(settings.reservation_read_dsn, size_max=VIEW_POOL_MAX),
        "fulfillment": await pool(settings.fulfillment_read_dsn, size_max=VIEW_POOL_MAX),
    }


def _real_ports(
    settings: Settings, pools: Mapping[str, Pool], *, client: CommandClient, images: QrImages
) -> Ports:
    own, order_views, reservation_views = (
        pools[name] for name in ("gateway", "fulfillment", "reservation")
    )
    inventory = InventoryViews(pools["inventory"])
    reservations = ReservationViews(reservation_views)
    keys = PersonalKeyStore(own)
    return Ports(
        client=client,
        partners=PartnerStore(own),
        catalogue=inventory,
        pools=inventory,
        holds=inventory,
        reservations=reservations,
        expired=reservations,
        orders=OrderViews(order_views),
        reservation_progress=ViewProgressSource(reservation_views, service="reservation"),
        order_progress=ViewProgressSource(order_views, service="fulfillment"),
        records=EventRecordViews(
            {
                "inventory": pools["inventory"],
                "reservation": reservation_views,
                "fulfillment": order_views,
            }
        ),
        key_table=keys,
        key_reader=keys,
        cleanup_marks=CleanupMarkStore(own),
        quotas=QuotaStore(pools["quotas"]),
        audit_table=AuditStore(own),
        call_lines=_call_lines(settings),
        images=images,
        now=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        random=os.urandom,
    )


def _call_lines(settings: Settings) -> CallLines:
    # At a higher level than the lines', nothing of them is wanted.
    which = settings.access_log if settings.log_level in {"DEBUG", "INFO"} else "off"
    if settings.log_format == "console":
        return ConsoleLines(which=which)
    return JsonLines(which=which, service="gateway", version=VERSION)


def _run(settings: Settings, _: argparse.Namespace) -> int:
    metrics = Metrics(new_registry(), service="gateway", version=VERSION)
    return run_service(
        lambda stop: serve(settings, metrics, stop),
        log=start_logs("gateway", settings),
        on_lag=metrics.note_lag,
    )


def _migrate(settings: MigrationSettings, _: argparse.Namespace) -> int:
    start_logs("gateway", settings)
    try:
        done = asyncio.run(
            migrate(
                settings.gateway_owner_dsn,
                sets=[MIGRATIONS],
                log=log,
                readers=["ota_gateway_app"],
            )
        )
    except (MigrationError, OSError) as error:
        raise CommandFailed(f"gateway: {error}") from error
    print(f"gateway: {len(done)} migrations applied")
    return 0


def _load_partners(settings: LoadSettings, arguments: argparse.Namespace) -> int:
    start_logs("gateway", settings)
    try:
        partners = load_partners(path=arguments.file)
        changes = asyncio.run(_store_partners(settings, partners))
    except (PartnersFileError, StoreUnavailable, OSError) as error:
        raise CommandFailed(str(error)) from error
    if isinstance(changes, Refused):
        raise CommandFailed(f"{arguments.file}: nothing was changed: {changes.detail}")
    keys = sum(len(partner.keys) for partner in partners)
    print(f"{len(partners)} partners with {keys} keys; {len(changes)} changes")
    return 0


async def _store_partners(
    settings: LoadSettings, partners: Sequence[PartnerSeed]
) -> tuple[Event, ...] | Refused:
    async with await create_pool(
        settings.gateway_dsn, application_name="ota-load-partners", size_max=1, read_only=False
    ) as pool:
        return await DirectoryStore(pool).change(
            lambda state, now: decide_seeds(
                state, partners, pepper=settings.api_key_pepper, now=now
            ),
            actor="load-partners",
        )


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="partners and their keys, a TOML file")


def cli() -> None:
    """Run the console command ``ota-gateway``; raises SystemExit with its exit code."""
    commands: list[Command[Any]] = [
        Command(name="run", help="serve until stopped", settings=Settings, run=_run),
        Command(
            name="migrate",
            help="bring the database up to date",
            settings=MigrationSettings,
            run=_migrate,
        ),
        Command(
            name="load-partners",
            help="add or change partners and their keys from a file",
            settings=LoadSettings,
            run=_load_partners,
            arguments=_file,
        ),
    ]
    raise SystemExit(
        run_command(
            program="ota-gateway",
            description="The partner API: who may call, and the contract over HTTP.",
            commands=commands,
        )
    )

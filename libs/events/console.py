"""The console command that every deciding service has: run, migrate, and its own."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog

from libs.events.host import VERSION, new_metrics
from libs.events.postgres.generation import StillServed, begin_generation
from libs.runtime.cli import Command, CommandFailed, run_command
from libs.runtime.config import ServiceSettings
from libs.runtime.logs import configure_logs
from libs.runtime.metrics import Metrics
from libs.runtime.migrate import MigrationError, MigrationSet, migrate
from libs.runtime.supervise import run_service

log = structlog.get_logger()

EVENT_LOG = MigrationSet(name="events", folder=Path(__file__).parent / "postgres" / "migrations")

S = TypeVar("S", bound=ServiceSettings)


def deciding_service(
    *,
    service: str,
    description: str,
    settings: type[S],
    serve: Callable[[S, Metrics, asyncio.Event], Coroutine[Any, Any, None]],
    migration_settings: type[ServiceSettings],
    migrations: Path,
    own_commands: Sequence[Command[Any]] = (),
) -> None:
    """Run the console command ``ota-<service>``; raises SystemExit with its exit code.

    *migration_settings* has a field ``<service>_owner_dsn``.
    """

    def run(settings: S, _: argparse.Namespace) -> int:
        metrics = new_metrics(service)
        return run_service(
            lambda stop: serve(settings, metrics, stop),
            log=start_logs(service, settings),
            on_lag=metrics.note_lag,
        )

    def run_migrations(settings: ServiceSettings, _: argparse.Namespace) -> int:
        start_logs(service, settings)
        sets = (EVENT_LOG, MigrationSet(name=service, folder=migrations))
        dsn = getattr(settings, f"{service}_owner_dsn")
        try:
            done = asyncio.run(migrate(dsn, sets=sets, log=log, readers=[f"ota_{service}_app"]))
        except (MigrationError, OSError) as error:
            raise CommandFailed(f"{service}: {error}") from error
        print(f"{service}: {len(done)} migrations applied")
        return 0

    def run_begin_generation(settings: ServiceSettings, _: argparse.Namespace) -> int:
        dsn = getattr(settings, f"{service}_owner_dsn")
        try:
            begun = asyncio.run(begin_generation(dsn))
        except StillServed as error:
            raise CommandFailed(f"{service}: {error}; stop every ota-{service} first") from error
        except OSError as error:
            raise CommandFailed(f"{service}: the database cannot be reached: {error}") from error
        for each in begun:
            print(
                f"{service} partition {each.partition}: generation {each.generation} begins after"
                f" event {each.seq} of {each.decided_at.isoformat()}"
            )
        return 0

    commands: list[Command[Any]] = [
        Command(name="run", help="serve until stopped", settings=settings, run=run),
        Command(
            name="migrate",
            help="bring the database up to date",
            settings=migration_settings,
            run=run_migrations,
        ),
        Command(
            name="begin-generation",
            help="after a restore, once, before the first start: nothing given out is given again",
            settings=migration_settings,
            run=run_begin_generation,
        ),
        *own_commands,
    ]
    raise SystemExit(
        run_command(program=f"ota-{service}", description=description, commands=commands)
    )


def start_logs(service: str, settings: ServiceSettings) -> structlog.typing.FilteringBoundLogger:
    """Set up logging as the settings say and return a logger."""
    return configure_logs(
        service=service,
        version=VERSION,
        level=settings.log_level,
        log_format=settings.log_format,
    )

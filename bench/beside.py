"""What the stack is compared with, in the same run: bare HTTP, SQL's hot row, the usual way."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bench import echo, hot_row, usual_way
from bench.generator import Plan
from bench.ground import Ground
from bench.row import Row, row_of
from bench.settings import HOT_PRODUCT, PARTNER_KEY
from bench.tally import CREATED
from bench.workload import Step, WorkloadError, run

START_TIMEOUT_S = 20
BODY = {"product_id": HOT_PRODUCT, "quantity": 1}


@dataclass(frozen=True, slots=True)
class Echo:
    """A bare aiohttp server that is sent the same bytes."""

    name: str = "echo"
    about: str = "A bare aiohttp server answers the same request bytes."
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        async with serving("bench.echo") as (port, pid):
            pids = {"echo": pid}
            (step,) = await _load(ground, port, path=echo.PATH, clients=(32,), pids=pids)
        return [_row(step, self.name, counted="answers", expected="200")]


@dataclass(frozen=True, slots=True)
class UsualWay:
    """The same reserve as one transaction that locks the stock row (bench/usual_way.py)."""

    name: str = "usual-way"
    about: str = "The same reserve as one transaction with SELECT ... FOR UPDATE on the stock row."
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        try:
            dsn = await hot_row.prepare(admin_dsn=ground.stack.admin_dsn)
        except hot_row.HotRowError as error:
            return [_missing(self.name, str(error))]
        environment = {usual_way.DSN_VARIABLE: dsn, usual_way.KEY_VARIABLE: PARTNER_KEY}
        async with serving("bench.usual_way", environment=environment) as (port, pid):
            pids = {"usual-way": pid, "postgres": ground.stack.pids.get("postgres", 0)}
            steps = await _load(
                ground, port, path=usual_way.PATH, clients=(1, 8, 32, 128), pids=pids
            )
        return [_row(step, self.name, counted="reserves", expected=CREATED) for step in steps]


@dataclass(frozen=True, slots=True)
class HotRowBeside:
    """pgbench on the same PostgreSQL; a machine without pgbench still gets the other figures."""

    name: str = "hot-row"
    about: str = f"pgbench, one hot row in SQL: {hot_row.SCRIPT.strip()}"
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        rows = []
        seconds = ground.settings.seconds
        try:
            pgbench = hot_row.find_pgbench(configured=ground.stack.postgres_bin)
            dsn = await hot_row.prepare(admin_dsn=ground.stack.admin_dsn)
            free = await hot_row.free_connections(dsn=dsn)
            for clients in dict.fromkeys(min(each, free) for each in hot_row.CLIENTS):
                ground.screen.progress(f"pgbench, {clients} clients, {seconds} s")
                done = await hot_row.run(pgbench=pgbench, dsn=dsn, clients=clients, seconds=seconds)
                rows.append(
                    Row(
                        scenario=self.name,
                        label=_clients(clients),
                        counted="updates",
                        per_s=done.per_s,
                        figures={"mean ms": done.mean_ms},
                    )
                )
        except hot_row.HotRowError as error:
            rows.append(_missing(self.name, str(error)))
        return rows


@asynccontextmanager
async def serving(
    module: str, *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[int, int]]:
    """Run a server that prints its port; yield port and process id. Raises WorkloadError."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=None if environment is None else {**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                port = await server.stdout.readline()
        except TimeoutError as error:
            raise WorkloadError(f"{module} did not start in time") from error
        if not port.strip().isdigit():
            raise WorkloadError(f"{module} did not start")
        yield int(port), server.pid
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def _load(
    ground: Ground, port: int, *, path: str, clients: tuple[int, ...], pids: Mapping[str, int]
) -> list[Step]:
    """Load a server of our own: not the stack's gateway, so nothing is accounted for."""
    plan: Plan = ground.plan(
        bodies=(BODY,), host="127.0.0.1", port=port, path=path, clients=clients
    )
    return await run(
        plan=plan,
        pids={name: pid for name, pid in pids.items() if pid},
        progress=ground.screen.progress,
    )


def _row(step: Step, scenario: str, *, counted: str, expected: str) -> Row:
    return row_of(
        step,
        scenario=scenario,
        label=_clients(step.clients),
        counted=counted,
        expected=frozenset({expected}),
    )


def _missing(scenario: str, why: str) -> Row:
    return Row(scenario=scenario, label="not measured", counted="", notes=(why,))


def _clients(number: int) -> str:
    return "1 connection" if number == 1 else f"{number} connections"

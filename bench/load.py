"""The canonical workload: closed-loop reserving on one hot product, alternatives beside it.

In one run on one machine: bare HTTP (echo), the reserve path at rising numbers of
clients, PostgreSQL's hot row. Ends with a proof that no unit was lost or made up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from bench import echo, hot_row
from bench.closed_loop import CREATED
from bench.cpu import per_answer_us
from bench.generator import Plan
from bench.progress import Screen
from bench.seed import Inventory
from bench.settings import ECHO_CLIENTS, PARTNER_KEY, SQL_CLIENTS, LoadSettings
from bench.stack import PROCESSES, Stack
from bench.table import Cell, render
from bench.workload import GENERATOR, Step, WorkloadError, run

RESERVE_PATH = "/api/ota/reserve"
QUANTITY = 1
ECHO_START_TIMEOUT_S = 10
GENERATOR_BUSY = 0.9
ECHO = "echo"
COLUMNS = (*PROCESSES, GENERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conservation:
    """Whether the stock fell by exactly what was accepted."""

    before: int
    after: int
    accepted: int
    unresolved: int

    @property
    def holds(self) -> bool:
        """Say whether it did; requests without a known outcome leave room for themselves only."""
        return 0 <= self.before - self.after - self.accepted <= self.unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Everything that was measured in one run."""

    echo: list[Step]
    steps: list[Step]
    hot_row: list[hot_row.HotRow]
    hot_row_problem: str | None
    conservation: Conservation

    @property
    def unexpected(self) -> dict[str, int]:
        """Answers that were not 201, by status and word."""
        found: dict[str, int] = {}
        for step in self.steps:
            for word, count in step.unexpected(expected=frozenset({CREATED})).items():
                found[word] = found.get(word, 0) + count
        return found

    @property
    def passed(self) -> bool:
        """Say whether every answer was right and no unit was lost or made up."""
        return not self.unexpected and self.conservation.holds


async def measure(
    *, stack: Stack, inventory: Inventory, settings: LoadSettings, screen: Screen, run_id: str
) -> LoadResult:
    """Run the whole workload; raises WorkloadError, StackMissing."""
    bodies = tuple({"product_id": each, "quantity": QUANTITY} for each in settings.products)
    screen.line("Bare aiohttp echo, the same request bytes:")
    echo_steps = await _echo(settings=settings, body=bodies[0], screen=screen, run_id=run_id)
    show(screen, echo_steps, names=(ECHO, GENERATOR))
    screen.line(f"POST {RESERVE_PATH}, {QUANTITY} unit each, of {_named(settings.products)}:")
    before = await inventory.available()
    steps = await run(
        plan=Plan(
            host=stack.partner.connect_host,
            port=stack.partner.port,
            path=RESERVE_PATH,
            api_key=PARTNER_KEY,
            bodies=bodies,
            key_prefix=f"bench-{run_id}",
            clients=settings.clients,
            warm_up_s=settings.warm_up_s,
            seconds=settings.seconds,
        ),
        pids=stack.pids,
        progress=screen.progress,
    )
    after = await inventory.available()
    show(screen, steps, names=COLUMNS)
    rows, problem = await _hot_row(stack=stack, seconds=settings.seconds, screen=screen)
    return LoadResult(
        echo=echo_steps,
        steps=steps,
        hot_row=rows,
        hot_row_problem=problem,
        conservation=Conservation(
            before=sum(before[each] for each in settings.products),
            after=sum(after[each] for each in settings.products),
            accepted=QUANTITY * sum(step.accepted for step in steps),
            unresolved=QUANTITY * sum(step.unresolved for step in steps),
        ),
    )


def step_table(steps: Sequence[Step]) -> str:
    """Return the steps' throughput and latency as a table."""
    rows: list[list[Cell]] = []
    for step in steps:
        latency = asdict(step.latency).values() if step.latency else [None] * 4
        rows.append([step.clients, step.per_s, *latency])
    header = ("clients", "answers/s", "p50 ms", "p95 ms", "p99 ms", "max ms")
    return render(header=header, rows=rows)


def cpu_table(steps: Sequence[Step], *, names: Sequence[str]) -> str:
    """Return the CPU time per request of the *names* as a table, in microseconds."""
    rows: list[list[Cell]] = []
    for step in steps:
        cpu = per_answer_us(seconds=step.cpu_s, answers=step.answers_in_window, names=names)
        known = [value for value in cpu.values() if value is not None]
        rows.append([step.clients, *cpu.values(), sum(known) if known else None])
    return render(header=("clients", *names, "in all"), rows=rows)


def show(screen: Screen, steps: Sequence[Step], *, names: Sequence[str]) -> None:
    """Write both tables of *steps*."""
    screen.line(step_table(steps))
    screen.line()
    screen.line("CPU, microseconds per request:")
    screen.line(cpu_table(steps, names=names))
    screen.line()


def remarks(result: LoadResult) -> list[str]:
    """Return what a reader must know besides the figures."""
    lines = []
    for word, count in sorted(result.unexpected.items()):
        lines.append(f"✗ {count:,} answers were {word!r} instead of 201")
    if any(step.unresolved for step in result.steps):
        lines.append(f"✗ {result.conservation.unresolved:,} requests have no known outcome")
    for step in result.steps:
        if step.cpu_s.get(GENERATOR, 0.0) > GENERATOR_BUSY * step.window_s:
            lines.append(f"! at {step.clients} clients the generator itself was the limit")
    if result.hot_row_problem:
        lines.append(f"! no hot row to compare with: {result.hot_row_problem}")
    kept = result.conservation
    lines.append(
        f"{'✓' if kept.holds else '✗'} conservation: the stock fell by "
        f"{kept.before - kept.after:,}, accepted were {kept.accepted:,} units"
    )
    if not kept.holds:
        lines.append("  (holds of a run a day ago that end during this one would show here, too)")
    return lines


def as_json(result: LoadResult, *, settings: LoadSettings) -> dict[str, Any]:
    """Return the result for the JSON file."""
    return {
        "passed": result.passed,
        "settings": asdict(settings),
        "sql": hot_row.SCRIPT.strip(),
        "reserve": [_step_json(step) for step in result.steps],
        "echo": [_step_json(step) for step in result.echo],
        "hot_row": [asdict(row) for row in result.hot_row],
        "hot_row_problem": result.hot_row_problem,
        "conservation": {**asdict(result.conservation), "holds": result.conservation.holds},
    }


def _named(products: Sequence[int]) -> str:
    return f"product {', '.join(map(str, products))}"


def _step_json(step: Step) -> Mapping[str, Any]:
    names = sorted(step.cpu_s)
    return {
        **asdict(step),
        "per_s": round(step.per_s, 1),
        "cpu_us_per_request": per_answer_us(
            seconds=step.cpu_s, answers=step.answers_in_window, names=names
        ),
    }


async def _echo(
    *, settings: LoadSettings, body: dict[str, Any], screen: Screen, run_id: str
) -> list[Step]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.echo", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(ECHO_START_TIMEOUT_S):
            port = await server.stdout.readline()
        if not port.strip().isdigit():
            raise WorkloadError("the echo server did not start")
        return await run(
            plan=Plan(
                host="127.0.0.1",
                port=int(port),
                path=echo.PATH,
                api_key=PARTNER_KEY,
                bodies=(body,),
                key_prefix=f"echo-{run_id}",
                clients=ECHO_CLIENTS,
                warm_up_s=min(1, settings.warm_up_s),
                seconds=min(4, settings.seconds),
            ),
            pids={ECHO: server.pid},
            progress=screen.progress,
        )
    except TimeoutError as error:
        raise WorkloadError("the echo server did not start in time") from error
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def _hot_row(
    *, stack: Stack, seconds: int, screen: Screen
) -> tuple[list[hot_row.HotRow], str | None]:
    """Run pgbench's steps; a machine without pgbench still gets the other figures."""
    rows: list[hot_row.HotRow] = []
    try:
        pgbench = hot_row.find_pgbench(configured=stack.postgres_bin)
        dsn = await hot_row.prepare(admin_dsn=stack.admin_dsn)
        for clients in SQL_CLIENTS:
            screen.progress(f"pgbench, {clients} clients, {seconds} s")
            rows.append(
                await hot_row.run(pgbench=pgbench, dsn=dsn, clients=clients, seconds=seconds)
            )
    except hot_row.HotRowError as error:
        return rows, str(error)
    screen.line("pgbench beside it, one hot row in SQL (UPDATE ... + 1 RETURNING, prepared):")
    screen.line(
        render(
            header=("clients", "updates/s", "mean ms"),
            rows=[(row.clients, row.per_s, row.mean_ms) for row in rows],
        )
    )
    screen.line()
    return rows, None

"""`make bench-growth`: the same load at 0, 10,000, 100,000 and 1,000,000 units sold, with 100,000
open holds, and after a restart; how fast services start, and what a hold costs in memory.

On a stack of its own with fresh data. Units are sold the way partners sell them: reserve, then
activate, through the API.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from bench import facts, probe
from bench.idle import memory_mib
from bench.own_stack import OwnStack, fresh_stack
from bench.progress import Screen
from bench.restart import restart
from bench.settings import HOT_PRODUCT
from bench.stack import Stack, StackMissing
from bench.table import Cell, render
from bench.workload import Step, WorkloadError, run
from deploy import version
from deploy.local.settings import SERVICES, SettingsError

LEVELS = (0, 10_000, 100_000, 1_000_000)
OPEN_HOLDS = 100_000
RESERVE_CLIENTS = (32, 128)
READ_CLIENTS = 32
# Small sales make more rows a unit, large ones reach a million within minutes.
SALE_CLIENTS, SALE_QUANTITY, SMALL_SALE_QUANTITY, SMALL_BELOW = 16, 100, 10, 10_001
SALE_STEP_S, HOLD_STEP_S, HOLD_CLIENTS = 5, 5, 128
SETTLE_S, SETTLE_S_MAX = 3, 90
VACUUMING = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
DRIFT_MAX, START_S_MAX = 0.10, 5.0
EXIT_OFF, EXIT_UNABLE, INTERRUPTED = 1, 2, 130
GOOD = frozenset({"200", "201", "reserve 201"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One kind of load at one level."""

    load: str
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Everything at one amount of data; memory in MiB, start-up in seconds, by service.

    *memory_mib* is read right after the restart that gave *start_s*, with *holds_then* open.
    """

    name: str
    sold: int
    holds: int
    figures: tuple[Figure, ...]
    memory_mib: Mapping[str, float]
    start_s: Mapping[str, float]
    holds_then: int


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--max", type=int, default=LEVELS[-1], help="units sold to stop at")
    parser.add_argument("--holds", type=int, default=OPEN_HOLDS, help="open holds at the end")
    parser.add_argument("--seconds", type=int, default=8, help="length of a measured window (8)")
    parser.add_argument("--warm-up-seconds", type=int, default=3, help="time before it (3)")
    return parser.parse_args()


class Growth:
    """One run on a stack of its own."""

    def __init__(
        self, *, own: OwnStack, stack: Stack, given: argparse.Namespace, screen: Screen
    ) -> None:
        self._own = own
        self._stack = stack
        self._given = given
        self._screen = screen
        self.sales: list[tuple[int, float]] = []
        self.faults: list[str] = []

    async def run(self) -> list[Level]:
        """Go through all levels; raises StackMissing, WorkloadError."""
        await probe.prepare(stack=self._stack)
        found = []
        for target in [each for each in LEVELS if each <= self._given.max]:
            await self._sell(target)
            found.append(await self._level(f"{target:,} sold"))
            self._screen.line(line_of(found[-1]))
        await self._hold(self._given.holds)
        found.append(await self._level(f"{self._given.holds:,} open holds"))
        self._screen.line(line_of(found[-1]))
        found.append(await self._level("after a restart"))
        self._screen.line(line_of(found[-1]))
        return found

    async def _level(self, name: str) -> Level:
        """Measure, then restart every service and see how soon it serves again."""
        await self._settle()
        sold, holds = await self._standing()
        figures = [
            await self._figure(f"reserve, {clients}", clients=clients)
            for clients in RESERVE_CLIENTS
        ]
        figures.append(
            await self._figure(f"inventory, {READ_CLIENTS}", clients=READ_CLIENTS, traffic="read")
        )
        start_s = {}
        for service in ("fulfillment", "reservation", "inventory", "gateway"):
            self._screen.progress(f"{name}: {service} starts again")
            start_s[service] = round(await restart(stack=self._stack, service=service), 2)
        self._stack = await self._own.up()
        _, holds_then = await self._standing()
        return Level(
            name=name,
            sold=sold,
            holds=holds,
            figures=tuple(figures),
            memory_mib=memory_mib(self._stack.pids),
            start_s=start_s,
            holds_then=holds_then,
        )

    async def _figure(self, load: str, *, clients: int, traffic: str = "reserve") -> Figure:
        step = await self._load(
            clients=clients,
            traffic=traffic,
            warm_up_s=self._given.warm_up_seconds,
            seconds=self._given.seconds,
        )
        if step.latency is None:
            raise WorkloadError(f"{load}: nothing was answered: {dict(step.outcomes)}")
        return Figure(
            load=load,
            per_s=round(step.per_s, 1),
            p50_ms=step.latency.p50_ms,
            p99_ms=step.latency.p99_ms,
        )

    async def _load(self, **more: Any) -> Step:
        plan = probe.plan_of(stack=self._stack, **more)
        steps = await run(plan=plan, pids=self._stack.pids, progress=self._screen.progress)
        for word, count in steps[0].unexpected(expected=GOOD).items():
            self.faults.append(f"{plan.traffic}: {count} answers were {word!r}")
        return steps[0]

    async def _sell(self, target: int) -> None:
        began, first = time.monotonic(), (await self._standing())[0]
        sold = first
        small = target < SMALL_BELOW
        while sold < target:
            await self._load(
                clients=SALE_CLIENTS,
                traffic="pairs",
                quantity=SMALL_SALE_QUANTITY if small else SALE_QUANTITY,
                warm_up_s=0,
                seconds=1 if small else SALE_STEP_S,
            )
            sold = (await self._standing())[0]
            elapsed_s = time.monotonic() - began
            left_s = (target - sold) * elapsed_s / max(1, sold - first)
            self._screen.progress(f"{sold:,} of {target:,} sold, {max(0.0, left_s):,.0f} s left")
        self.sales.append((sold - first, round(time.monotonic() - began, 1)))

    async def _hold(self, target: int) -> None:
        while (holds := (await self._standing())[1]) < target:
            self._screen.progress(f"{holds:,} of {target:,} open holds")
            await self._load(clients=HOLD_CLIENTS, warm_up_s=0, seconds=HOLD_STEP_S)

    async def _settle(self) -> None:
        """Let what the bulk before has left behind end: dirty pages, vacuuming.

        Data is to be measured at its size, not the minute after an hour's sales were put in.
        """
        database = await self._ledger()
        try:
            self._screen.progress("the database writes out what it has")
            await database.execute("CHECKPOINT")
            deadline = time.monotonic() + SETTLE_S_MAX
            await asyncio.sleep(SETTLE_S)
            while time.monotonic() < deadline and await database.fetchval(VACUUMING):
                self._screen.progress("the database is still vacuuming")
                await asyncio.sleep(1)
        finally:
            await database.close()

    async def _ledger(self) -> asyncpg.Connection[asyncpg.Record]:
        dsn = urlsplit(self._stack.admin_dsn)._replace(path="/ota_inventory").geturl()
        return await asyncpg.connect(dsn, timeout=10, command_timeout=SETTLE_S_MAX)

    async def _standing(self) -> tuple[int, int]:
        """Return units sold of the hot product, and open holds."""
        database = await self._ledger()
        try:
            sold = await database.fetchval(
                "SELECT sold FROM pool WHERE product_id = $1 AND channel = 'bench'", HOT_PRODUCT
            )
            holds = await database.fetchval("SELECT count(*) FROM hold WHERE status = 'held'")
        finally:
            await database.close()
        return int(sold), int(holds)


def bytes_per_hold(levels: Sequence[Level]) -> dict[str, float]:
    """Return what an open hold costs, from the freshly started processes at first and last."""
    first, last = levels[0], levels[-1]
    holds = last.holds_then - first.holds_then
    return {
        name: (last.memory_mib[name] - first.memory_mib[name]) * 2**20 / holds
        for name in ("inventory", "reservation")
        if holds > 0 and name in first.memory_mib and name in last.memory_mib
    }


def ratios(levels: Sequence[Level]) -> list[tuple[str, str, float, float, float]]:
    """Return name, load, and throughput, p50 and p99 as ratios to the first level's."""
    first = {each.load: each for each in levels[0].figures}
    return [
        (
            level.name,
            each.load,
            each.per_s / first[each.load].per_s,
            each.p50_ms / first[each.load].p50_ms,
            each.p99_ms / first[each.load].p99_ms,
        )
        for level in levels
        for each in level.figures
    ]


def line_of(level: Level) -> str:
    """Return a level in one line."""
    loads = "; ".join(
        f"{each.load}: {each.per_s:,.0f}/s p50 {each.p50_ms:.1f} p99 {each.p99_ms:.1f} ms"
        for each in level.figures
    )
    return f"{level.name} ({level.sold:,} sold, {level.holds:,} open holds): {loads}"


def report(levels: Sequence[Level], *, sales: Sequence[tuple[int, float]]) -> str:
    """Return the tables of a run."""
    rows: list[list[Cell]] = []
    at = iter(ratios(levels))
    for level in levels:
        for each in level.figures:
            _, _, throughput, p50, p99 = next(at)
            shares: list[Cell] = [f"{throughput:.2f}", f"{p50:.2f}", f"{p99:.2f}"]
            figures: list[Cell] = [each.per_s, each.p50_ms, each.p99_ms]
            rows.append([level.name, each.load, *figures, *shares])
    header = ("level", "load", "a second", "p50 ms", "p99 ms", "ratio", "of p50", "of p99")
    starts: list[list[Cell]] = [
        [level.name, level.sold, level.holds_then, *(level.start_s[name] for name in SERVICES)]
        for level in levels
    ]
    memory: list[list[Cell]] = [
        [level.name, level.holds_then, *(level.memory_mib.get(name) for name in SERVICES)]
        for level in levels
    ]
    sold = ", ".join(f"{units:,} in {seconds:,.0f} s" for units, seconds in sales if units)
    held = ", ".join(f"{name} {size:,.0f}" for name, size in bytes_per_hold(levels).items())
    worst = min(throughput for _, _, throughput, _, _ in ratios(levels))
    slowest = max(max(level.start_s.values()) for level in levels)
    return "\n".join(
        (
            render(header=header, rows=rows),
            "",
            "Seconds from a process's start to ready, one service at a time:",
            render(header=("after level", "sold", "open holds", *SERVICES), rows=starts),
            "",
            "MiB (proportional set size) right after that start:",
            render(header=("after level", "open holds", *SERVICES), rows=memory),
            "",
            f"bytes of memory an open hold: {held or 'not known'}",
            f"units sold through the API: {sold or 'none'}",
            f"{_mark(worst >= 1 - DRIFT_MAX)} lowest throughput: {worst:.2f} of the first level's",
            f"{_mark(slowest < START_S_MAX)} slowest start: {slowest:.1f} s",
        )
    )


def _mark(good: bool) -> str:
    return "✓" if good else "✗"


async def growth(*, given: argparse.Namespace, screen: Screen) -> bool:
    """Run, show and keep; return whether every answer was right."""
    at = datetime.now(UTC)
    machine, commit = facts.machine(), version.commit()
    async with fresh_stack(name="growth", screen=screen) as (own, stack):
        measured = Growth(own=own, stack=stack, given=given, screen=screen)
        levels = await measured.run()
    text = report(levels, sales=measured.sales)
    screen.line()
    screen.line(text)
    for fault in measured.faults:
        screen.line(f"✗ {fault}")
    result = {
        "kind": "growth",
        "started_at": at.isoformat(timespec="seconds"),
        "commit": commit,
        "machine": machine,
        "levels": [asdict(each) for each in levels],
        "bytes_per_open_hold": bytes_per_hold(levels),
        "sales": measured.sales,
        "faults": measured.faults,
    }
    path = facts.save(result=result, kind="growth", at=at)
    page = path.with_suffix(".md")
    page.write_text(f"# Growth\n\n```\n{text}\n```\n", encoding="utf-8")
    screen.line(f"written to {facts.shown(path)} and {facts.shown(page)}")
    return not measured.faults


def main() -> int:
    """Measure growth; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    try:
        return 0 if asyncio.run(growth(given=given, screen=screen)) else EXIT_OFF
    except (StackMissing, WorkloadError, SettingsError) as error:
        screen.line(f"✗ {error}")
        return EXIT_UNABLE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

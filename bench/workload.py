"""Runs a plan in the generator's process and reads the CPU clocks at both ends of each window."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.cpu import CpuClocks, used
from bench.generator import Plan
from bench.percentiles import Latency
from bench.scrape import Reading, Scraper, between

GENERATOR = "generator"
SILENCE_S_MAX = 120
Progress = Callable[[str], None]


class WorkloadError(Exception):
    """The generator could not do its work; the message carries its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The figures of one step; *cpu_s* is CPU time inside the window by process.

    *answers_in_window* and *latency* are those of the main kind of request, *kinds* has each.
    *taken* and *given_back* are units by product, over the whole step. *open* is what only an
    open loop knows; *hops* are the services' own figures.
    """

    clients: int
    window_s: float
    answers_in_window: int
    latency: Latency | None
    outcomes: Mapping[str, int]
    accepted: int
    unresolved: int
    cpu_s: Mapping[str, float]
    activated: int = 0
    kinds: Mapping[str, Any] = field(default_factory=dict)
    taken: Mapping[int, int] = field(default_factory=dict)
    given_back: Mapping[int, int] = field(default_factory=dict)
    open: Mapping[str, Any] = field(default_factory=dict)
    hops: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Answers a second inside the window."""
        return self.answers_in_window / self.window_s if self.window_s else 0.0

    def unexpected(self, *, expected: frozenset[str]) -> dict[str, int]:
        """Return the outcomes that are none of *expected*."""
        return {word: count for word, count in self.outcomes.items() if word not in expected}


async def run(
    *, plan: Plan, pids: Mapping[str, int], progress: Progress, scraper: Scraper | None = None
) -> list[Step]:
    """Run *plan* and return its steps; *pids* are the processes whose CPU time is read.

    Raises WorkloadError when the generator fails or falls silent.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.generator",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)).encode())
    process.stdin.write_eof()
    clocks = CpuClocks(pids)
    try:
        return await _follow(process, plan=plan, clocks=clocks, progress=progress, scraper=scraper)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _follow(
    process: asyncio.subprocess.Process,
    *,
    plan: Plan,
    clocks: CpuClocks,
    progress: Progress,
    scraper: Scraper | None,
) -> list[Step]:
    steps: list[Step] = []
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    readings: list[Reading] = []
    generator_s = 0.0
    while len(steps) < plan.steps:
        event = await _next_event(process)
        kind = event["event"]
        if kind == "window_opened":
            before = clocks.read()
            readings = [] if scraper is None else [await scraper.read()]
        elif kind == "window_closed":
            after = clocks.read()
            generator_s = event.get("cpu_s", 0.0)
            if scraper is not None:
                readings.append(await scraper.read())
        elif kind == "progress":
            progress(
                f"{plan.traffic}, {_label(plan, len(steps))}: {event['answers']:,} answers, "
                f"{event['left_s']:.0f} s left"
            )
        else:
            cpu_s = {**used(before=before, after=after), GENERATOR: generator_s}
            hops = between(*readings) if len(readings) == 2 else {}
            steps.append(step_of(event, cpu_s=cpu_s, hops=hops))
    return steps


def _label(plan: Plan, index: int) -> str:
    if plan.rates:
        return f"{plan.rates[index]:,}/s"
    return f"{plan.clients[index]} connections"


def step_of(
    event: Mapping[str, Any],
    *,
    cpu_s: Mapping[str, float],
    hops: Mapping[str, Mapping[str, float]] | None = None,
) -> Step:
    """Return the step that a generator's ``step`` event tells of."""
    latency = event["latency"]
    return Step(
        clients=event["clients"],
        window_s=event["window_s"],
        answers_in_window=event["answers_in_window"],
        latency=None if latency is None else Latency(**latency),
        outcomes=event["outcomes"],
        accepted=event["accepted"],
        unresolved=event["unresolved"],
        cpu_s=cpu_s,
        activated=event.get("activated", 0),
        kinds=event.get("kinds", {}),
        taken={int(product): units for product, units in event.get("taken", {}).items()},
        given_back={int(product): units for product, units in event.get("given_back", {}).items()},
        open=event.get("open", {}),
        hops=hops or {},
    )


async def _next_event(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SILENCE_S_MAX):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise WorkloadError(f"the generator said nothing for {SILENCE_S_MAX} s") from error
    if not line:
        words = (await process.stderr.read()).decode(errors="replace").strip()
        raise WorkloadError(f"the generator ended early: {words[-500:] or 'without a word'}")
    event: dict[str, Any] = json.loads(line)
    return event

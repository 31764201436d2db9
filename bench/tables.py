"""The results as tables, for the screen and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bench.cpu import GATEWAY_QR
from bench.ground import Scenario
from bench.progress import Screen
from bench.row import BATCHES, Row
from bench.stack import PROCESSES
from bench.table import Cell, render, text_of
from bench.verdict import Verdict
from bench.workload import GENERATOR

CPU_NAMES = ("gateway", GATEWAY_QR, *PROCESSES[1:], GENERATOR)
LATENCIES = ("p50 ms", "p95 ms", "p99 ms", "max ms")
TIMES = ("gateway answer ms", *(f"{name} write ms" for name in BATCHES[1:]))


def show(screen: Screen, scenario: Scenario, rows: Sequence[Row]) -> None:
    """Write a scenario's tables, what its readers must know, and what went wrong."""
    screen.line(f"{scenario.name}: {scenario.about}")
    for header, lines in tables(rows):
        screen.line(render(header=header, rows=lines))
    for row in rows:
        for text in row.notes:
            screen.line(f"! {row.label}: {text}")
        for text in row.faults:
            screen.line(f"✗ {row.label}: {text}")
    screen.line()


def tables(rows: Sequence[Row]) -> list[tuple[Sequence[str], list[list[Cell]]]]:
    """Return the tables of one scenario that have something to say."""
    found: list[tuple[Sequence[str], list[list[Cell]]]] = []
    if any(row.per_s is not None or row.latency for row in rows):
        counted = {row.counted for row in rows if row.counted}
        unit = f"{counted.pop()}/s" if len(counted) == 1 else "a second"
        found.append((("", unit, *LATENCIES), [_speed(row) for row in rows]))
    if any(len(row.kinds) > 1 for row in rows):
        kinds = [
            [f"{row.label}, {kind}", each["answers"], *each["latency"].values()]
            for row in rows
            for kind, each in row.kinds.items()
        ]
        found.append((("of these", "answers", *LATENCIES), kinds))
    names = [name for name in _cpu_names(rows) if any(row.cpu_us.get(name) for row in rows)]
    if names:
        found.append((("CPU us each", *names, "in all"), [_cpu(row, names) for row in rows]))
    batches = [_batches(row) for row in rows if any("batch" in name for name in row.figures)]
    if batches:
        found.append((("batch × a second, ms", *BATCHES, *TIMES), batches))
    others = {
        name: row.figures[name] for row in rows for name in row.figures if not _is_batch(name)
    }
    if others:
        names = list(others)
        found.append((("", *names), [[row.label, *map(row.figures.get, names)] for row in rows]))
        if len(names) > 8:
            lines: list[list[Cell]] = [[name, value] for name, value in others.items()]
            found[-1] = (("", "figure"), lines)
    return found


def verdict_table(verdicts: Sequence[Verdict]) -> tuple[Sequence[str], list[list[Cell]]]:
    """Return header and lines of asked, measured, verdict."""
    return (
        ("asked", "", "at least", "goal", "measured", "verdict"),
        [
            [
                each.asked.what,
                f"{each.asked.unit}{', at most' if each.asked.at_most else ''}",
                each.asked.least if each.asked.least is None else float(each.asked.least),
                each.asked.goal if each.asked.goal is None else float(each.asked.goal),
                each.measured,
                each.word,
            ]
            for each in verdicts
        ],
    )


def _is_batch(name: str) -> bool:
    return name.endswith((" batch", " batches/s", " write ms", " answer ms"))


def _speed(row: Row) -> list[Cell]:
    latency: Sequence[Cell] = [None] * 4
    if row.latency is not None:
        latency = list(asdict(row.latency).values())
    return [row.label, row.per_s, *latency]


def _cpu_names(rows: Sequence[Row]) -> list[str]:
    """The stack's processes in their order, then others; not PostgreSQL's parts."""
    others = {name for row in rows for name in row.cpu_us if "/" not in name}
    known = [name for name in CPU_NAMES if name in others]
    return [*sorted(others - set(known)), *known]


def _cpu(row: Row, names: Sequence[str]) -> list[Cell]:
    values = [row.cpu_us.get(name) for name in names]
    known = [value for value in values if value is not None]
    return [row.label, *values, sum(known) if known else None]


def _batches(row: Row) -> list[Cell]:
    figures = row.figures
    pairs = [
        f"{text_of(figures[f'{name} batch'])} × {text_of(figures.get(f'{name} batches/s'))}"
        if f"{name} batch" in figures
        else None
        for name in BATCHES
    ]
    return [row.label, *pairs, *map(figures.get, TIMES)]

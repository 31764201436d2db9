"""What was asked of this system, what was measured, and whether it is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.row import Row

EARLIEST = "earliest s"
HOT_ROW_32 = ("hot-row", "32 connections")
ENOUGH, BELOW_GOAL, GOAL = "enough", "enough, below the goal", "goal reached"
MISSED, OPEN = "MISSED", "not measured"
Value = Callable[["Rows"], float | None]


@dataclass(frozen=True, slots=True)
class Rows:
    """The medians by scenario and label."""

    rows: Sequence[Row]

    def find(self, scenario: str, label: str | None = None) -> Row | None:
        """Return a row; the scenario's first without a label."""
        for row in self.rows:
            if row.scenario == scenario and label in (None, row.label):
                return row
        return None

    def per_s(self, scenario: str, label: str | None = None) -> float | None:
        """Return a row's throughput."""
        row = self.find(scenario, label)
        return None if row is None else row.per_s

    def latency_ms(self, scenario: str, label: str | None, which: str) -> float | None:
        """Return one of a row's latencies."""
        row = self.find(scenario, label)
        if row is None or row.latency is None:
            return None
        return float(getattr(row.latency, which))

    def ratio(self, above: tuple[str, str], below: tuple[str, str]) -> float | None:
        """Return the ratio of two rows' throughput."""
        upper, lower = self.per_s(*above), self.per_s(*below)
        return None if upper is None or not lower else upper / lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One line of the targets; *least* and *goal* are bounds in *unit*, above or below."""

    what: str
    unit: str
    value: Value
    least: float | None
    goal: float | None = None
    at_most: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target with what was measured."""

    asked: Asked
    measured: float | None
    word: str


def _per_s(scenario: str, label: str) -> Value:
    return lambda rows: rows.per_s(scenario, label)


def _latency(scenario: str, label: str | None, which: str) -> Value:
    return lambda rows: rows.latency_ms(scenario, label, which)


def _ratio(above: tuple[str, str], below: tuple[str, str]) -> Value:
    return lambda rows: rows.ratio(above, below)


def _least_pairs(rows: Rows) -> float | None:
    found = [row.per_s for row in rows.rows if row.scenario == "pairs" and row.per_s is not None]
    return min(found) if found else None


def _earliest(rows: Rows) -> float | None:
    found = [row.figures[EARLIEST] for row in rows.rows if EARLIEST in row.figures]
    return min(found) if found else None


def _others(rows: Rows) -> float | None:
    without = rows.latency_ms("many-tickets", "others' reserves, without", "p99_ms")
    beside = rows.latency_ms("many-tickets", "others' reserves, with", "p99_ms")
    return None if beside is None or not without else beside / without


ASKED: Sequence[Asked] = (
    Asked(
        what="reserve, 256 connections",
        unit="/s",
        value=_per_s("reserve", "256 connections"),
        least=3500,
        goal=5000,
    ),
    Asked(
        what="reserve, 256 connections, to the hot row at 32 clients",
        unit="×",
        value=_ratio(("reserve", "256 connections"), HOT_ROW_32),
        least=2.0,
    ),
    Asked(
        what="reserve, 32 connections",
        unit="/s",
        value=_per_s("reserve", "32 connections"),
        least=None,
        goal=2500,
    ),
    Asked(
        what="reserve, 32 connections, to the hot row at 32 clients",
        unit="×",
        value=_ratio(("reserve", "32 connections"), HOT_ROW_32),
        least=1.0,
    ),
    Asked(
        what="reserve, 8 connections",
        unit="/s",
        value=_per_s("reserve", "8 connections"),
        least=700,
        goal=1000,
    ),
    Asked(
        what="reserve, one at a time, p50",
        unit="ms",
        value=_latency("reserve", "1 connection", "p50_ms"),
        least=8,
        at_most=True,
    ),
    Asked(
        what="reserve, one at a time, p99",
        unit="ms",
        value=_latency("reserve", "1 connection", "p99_ms"),
        least=20,
        at_most=True,
    ),
    Asked(
        what="reserve, open loop 2,000/s, p99",
        unit="ms",
        value=_latency("reserve-open", "2,000/s", "p99_ms"),
        least=40,
        goal=25,
        at_most=True,
    ),
    Asked(
        what="reserve + activate, ?qr=token, the least of 64 and 256 connections",
        unit="pairs/s",
        value=_least_pairs,
        least=700,
        goal=1000,
    ),
    Asked(
        what="activate 1 unit with its QR image",
        unit="/s",
        value=_per_s("activate-qr", "32 connections"),
        least=250,
        goal=400,
    ),
    Asked(
        what="inventory read, 32 connections",
        unit="/s",
        value=_per_s("inventory", "32 connections"),
        least=6000,
    ),
    Asked(
        what="5,000 holds due at once, released, p99",
        unit="ms late",
        value=_latency("due", None, "p99_ms"),
        least=1000,
        at_most=True,
    ),
    Asked(
        what="5,000 holds due over a restart, released, the last",
        unit="ms late",
        value=_latency("due-restart", None, "max_ms"),
        least=3000,
        at_most=True,
    ),
    Asked(
        what="holds due at once, with and without a restart, the earliest release",
        unit="s late",
        value=_earliest,
        least=0.0,
    ),
    Asked(
        what="reserve to the usual way, 128 connections",
        unit="×",
        value=_ratio(("reserve", "128 connections"), ("usual-way", "128 connections")),
        least=3.0,
    ),
    Asked(
        what="100 tickets with images in one answer, idle stack, p99",
        unit="ms",
        value=_latency("many-tickets", "alone", "p99_ms"),
        least=1000,
        at_most=True,
    ),
    Asked(
        what="p99 of others' reserves with that, to without (2 at most is our reading)",
        unit="×",
        value=_others,
        least=2.0,
        at_most=True,
    ),
)


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Compare the medians with what was asked."""
    found = Rows(rows)
    return [_verdict(each, found) for each in ASKED]


def _verdict(asked: Asked, rows: Rows) -> Verdict:
    measured = asked.value(rows)
    if measured is None:
        return Verdict(asked=asked, measured=None, word=OPEN)

    def reached(bound: float) -> bool:
        return measured <= bound if asked.at_most else measured >= bound

    if asked.least is not None and not reached(asked.least):
        word = MISSED
    elif asked.goal is not None:
        word = GOAL if reached(asked.goal) else BELOW_GOAL
    else:
        word = ENOUGH
    return Verdict(asked=asked, measured=measured, word=word)

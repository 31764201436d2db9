"""One line of the results: what a scenario measured at one load, and medians of several rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.cpu import per_answer_us
from bench.percentiles import Latency
from bench.workload import GENERATOR, Step

GENERATOR_BUSY = 0.9

BATCHES = ("gateway", "inventory", "reservation", "fulfillment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured; *cpu_us* is CPU time per counted thing and process.

    *figures* are further numbers by name with their unit; *faults* make the run fail, *notes*
    are for the reader.
    """

    scenario: str
    label: str
    counted: str
    per_s: float | None = None
    latency: Latency | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    cpu_us: Mapping[str, float | None] = field(default_factory=dict)
    hops: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for the JSON file."""
        return asdict(self)


def row_of(step: Step, *, scenario: str, label: str, counted: str, expected: frozenset[str]) -> Row:
    """Return the row of a step of load; answers that are none of *expected* are faults."""
    faults = [
        f"{count:,} answers were {word!r}"
        for word, count in sorted(step.unexpected(expected=expected).items())
    ]
    if step.unresolved:
        faults.append(f"{step.unresolved:,} requests have no known outcome")
    if not step.answers_in_window:
        faults.append("nothing was answered in the window")
    notes = []
    if step.cpu_s.get(GENERATOR, 0.0) > GENERATOR_BUSY * step.window_s:
        notes.append("the generator itself was the limit")
    if step.open.get("saturated"):
        notes.append(
            f"saturated: {step.open['answered_per_s']:,}/s of {step.open['offered_per_s']:,}/s were"
            f" answered, {step.open['backlog_at_end']:,} waited at the window's end"
        )
    return Row(
        scenario=scenario,
        label=label,
        counted=counted,
        per_s=round(step.open.get("answered_per_s", step.per_s), 1),
        latency=step.latency,
        outcomes=step.outcomes,
        cpu_us=per_answer_us(
            seconds=step.cpu_s, answers=step.answers_in_window, names=sorted(step.cpu_s)
        ),
        hops=step.hops,
        figures={**batches(step.hops), **_numbers(step.open)},
        kinds=step.kinds,
        faults=tuple(faults),
        notes=tuple(notes),
    )


def batches(hops: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return batch sizes, batches a second and mean times from the services' own figures."""
    found: dict[str, float] = {}
    for service in BATCHES:
        figures = hops.get(service, {})
        for name, shown, factor in (
            ("ota_batch_messages mean", "batch", 1.0),
            ("ota_batch_messages/s", "batches/s", 1.0),
            ("ota_batch_write_duration_seconds mean", "write ms", 1000.0),
            ("http_server_request_duration_seconds mean", "answer ms", 1000.0),
        ):
            if name in figures:
                found[f"{service} {shown}"] = round(figures[name] * factor, 2)
    return found


def medians(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each scenario and label, each number the median of its rounds.

    What went wrong in any round is kept.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.scenario, row.label), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(rows: Sequence[Row]) -> Row:
    first = rows[0]
    if len(rows) == 1:
        return first
    outcomes: dict[str, int] = {}
    for row in rows:
        for word, count in row.outcomes.items():
            outcomes[word] = outcomes.get(word, 0) + count
    rates = [row.per_s for row in rows if row.per_s is not None]
    latencies = [asdict(row.latency) for row in rows if row.latency is not None]
    return Row(
        scenario=first.scenario,
        label=first.label,
        counted=first.counted,
        per_s=median(rates) if rates else None,
        latency=Latency(**_each(latencies)) if latencies else None,
        outcomes=outcomes,
        cpu_us=_each([row.cpu_us for row in rows]),
        hops=first.hops,
        figures=_each([row.figures for row in rows]),
        kinds={
            kind: {
                "answers": median(row.kinds[kind]["answers"] for row in rows if kind in row.kinds),
                "latency": _each([row.kinds[kind]["latency"] for row in rows if kind in row.kinds]),
            }
            for kind in first.kinds
        },
        faults=_once(fault for row in rows for fault in row.faults),
        notes=_once(note for row in rows for note in row.notes),
    )


def _each(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median of each name over those that have it."""
    names = dict.fromkeys(name for each in found for name in each)
    values = {name: [each[name] for each in found if each.get(name) is not None] for name in names}
    return {name: round(median(some), 3) if some else None for name, some in values.items()}


def _once(texts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    return {
        name.replace("_", " "): value
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

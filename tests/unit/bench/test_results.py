"""From steps to results: rows, medians, verdicts, the proof at the end, the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.configuration import unsafe
from bench.ground import Account
from bench.ledger import Since, Standing
from bench.percentiles import Latency
from bench.proof import checks
from bench.report import evidence, write
from bench.row import Row, medians, row_of
from bench.scenarios import SCENARIOS, chosen
from bench.suite import Outcome
from bench.verdict import verdicts
from bench.workload import Step

LATENCY = Latency(p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, max_ms=4.0)
STEP = Step(
    clients=8,
    window_s=2.0,
    answers_in_window=1000,
    latency=LATENCY,
    outcomes={"201": 1000},
    accepted=1000,
    unresolved=0,
    cpu_s={"gateway": 0.5, "generator": 0.1},
    hops={"inventory": {"ota_batch_messages mean": 16.0}},
)
BEFORE = Standing(out={900: 10}, left={900: 90}, inventory={0: 5}, fulfillment={0: 5})
AFTER = replace(BEFORE, out={900: 15}, left={900: 85})
SINCE = Since(holds=8, hold_ids=8, hold_commands=8, orders=2, order_ids=2, expired={900: 1})
SEEN = {900: 85}
ACCOUNT = Account(taken=Counter({900: 8}), given_back=Counter({900: 2}), accepted=8, activated=2)


def row(step: Step) -> Row:
    """Return a step's row."""
    return row_of(
        step, scenario="reserve", label="x", counted="reserves", expected=frozenset({"201"})
    )


def test_a_step_becomes_a_row() -> None:
    """Throughput, CPU per counted thing, and the services' batches."""
    found = row(STEP)
    assert (500.0, {"gateway": 500.0, "generator": 100.0}) == (found.per_s, found.cpu_us)
    assert {"inventory batch": 16.0} == found.figures
    assert ((), ()) == (found.faults, found.notes)


@pytest.mark.parametrize(
    ("change", "faults", "notes"),
    [
        ({"outcomes": {"201": 1, "500": 2}}, ("2 answers were '500'",), ()),
        ({"unresolved": 3}, ("3 requests have no known outcome",), ()),
        ({"cpu_s": {"generator": 1.9}}, (), ("the generator itself was the limit",)),
        ({"answers_in_window": 0}, ("nothing was answered in the window",), ()),
        (
            {
                "open": {
                    "offered_per_s": 3000,
                    "answered_per_s": 2500.0,
                    "backlog_at_end": 900,
                    "saturated": True,
                }
            },
            (),
            ("saturated: 2,500.0/s of 3,000/s were answered, 900 waited at the window's end",),
        ),
    ],
)
def test_what_a_row_says(
    change: Mapping[str, object], faults: tuple[str, ...], notes: tuple[str, ...]
) -> None:
    """Wrong answers are faults; a limit that is not the stack's, and saturation, are told."""
    found = row(replace(STEP, **change))  # type: ignore[arg-type]  # any field
    assert (faults, notes) == (found.faults, found.notes)


def test_medians() -> None:
    """Each number is the median of its rounds; what went wrong once is kept."""
    rounds = [
        replace(row(STEP), per_s=per_s, cpu_us={"gateway": cpu}, faults=faults)
        for per_s, cpu, faults in ((1.0, 30.0, ()), (3.0, 10.0, ("bad",)), (2.0, 20.0, ()))
    ]
    other = replace(row(STEP), label="y", latency=None)
    found, alone = medians([rounds[0], other, *rounds[1:]])
    assert (2.0, {"gateway": 20.0}, ("bad",)) == (found.per_s, found.cpu_us, found.faults)
    assert (LATENCY, {"201": 3000}) == (found.latency, found.outcomes)
    assert other == alone


def test_verdicts() -> None:
    """A bound is reached or missed, above or below it; what was not measured says so."""
    rows = [
        Row(scenario="reserve", label="256 connections", counted="", per_s=4000.0),
        Row(scenario="hot-row", label="32 connections", counted="", per_s=2500.0),
        Row(scenario="reserve-open", label="2,000/s", counted="", latency=LATENCY),
    ]
    found = {each.asked.what: (each.measured, each.word) for each in verdicts(rows)}
    assert (4000.0, "enough, below the goal") == found["reserve, 256 connections"]
    ratio = found["reserve, 256 connections, to the hot row at 32 clients"]
    assert (1.6, "MISSED") == ratio
    assert (3.0, "goal reached") == found["reserve, open loop 2,000/s, p99"]
    assert (None, "not measured") == found["inventory read, 32 connections"]


def test_the_proof_holds() -> None:
    """Units gone are those taken without those given back; each request had one effect."""
    found = checks(account=ACCOUNT, before=BEFORE, after=AFTER, since=SINCE, seen=SEEN)
    assert [True, True, True, True] == [check.passed for check in found]


@pytest.mark.parametrize(
    ("account", "after", "since", "expected"),
    [
        (ACCOUNT, replace(AFTER, out={900: 16}), SINCE, [False, True, True, True]),
        (ACCOUNT, replace(AFTER, left={900: -1}), SINCE, [False, True, True, False]),
        (ACCOUNT, AFTER, replace(SINCE, holds=9), [True, False, True, True]),
        (ACCOUNT, AFTER, replace(SINCE, hold_commands=7), [True, False, True, True]),
        (ACCOUNT, AFTER, replace(SINCE, orders=3), [True, True, False, True]),
        (
            replace(ACCOUNT, unresolved=1),
            replace(AFTER, out={900: 16}),
            replace(SINCE, holds=9, hold_ids=9, hold_commands=9),
            [True, True, True, True],
        ),
    ],
)
def test_the_proof_fails(
    account: Account, after: Standing, since: Since, expected: list[bool]
) -> None:
    """A unit, a hold or an order too many is found; unknown outcomes leave room for themselves."""
    found = checks(account=account, before=BEFORE, after=after, since=since, seen=SEEN)
    assert expected == [check.passed for check in found]


def test_an_unsafe_configuration_is_named() -> None:
    """Figures of a database that loses what it has answered do not count."""
    safe = {"PostgreSQL fsync": "on", "PostgreSQL synchronous_commit": "on"}
    assert [] == unsafe(safe)
    assert ["PostgreSQL fsync is off instead of on"] == unsafe({**safe, "PostgreSQL fsync": "off"})


def test_evidence_of_holds_due(tmp_path: Path) -> None:
    """It names the command and the commit, has every round, and says what was late or early."""
    rounds = tuple(
        tuple(
            Row(
                scenario=name,
                label="5,000 holds",
                counted="holds",
                latency=replace(LATENCY, max_ms=late_ms),
                figures={"earliest s": 0.001 * late_ms},
            )
            for name in ("due", "due-restart")
        )
        for late_ms in (1200.0, 3200.0)
    )
    evidence(
        tmp_path,
        "expiry",
        outcome=Outcome(rounds=rounds, rows=rounds[1], checks=(), memory=()),
        verdicts=verdicts(rounds[1]),
        scenarios=chosen(["due", "due-restart"]),
        result={"commit": {"id": "abc"}},
        facts={"on": "2 cores, commit abc"},
    )
    text = (tmp_path / "expiry.md").read_text(encoding="utf-8")
    assert "- on: 2 cores, commit abc" in text
    assert "| round 2, 5,000 holds |" in text
    assert "| 5,000 holds due over a restart, released, the last | ms late, at most |" in text
    assert "MISSED" in text
    assert "reserve" not in text.partition("## due")[0]
    assert {"commit": {"id": "abc"}} == json.loads((tmp_path / "expiry.json").read_text())


def test_the_report(tmp_path: Path) -> None:
    """It has the tables and its plots beside it, which load nothing from anywhere."""
    rows = (row(STEP), Row(scenario="reserve-open", label="500/s", counted="", latency=LATENCY))
    report = write(
        tmp_path,
        outcome=Outcome(rounds=(rows,), rows=rows, checks=(), memory=("inventory: 1 MiB",)),
        verdicts=verdicts(rows),
        scenarios=[each for each in SCENARIOS if each.name.startswith("reserve")],
        facts={"on": "2 cores"},
        configuration={"PostgreSQL fsync": "on"},
    )
    text = report.read_text(encoding="utf-8")
    assert "| x | 500 | 1.00 | 2.00 | 3.00 | 4.00 |" in text
    assert "| PostgreSQL fsync | on |" in text
    plots = sorted(tmp_path.glob("*.svg"))
    assert ["cpu.svg", "open-loop.svg", "throughput.svg"] == [plot.name for plot in plots]
    assert not any("<script" in plot.read_text(encoding="utf-8") for plot in plots)

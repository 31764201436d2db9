"""Tables, settings, pgbench's figures, CPU per answer, conservation: the pure parts of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cpu import per_answer_us, used
from bench.generator import Plan, target_of
from bench.hot_row import HotRow, HotRowError, find_pgbench, parse_output
from bench.load import Conservation, step_table
from bench.rush import SOLD_OUT, RushResult
from bench.settings import LoadSettings, SettingsError, parse
from bench.stack import pids_of
from bench.table import render
from bench.workload import Step, step_of

PGBENCH_OUTPUT = """\
pgbench (15.14 (Debian 15.14-0+deb12u1))
transaction type: hot.sql
number of clients: 8
number of transactions actually processed: 19900
number of failed transactions: 0 (0.000%)
latency average = 3.215 ms
initial connection time = 12.345 ms
tps = 2488.123456 (without initial connection time)
"""


def step(*, outcomes: dict[str, int], accepted: int = 0, unresolved: int = 0) -> Step:
    """Return a step of half a second with these outcomes."""
    return step_of(
        {
            "clients": 8,
            "window_s": 0.5,
            "answers_in_window": sum(outcomes.values()),
            "latency": {"p50_ms": 1.25, "p95_ms": 12.5, "p99_ms": 125.4, "max_ms": 1250.0},
            "outcomes": outcomes,
            "accepted": accepted,
            "unresolved": unresolved,
        },
        cpu_s={"gateway": 0.25},
    )


def test_table() -> None:
    """Numbers stand right with three digits that count, words left, nothing is a dash."""
    rows = [("one", 1, 0.125), ("seven", 1234, None), ("x", 12, 1234.5)]
    expected = (
        "name       n     ms\n"
        "─────  ─────  ─────\n"
        "one        1   0.12\n"
        "seven  1,234      –\n"
        "x         12  1,234"
    )
    assert expected == render(header=("name", "n", "ms"), rows=rows)


def test_step_table() -> None:
    """A step's line has its throughput and its four latencies."""
    text = step_table([step(outcomes={"201": 500})])
    assert ["8", "1,000", "1.25", "12.5", "125", "1,250"] == text.splitlines()[2].split()


def test_settings_by_default() -> None:
    """Nothing given is the canonical workload."""
    expected = LoadSettings(clients=(1, 8, 32, 128), seconds=8, warm_up_s=2, products=(900,))
    assert expected == parse({})
    assert expected == parse({"BENCH_CLIENTS": " ", "BENCH_SECONDS": ""})


def test_settings_given() -> None:
    """Lists are separated by commas; a product counts once."""
    expected = LoadSettings(clients=(4, 2), seconds=1, warm_up_s=0, products=(901, 900))
    given = {
        "BENCH_CLIENTS": "4, 2",
        "BENCH_SECONDS": "1",
        "BENCH_WARM_UP_SECONDS": "0",
        "BENCH_PRODUCTS": "901,900,901",
    }
    assert expected == parse(given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BENCH_CLIENTS", "many"),
        ("BENCH_CLIENTS", "0"),
        ("BENCH_CLIENTS", "8,,8"),
        ("BENCH_SECONDS", "1,2"),
        ("BENCH_SECONDS", "0"),
        ("BENCH_SECONDS", "1.5"),
        ("BENCH_PRODUCTS", "106"),
    ],
)
def test_settings_refused(name: str, text: str) -> None:
    """A setting that makes no sense is refused under its own name."""
    with pytest.raises(SettingsError, match=name):
        parse({name: text})


def test_pgbench_figures() -> None:
    """Throughput and mean latency are read from what pgbench prints."""
    expected = HotRow(clients=8, per_s=2488.123456, mean_ms=3.215)
    assert expected == parse_output(clients=8, text=PGBENCH_OUTPUT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no figures"),
        (PGBENCH_OUTPUT.replace("transactions: 0", "transactions: 3"), "3 failed"),
    ],
)
def test_pgbench_that_did_not_work(text: str, words: str) -> None:
    """Missing figures and failed transactions are no result."""
    with pytest.raises(HotRowError, match=words):
        parse_output(clients=8, text=text)


def test_pgbench_in_the_configured_folder_wins(tmp_path: Path) -> None:
    """The PostgreSQL that runs the stack brings the pgbench that measures it."""
    (tmp_path / "pgbench").touch()
    assert tmp_path / "pgbench" == find_pgbench(configured=tmp_path)


def test_cpu_between_two_readings() -> None:
    """Only what was there at both readings has used anything."""
    before, after = {"gateway": 1.0, "gone": 5.0}, {"gateway": 1.5, "new": 2.0}
    assert {"gateway": 0.5} == used(before=before, after=after)


def test_cpu_per_answer() -> None:
    """Seconds become microseconds per answer; what was not read is none."""
    expected = {"gateway": 500.0, "kafka": None}
    assert expected == per_answer_us(
        seconds={"gateway": 0.5}, answers=1000, names=("gateway", "kafka")
    )
    assert {"gateway": None} == per_answer_us(
        seconds={"gateway": 0.5}, answers=0, names=("gateway",)
    )


@pytest.mark.parametrize(
    ("before", "after", "accepted", "unresolved", "expected"),
    [
        (100, 90, 10, 0, True),
        (100, 91, 10, 0, False),
        (100, 89, 10, 0, False),
        (100, 89, 10, 1, True),
        (100, 88, 10, 1, False),
    ],
)
def test_conservation(
    before: int, after: int, accepted: int, unresolved: int, expected: bool
) -> None:
    """The stock falls by what was accepted; only unknown outcomes leave room, for themselves."""
    kept = Conservation(before=before, after=after, accepted=accepted, unresolved=unresolved)
    assert expected is kept.holds


@pytest.mark.parametrize(
    ("outcomes", "accepted", "left", "expected"),
    [
        ({"201": 200, SOLD_OUT: 200}, 200, 0, True),
        ({"201": 201, SOLD_OUT: 199}, 201, 0, False),
        ({"201": 199, SOLD_OUT: 201}, 199, 10, False),
        ({"201": 200, SOLD_OUT: 199, "503 NOT_EXECUTED": 1}, 200, 0, False),
        ({"201": 200, SOLD_OUT: 200}, 200, 10, False),
    ],
)
def test_rush(outcomes: dict[str, int], accepted: int, left: int, expected: bool) -> None:
    """Exactly 200 win, 200 hear that it is sold out, and nothing is left."""
    result = RushResult(step=step(outcomes=outcomes, accepted=accepted), left=left)
    assert expected is result.passed


def test_process_ids_from_the_status() -> None:
    """Tasks that have ended and processes without an id are left out."""
    status = {
        "phase": "ready",
        "processes": [
            {"name": "postgres", "pid": 11},
            {"name": "migrate-gateway", "pid": None},
            {"name": "gateway", "pid": 12},
            {"name": "kafka", "pid": None},
        ],
    }
    assert {"postgres": 11, "gateway": 12} == pids_of(status)


def test_products_take_turns() -> None:
    """A plan with several bodies has a request template for each."""
    plan = Plan(
        host="127.0.0.1",
        port=1,
        path="/x",
        api_key="key",
        bodies=({"product_id": 900}, {"product_id": 901}),
        key_prefix="run",
        clients=(1,),
        warm_up_s=0,
        seconds=1,
    )
    texts = [template.request("k") for template in target_of(plan).templates]
    assert [b"900" in texts[0], b"901" in texts[1]] == [True, True]

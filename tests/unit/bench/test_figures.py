"""Tables, settings, pgbench's figures, CPU per answer, conservation: the pure parts of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cpu import database_of, per_answer_us, used
from bench.due import HOLDS
from bench.due import faults as due_faults
from bench.hot_row import HotRow, HotRowError, find_pgbench, parse_output
from bench.rush import CLIENTS as RUSH_CLIENTS
from bench.rush import SOLD_OUT, UNITS
from bench.rush import faults as rush_faults
from bench.scenarios import SCENARIOS, chosen
from bench.scrape import Reading, between, sums
from bench.settings import RunSettings, SettingsError, parse
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


def test_settings_by_default() -> None:
    """Nothing given is the quick run; full is longer, and three rounds."""
    quick = parse({})
    expected = RunSettings(
        full=False, rounds=1, clients=(1, 8, 32, 128, 256), seconds=2, warm_up_s=1, products=(900,)
    )
    assert expected == quick == parse({"BENCH": "quick", "BENCH_CLIENTS": " ", "BENCH_SECONDS": ""})
    full = parse({"BENCH": "full"})
    assert (True, 3, 8, 2) == (full.full, full.rounds, full.seconds, full.warm_up_s)


def test_settings_given() -> None:
    """Lists are separated by commas; a product counts once."""
    given = {
        "BENCH_CLIENTS": "4, 2",
        "BENCH_SECONDS": "1",
        "BENCH_WARM_UP_SECONDS": "0",
        "BENCH_PRODUCTS": "901,900,901",
        "BENCH_ROUNDS": "5",
        "BENCH_ONLY": "reserve, rush",
    }
    expected = RunSettings(
        full=False,
        rounds=5,
        clients=(4, 2),
        seconds=1,
        warm_up_s=0,
        products=(901, 900),
        only=("reserve", "rush"),
    )
    assert expected == parse(given)


def test_scenarios_are_chosen_by_name() -> None:
    """They keep their order; without names it is all of them; another name is refused."""
    assert ["reserve", "rush"] == [each.name for each in chosen(["rush", "reserve"])]
    assert list(SCENARIOS) == chosen([])
    assert ["due", "due-restart"] == [each.name for each in chosen(["due-restart", "due"])]
    with pytest.raises(SettingsError, match="mixed"):
        chosen(["mixt"])


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
        ("BENCH_ROUNDS", "0"),
        ("BENCH", "long"),
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
    ("outcomes", "accepted", "left", "expected"),
    [
        ({"201": 2000, SOLD_OUT: 8000}, 2000, 0, []),
        (
            {"201": 2001, SOLD_OUT: 7999},
            2001,
            0,
            [
                "2,001 clients won instead of 2,000",
                "7,999 clients were told SOLD_OUT instead of 8,000",
            ],
        ),
        ({"201": 2000, SOLD_OUT: 8000}, 2000, 1, ["1 units are left instead of none"]),
    ],
)
def test_rush(outcomes: dict[str, int], accepted: int, left: int, expected: list[str]) -> None:
    """Exactly 2,000 win, 8,000 hear that it is sold out, and nothing is left."""
    assert (2000, 10_000) == (UNITS, RUSH_CLIENTS)
    assert expected == rush_faults(step(outcomes=outcomes, accepted=accepted), left=left)


def test_due() -> None:
    """All are released, and none early."""
    assert [] == due_faults([0.1] * HOLDS, accepted=HOLDS)
    expected = [
        "only 2 of 5,000 holds were placed in time",
        "1 of 2 holds were released in 20 s",
        "a hold was released 0.500 s early",
    ]
    assert expected == due_faults([-0.5], accepted=2)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("postgres: ota_inventory_app ota_inventory 127.0.0.1(40000) idle", "ota_inventory"),
        ("postgres: walwriter ", "server"),
        ("postgres: autovacuum worker ota_gateway", "server"),
        ("/usr/lib/postgresql/15/bin/postgres -D data", "server"),
    ],
)
def test_a_backend_is_counted_to_its_database(title: str, expected: str) -> None:
    """What serves all databases is the server's."""
    assert expected == database_of(title)


def test_metrics_between_two_readings() -> None:
    """Labels are added up; counters become a rate, histograms a rate and a mean."""
    text = """\
# TYPE ota_commands_total counter
ota_commands_total{outcome="a"} 3.0
ota_commands_total{outcome="b"} 4.0
# TYPE ota_batch_messages histogram
ota_batch_messages_bucket{le="+Inf"} 2.0
ota_batch_messages_count 2.0
ota_batch_messages_sum 10.0
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 9.0
"""
    before = sums(text)
    expected = {
        "ota_commands_total": 7.0,
        "ota_batch_messages_count": 2.0,
        "ota_batch_messages_sum": 10.0,
    }
    assert expected == before
    after = {**before, "ota_batch_messages_count": 6.0, "ota_batch_messages_sum": 30.0}
    found = between(
        Reading(at=1.0, values={"inventory": before}),
        Reading(at=3.0, values={"inventory": after, "gateway": after}),
    )
    assert {"inventory": {"ota_batch_messages/s": 2.0, "ota_batch_messages mean": 5.0}} == found


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

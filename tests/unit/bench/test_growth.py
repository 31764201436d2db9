"""Growth and scale-out: ratios to the first level, memory of a hold, figures of two generators."""

from __future__ import annotations

import pytest

from bench.growth import Figure, Level, bytes_per_hold, ratios, report
from bench.percentiles import Latency
from bench.scale import together
from bench.workload import Step, WorkloadError


def level(name: str, *, per_s: float, holds: int, mib: float) -> Level:
    """Return a level with one load."""
    return Level(
        name=name,
        sold=0,
        holds=holds,
        figures=(Figure(load="reserve, 32", per_s=per_s, p50_ms=10.0, p99_ms=20.0),),
        memory_mib={"inventory": mib, "reservation": mib},
        start_s=dict.fromkeys(("gateway", "inventory", "reservation", "fulfillment"), 2.0),
        holds_then=holds,
    )


def test_every_level_is_compared_with_the_first() -> None:
    """What growth costs is a ratio of the same run."""
    levels = [
        level("first", per_s=1000, holds=0, mib=60),
        level("last", per_s=850, holds=1024, mib=61),
    ]
    assert [("first", 1.0), ("last", 0.85)] == [(row[0], row[2]) for row in ratios(levels)]
    assert {"inventory": 1024.0, "reservation": 1024.0} == bytes_per_hold(levels)
    text = report(levels, sales=[(0, 0.1), (10_000, 5.0)])
    assert "✗ lowest throughput: 0.85" in text
    assert "10,000 in 5 s" in text


def test_without_more_holds_memory_says_nothing() -> None:
    """A division by no holds is no figure."""
    only = level("first", per_s=1000, holds=0, mib=60)
    assert {} == bytes_per_hold([only, only])


def step(*, answers: int, p99_ms: float | None, cpu_s: dict[str, float]) -> Step:
    """Return a step of two seconds."""
    latency = None
    if p99_ms is not None:
        latency = Latency(p50_ms=1.0, p95_ms=2.0, p99_ms=p99_ms, max_ms=p99_ms)
    return Step(
        clients=16,
        window_s=2.0,
        answers_in_window=answers,
        latency=latency,
        outcomes={},
        accepted=answers,
        unresolved=0,
        cpu_s=cpu_s,
    )


def test_generators_at_once_are_one_figure() -> None:
    """Throughput adds up, the tail is the worst one's, CPU is for each reserve of both."""
    both = together(
        [
            step(answers=100, p99_ms=5.0, cpu_s={"gateway-1": 1.0, "kafka": 1.0, "generator": 1.0}),
            step(answers=300, p99_ms=9.0, cpu_s={"generator": 1.0}),
        ],
        shape=(1, 2),
        load="hot product",
    )
    assert (32, 200.0, 9.0) == (both.clients, both.per_s, both.p99_ms)
    assert 2500.0 == both.us("gateway")
    assert 5000.0 == both.us("generator")


def test_a_silent_generator_is_no_figure() -> None:
    """Nothing answered at one gateway must not hide behind the other."""
    with pytest.raises(WorkloadError, match="nothing was answered"):
        together([step(answers=0, p99_ms=None, cpu_s={})], shape=(1, 1), load="hot product")

"""Percentiles: nearest rank, so that every figure was really measured."""

from __future__ import annotations

import pytest

from bench.percentiles import Latency, percentile, summarise


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (95, 95), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_of_a_hundred(percent: float, expected: int) -> None:
    """Of the numbers 1 to 100 the n-th percentile is n."""
    assert expected == percentile(range(1, 101), percent=percent)


@pytest.mark.parametrize("percent", [0, 50, 99, 100])
def test_percentile_of_one(percent: float) -> None:
    """A single value is every percentile."""
    assert 7.0 == percentile([7.0], percent=percent)


def test_percentile_is_never_between_values() -> None:
    """The median of two values is the lower one."""
    assert 1.0 == percentile([1.0, 3.0], percent=50)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 100.1)])
def test_percentile_refuses_nonsense(values: list[float], percent: float) -> None:
    """No values have no percentile, and there is none outside 0 to 100."""
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, percent=percent)


def test_summary_is_in_milliseconds_and_needs_no_order() -> None:
    """Seconds in any order become milliseconds."""
    seconds = [0.010, 0.001, 0.005, 0.002]
    assert Latency(p50_ms=2.0, p95_ms=10.0, p99_ms=10.0, max_ms=10.0) == summarise(seconds)


def test_summary_of_nothing() -> None:
    """Without answers there is no latency."""
    assert summarise([]) is None

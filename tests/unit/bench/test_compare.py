"""Two versions in turns: ratios and their spread, and names of commits."""

from __future__ import annotations

import pytest

from bench.compare import BASE, PRESENT, CompareError, Round, ratios, report, resolve


def rounds() -> list[Round]:
    """Return two pairs: 10 % faster in the first, 20 % slower in the second."""
    return [
        round_(BASE, 100.0),
        round_(PRESENT, 110.0),
        round_(BASE, 200.0),
        round_(PRESENT, 160.0),
    ]


def round_(side: str, per_s: float) -> Round:
    """Return a round in which only throughput matters."""
    return Round(
        side=side,
        per_s=per_s,
        p50_ms=10.0,
        p99_ms=20.0,
        cpu_us=1000.0,
        gateway_us=300.0,
        inventory_us=200.0,
    )


def test_ratios_are_of_medians_and_of_each_pair() -> None:
    """The machine's speed changes between pairs, so each pair has a ratio of its own."""
    of_medians, pairs = ratios(rounds(), "per_s")
    assert 135 / 150 == of_medians
    assert (0.8, 1.1) == (pairs.lowest, pytest.approx(pairs.highest))
    assert 0.95 == pytest.approx(pairs.median)


def test_the_report_has_both_sides_and_the_spread() -> None:
    """Median, lowest and highest of both, ratio of medians and of pairs."""
    text = report(rounds())
    assert "150 (100..200)" in text
    assert "135 (110..160)" in text
    assert "0.900" in text
    assert "0.950 (0.800..1.100)" in text


def test_an_unknown_commit_is_refused_in_words() -> None:
    """Nothing is installed or started for a name that means nothing."""
    with pytest.raises(CompareError, match="'no-such-commit' names no commit"):
        resolve("no-such-commit")

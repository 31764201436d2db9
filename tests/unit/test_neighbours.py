"""What the campaign about neighbours computes and judges."""

from __future__ import annotations

from typing import Any

import pytest

from tests.campaign.neighbours import longer, wrong

WELL: dict[str, Any] = {
    "seen_elsewhere": {"p99_ms": 40.0},
    "p99_ratio": {"greedy": 1.1, "rude": 0.9},
    "told_by_time": {"orders": {"foreign_longer": 0.52}},
}


def test_times_that_tell_nothing() -> None:
    """Half of the pairs are longer when both are alike; all of them when they are told apart."""
    assert 0.5 == longer([1, 4], [2, 3])
    assert 1.0 == longer([3, 4], [1, 2])
    assert 0.0 == longer([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("off", "word"),
    [
        ({"seen_elsewhere": {"p99_ms": 140.0}}, "140"),
        ({"p99_ratio": {"greedy": 1.3}}, "greedy"),
        ({"told_by_time": {"orders": {"foreign_longer": 0.3}}}, "orders"),
    ],
)
def test_what_is_off_is_named(off: dict[str, Any], word: str) -> None:
    """And nothing while all is well."""
    assert [] == wrong(WELL)
    (found,) = wrong({**WELL, **off})
    assert word in found

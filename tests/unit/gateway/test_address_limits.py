"""Limits by source address: bounded in calls and in memory."""

from __future__ import annotations

import pytest

from services.gateway.http import limits
from services.gateway.http.limits import AddressRate, AddressWindow


def test_so_many_calls_a_second_and_twice_as_many_at_once() -> None:
    """What is used comes back evenly."""
    now = [100.0]
    rate = AddressRate(calls_per_second=10, monotonic=lambda: now[0])
    assert [True] * 20 + [False] == [rate.take("a") is None for _ in range(21)]
    now[0] += 0.3
    assert [True] * 3 + [False] == [rate.take("a") is None for _ in range(4)]
    assert rate.take("b") is None


def test_a_window_holds_so_many_calls_and_says_when_the_next_is_free() -> None:
    """A burst is fine; the oldest call makes room when it is a minute old."""
    now = [100.0]
    window = AddressWindow(monotonic=lambda: now[0], calls_max=3)
    for _ in range(3):
        assert window.take("a") is None
        now[0] += 10
    refusal = window.take("a")
    assert refusal is not None
    assert (30, 3) == (refusal.retry_after_s, refusal.extra["limit"])
    now[0] += 30
    assert window.take("a") is None
    assert window.take("a") is not None
    assert window.take("b") is None


def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not called for longest is forgotten first."""
    monkeypatch.setattr(limits, "ADDRESSES_MAX", 3)
    monkeypatch.setattr(limits, "WINDOWS_MAX", 3)
    rate = AddressRate(calls_per_second=1, monotonic=lambda: 0.0)
    window = AddressWindow(monotonic=lambda: 0.0, calls_max=2)
    for table in (rate, window):
        for address in ("a", "b", "a", "c", "a", "d", "a"):
            table.take(address)
    assert 3 == len(rate._clear_at) == len(window._calls)
    assert {"c", "d", "a"} == set(rate._clear_at) == set(window._calls)

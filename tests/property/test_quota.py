"""Never more than the limit in any 60 seconds, whatever gateways and their database do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.domain import quota, quota_account
from services.gateway.domain.quota import Report
from services.gateway.domain.quota_account import Account
from tests.property.quota_world import Calls, QuotaWorld, Restart, Step, Sync, Tick, Wait

GATEWAYS = st.integers(0, 2)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Calls, GATEWAYS, st.integers(1, 30)),
    st.builds(Calls, GATEWAYS, st.integers(1, 30)),
    st.builds(
        Sync,
        gateway=GATEWAYS,
        step_s=st.sampled_from([0.0, 0.0004, 0.003, 0.4, 30.0, 61.0]),
        fault=st.sampled_from(["none", "none", "none", "answer lost", "not stored"]),
        calls_between=st.integers(0, 5),
        rival=st.none() | GATEWAYS,
        leaving=st.sampled_from([False, False, False, True]),
        waiting=st.integers(0, 40),
    ),
    st.builds(Sync, GATEWAYS),
    st.builds(Wait, st.sampled_from([0.0, 0.01, 0.3, 1.0, 7.7, 29.5, 57.9, 58.1, 60.2, 130.0])),
    st.builds(Restart, GATEWAYS),
    st.builds(Tick, GATEWAYS),
)
PLANS = st.tuples(
    st.sampled_from([1, 2, 7, 20, 60]), st.integers(1, 3), st.lists(STEPS, max_size=60)
)


def over_limit(plan: tuple[int, int, list[Step]]) -> bool:
    """Say whether more calls than the limit passed within 60 seconds."""
    limit, gateways, steps = plan
    world = QuotaWorld(limit=limit, gateways=gateways)
    world.run(*steps)
    return world.most_in_a_window() > limit


@settings(max_examples=1500, deadline=None)
@given(PLANS)
def test_no_window_holds_more_than_the_limit(plan: tuple[int, int, list[Step]]) -> None:
    """Over crashes, restarts, pauses, lost answers and rivals."""
    assert not over_limit(plan)


def trust_any_lease(patch: pytest.MonkeyPatch) -> None:
    """Let a gateway use what it leased long ago."""
    patch.setattr(quota_account, "USABLE_S", 1e9)


def forget_the_dead(patch: pytest.MonkeyPatch) -> None:
    """Let what a gateway could not report be free again."""
    patch.setattr(quota, "_close", lambda used, lease, now_ms: None)


def keep_what_is_given_back(patch: pytest.MonkeyPatch) -> None:
    """Let a gateway use what it is just giving back."""
    patch.setattr(Account, "lower", lambda account, settlement: None)


def backdate(patch: pytest.MonkeyPatch) -> None:
    """Let calls be reported as made a minute before."""
    report = Account.report

    def earlier(account: Account, now: float, *, instance: int, incarnation: str) -> Report:
        made = report(account, now, instance=instance, incarnation=incarnation)
        return replace(made, calls=tuple((61_000, number) for _, number in made.calls))

    patch.setattr(Account, "report", earlier)


@pytest.mark.parametrize(
    "guard_off, steps",
    [
        (trust_any_lease, [Sync(0), Wait(125.0), Sync(1, waiting=60), Calls(1, 60), Calls(0, 6)]),
        (forget_the_dead, [Sync(0), Calls(0, 6), Restart(0), Sync(0, waiting=60), Calls(0, 60)]),
        (forget_the_dead, [Sync(0), Wait(57.0), Calls(0, 6), Wait(4.0), Sync(1, waiting=60)]),
        (
            keep_what_is_given_back,
            [Sync(0, waiting=40), Sync(0, calls_between=20), Sync(1, waiting=60)],
        ),
        (backdate, [Sync(0, waiting=40), Calls(0, 40), Sync(0, waiting=40), Calls(0, 40)]),
    ],
)
def test_without_a_guard_a_window_holds_more(
    guard_off: Callable[[pytest.MonkeyPatch], None],
    steps: list[Step],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control: each guard is needed, and the count finds out."""
    plan = (60, 2, [*steps, Calls(1, 60)])
    assert not over_limit(plan)
    guard_off(monkeypatch)
    assert over_limit(plan)

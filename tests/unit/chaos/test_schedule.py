"""The order of faults: the same for the same seed, and none forgotten."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.faults.catalogue import ALL, NAMES, chosen, left_out
from chaos.options import parse
from chaos.schedule import LENGTH_MAX_S, LENGTH_MIN_S, deal

FAULTS = ("a", "b", "c", "c")


def test_a_seed_is_a_campaign() -> None:
    """One seed gives one schedule; another gives another."""
    one = deal(faults=FAULTS, seed=1, seconds=600, gap_mean_s=5)
    assert one == deal(faults=FAULTS, seed=1, seconds=600, gap_mean_s=5)
    assert one != deal(faults=FAULTS, seed=2, seconds=600, gap_mean_s=5)


def test_every_kind_comes_as_often_as_it_has_cards() -> None:
    """Each deck is dealt to its end before the next one is shuffled."""
    planned = deal(faults=FAULTS, seed=3, seconds=2_000, gap_mean_s=5)
    whole = planned[: len(planned) // 4 * 4]
    counts = Counter(each.fault for each in whole)
    assert counts["a"] == counts["b"] == counts["c"] / 2 > 50


def test_gaps_and_lengths_are_as_asked() -> None:
    """Gaps have the mean, times ascend within the run, lengths stay within their limits."""
    planned = deal(faults=FAULTS, seed=4, seconds=10_000, gap_mean_s=5)
    assert 1_800 < len(planned) < 2_200
    times = [each.at_s for each in planned]
    assert sorted(times) == times
    assert times[-1] < 10_000
    assert all(LENGTH_MIN_S <= each.length_s <= LENGTH_MAX_S for each in planned)


def test_no_faults_are_no_schedule() -> None:
    """Where every chosen fault needs root there is nothing to deal."""
    assert [] == deal(faults=(), seed=1, seconds=100, gap_mean_s=1)


def test_what_needs_root_is_left_out_and_named() -> None:
    """Without root its faults are told, not silently forgotten."""
    without = chosen((), root=False)
    assert {each.title for each in ALL if not each.root} == set(without)
    assert ["F5 power cut of PostgreSQL"] == left_out(("F5", "F1"), root=False)
    assert [] == left_out(("F5", "F1"), root=True)


def test_faults_are_chosen_by_number() -> None:
    """FAULTS=f1,F6 takes these two; an unknown number is refused."""
    options = parse(["--faults", "f1,F6"])
    assert ("F1", "F6") == options.faults
    assert {"F1", "F6"} == {each.name for each in chosen(options.faults, root=True).values()}
    with pytest.raises(SystemExit):
        parse(["--faults", "F99"])
    assert "F13" not in NAMES

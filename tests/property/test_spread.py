"""Partitions are spread evenly over live instances, and no more of them move than must."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.events.postgres.spread import next_in_line, spread

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, set[int]], int]:
    """Return who holds what at some moment, claims of the same partition included."""
    partitions = draw(st.integers(1, 16))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    held = st.sets(st.integers(0, partitions + 1))
    return {name: draw(held) for name in names}, partitions


@given(situations())
def test_every_partition_goes_to_somebody_and_shares_are_even(
    situation: tuple[dict[str, set[int]], int],
) -> None:
    """All partitions once; shares differ by one at most."""
    holding, partitions = situation
    wanted = spread(holding, partitions=partitions)
    assert set(range(partitions)) == wanted.keys()
    shares = Counter(dict.fromkeys(holding, 0))
    shares.update(wanted.values())
    assert max(shares.values()) - min(shares.values()) <= 1


@given(situations())
def test_what_was_spread_stays(situation: tuple[dict[str, set[int]], int]) -> None:
    """Once everybody holds what it is to have, nothing moves any more."""
    holding, partitions = situation
    wanted = spread(holding, partitions=partitions)
    settled = {name: {p for p, owner in wanted.items() if owner == name} for name in holding}
    assert wanted == spread(settled, partitions=partitions)


def test_a_newcomer_takes_its_share_and_nothing_else_moves() -> None:
    """Of four partitions the second instance gets two, the third one."""
    assert {0: "a", 1: "a", 2: "b", 3: "b"} == spread({"a": {0, 1, 2, 3}, "b": set()}, partitions=4)
    third = spread({"a": {0, 1}, "b": {2, 3}, "c": set()}, partitions=4)
    assert {0: "a", 1: "a", 2: "b", 3: "c"} == third


@given(situations())
def test_somebody_else_is_next_in_line(situation: tuple[dict[str, set[int]], int]) -> None:
    """For each partition, unless there is only one instance."""
    holding, partitions = situation
    wanted = spread(holding, partitions=partitions)
    after = next_in_line(wanted, holding, partitions=partitions)
    if len(holding) == 1:
        assert {} == after
    else:
        assert wanted.keys() == after.keys()
        assert not any(after[partition] == owner for partition, owner in wanted.items())

"""Two hundred fixed seeds keep every promise, and meet what makes that worth something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from simulation.report import SOMETIMES, Failure
from simulation.run import Verdict, history_of, play, play_seed, quiet
from simulation.shrink import shrink, told

SEEDS = range(200)
STEPS = 400


@pytest.fixture(scope="module", autouse=True)
def silence() -> Iterator[None]:
    """Let the services say nothing."""
    with quiet():
        yield


@pytest.fixture(scope="module")
def verdicts(silence: None) -> list[Verdict]:
    """Return what has become of each seed."""
    return [play_seed(seed, STEPS) for seed in SEEDS]


def test_every_promise_is_kept(verdicts: list[Verdict]) -> None:
    """The first seed that fails is shown with its shortest history and the command."""
    broken = [each for each in verdicts if each.check]
    if not broken:
        return
    first = broken[0]
    kept, actions = shrink(history_of(first.seed, STEPS), first.check)
    failure = Failure(
        seed=first.seed,
        steps=STEPS,
        check=first.check,
        detail=play(actions).detail,
        kept=kept,
        history=[told(action) for action in actions],
    )
    pytest.fail(f"{len(broken)} seeds fail: {[each.seed for each in broken]}\n{failure.text()}")


def test_everything_happens_sometimes(verdicts: list[Verdict]) -> None:
    """A run that never met a fenced write, a lost tail or a race has shown nothing of them."""
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update(verdict.counts)
    assert [] == [name for name, counter in SOMETIMES.items() if not counts[counter]]

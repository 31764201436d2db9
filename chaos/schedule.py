"""Which fault comes when, from a seed. Pure.

Faults are dealt from shuffled decks, so that each kind comes about equally often and none is left
out by chance; the gaps between them are exponential.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH_MIN_S, LENGTH_MAX_S = 1.0, 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One fault to come; *seed* is what its own choices are made from."""

    number: int
    fault: str
    at_s: float
    length_s: float
    seed: int


def deal(*, faults: Sequence[str], seed: int, seconds: float, gap_mean_s: float) -> list[Planned]:
    """Return the faults of a run of *seconds*; each name of *faults* is one card of the deck."""
    dice = random.Random(seed)
    planned: list[Planned] = []
    deck: list[str] = []
    at_s = dice.expovariate(1 / gap_mean_s)
    while at_s < seconds and faults:
        if not deck:
            deck = list(faults)
            dice.shuffle(deck)
        planned.append(
            Planned(
                number=len(planned) + 1,
                fault=deck.pop(),
                at_s=round(at_s, 3),
                length_s=round(dice.uniform(LENGTH_MIN_S, LENGTH_MAX_S), 3),
                seed=dice.getrandbits(32),
            )
        )
        at_s += dice.expovariate(1 / gap_mean_s)
    return planned

"""One seed, or one history, from the start to the verdict."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from simulation.actions import Action
from simulation.chooser import Chooser
from simulation.scheduler import Livelock
from simulation.settled import settle
from simulation.world import Broken, World

STEPS = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a history ended: *check* is empty if every promise was kept."""

    seed: int
    steps: int
    check: str = ""
    detail: str = ""
    digest: str = ""
    events: int = 0
    duration_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


def history_of(seed: int, steps: int) -> list[Action]:
    """Return the actions of a seed."""
    return Chooser(seed).choose(steps)


def play_seed(seed: int, steps: int = STEPS) -> Verdict:
    """Play the history of a seed."""
    return play(history_of(seed, steps), seed=seed)


def play(history: Sequence[Action], *, seed: int = 0) -> Verdict:
    """Play a history, heal the world, and judge."""
    world = World()
    check = detail = ""
    started = time.perf_counter()
    try:
        world.start()
        world.play(history)
        settle(world)
    except Broken as broken:
        check, detail = broken.check, str(broken)
    except Livelock as lock:
        check, detail = "livelock", f"livelock: {lock}"
    except Exception as error:  # a check or the world itself met what it did not expect
        check = f"error {type(error).__name__}"
        detail = f"{check}: {error}"
    finally:
        world.close()
    return Verdict(
        seed=seed,
        steps=len(history),
        check=check,
        detail=detail,
        digest=world.digest,
        events=world.ledger.events,
        duration_s=time.perf_counter() - started,
        counts=world.counts,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the services' logs and collect garbage rarely; both cost more than the services."""
    before = structlog.get_config()
    thresholds = gc.get_threshold()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        structlog.configure(**before)
        gc.set_threshold(*thresholds)

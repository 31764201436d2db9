"""The shortest history that still fails: delta debugging over the list of actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from simulation.actions import Action
from simulation.run import play

TRIES_MAX = 3000


def shrink(
    history: Sequence[Action], check: str, *, tries_max: int = TRIES_MAX
) -> tuple[list[int], list[Action]]:
    """Return the numbers of the actions that suffice to break *check*, and the actions.

    Every action of the result is needed: without any one of them the check holds (unless
    *tries_max* plays were used up before).
    """
    tries = 0

    def fails(kept: Sequence[int]) -> bool:
        nonlocal tries
        tries += 1
        return play([history[number] for number in kept]).check == check

    kept = _until_failure(list(range(len(history))), fails)
    size = max(1, len(kept) // 2)
    while tries < tries_max:
        smaller = _without_one_chunk(kept, size, fails, lambda: tries < tries_max)
        if smaller is not None:
            kept = smaller
            size = min(size, max(1, len(kept) // 2))
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return kept, [history[number] for number in kept]


def _until_failure(kept: list[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Cut what comes after the failure: halve as long as the first part fails alone."""
    low, high = 0, len(kept)
    while low < high:
        middle = (low + high) // 2
        if fails(kept[:middle]):
            high = middle
        else:
            low = middle + 1
    return kept[:high] if fails(kept[:high]) else kept


def _without_one_chunk(
    kept: list[int],
    size: int,
    fails: Callable[[Sequence[int]], bool],
    more: Callable[[], bool],
) -> list[int] | None:
    """Return what is left when chunks that are not needed are gone; None if all are needed."""
    left, start = kept, 0
    while start < len(left) and more():
        candidate = left[:start] + left[start + size :]
        if fails(candidate):
            left = candidate
        else:
            start += size
    return left if len(left) < len(kept) else None


def told(action: Action) -> str:
    """Return an action in one line, without what it leaves at its default."""
    shown = [
        f"{each.name}={getattr(action, each.name)!r}"
        for each in fields(action)
        if getattr(action, each.name) is not None
    ]
    return f"{type(action).__name__}({', '.join(shown)})"

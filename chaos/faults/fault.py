"""What a fault is: something that is done to the stack, lasts for a while, and heals."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from chaos.ground import Ground


@dataclass(frozen=True, slots=True)
class Hurt:
    """What was done, in words, and the names of the processes it was done to.

    *holds* says how these keep what they are asked: killed, stopped, cut off; empty if they do not.
    """

    what: str
    targets: tuple[str, ...] = ()
    holds: str = ""


Inject = Callable[[Ground, random.Random, float], AbstractAsyncContextManager[Hurt]]
"""Does something when entered and heals it when left; the number is how long it will last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault; *cards* is how often it is in the deck."""

    name: str
    title: str
    inject: Inject
    root: bool = False
    cards: int = 1

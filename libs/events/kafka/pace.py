"""When the next round of commands leaves a gateway.

The pipeline's cost is for each round, not for each command, so what is asked at about the same
time leaves together (design, Performance).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

GATHER_S = 0.005
"""So long a round waits, after the last one's answers, for those who got them to ask again."""
LULL_S = 0.001
"""While nobody comes for so long, nobody will."""
TOGETHER = 32
"""So many wait for nobody: a round's cost is small for each of them already."""
FULL = 64
"""So many do not even wait for the last round: a decider takes no more at once."""

Item = TypeVar("Item")


class Pace(Generic[Item]):
    """A queue that is taken in rounds.

    A round leaves at once while nothing is unanswered, otherwise when the last one is answered,
    when it is full, or after *round_s*. Clients that wait for their answer ask again right after
    it: a round that left in between would go with half of them while the other half waits its
    turn, and so on for ever. So it stays until they are there.
    """

    def __init__(self, *, round_s: float) -> None:
        self._round_s = round_s
        self._queue: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._complete = asyncio.Event()
        self._unanswered: set[Item] = set()
        self._due = asyncio.Event()
        self._answered_at = 0.0
        self._expected = 0
        self._left = 0

    def add(self, item: Item) -> None:
        """Put an item into the queue."""
        self._queue.append(item)
        self._filled.set()
        if len(self._queue) >= self._expected:
            self._complete.set()
        if len(self._queue) >= FULL:
            self._due.set()

    def remove(self, item: Item) -> None:
        """Take an item out of the queue, where it has to be."""
        self._queue.remove(item)

    def answered(self, item: Item) -> None:
        """Nobody waits for *item* any more; said again, it changes nothing."""
        if item not in self._unanswered:
            return
        self._unanswered.remove(item)
        if not self._unanswered:
            self._answered_at = asyncio.get_running_loop().time()
            self._expected = min(len(self._queue) + self._left, TOGETHER)
            self._due.set()

    async def next_round(self) -> list[Item]:
        """Wait until the next round is to leave, and take it."""
        while True:
            if not self._queue:
                self._filled.clear()
                await self._filled.wait()
            await self._turn()
            if self._queue:  # what was there may have been removed meanwhile
                return self._take()

    def _take(self) -> list[Item]:
        taken = list(self._queue)
        self._queue.clear()
        self._unanswered = set(taken)
        self._due.clear()
        self._left = len(taken)
        return taken

    async def _turn(self) -> None:
        if self._unanswered:
            try:
                async with asyncio.timeout(self._round_s):
                    await self._due.wait()
            except TimeoutError:
                return  # the last round takes longer: the next one leaves all the same
        if not self._unanswered:
            await self._gather()

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        self._complete.clear()
        while len(self._queue) < self._expected and loop.time() < self._answered_at + GATHER_S:
            there = len(self._queue)
            try:
                async with asyncio.timeout(LULL_S):
                    await self._complete.wait()
            except TimeoutError:
                if len(self._queue) == there:
                    return

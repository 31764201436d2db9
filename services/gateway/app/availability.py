"""The pools' figures in memory: fed by reports and by answers, only ever moving forward.

Where the feed is silent the figures are read from the inventory service's view: a broker
that is down makes them no older than the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from libs.events.contracts.inventory import AvailabilityReported, PoolFigures
from libs.events.envelope import Position
from services.gateway.app.positions import Mark, Marks
from services.gateway.domain.failure import StoreUnavailable, ViewBehind

SILENCE_MAX_S = 3.0
"""Owners report each second; after three the feed counts as silent."""

ASK_INTERVAL_S = 0.25
SOURCE = "inventory"


class PoolSource(Protocol):
    """The inventory service's view of all pools."""

    async def pools(self) -> Sequence[PoolFigures]:
        """Return every pool's figures, each as of its partition's head; raises StoreUnavailable."""
        ...


class Availability:
    """All pools' figures, and how far each partition is known.

    *monotonic* is a clock in seconds, *now* the wall clock. One event loop owns it.
    """

    def __init__(
        self,
        *,
        source: PoolSource,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._source = source
        self._monotonic = monotonic
        self._now = now
        self._pools: dict[int, PoolFigures] = {}
        self._heads: dict[int, Mark] = {}
        self._heard: dict[int, tuple[float, datetime]] = {}
        self._owed: dict[int, Mark] = {}
        self._changed: asyncio.Event | None = None
        self._turn = asyncio.Lock()
        self._asked_at = float("-inf")
        self._loaded_at = float("-inf")

    @property
    def loaded(self) -> bool:
        """Whether any figures are known."""
        return bool(self._heads)

    def figures(self, pool_no: int) -> PoolFigures | None:
        """Return a pool's newest figures."""
        return self._pools.get(pool_no)

    def known_at(self, partitions: Iterable[int]) -> datetime | None:
        """Return since when the figures of these partitions are known to hold, the oldest."""
        heard = [self._heard[partition][1] for partition in partitions if partition in self._heard]
        return min(heard, default=None)

    def heads(self, partitions: Iterable[int]) -> Marks:
        """Return how far these partitions are known."""
        return {
            (SOURCE, partition): self._heads[partition]
            for partition in partitions
            if partition in self._heads
        }

    def take(self, figures: PoolFigures) -> None:
        """Take in a pool's figures, from an answer, unless newer ones are known."""
        known = self._pools.get(figures.pool_no)
        if known is None or (known.generation, known.seq) < (figures.generation, figures.seq):
            self._pools[figures.pool_no] = figures
            self._wake()

    def owe(self, position: Position) -> None:
        """Show nothing older than *position* of its partition: it was answered without figures."""
        mark = (position.generation, position.seq)
        if position.seq and self._owed.get(position.partition, (0, 0)) < mark:
            self._owed[position.partition] = mark

    def report(self, reported: AvailabilityReported) -> None:
        """Take in a report of the feed."""
        self._advance(
            partition=reported.partition,
            head=(reported.generation, reported.seq),
            pools=reported.pools,
        )

    def reached(self, *, pool_no: int, partition: int, mark: Mark) -> bool:
        """Say whether a pool's figures are those of *mark* or later."""
        if self._heads.get(partition, (0, 0)) >= mark:
            return True
        figures = self._pools.get(pool_no)
        return figures is not None and (figures.generation, figures.seq) >= mark

    async def wait(
        self, *, pools: Sequence[tuple[int, int]], marks: Marks, deadline: float
    ) -> None:
        """Wait until *pools* (number, partition) are known well enough to be shown.

        That is: not older than *marks*, and confirmed within the last three seconds.
        Raises ViewBehind at *deadline* (the event loop's clock), StoreUnavailable if
        neither feed nor database can be asked.
        """
        wanted = [
            (pool_no, partition, mark)
            for pool_no, partition in pools
            for mark in (marks.get((SOURCE, partition)), self._owed.get(partition))
            if mark is not None
        ]
        if self._silent(pools):
            await self._ask()
            if self._silent(pools):
                raise StoreUnavailable("the figures are old and cannot be confirmed")
        while not all(
            self.reached(pool_no=pool_no, partition=partition, mark=mark)
            for pool_no, partition, mark in wanted
        ):
            if asyncio.get_running_loop().time() >= deadline:
                raise ViewBehind("the figures have not reached what was answered")
            if not await self._change(deadline=deadline):
                await self._ask()

    async def load(self) -> None:
        """Read all figures from the inventory service's view; raises StoreUnavailable."""
        asked_at = self._asked_at = self._monotonic()
        partitions: dict[int, list[PoolFigures]] = {}
        for figures in await self._source.pools():
            partitions.setdefault(figures.partition, []).append(figures)
        for partition, pools in partitions.items():
            head = max((figures.generation, figures.seq) for figures in pools)
            self._advance(partition=partition, head=head, pools=pools)
        self._loaded_at = asked_at

    def _advance(self, *, partition: int, head: Mark, pools: Iterable[PoolFigures]) -> None:
        for figures in pools:
            self.take(figures)
        if self._heads.get(partition, (0, 0)) <= head:
            self._heads[partition] = head
            self._heard[partition] = (self._monotonic(), self._now())
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _change(self, *, deadline: float) -> bool:
        """Wait a while for the feed to bring something; say whether it did."""
        until = min(deadline, asyncio.get_running_loop().time() + ASK_INTERVAL_S)
        changed = self._changed = self._changed or asyncio.Event()
        try:
            async with asyncio.timeout_at(until):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def _silent(self, pools: Sequence[tuple[int, int]]) -> bool:
        since = self._monotonic() - SILENCE_MAX_S
        if self._loaded_at >= since:
            return False
        heard = self._heard
        return any(partition not in heard or heard[partition][0] < since for _, partition in pools)

    async def _ask(self) -> None:
        """Read the view, at most once in a quarter of a second; all who wait share it."""
        async with self._turn:
            if self._monotonic() - self._asked_at < ASK_INTERVAL_S:
                return
            await self.load()


async def load_first(availability: Availability, *, retry_s: float = 0.5) -> None:
    """Load the figures, trying again until it works or a report has come."""
    while not availability.loaded:
        try:
            await availability.load()
        except StoreUnavailable:
            await asyncio.sleep(retry_s)
        else:
            return

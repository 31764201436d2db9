"""How far a read view has come, and waiting for it: reads never show less than was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from services.gateway.app.positions import Mark, Marks, Place
from services.gateway.domain.failure import ViewBehind

POLL_S = 0.01


class ProgressSource(Protocol):
    """Tells how far a service's read view is, in its own log and in the logs it follows."""

    async def progress(self) -> Mapping[Place, Mark]:
        """Return the view's place in each log; raises StoreUnavailable."""
        ...


class ViewProgress:
    """The highest progress seen of one view, so that the usual read costs no query for it."""

    def __init__(self, *, source: ProgressSource, follows: frozenset[str]) -> None:
        self._source = source
        self._follows = follows
        self._seen: dict[Place, Mark] = {}
        self._turn = asyncio.Lock()
        self._asked = 0

    def concerning(self, *marks: Marks, partition: int | None = None) -> dict[Place, Mark]:
        """Return those of *marks* that this view follows, of one partition or of all."""
        wanted: dict[Place, Mark] = {}
        for each in marks:
            for place, mark in each.items():
                if place[0] in self._follows and partition in (None, place[1]):
                    wanted[place] = max(mark, wanted.get(place, (0, 0)))
        return wanted

    def reached(self, wanted: Marks) -> bool:
        """Say whether the view is known to be at *wanted* or further."""
        seen = self._seen
        return all(seen.get(place, (0, 0)) >= mark for place, mark in wanted.items())

    async def wait(self, wanted: Marks, *, deadline: float) -> None:
        """Wait until the view is at *wanted*; one query at a time serves all who wait.

        Raises ViewBehind at *deadline* (the event loop's clock), StoreUnavailable when the
        view cannot be asked.
        """
        if self.reached(wanted):
            return
        try:
            async with asyncio.timeout_at(deadline):
                # Nothing tells us of another service's commit: this is a poll.
                while True:
                    if await self.ask(wanted):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise ViewBehind("the view has not reached what was answered") from None

    async def ask(self, wanted: Marks) -> bool:
        """Look how far the view is now, and say whether that is far enough."""
        asked = self._asked
        async with self._turn:
            # A query that began after this call did has answered for it, too.
            if self._asked == asked and not self.reached(wanted):
                self._asked += 1
                for place, mark in (await self._source.progress()).items():
                    if self._seen.get(place, (0, 0)) < mark:
                        self._seen[place] = mark
        return self.reached(wanted)

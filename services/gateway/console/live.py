"""Panels that follow what happens: read once for all who look, and not at all when nobody does.

A panel is read again at most once a second, and so seldom that reading takes a twentieth of the
time at most. Whoever looks has a place for the newest content of each panel and no queue: a slow
browser misses steps and never holds anybody up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from libs.runtime.supervise import spawn

log = structlog.get_logger()

INTERVAL_S = 1.0
READ_TIMEOUT_S = 1.5
SHARE_MAX = 0.05
INTERVAL_MAX_S = 30.0
WATCHERS_MAX = 100
PANELS_MAX = 64

Content = Mapping[str, str]
"""What is sent, by the name of the event that brings it."""
Read = Callable[[], Awaitable[Content]]


class TooMany(Exception):
    """More people or searches at once than the console serves; close a page."""


class Unreadable(Exception):
    """A panel can't be shown now; the message is for operators and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Something to look at: *key* tells it from others, *name* is what pages call it.

    *failed* makes the content that is shown when it can't be read, from a reason and the last
    good content.
    """

    key: str
    name: str
    read: Read
    failed: Callable[[str, Content | None], Content]
    interval_s: float = INTERVAL_S


@dataclass(slots=True, eq=False)
class Watcher:
    """Somebody who looks at panels: the newest content of each that was not taken yet."""

    waiting: dict[str, Content] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, key: str, content: Content) -> None:
        """Put content where it waits, over what was there."""
        self.waiting[key] = content
        self.woken.set()

    async def take(self) -> Sequence[Content]:
        """Wait for something new and return it."""
        await self.woken.wait()
        self.woken.clear()
        taken = list(self.waiting.values())
        self.waiting.clear()
        return taken


@dataclass(slots=True)
class _Watched:
    panel: Panel
    watchers: set[Watcher] = field(default_factory=set)
    shown: Content | None = None
    good: Content | None = None


class Hub:
    """Reads panels for whoever looks; `run` must be running."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._watched: dict[str, _Watched] = {}
        self._watchers: set[Watcher] = set()
        self._group: asyncio.TaskGroup | None = None
        self.reads = 0

    @property
    def is_running(self) -> bool:
        """Whether anything is read."""
        return self._group is not None

    @property
    def watchers(self) -> int:
        """How many look."""
        return len(self._watchers)

    async def run(self) -> None:
        """Read what is looked at, until cancelled; costs nothing while nobody looks."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for watched in self._watched.values():
                    self._follow(watched)
                await asyncio.Event().wait()
        finally:
            self._group = None
            for watcher in self._watchers:  # let them see that nothing comes any more
                watcher.woken.set()

    @contextmanager
    def watching(self, panels: Sequence[Panel]) -> Iterator[Watcher]:
        """Look at *panels*; raises TooMany."""
        new = {panel.key for panel in panels} - self._watched.keys()
        if len(self._watchers) >= WATCHERS_MAX or len(self._watched) + len(new) > PANELS_MAX:
            raise TooMany
        watcher = Watcher()
        self._watchers.add(watcher)
        for panel in panels:
            self._join(panel, watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            for panel in panels:
                if (watched := self._watched.get(panel.key)) is not None:
                    watched.watchers.discard(watcher)

    async def first(self, panels: Sequence[Panel], *, timeout_s: float) -> dict[str, Content]:
        """Return what each panel shows, by key; one that is not there in time is left out."""
        found: dict[str, Content] = {}
        with self.watching(panels) as watcher, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(found) < len(panels):
                    await watcher.woken.wait()
                    watcher.woken.clear()
                    found |= watcher.waiting
        return found

    def _join(self, panel: Panel, watcher: Watcher) -> None:
        watched = self._watched.get(panel.key)
        if watched is None:
            watched = self._watched[panel.key] = _Watched(panel)
            watched.watchers.add(watcher)
            self._follow(watched)
            return
        watched.watchers.add(watcher)
        if watched.shown is not None:
            watcher.give(panel.key, watched.shown)

    def _follow(self, watched: _Watched) -> None:
        if self._group is not None:
            spawn(self._group, f"panel {watched.panel.name}", self._read_on(watched))

    async def _read_on(self, watched: _Watched) -> None:
        panel = watched.panel
        while watched.watchers:
            began = self._monotonic()
            content = await self._read(watched)
            if content != watched.shown:
                watched.shown = content
                for watcher in watched.watchers:
                    watcher.give(panel.key, content)
            took = self._monotonic() - began
            await asyncio.sleep(max(panel.interval_s, min(took / SHARE_MAX, INTERVAL_MAX_S)))
        del self._watched[panel.key]

    async def _read(self, watched: _Watched) -> Content:
        """Return the panel's content, or what stands there when it has none."""
        panel = watched.panel
        self.reads += 1
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                watched.good = await panel.read()
            return watched.good
        except Unreadable as error:
            reason = str(error)
        except TimeoutError:
            reason = f"no answer within {READ_TIMEOUT_S} s"
        except Exception as error:  # one panel's defect must not take the others with it
            log.error("console.panel.failed", panel=panel.name, exc_info=error)
            reason = f"a fault of the console ({type(error).__name__}); its log has more"
        return panel.failed(reason, watched.good)

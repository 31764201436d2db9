"""An event loop whose time stands still until the simulation moves it.

No thread, no socket, no clock of the machine: what is ready runs in the order in which it
became ready, timers run when time is moved past them. The same calls give the same run.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

CALLBACKS_MAX = 200_000
"""More callbacks than this without time moving are an endless loop."""


class Livelock(Exception):
    """Something runs for ever without waiting for time."""


class Scheduler(asyncio.AbstractEventLoop):
    """As much of an event loop as the product's code asks for."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self.faults: list[str] = []

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop`."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop`."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio.AbstractEventLoop`."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """See `asyncio.AbstractEventLoop`."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return False

    def is_running(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return True

    def is_closed(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody has observed: it is a fault of the product."""
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_ready(self) -> None:
        """Run what is ready, and what that makes ready, until nothing is; time stands still."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            ready = self._ready
            left = CALLBACKS_MAX
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                    left -= 1
                    if not left:
                        raise Livelock(repr(handle))
        finally:
            asyncio._set_running_loop(outer)

    def advance(self, by_s: float) -> None:
        """Move time on, and run every timer at its time."""
        until = self._now_s + by_s
        timers = self._timers
        self.run_ready()
        while timers and timers[0][0] <= until:
            when, _, timer = heapq.heappop(timers)
            if timer.cancelled():
                continue
            self._now_s = max(self._now_s, when)
            self._ready.append(timer)
            self.run_ready()
        self._now_s = until

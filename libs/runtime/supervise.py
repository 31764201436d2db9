"""Runs a service: signals, named tasks, restarts, and a watchdog over the event loop.

The only place where asyncio tasks are made outside a TaskGroup. Signal handlers do nothing
but set an event; what stopping means is the service's own affair, within a stated time.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from structlog.typing import FilteringBoundLogger

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_STALLED = 3
EXIT_STOP_LIMIT = 4

BEAT_S = 0.2
LAG_ALARM_S = 0.1
STALL_EXIT_S = 5.0
STOP_LIMIT_S = 15.0
CLOSE_LIMIT_S = 10.0
GC_THRESHOLDS = (10_000, 1, 5_000)
"""A look at the youngest 10,000 objects takes some 10 ms, one at the 20,000 next older as well up
to 30, however many the process keeps (docs/performance.md)."""
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 5.0

T = TypeVar("T")


def spawn(group: asyncio.TaskGroup, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start *coro* in *group* as a task with a name."""
    return group.create_task(coro, name=name)


async def keep_running(
    name: str,
    factory: Callable[[], Coroutine[Any, Any, None]],
    *,
    stop: asyncio.Event,
    log: FilteringBoundLogger,
    backoff_min_s: float = BACKOFF_MIN_S,
    backoff_max_s: float = BACKOFF_MAX_S,
) -> None:
    """Run ``factory()`` and start it anew whenever it fails, until *stop* is set.

    Waits between starts, doubling from *backoff_min_s* to *backoff_max_s*; a run longer
    than the latter counts as healthy and the waits begin small again. Returns when the
    factory returns, or after a failure once *stop* is set. Cancellation passes through.
    """
    clock = asyncio.get_running_loop().time
    wait_s = backoff_min_s
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    while not stop.is_set():
        started = clock()
        try:
            await factory()
            return
        except Exception:
            if clock() - started > backoff_max_s:
                wait_s = backoff_min_s
            log.exception("supervise.task.failed", task=name, restart_in_s=wait_s)
        # A TaskGroup that fails while it waits for its tasks leaves its own cancellation request
        # behind; until Python 3.11.3 every later asyncio.timeout of this task would fail by it.
        while task.cancelling() > cancelled_before:
            task.uncancel()
        try:
            async with asyncio.timeout(wait_s):
                await stop.wait()
        except TimeoutError:
            wait_s = min(wait_s * 2, backoff_max_s)


class LoopWatch:
    """Measures the event loop's lag, and ends the process when the loop hangs.

    A thread counts its own rounds without a heartbeat of the loop. Rounds, not wall time: a
    process that was paused as a whole (SIGSTOP, a suspended machine) has not hung.
    """

    def __init__(
        self,
        *,
        log: FilteringBoundLogger,
        on_lag: Callable[[float], None],
        stall_exit_s: float = STALL_EXIT_S,
    ) -> None:
        self._log = log
        self._on_lag = on_lag
        self._round_s = min(0.5, stall_exit_s / 10)
        self._rounds_max = round(stall_exit_s / self._round_s)
        self._beats = 0
        self._exit_code = EXIT_STALLED
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop to watch."""
        self._over.set()
        self._thread.join(timeout=1.0)

    def finish_within(self, limit_s: float, *, exit_code: int) -> None:
        """End the process with *exit_code* unless `close` is called within *limit_s*."""
        self._rounds_max = max(1, round(limit_s / self._round_s))
        self._exit_code = exit_code
        self._beats = -1

    async def beat(self) -> None:
        """Beat for ever; reports how late each beat was, and alarms at most once a second."""
        clock = asyncio.get_running_loop().time
        quiet_until = 0.0
        while self._beats >= 0:
            asleep = clock()
            await asyncio.sleep(BEAT_S)
            awake = clock()
            lag_s = max(0.0, awake - asleep - BEAT_S)
            if self._beats >= 0:
                self._beats += 1
            self._on_lag(lag_s)
            if lag_s >= LAG_ALARM_S and awake >= quiet_until:
                quiet_until = awake + 1.0
                self._log.warning("supervise.loop.lagged", lag_ms=round(lag_s * 1000))

    def _watch(self) -> None:
        seen, rounds, limit = self._beats, 0, self._rounds_max
        while not self._over.wait(self._round_s):
            if (self._beats, self._rounds_max) != (seen, limit):
                seen, rounds, limit = self._beats, 0, self._rounds_max
                continue
            rounds += 1
            if rounds >= limit:
                self._end_process(rounds * self._round_s)

    def _end_process(self, after_s: float) -> None:
        # A full pipe may be why the loop hangs; then the log call hangs too and this ends us.
        faulthandler.dump_traceback_later(1.0, exit=True)
        event = "supervise.loop.stalled" if self._beats >= 0 else "supervise.stop.hung"
        self._log.critical(event, after_s=after_s, exit_code=self._exit_code)
        faulthandler.dump_traceback(all_threads=True)
        os._exit(self._exit_code)


def calm_collector() -> None:
    """Let the garbage collector look rarely, and never again at what exists now.

    Its default of a look every 700 new objects took half of the CPU of deciding a command
    (docs/performance.md). What the services make in bulk has no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def run_service(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    log: FilteringBoundLogger,
    on_lag: Callable[[float], None] = lambda _: None,
    stop_limit_s: float = STOP_LIMIT_S,
    stall_exit_s: float = STALL_EXIT_S,
) -> int:
    """Run ``main(stop)`` in a new event loop until it ends, and return the exit code.

    SIGTERM and SIGINT set *stop*; main then has *stop_limit_s* to return before it is
    cancelled. Exit codes: 0 main returned, 1 it raised, 3 the loop hung for *stall_exit_s*,
    4 it did not stop in time.
    """
    calm_collector()
    watch = LoopWatch(log=log, on_lag=on_lag, stall_exit_s=stall_exit_s)
    watch.start()
    try:
        with asyncio.Runner() as runner:
            return runner.run(_supervised(main, log=log, watch=watch, stop_limit_s=stop_limit_s))
    finally:
        watch.close()


async def _supervised(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    log: FilteringBoundLogger,
    watch: LoopWatch,
    stop_limit_s: float,
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_log_unobserved, log))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    beating = _start("loop-watch", watch.beat())
    asked = _start("stop", stop.wait())
    work = _start("service", main(stop))
    try:
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("supervise.service.stopping", limit_s=stop_limit_s)
            await asyncio.wait({work}, timeout=stop_limit_s)
        if not work.done():
            log.error("supervise.stop.limit_passed", limit_s=stop_limit_s)
            watch.finish_within(CLOSE_LIMIT_S, exit_code=EXIT_STOP_LIMIT)
            work.cancel()
            await asyncio.wait({work})
            return EXIT_STOP_LIMIT
        failure = asyncio.CancelledError() if work.cancelled() else work.exception()
        if failure is not None:
            log.error("supervise.service.failed", exc_info=failure)
            return EXIT_FAILED
        log.info("supervise.service.stopped")
        return EXIT_OK
    finally:
        # Closing the loop waits for worker threads and left-over tasks: not for ever.
        watch.finish_within(CLOSE_LIMIT_S, exit_code=EXIT_STOP_LIMIT)
        asked.cancel()
        beating.cancel()


def _start(name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.create_task(coro, name=name)  # noqa: TID251  # the one place; see above


def _log_unobserved(
    log: FilteringBoundLogger, _: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    task = context.get("task") or context.get("future")
    log.error(
        "supervise.exception.unobserved",
        message=context["message"],
        task=task.get_name() if isinstance(task, asyncio.Task) else None,
        exc_info=context.get("exception"),
    )

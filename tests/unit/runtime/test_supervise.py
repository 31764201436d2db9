"""Supervision: restarts, stopping, exit codes, and the watch over the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from libs.runtime.supervise import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_STALLED,
    EXIT_STOP_LIMIT,
    keep_running,
    run_service,
    spawn,
)

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0


class Journal:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self._calls = CapturingLogger()
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            self._calls,
            processors=[lambda _, __, event: ((), event)],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What was logged, in order."""
        return [call.kwargs for call in self._calls.calls]

    def events(self) -> list[str]:
        """The names of the events that were logged."""
        return [str(entry["event"]) for entry in self.entries]


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()


def run(script: str, *, stop_with: signal.Signals | None = None) -> tuple[int, str]:
    """Run a service in a process of its own; return its exit code and all its output.

    The signal is sent once the service has printed a line.
    """
    head = """
        import asyncio, os, signal, sys, threading, time
        import structlog
        from libs.runtime.supervise import run_service
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
        log = structlog.get_logger()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        text=True,
    ) as service:
        assert service.stdout is not None
        first = ""
        if stop_with is not None:
            first = service.stdout.readline()
            service.send_signal(stop_with)
        output, _ = service.communicate(timeout=LIMIT_S)
        return service.returncode, first + output


async def test_spawned_tasks_have_names() -> None:
    """A task's name says what it does; its result is the coroutine's."""

    async def answer() -> int:
        return 42

    async with asyncio.TaskGroup() as group:
        task = spawn(group, "answer", answer())
    assert ("answer", 42) == (task.get_name(), task.result())


async def test_what_fails_is_started_again(journal: Journal) -> None:
    """Each failure is logged with its cause and its doubling, limited wait."""
    starts = 0

    async def fail_four_times() -> None:
        nonlocal starts
        starts += 1
        if starts <= 4:
            raise ConnectionError("broker away")

    await keep_running(
        "feed",
        fail_four_times,
        stop=asyncio.Event(),
        log=journal.log,
        backoff_min_s=0.001,
        backoff_max_s=0.004,
    )
    assert 5 == starts
    assert ["supervise.task.failed"] * 4 == journal.events()
    assert [0.001, 0.002, 0.004, 0.004] == [entry["restart_in_s"] for entry in journal.entries]
    assert {("feed", True)} == {(entry["task"], entry["exc_info"]) for entry in journal.entries}


async def test_a_task_that_was_started_anew_can_still_wait_with_a_timeout(
    journal: Journal,
) -> None:
    """What a failed TaskGroup leaves of its own cancellation does not outlive the run."""
    stop = asyncio.Event()
    left: list[int] = []

    async def fail() -> None:
        raise RuntimeError("lost")

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())
        if len(left) == 3:
            stop.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(LIMIT_S))
            group.create_task(fail())

    await keep_running("feed", run, stop=stop, log=journal.log, backoff_min_s=0.001)
    assert [0, 0, 0] == left


async def test_a_failing_group_is_started_again(journal: Journal) -> None:
    """What a TaskGroup raises counts as a failure too."""
    starts = 0

    async def fail_once_in_a_group() -> None:
        nonlocal starts
        starts += 1
        async with asyncio.TaskGroup() as group:
            if starts == 1:
                spawn(group, "child", asyncio.wait_for(asyncio.Event().wait(), 0.001))

    await keep_running(
        "group", fail_once_in_a_group, stop=asyncio.Event(), log=journal.log, backoff_min_s=0.001
    )
    assert 2 == starts


async def test_nothing_is_started_again_after_stop(journal: Journal) -> None:
    """A failure while stopping, or in the wait before the next start, is the last."""
    stop = asyncio.Event()

    async def fail_and_stop() -> None:
        stop.set()
        raise ConnectionError("going down")

    await keep_running("feed", fail_and_stop, stop=stop, log=journal.log, backoff_min_s=LIMIT_S)
    assert ["supervise.task.failed"] == journal.events()
    await keep_running("feed", fail_and_stop, stop=stop, log=journal.log)
    assert ["supervise.task.failed"] == journal.events()


async def test_cancellation_is_no_failure(journal: Journal) -> None:
    """A cancelled task is not started again."""
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = spawn(
            group, "feed", keep_running("feed", wait, stop=asyncio.Event(), log=journal.log)
        )
        await started.wait()
        task.cancel()
    assert task.cancelled()
    assert [] == journal.entries


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask_to_stop(number: signal.Signals) -> None:
    """SIGTERM and SIGINT set the event; the service ends by itself with exit code 0."""
    code, output = run(
        """
        async def main(stop):
            print("up", flush=True)
            await stop.wait()
            await asyncio.sleep(0)
            print("put away", flush=True)

        sys.exit(run_service(main, log=log))
        """,
        stop_with=number,
    )
    assert EXIT_OK == code, output
    assert "put away" in output
    assert "supervise.service.stopped" in output


def test_a_service_that_fails_says_why(journal: Journal) -> None:
    """An exception of main is logged with its cause; the exit code is 1."""

    async def main(_: asyncio.Event) -> None:
        raise LookupError("no such thing")

    assert EXIT_FAILED == run_service(main, log=journal.log)
    [entry] = journal.entries
    assert "supervise.service.failed" == entry["event"]
    assert isinstance(entry["exc_info"], LookupError)


def test_a_service_that_ends_by_itself_is_fine(journal: Journal) -> None:
    """Returning from main is a normal end."""

    async def main(_: asyncio.Event) -> None:
        await asyncio.sleep(0)

    assert EXIT_OK == run_service(main, log=journal.log)


def test_a_service_that_does_not_stop_is_cancelled() -> None:
    """After the limit main is cancelled, may clean up, and the exit code tells."""
    code, output = run(
        """
        async def main(stop):
            print("up", flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                print("cleaned up", flush=True)

        sys.exit(run_service(main, log=log, stop_limit_s=0.05))
        """,
        stop_with=signal.SIGTERM,
    )
    assert EXIT_STOP_LIMIT == code, output
    assert "cleaned up" in output


def test_a_service_that_refuses_cancellation_is_ended() -> None:
    """Neither a task that swallows its cancellation nor a stuck thread keeps the process."""
    code, output = run(
        """
        import libs.runtime.supervise as supervise
        supervise.CLOSE_LIMIT_S = 0.2

        async def main(stop):
            print("up", flush=True)
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass

        sys.exit(run_service(main, log=log, stop_limit_s=0.05))
        """,
        stop_with=signal.SIGTERM,
    )
    assert EXIT_STOP_LIMIT == code, output
    assert "supervise.stop.hung" in output


def test_a_hanging_loop_ends_the_process() -> None:
    """When nothing runs any more, the process ends and shows where it hung."""
    code, output = run(
        """
        async def main(stop):
            def hang_here():
                time.sleep(60)
            hang_here()

        sys.exit(run_service(main, log=log, stall_exit_s=0.2))
        """
    )
    assert EXIT_STALLED == code, output
    assert "supervise.loop.stalled" in output
    assert "hang_here" in output


def test_a_paused_process_has_not_hung() -> None:
    """SIGSTOP for longer than the limit is no stall: nobody could have run."""
    code, output = run(
        """
        import subprocess

        async def main(stop):
            command = f"sleep 0.2; kill -STOP {os.getpid()}; sleep 1; kill -CONT {os.getpid()}"
            helper = await asyncio.create_subprocess_exec("sh", "-c", command)
            await helper.wait()
            await asyncio.sleep(0.3)
            print("went on", flush=True)

        sys.exit(run_service(main, log=log, stall_exit_s=0.6))
        """
    )
    assert EXIT_OK == code, output
    assert "went on" in output


def test_lag_is_measured_and_told(journal: Journal) -> None:
    """A blocked loop shows in the gauge and, from 100 ms on, in the log."""
    lagged: list[float] = []

    async def main(_: asyncio.Event) -> None:
        beaten, late = asyncio.Event(), asyncio.Event()
        waits.extend((beaten, late))
        async with asyncio.timeout(LIMIT_S):
            await beaten.wait()
            blocked_until = asyncio.get_running_loop().time() + 0.5
            while asyncio.get_running_loop().time() < blocked_until:
                pass
            await late.wait()

    waits: list[asyncio.Event] = []

    def on_lag(lag_s: float) -> None:
        waits[0].set()
        if lag_s >= 0.1:
            lagged.append(lag_s)
            waits[1].set()

    assert EXIT_OK == run_service(main, log=journal.log, on_lag=on_lag)
    assert lagged
    assert "supervise.loop.lagged" in journal.events()


def test_exceptions_that_nobody_sees_are_logged(journal: Journal) -> None:
    """An exception in a callback or a forgotten task is logged, with the task's name."""

    async def fail() -> None:
        raise LookupError("forgotten")

    async def main(_: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: 1 // 0)
        task = loop.create_task(fail(), name="stray")
        await asyncio.wait({task})
        del task
        await asyncio.sleep(0)

    assert EXIT_OK == run_service(main, log=journal.log)
    unseen = [each for each in journal.entries if "unobserved" in str(each["event"])]
    assert [ZeroDivisionError, LookupError] == [type(each["exc_info"]) for each in unseen]
    assert [None, "stray"] == [each["task"] for each in unseen]

"""Processes under care: brought up, restarted, given up, ended within a budget."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.managed import ChildExits, ManagedProcess, StepFailedError
from deploy.local.plan import Kind, Step
from deploy.local.processes import Command
from deploy.local.state import ProcessPhase, ProcessState

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
async def exits() -> AsyncIterator[ChildExits]:
    """Tell of ended children for as long as the test runs."""
    found = ChildExits()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, found.notice)
    yield found
    loop.remove_signal_handler(signal.SIGCHLD)


class Told:
    """Collects what a process reports, and lets a test wait for it."""

    def __init__(self) -> None:
        self.states: list[ProcessState] = []
        self._news = asyncio.Event()

    def report(self, state: ProcessState) -> None:
        """Take a report."""
        self.states.append(state)
        self._news.set()

    async def until(self, phase: ProcessPhase, *, restarts: int = 0) -> ProcessState:
        """Wait for a report of that phase and number of restarts."""
        async with asyncio.timeout(20):
            while True:
                for state in self.states:
                    if state.phase is phase and state.restarts == restarts:
                        return state
                self._news.clear()
                await self._news.wait()


def step(
    tmp_path: Path, argv: tuple[str, ...], *, kind: Kind = Kind.SERVER, ready: bool = True
) -> Step:
    """Return a step that is ready as soon as it runs, or never."""
    command = Command(argv, os.environ, tmp_path / "it.log", tmp_path)
    return Step("it", kind, command, probe=lambda: ready)


async def test_a_server_that_is_killed_comes_back(tmp_path: Path, exits: ChildExits) -> None:
    """After SIGKILL there is a new process with another id, and the restart is counted."""
    told = Told()
    managed = ManagedProcess(step=step(tmp_path, SLEEP), exits=exits, report=told.report)
    await managed.start()
    first = (await told.until(ProcessPhase.READY)).running
    assert first is not None
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(managed.watch())
        os.kill(first.pid, signal.SIGKILL)
        second = (await told.until(ProcessPhase.READY, restarts=1)).running
        watcher.cancel()
    assert second is not None
    assert second.alive
    assert not first.alive
    await managed.stop()
    assert not second.alive
    assert ProcessPhase.STOPPED is told.states[-1].phase


async def test_a_server_that_ends_before_it_is_ready_fails_the_start(
    tmp_path: Path, exits: ChildExits
) -> None:
    """The failure names the process and its exit code."""
    told = Told()
    dying = step(tmp_path, (sys.executable, "-c", "raise SystemExit(3)"), ready=False)
    managed = ManagedProcess(step=dying, exits=exits, report=told.report)
    with pytest.raises(StepFailedError, match="it ended with code 3 before it was ready"):
        await managed.start()
    assert ProcessPhase.FAILED is told.states[-1].phase


async def test_a_program_that_is_not_there_fails_the_start(
    tmp_path: Path, exits: ChildExits
) -> None:
    """The failure is told in the same way as any other."""
    managed = ManagedProcess(
        step=step(tmp_path, ("no-such-program",), ready=False), exits=exits, report=Told().report
    )
    with pytest.raises(StepFailedError):
        await managed.start()


async def test_a_task_is_done_only_with_code_zero(tmp_path: Path, exits: ChildExits) -> None:
    """Code 0 is done; any other code fails and is named, unless it does no harm."""
    told = Told()
    good = step(tmp_path, (sys.executable, "-c", ""), kind=Kind.TASK)
    await ManagedProcess(step=good, exits=exits, report=told.report).run_once()
    assert ProcessPhase.DONE is told.states[-1].phase
    bad = step(tmp_path, (sys.executable, "-c", "raise SystemExit(2)"), kind=Kind.TASK)
    with pytest.raises(StepFailedError, match="it ended with code 2"):
        await ManagedProcess(step=bad, exits=exits, report=told.report).run_once()
    harmless = replace(bad, may_fail=lambda: True)
    await ManagedProcess(step=harmless, exits=exits, report=told.report).run_once()
    assert ProcessPhase.REFUSED is told.states[-1].phase

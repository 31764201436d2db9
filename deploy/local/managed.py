"""One process under the supervisor's care: brought up, watched, restarted within limits, ended
within a budget.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

from deploy.local.kafka import KafkaSetupError
from deploy.local.listening import passing_on
from deploy.local.plan import READY_TIMEOUT_S, STOP_BUDGET_S, TASK_TIMEOUT_S, Step
from deploy.local.postgres import PostgresError
from deploy.local.processes import running, spawn, sweep_group
from deploy.local.restarts import RestartPolicy
from deploy.local.state import ProcessPhase, ProcessState

_PROBE_PAUSE_S: Final = 0.1
_KILL_BUDGET_S: Final = 5.0


class StepFailedError(Exception):
    """A process of the stack could not be brought up; names it and says why."""

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name


class ChildExits:
    """Tells waiters that some child process has ended, without asking each over and over."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def notice(self) -> None:
        """Wake all waiters; the handler of SIGCHLD."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self, *, process: subprocess.Popen[bytes]) -> int:
        """Wait until a process has ended, however long that takes, and return its exit code."""
        while (code := process.poll()) is None:
            await self._news.wait()
        return code


class ManagedProcess:
    """A step of the plan and the process that currently fulfils it."""

    def __init__(
        self,
        *,
        step: Step,
        exits: ChildExits,
        report: Callable[[ProcessState], None],
    ) -> None:
        self.step = step
        self._exits = exits
        self._report = report
        self._policy = RestartPolicy()
        self._process: subprocess.Popen[bytes] | None = None
        self._state = ProcessState(name=step.name, address=step.address)

    def _tell(self, phase: ProcessPhase, *, restarts: int | None = None) -> None:
        process = self._process
        self._state = replace(
            self._state,
            phase=phase,
            running=None
            if process is None
            else running(process=process, stop_signal=self.step.command.stop_signal),
            restarts=self._state.restarts if restarts is None else restarts,
        )
        self._report(self._state)

    async def start(self) -> None:
        """Start the server and return once it does its work.

        Raises StepFailedError if it ends or does not get ready in time; it is not running then.
        """
        self._tell(ProcessPhase.STARTING)
        try:
            await asyncio.to_thread(self.step.prepare)
            self._process = self._spawn()
            self._tell(ProcessPhase.STARTING)
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._until_ready(self._process)
        except TimeoutError as error:
            await self._fail(f"was not ready within {READY_TIMEOUT_S:.0f} s", error)
        except (OSError, PostgresError, KafkaSetupError, subprocess.SubprocessError) as error:
            await self._fail(f"could not be set up: {error}", error)
        self._tell(ProcessPhase.READY)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = self.step.command
        if self.step.listening is None:
            return spawn(command=command)
        descriptor = self.step.listening.descriptor
        passing = replace(command, argv=passing_on(descriptor=descriptor, argv=command.argv))
        return spawn(command=passing, descriptors=(descriptor,))

    async def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        while not await asyncio.to_thread(self.step.probe):
            await self._refuse_ended(process)
            await asyncio.sleep(_PROBE_PAUSE_S)
        # Something else may have answered on our port while our own process gave up.
        await self._refuse_ended(process)
        await asyncio.to_thread(self.step.settle)

    async def _refuse_ended(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            await self._fail(f"ended with {exit_words(process.returncode)} before it was ready")

    async def _fail(self, reason: str, cause: Exception | None = None) -> NoReturn:
        await self._end()
        self._tell(ProcessPhase.FAILED)
        raise StepFailedError(name=self.step.name, reason=reason) from cause

    async def watch(self) -> None:
        """Restart the server whenever it ends, until the policy forbids it; then return."""
        while True:
            if self._process is not None:
                await self._exits.wait(process=self._process)
                sweep_group(process=self._process)
                self._process = None
            delay_s = self._policy.next_delay_s(now_s=time.monotonic())
            if delay_s is None:
                self._tell(ProcessPhase.FAILED)
                return
            self._tell(ProcessPhase.RESTARTING, restarts=self._state.restarts + 1)
            await asyncio.sleep(delay_s)
            try:
                await self.start()
            except StepFailedError:
                continue

    async def run_once(self) -> None:
        """Run the task to its end.

        Raises StepFailedError unless it ends in time, with code 0 or where it may fail.
        """
        self._process = spawn(command=self.step.command)
        self._tell(ProcessPhase.STARTING)
        try:
            async with asyncio.timeout(TASK_TIMEOUT_S):
                code = await self._exits.wait(process=self._process)
        except TimeoutError as error:
            await self._fail(f"took longer than {TASK_TIMEOUT_S:.0f} s", error)
        if code != 0 and not self.step.may_fail():
            await self._fail(f"ended with {exit_words(code)}")
        self._process = None
        self._tell(ProcessPhase.DONE if code == 0 else ProcessPhase.REFUSED)

    async def stop(self) -> None:
        """End the process: its stop signal, then SIGKILL once the budget is spent."""
        await self._end()
        if self._state.phase not in {ProcessPhase.FAILED, ProcessPhase.DONE, ProcessPhase.REFUSED}:
            self._tell(ProcessPhase.STOPPED)

    def forget(self) -> None:
        """Show as waiting again what is about to be brought up anew."""
        self._tell(ProcessPhase.WAITING)

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        for number, patience_s in (
            (self.step.command.stop_signal, STOP_BUDGET_S),
            (signal.SIGKILL, _KILL_BUDGET_S),
        ):
            process.send_signal(number)
            try:
                async with asyncio.timeout(patience_s):
                    await self._exits.wait(process=process)
            except TimeoutError:
                continue
            break
        sweep_group(process=process)
        self._process = None


def exit_words(code: int) -> str:
    """Say how a process ended: its code, or the signal that ended it."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"code {code}"

"""The background process that keeps the stack running: starts it in order, restarts what dies, ends
it in order.

It is told by signals only (SIGTERM: stop, SIGUSR1: reset, SIGUSR2: roll what a file names) and
tells by the state file only.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.local.kafka import KafkaSetupError
from deploy.local.managed import ChildExits, ManagedProcess, StepFailedError
from deploy.local.plan import Kind, Plan, Step
from deploy.local.postgres import PostgresError
from deploy.local.processes import Running, start_mark, trim_log
from deploy.local.state import Phase, ProcessState, StackState, write

_LOG_CHECK_PAUSE_S: Final = 10.0


class Supervisor:
    """Runs one plan in one event loop; every process is started from this thread (see `spawn`)."""

    def __init__(
        self, *, plan: Plan, state_file: Path, wipe_marker: Path, roll_marker: Path
    ) -> None:
        self._plan = plan
        self._state_file = state_file
        self._wipe_marker = wipe_marker
        self._roll_marker = roll_marker
        self._exits = ChildExits()
        self._stop_asked = asyncio.Event()
        self._reset_asked = asyncio.Event()
        self._roll_asked = asyncio.Event()
        pid = os.getpid()
        self._state = StackState(
            supervisor=Running(pid, start_mark(pid=pid) or ""),
            processes={
                step.name: ProcessState(name=step.name, address=step.address)
                for step in (*plan.infrastructure, *plan.services)
            },
        )
        self._managed = {
            step.name: ManagedProcess(step=step, exits=self._exits, report=self._report)
            for step in (
                *plan.infrastructure,
                *plan.services,
                *(steps[-1] for steps in plan.instances.values()),
            )
        }
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> bool:
        """Keep the stack up until told to stop; return False if it could not be brought up."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._exits.notice)
        loop.add_signal_handler(signal.SIGUSR1, self._reset_asked.set)
        loop.add_signal_handler(signal.SIGUSR2, self._roll_asked.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_asked.set)
        self._tell(Phase.STARTING)
        async with asyncio.TaskGroup() as group:
            logs = group.create_task(self._bound_logs(), name="logs")
            work = group.create_task(self._work(group), name="work")
            stop = group.create_task(self._stop_asked.wait(), name="stop")
            try:
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, stop, logs):
                    task.cancel()
                await asyncio.wait({work})
                if self._state.phase is not Phase.FAILED:
                    self._tell(Phase.STOPPING)
                for wave in self._plan.stop_order:
                    await self._stop(wave)
        failed = self._state.phase is Phase.FAILED
        if not failed:
            self._tell(Phase.STOPPED)
        return not failed

    async def _work(self, group: asyncio.TaskGroup) -> None:
        plan = self._plan
        try:
            await self._bring_up(group, plan.infrastructure)
            if self._wipe_marker.exists():
                # An earlier reset did not get to its end; half of one is worse than a whole.
                await self._wipe()
            await self._bring_up_services(group)
            while True:
                await self._something_asked(group)
                if self._reset_asked.is_set():
                    self._reset_asked.clear()
                    await self._reset(group)
                if self._roll_asked.is_set():
                    self._roll_asked.clear()
                    await self._roll(group)
        except* StepFailedError as failures:
            first: BaseException = failures
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            name = first.name if isinstance(first, StepFailedError) else None
            self._state = replace(self._state, failure=str(first), failed_process=name)
            self._tell(Phase.FAILED)

    async def _something_asked(self, group: asyncio.TaskGroup) -> None:
        asked = [group.create_task(event.wait()) for event in (self._reset_asked, self._roll_asked)]
        try:
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in asked:
                task.cancel()

    async def _roll(self, group: asyncio.TaskGroup) -> None:
        """Restart the processes of services one after another, never with fewer than before."""
        if not self._roll_marker.exists():
            return
        names = self._roll_marker.read_text(encoding="ascii").split()
        self._roll_marker.unlink()
        self._tell(Phase.ROLLING)
        failure = None
        try:
            for name in names:
                await self._roll_service(group, self._plan.instances[name])
        except StepFailedError as error:
            failure = str(error)
        self._state = replace(self._state, rolls=self._state.rolls + 1, roll_failure=failure)
        self._tell(Phase.READY)

    async def _roll_service(self, group: asyncio.TaskGroup, steps: tuple[Step, ...]) -> None:
        *members, further = (self._managed[step.name] for step in steps)
        try:
            if len(members) == 1:
                await further.start()
            for member in members:
                await self._restart(group, member)
        finally:
            await further.stop()
            self._state = self._state.without_process(further.step.name)

    async def _restart(self, group: asyncio.TaskGroup, member: ManagedProcess) -> None:
        name = member.step.name
        self._watchers.pop(name).cancel()
        try:
            await member.stop()
            await member.start()
        finally:
            self._watchers[name] = group.create_task(member.watch(), name=name)

    async def _reset(self, group: asyncio.TaskGroup) -> None:
        self._state = replace(self._state, cycle=self._state.cycle + 1)
        self._tell(Phase.RESETTING)
        services = {step.name for step in self._plan.services}
        for wave in self._plan.stop_order:
            await self._stop([name for name in wave if name in services])
        for name in services:
            self._managed[name].forget()
        self._wipe_marker.touch()
        await self._wipe()
        await self._bring_up_services(group)

    async def _bring_up_services(self, group: asyncio.TaskGroup) -> None:
        await self._bring_up(group, self._plan.services)
        self._plan.seeded_marker.touch()
        self._tell(Phase.READY)

    async def _wipe(self) -> None:
        cluster, broker = self._plan.cluster, self._plan.broker
        self._plan.seeded_marker.unlink(missing_ok=True)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(asyncio.to_thread(broker.delete_topics, prefix="ota."))
                both.create_task(asyncio.to_thread(cluster.recreate_databases))
        except* (PostgresError, KafkaSetupError) as failures:
            reason = "; ".join(str(each) for each in failures.exceptions)
            raise StepFailedError(name="reset", reason=f"failed: {reason}") from failures
        self._wipe_marker.unlink()

    async def _bring_up(self, group: asyncio.TaskGroup, steps: Iterable[Step]) -> None:
        up = {step.name: asyncio.Event() for step in steps}

        async def bring_up_one(step: Step) -> None:
            for name in step.after:
                await up[name].wait()
            managed = self._managed[step.name]
            if step.kind is Kind.TASK:
                await managed.run_once()
            else:
                await managed.start()
                self._watchers[step.name] = group.create_task(managed.watch(), name=step.name)
            up[step.name].set()

        # The first failure cancels the others: there is no point in waiting for them.
        async with asyncio.TaskGroup() as starting:
            for step in steps:
                starting.create_task(bring_up_one(step), name=f"start {step.name}")

    async def _stop(self, names: Collection[str]) -> None:
        names = [name for name in names if name in self._state.processes]
        async with asyncio.TaskGroup() as stopping:
            for name in names:
                if (watcher := self._watchers.pop(name, None)) is not None:
                    watcher.cancel()
                stopping.create_task(self._managed[name].stop(), name=f"stop {name}")
        for name in names:
            if (listening := self._managed[name].step.listening) is not None:
                listening.close()

    async def _bound_logs(self) -> None:
        logs = {managed.step.command.log for managed in self._managed.values()}
        while True:
            for log in logs:
                await asyncio.to_thread(trim_log, log=log)
            await asyncio.sleep(_LOG_CHECK_PAUSE_S)

    def _report(self, process: ProcessState) -> None:
        self._state = self._state.with_process(process)
        write(file=self._state_file, state=self._state)

    def _tell(self, phase: Phase) -> None:
        self._state = replace(self._state, phase=phase)
        write(file=self._state_file, state=self._state)

"""One process of the campaign's stack: kept running while it is wanted, and hurt at will."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from deploy.local.kafka import KafkaSetupError
from deploy.local.postgres import PostgresError
from deploy.local.processes import Command, spawn, sweep_group, tail

RESTART_PAUSE_S = 0.3
POLL_S = 0.05
STOP_TIMEOUT_S = 20.0
SETUP_ERRORS = (PostgresError, KafkaSetupError)


class NotReady(Exception):
    """A process of the stack does not come up; carries the last lines of its log."""


@dataclass(slots=True, kw_only=True)
class Watched:
    """A server that is started again whenever it ends while it is *wanted*."""

    name: str
    command: Command
    prepare: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    wanted: bool = False
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def pid(self) -> int | None:
        """Return the process id, None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def keep(self) -> None:
        """Start it whenever it should run and does not; runs until it is cancelled."""
        while True:
            if self.wanted and self.pid is None:
                if self._process is not None:
                    sweep_group(process=self._process)
                    self._process = None
                    self.restarts += 1
                    await asyncio.sleep(RESTART_PAUSE_S)
                if await self._prepared() and self.wanted:
                    # On this thread: the kernel ties the process to the thread that starts it.
                    self._process = spawn(command=self.command)
            await asyncio.sleep(POLL_S)

    async def _prepared(self) -> bool:
        """Prepare a start; say whether that could be done (on a full disk for instance not)."""
        try:
            await asyncio.to_thread(self.prepare)
        except (OSError, subprocess.SubprocessError, ValueError, *SETUP_ERRORS):
            return False
        return True

    async def until_ready(self, *, timeout_s: float) -> None:
        """Wait until it does its work; raises NotReady."""
        deadline = time.monotonic() + timeout_s
        while self.pid is None or not await asyncio.to_thread(self.ready):
            if time.monotonic() > deadline:
                last = "\n".join(tail(log=self.command.log, lines=15))
                raise NotReady(f"{self.name} is not ready after {timeout_s:g} s\n{last}")
            await asyncio.sleep(POLL_S)

    async def end(self) -> None:
        """End it as an operator would, and leave it ended."""
        self.wanted = False
        process = self._process
        if process is None:
            return
        for number in (self.command.stop_signal, signal.SIGKILL):
            self.signal(signal.SIGCONT)
            with suppress(ProcessLookupError):
                process.send_signal(number)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while process.poll() is None and time.monotonic() < deadline:
                await asyncio.sleep(POLL_S)
            if process.poll() is not None:
                break
        sweep_group(process=process)
        self._process = None

    async def roll(self, *, timeout_s: float) -> None:
        """End it gently and start it again."""
        await self.end()
        self.wanted = True
        await asyncio.sleep(2 * POLL_S)
        await self.until_ready(timeout_s=timeout_s)

    def kill(self) -> None:
        """Kill it and its children with SIGKILL, as a failing machine would."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all its children."""
        for each in self.family():
            with suppress(psutil.Error, ProcessLookupError):
                os.kill(each.pid, number)

    def family(self) -> list[psutil.Process]:
        """Return it and its children; nothing if it does not run."""
        pid = self.pid
        if pid is None:
            return []
        with suppress(psutil.Error):
            parent = psutil.Process(pid)
            return [parent, *parent.children(recursive=True)]
        return []

"""One process of a test's making: started, stopped, killed, frozen and started again at will."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import psutil

from deploy.local.processes import Command, spawn, sweep_group, tail, wait_until
from deploy.local.settings import Address

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0


class ServerError(AssertionError):
    """A server of the tests did not do as told; carries the last lines of its log."""


class Server(Protocol):
    """What tests may do to PostgreSQL and Kafka, wherever they run."""

    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def wait_ready(self, *, timeout_s: float = ...) -> None: ...
    def stop(self) -> int | None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@dataclass(slots=True)
class ServerProcess:
    """One process that tests start, stop, kill, pause and start again on the same data and ports.

    `start` has to be called on the main thread, because the kernel ties the process to the thread
    that started it. The other calls block; from a coroutine call them by `asyncio.to_thread`.
    """

    name: str
    command: Command
    prepare: Callable[[], None]
    probe: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id. Raises ServerError if it was never started."""
        return self._started().pid

    @property
    def log(self) -> Path:
        """Return the file that its output goes to, over all its starts."""
        return self.command.log

    @property
    def running(self) -> bool:
        """Return whether the process is there (paused counts)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and return at once; does nothing if it runs."""
        if threading.current_thread() is not threading.main_thread():
            raise ServerError(f"{self.name}: start() belongs to the main thread")
        if self.running:
            return
        self.prepare()
        self._process = spawn(command=self.command)

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it does its work. Raises ServerError if it ends or takes longer."""
        process = self._started()
        wait_until(
            condition=lambda: process.poll() is not None or self.probe(),
            timeout_s=timeout_s,
            pause_s=0.05,
        )
        if process.poll() is not None or not self.probe():
            raise self.error("is not ready")

    def wait_exit(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it ends by itself and return its exit code (-9: killed by SIGKILL)."""
        process = self._started()
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise self.error(f"has not ended within {timeout_s:.0f} s") from None
        sweep_group(process=process)
        return code

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """End it as an operator would; return its exit code, or None if it did not run.

        Raises ServerError, and leaves it killed, if it takes longer.
        """
        if not self.running:
            return None
        self._started().send_signal(self.command.stop_signal)
        try:
            return self.wait_exit(timeout_s=timeout_s)
        except ServerError:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it and all its child processes with SIGKILL, as a failing machine would."""
        if not self.running:
            return
        family = self._family()
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._started().wait(timeout=STOP_TIMEOUT_S)
        psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop it if it runs, start it, and wait until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def pause(self) -> None:
        """Freeze it and its child processes: connections stay open, answers do not come."""
        for each in self._family():
            each.suspend()

    def resume(self) -> None:
        """Let it go on after a pause."""
        for each in self._family():
            each.resume()

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process

    def error(self, what: str) -> ServerError:
        """Return an error that tells how it stands and what it said last."""
        process = self._started()
        state = "still runs" if process.poll() is None else f"exit code {process.returncode}"
        last = "\n".join(tail(log=self.log, lines=30))
        return ServerError(f"{self.name} {what} ({state}); last lines of its log:\n{last}")


@dataclass(slots=True)
class ServiceProcess(ServerProcess):
    """A process of one of the four services, with ports of its own."""

    ops: Address = field(kw_only=True)
    partner: Address | None = field(kw_only=True, default=None)

    @property
    def ops_url(self) -> str:
        """Return the root of its ops port."""
        return f"http://{self.ops}"

    @property
    def url(self) -> str:
        """Return the root of the partner port, which only a gateway has."""
        if self.partner is None:
            raise ServerError(f"{self.name} has no partner port")
        return f"http://{self.partner}"

"""The state file: what the supervisor tells the other commands, replaced as a whole at every
change.
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy.local.processes import Running


class StateError(Exception):
    """The state file is there but cannot be understood; the message says what to do."""


@enum.unique
class Phase(enum.StrEnum):
    """Where the stack as a whole stands."""

    STARTING = "starting"
    READY = "ready"
    RESETTING = "resetting"
    ROLLING = "rolling"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@enum.unique
class ProcessPhase(enum.StrEnum):
    """Where one process, or one task that runs once, stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    # A task failed, which does no harm to the data that is there.
    REFUSED = "refused"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One line of `status`."""

    name: str
    phase: ProcessPhase = ProcessPhase.WAITING
    running: Running | None = None
    address: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class StackState:
    """The whole stack at one moment.

    `cycle` counts the starts and resets of one supervisor, `rolls` its rolling restarts, of which
    the last one may have failed.
    """

    supervisor: Running
    phase: Phase = Phase.STARTING
    cycle: int = 1
    failure: str | None = None
    failed_process: str | None = None
    rolls: int = 0
    roll_failure: str | None = None
    processes: dict[str, ProcessState] = field(default_factory=dict)

    def with_process(self, process: ProcessState) -> StackState:
        """Return this state with one process replaced or added, order kept."""
        return replace(self, processes={**self.processes, process.name: process})

    def without_process(self, name: str) -> StackState:
        """Return this state without one process."""
        return replace(
            self, processes={each: of for each, of in self.processes.items() if each != name}
        )

    @property
    def leftovers(self) -> list[Running]:
        """Return the recorded processes that are still alive, newest first."""
        recorded = [each.running for each in self.processes.values() if each.running]
        return [each for each in reversed(recorded) if each.alive]


def encode(*, state: StackState) -> str:
    """Return the state as JSON, the list of processes in start order."""
    return json.dumps(
        {**asdict(state), "processes": [asdict(each) for each in state.processes.values()]},
        indent=1,
    )


def decode(*, text: str) -> StackState:
    """Return the state that was encoded. Raises StateError on anything else."""
    try:
        fields: dict[str, Any] = json.loads(text)
        processes = [
            ProcessState(
                **{
                    **each,
                    "phase": ProcessPhase(each["phase"]),
                    "running": Running(**each["running"]) if each["running"] else None,
                }
            )
            for each in fields["processes"]
        ]
        return StackState(
            **{
                **fields,
                "supervisor": Running(**fields["supervisor"]),
                "phase": Phase(fields["phase"]),
                "processes": {each.name: each for each in processes},
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"the state file cannot be understood ({error})") from error


def write(*, file: Path, state: StackState) -> None:
    """Replace the state file; a reader sees the old or the new one, never a part."""
    fresh = file.with_suffix(".new")
    fresh.write_text(encode(state=state) + "\n", encoding="utf-8")
    fresh.replace(file)


def read(*, file: Path) -> StackState | None:
    """Return the recorded state, or None if there is none. Raises StateError if it is damaged."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return decode(text=text)
    except StateError as error:
        raise StateError(f"{error}: delete {file.name} if nothing of the stack runs") from error


class FolderLock:
    """A lock on a file that ends with its holder, however that dies; never left behind."""

    def __init__(self, *, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock; return False if another process has it and we are not to wait."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Not inherited by child processes (PEP 446): a service that outlives us must not seem to be
        # us.
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if we have it."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    @property
    def held_elsewhere(self) -> bool:
        """Return whether another process has the lock now."""
        if self._descriptor is not None:
            return False
        if not self._file.exists():
            return False
        if not self.acquire():
            return True
        self.release()
        return False

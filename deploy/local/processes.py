"""Starting, naming beyond doubt, and ending operating system processes.

A process id alone names nothing for long. A mark (boot, start time) beside it does, so that a
reused id is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOG_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What to start, and how it is to be ended."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    cwd: Path
    # The account to run under when this process is root; None keeps the account.
    account: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent by the kernel when the starting process dies, however it dies.
    orphan_signal: signal.Signals = signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Running:
    """A process id with the mark that tells it from a later process of the same id."""

    pid: int
    mark: str
    stop_signal: int = field(default=int(signal.SIGTERM))

    @property
    def alive(self) -> bool:
        """Return whether this very process is still there."""
        return start_mark(pid=self.pid) == self.mark


def spawn(*, command: Command, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to its log.

    Of our descriptors it gets none but *descriptors*.

    Call it from a thread that lives as long as the process may: the kernel takes the end of the
    *thread* that started
    a process for the death of the parent (prctl(2), PR_SET_PDEATHSIG).
    """
    command.log.parent.mkdir(parents=True, exist_ok=True)
    prefix = _prefix(command=command)
    with command.log.open("ab") as log:
        return subprocess.Popen(
            [*prefix, *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(command.environment),
            cwd=command.cwd,
            start_new_session=True,
            pass_fds=descriptors,
        )


def account_prefix(*, account: str | None) -> list[str]:
    """Return the words before a command that run it under another account; none unless we are root.

    The kept capability lets that account reach a checkout below a folder of mode 0700, such as
    root's home.
    """
    if account is None or os.geteuid() != 0:
        return []
    return [
        *("setpriv", "--reuid", account, "--regid", account, "--clear-groups"),
        *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
    ]


def _prefix(*, command: Command) -> list[str]:
    # setpriv replaces itself with the program, so that the process id is the program's own. A
    # change of account clears the death signal, which is why setpriv, not Python, has to set it.
    # Other systems than Linux have neither.
    prefix = account_prefix(account=command.account)
    if shutil.which("setpriv") is None:
        return prefix
    return [
        *(prefix or ["setpriv"]),
        "--pdeathsig",
        command.orphan_signal.name.removeprefix("SIG"),
        "--",
    ]


def start_mark(*, pid: int) -> str | None:
    """Return what tells a process from all others that ever have its id; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self").exists() else _start_mark_by_ps(pid=pid)
    # The name in parentheses may hold spaces and parentheses itself; the rest has neither
    # (proc(5)).
    fields = stat.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{fields[19]}"


def _start_mark_by_ps(*, pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return answer.stdout.strip() or None


def running(*, process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> Running | None:
    """Return the name beyond doubt of a process that we started, or None if it has ended."""
    mark = start_mark(pid=process.pid)
    return None if mark is None else Running(process.pid, mark, int(stop_signal))


def stop_leftover(*, leftover: Running, budget_s: float) -> None:
    """End what an earlier launcher left behind: its stop signal, SIGKILL after the budget."""
    for number, patience_s in ((leftover.stop_signal, budget_s), (signal.SIGKILL, 5.0)):
        if not leftover.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(leftover.pid, number)
        wait_until(condition=lambda: not leftover.alive, timeout_s=patience_s)


def sweep_group(*, process: subprocess.Popen[bytes]) -> None:
    """Kill what an ended process left in its session's group, such as worker processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_until(*, condition: Callable[[], bool], timeout_s: float, pause_s: float = 0.02) -> bool:
    """Wait for a condition, at most so many seconds; return whether it came true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True


def trim_log(*, log: Path, limit_bytes: int = LOG_BYTES_MAX) -> bool:
    """Move a log that has grown beyond its limit to `<name>.1` and go on empty; return whether it
    was moved.

    The process keeps its open file, so the content is copied and the file cut; lines written
    between the two are lost.
    """
    try:
        if log.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
    return True


def tail(*, log: Path, lines: int) -> list[str]:
    """Return the last lines of a log; none if there is no log."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 512 * lines))
            text = stream.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]

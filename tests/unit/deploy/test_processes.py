"""Processes: named beyond doubt, swept with all they started, their logs bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.processes import (
    Command,
    Running,
    running,
    spawn,
    start_mark,
    stop_leftover,
    tail,
    trim_log,
    wait_until,
)

SLEEP = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")


def command(tmp_path: Path, argv: tuple[str, ...] = SLEEP) -> Command:
    """Return a command whose log is in the test's folder."""
    return Command(argv, os.environ, tmp_path / "log" / "process.log", tmp_path)


def test_a_spawned_process_is_known_by_its_own_id(tmp_path: Path) -> None:
    """The id is the program's own, its output goes to the log, and its mark ends with it."""
    process = spawn(command=command(tmp_path))
    try:
        known = running(process=process, stop_signal=signal.SIGTERM)
        assert known is not None
        assert known.alive
        log = tmp_path / "log" / "process.log"
        assert wait_until(condition=lambda: tail(log=log, lines=1) == ["here"], timeout_s=10)
    finally:
        process.kill()
        process.wait()
    assert not known.alive
    assert running(process=process, stop_signal=signal.SIGTERM) is None


def test_a_leftover_is_ended(tmp_path: Path) -> None:
    """The process that was recorded ends by its stop signal."""
    process = spawn(command=command(tmp_path))
    mark = start_mark(pid=process.pid)
    assert mark is not None
    stop_leftover(leftover=Running(process.pid, mark), budget_s=10)
    assert -signal.SIGTERM == process.wait()


def test_a_reused_process_id_is_never_signalled(tmp_path: Path) -> None:
    """A process with a recorded id but another mark is somebody else's and stays."""
    process = spawn(command=command(tmp_path))
    try:
        stop_leftover(leftover=Running(process.pid, "another boot:1"), budget_s=0)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_child_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Killed without a chance to clean up, a starter takes its child along."""
    starter = f"""
import os, signal, sys
from pathlib import Path
from deploy.local.processes import Command, spawn
process = spawn(command=Command({SLEEP!r}, os.environ, Path({str(tmp_path / "log")!r}), Path(".")))
print(process.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        mark = start_mark(pid=pid)
        # Its death signal is set by the time that it speaks.
        log = tmp_path / "log"
        assert wait_until(condition=lambda: tail(log=log, lines=1) == ["here"], timeout_s=10)
        parent.kill()
    assert mark is not None
    assert wait_until(condition=lambda: not Running(pid, mark).alive, timeout_s=10)


def test_a_log_beyond_its_limit_starts_anew_and_keeps_the_old(tmp_path: Path) -> None:
    """The old content is beside it, and a process that appends goes on at the beginning."""
    log = tmp_path / "process.log"
    with log.open("ab", buffering=0) as stream:
        stream.write(b"first\n")
        assert not trim_log(log=log, limit_bytes=6)
        assert trim_log(log=log, limit_bytes=5)
        stream.write(b"second\n")
    assert "first\n" == (tmp_path / "process.log.1").read_text(encoding="ascii")
    assert "second\n" == log.read_text(encoding="ascii")
    assert not trim_log(log=tmp_path / "none.log", limit_bytes=5)


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    """No more lines than asked for, none from a log that is not there."""
    log = tmp_path / "process.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)), encoding="ascii")
    assert ["line 998", "line 999"] == tail(log=log, lines=2)
    assert [] == tail(log=tmp_path / "none.log", lines=2)

"""Test hooks: the process dies exactly where it was told to, or is as slow as it was told to be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libs.runtime.steps import THROTTLE_LATE_S, Steps, Throttle

ROOT = Path(__file__).parents[3]


def passes(kill_at: str) -> tuple[int, list[str]]:
    """Pass steps in a process of its own; return its end and the steps it got past."""
    script = (
        "import sys; from libs.runtime.steps import Steps; step = Steps(sys.argv[1])\n"
        "for name in ['loop.written', 'loop.published'] * 3:\n"
        "    step(name); print(name, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, kill_at],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("kill_at", "got_past"),
    [
        ("loop.written", []),
        ("loop.written:1", []),
        ("loop.published", ["loop.written"]),
        ("loop.written:2", ["loop.written", "loop.published"]),
        ("loop.published:3", ["loop.written", "loop.published"] * 2 + ["loop.written"]),
    ],
)
def test_the_process_dies_at_the_chosen_pass(kill_at: str, got_past: list[str]) -> None:
    """SIGKILL comes at the n-th pass of the step, before what follows it."""
    assert (-signal.SIGKILL, got_past) == passes(kill_at)


@pytest.mark.parametrize("kill_at", ["loop.written:4", "loop", "written"])
def test_a_step_that_is_not_passed_kills_nobody(kill_at: str) -> None:
    """Other names and later passes do nothing."""
    assert (0, ["loop.written", "loop.published"] * 3) == passes(kill_at)


def test_without_a_crash_point_every_step_is_passed() -> None:
    """In production nothing is set."""
    step = Steps(None)
    for _ in range(3):
        step("loop.written")


@pytest.mark.parametrize("kill_at", ["", "a:", "a:0", "a:-1", "a:b", "a b", ":1", "a:1:2"])
def test_other_forms_are_refused(kill_at: str) -> None:
    """A misspelt crash point would make a test prove nothing."""
    with pytest.raises(ValueError, match="name:n"):
        Steps(kill_at)


async def test_a_throttle_lets_so_many_commands_a_second_pass() -> None:
    """Never more, but for the little that deciding itself may have taken."""
    throttle, clock = Throttle(1_000), asyncio.get_running_loop().time
    began_at = clock()
    for _ in range(10):
        await throttle(20)
    assert 0.2 - THROTTLE_LATE_S <= clock() - began_at


async def test_without_a_throttle_nobody_waits() -> None:
    """Nothing is set in production, and what is no command is never held up."""
    for throttle, commands in ((Throttle(None), 1_000_000), (Throttle(1), 0)):
        waiting = throttle(commands)
        with pytest.raises(StopIteration):
            waiting.send(None)

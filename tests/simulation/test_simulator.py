"""The simulator itself: it repeats itself exactly, finds what it should, and shortens it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.events.memory.log import MemoryLog
from services.gateway.app.refusals import RESERVATION_NOT_FOUND
from simulation.__main__ import main
from simulation.actions import Advance, Deliver, Fetch, Kill, Reserve
from simulation.market import hold_id
from simulation.run import history_of, play, play_seed, quiet
from simulation.scheduler import Livelock, Scheduler
from simulation.settled import settle
from simulation.shrink import shrink
from simulation.world import Broken, World

ROOT = Path(__file__).parents[2]
DIGESTS = """
from simulation.run import play_seed, quiet
with quiet():
    print(*(play_seed(seed, 150).digest for seed in (3, 4, 5)))
"""


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Let the services say nothing."""
    with quiet():
        yield


@pytest.fixture
def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the fence off: whoever comes back late writes as well."""
    genuine = MemoryLog.write

    async def write(self: MemoryLog, write: Any) -> Any:
        head = self._database.heads[self._partition]
        self._database.heads[self._partition] = write.before
        try:
            return await genuine(self, write)
        except BaseException:
            self._database.heads[self._partition] = head
            raise

    monkeypatch.setattr(MemoryLog, "write", write)


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """Byte for byte, whatever order sets and dictionaries of other processes have."""
    printed = set()
    for hash_seed in ("0", "1", "4711"):
        run = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.add(run.stdout)
    assert 1 == len(printed)
    assert 3 == len(set(printed.pop().split())), "different seeds are different histories"


def test_digest_covers_what_was_answered() -> None:
    """One call less is another history."""
    history = history_of(3, 150)
    without = [each for each in history if not isinstance(each, Reserve)]
    assert play(history).digest != play(without).digest


@pytest.mark.usefixtures("unfenced")
def test_missing_fence_is_found_and_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    """The shortest history needs every one of its steps, and one command plays it again."""
    seed = next(seed for seed in range(100) if play_seed(seed).check.startswith("I18"))
    history = history_of(seed, 400)
    kept, actions = shrink(history, "I18 fencing")
    assert len(actions) <= 12
    assert [history[number] for number in kept] == actions
    for left_out in range(len(actions)):
        fewer = actions[:left_out] + actions[left_out + 1 :]
        assert "I18 fencing" != play(fewer).check
    numbers = ",".join(map(str, kept))
    assert 1 == main(["--from", str(seed), "--steps", "400", "--only", numbers])
    assert "I18 fencing" in capsys.readouterr().out


@pytest.mark.usefixtures("unfenced")
def test_command_prints_what_fails_and_how_to_see_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with a failure, the shortest history, and a report of it."""
    arguments = ["--seeds", "60", "--stop-at", "1", "--report", str(tmp_path)]
    assert 1 == main(arguments)
    printed = capsys.readouterr().out
    assert "the shortest history has" in printed
    assert "again: .venv/bin/python -m simulation --from" in printed
    assert "--only" in (tmp_path / "simulation.md").read_text(encoding="utf-8")


def test_repeat_gets_its_answer_although_it_would_be_refused_now() -> None:
    """A hold that was placed for a moment is still the answer after its time, and a restart."""
    reserve = Reserve(0, "north", "once", 106, 1, 1.0)
    world = World()
    try:
        world.start()
        fetch = Fetch("inventory", 0, "owner", 64, 64)
        world.play([reserve, fetch, Deliver(0, 10), Advance(4.0)])
        world.play([Kill("inventory", 0, "owner"), Advance(1.5), reserve, fetch, Deliver(0, 10)])
        assert 2 == world.counts["told ok"]
        assert 1 == world.counts["repeats answered"]
        assert [hold_id("north", "once", 106)] == list(world.ledger.holds)
        settle(world)
    finally:
        world.close()


def test_broken_promise_stops_the_history() -> None:
    """Control: what a check finds is raised at once."""
    world = World()
    world.start()
    world.broken("a check", RESERVATION_NOT_FOUND.word)
    with pytest.raises(Broken, match="a check: RESERVATION_NOT_FOUND"):
        world.play([Advance(0.1)])
    world.close()


def test_time_stands_still_until_it_is_moved() -> None:
    """Timers run in order, each at its own time; an endless loop is noticed."""
    loop = Scheduler()  # type: ignore[abstract]
    seen: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop.time()))

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - for ever, as a defect would
            await asyncio.sleep(0)

    loop.create_task(sleep("late", 2.0))
    loop.create_task(sleep("early", 1.0))
    loop.advance(0.5)
    assert [] == seen
    loop.advance(5.0)
    assert [("early", 1.0), ("late", 2.0)] == seen
    spinning = loop.create_task(spin())
    with pytest.raises(Livelock):
        loop.run_ready()
    spinning.cancel()
    loop.run_ready()

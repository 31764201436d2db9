"""Rounds of commands: who leaves with whom. Times are for ever or nothing, so no clock decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.events.kafka import pace
from libs.events.kafka.pace import Pace

FOR_EVER_S = 3600.0
TURNS = 20


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "GATHER_S", FOR_EVER_S)
    monkeypatch.setattr(pace, "LULL_S", FOR_EVER_S)


class Rounds:
    """The rounds of a pace as they leave."""

    def __init__(self, *, round_s: float = FOR_EVER_S) -> None:
        self.pace: Pace[str] = Pace(round_s=round_s)
        self._left: list[list[str]] = []

    async def run(self) -> None:
        """Take rounds until cancelled."""
        while True:
            left = await self.pace.next_round()
            self._left.append(left)

    async def left(self, *added: str) -> list[list[str]]:
        """Add items, let everybody have his turn, and return the rounds that have left since."""
        for each in added:
            self.pace.add(each)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        left, self._left = self._left, []
        return left


@asynccontextmanager
async def running(rounds: Rounds) -> AsyncIterator[Rounds]:
    """Take rounds meanwhile."""
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(rounds.run())
        yield rounds
        taking.cancel()


async def test_who_is_alone_never_waits() -> None:
    """Neither the first time, nor with the next request after an answer."""
    async with running(Rounds()) as rounds:
        for item in ("a", "b", "c"):
            assert [[item]] == await rounds.left(item)
            rounds.pace.answered(item)


async def test_a_round_waits_for_the_last_ones_answers_and_for_those_who_got_them() -> None:
    """Four clients who wait for their answers stay together although one came too late once."""
    async with running(Rounds()) as rounds:
        assert [["a1", "b1", "c1"]] == await rounds.left("a1", "b1", "c1")
        assert [] == await rounds.left("d1")
        for item in ("a1", "b1", "c1"):
            assert [] == await rounds.left()
            rounds.pace.answered(item)
        assert [] == await rounds.left("a2", "b2")
        assert [["d1", "a2", "b2", "c2"]] == await rounds.left("c2")


async def test_nobody_waits_for_who_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment without anybody the round leaves; and after `GATHER_S` in any case."""
    async with running(Rounds()) as rounds:
        for name in ("LULL_S", "GATHER_S"):
            assert [["a", "b"]] == await rounds.left("a", "b")
            assert [] == await rounds.left("c")
            with monkeypatch.context() as patch:
                patch.setattr(pace, name, 0.0)
                rounds.pace.answered("a")
                rounds.pace.answered("b")
                assert [["c"]] == await rounds.left()
            rounds.pace.answered("c")


async def test_a_large_round_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two large ones on their way at once keep both ends busy."""
    monkeypatch.setattr(pace, "TOGETHER", 2)
    async with running(Rounds()) as rounds:
        assert [["a", "b"]] == await rounds.left("a", "b")
        await rounds.left("c", "d")
        rounds.pace.answered("a")
        rounds.pace.answered("b")
        assert [["c", "d"]] == await rounds.left()


async def test_a_full_round_does_not_wait_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a partition's limit rounds are as large as it takes them, and follow one another."""
    monkeypatch.setattr(pace, "FULL", 2)
    async with running(Rounds()) as rounds:
        assert [["a"]] == await rounds.left("a")
        assert [] == await rounds.left("b")
        assert [["b", "c"]] == await rounds.left("c")
        assert [] == await rounds.left("d")


async def test_a_round_that_is_not_answered_holds_nobody_up_for_long() -> None:
    """A partition that hangs costs the others no more than `round_s`."""
    async with running(Rounds(round_s=0.0)) as rounds:
        assert [["a"]] == await rounds.left("a")
        assert [["b"]] == await rounds.left("b")


async def test_what_was_given_up_does_not_leave() -> None:
    """A round of nothing is none; what was told twice to be answered counts once."""
    async with running(Rounds()) as rounds:
        assert [["a"]] == await rounds.left("a")
        await rounds.left("b")
        rounds.pace.remove("b")
        rounds.pace.answered("a")
        rounds.pace.answered("a")
        assert [] == await rounds.left()
        assert [["c"]] == await rounds.left("c")

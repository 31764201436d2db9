"""New requests take turns between the rounds of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.http import turns
from services.gateway.http.turns import A_ROUND, AT_ONCE, Turns

MANY = AT_ONCE + 5 * A_ROUND


async def one_round() -> None:
    """Let the event loop go round once."""
    await asyncio.sleep(0)


async def test_usual_requests_never_wait() -> None:
    """One after another, or as many at once as are let in freely."""
    door = Turns()
    for _ in range(10):
        assert [None] * AT_ONCE == [door.enter() for _ in range(AT_ONCE)]
        for _ in range(AT_ONCE):
            door.leave()


async def test_a_flood_is_let_in_by_rounds_in_its_order() -> None:
    """Between two rounds everything else has its chance."""
    door = Turns()
    waiting = [turn for turn in (door.enter() for _ in range(MANY)) if turn is not None]
    assert MANY - AT_ONCE - A_ROUND == len(waiting)
    for round in range(1, len(waiting) // A_ROUND + 1):
        await one_round()
        done = [turn.done() for turn in waiting]
        assert [True] * (round * A_ROUND) == done[: round * A_ROUND]
        assert not any(done[round * A_ROUND :])
    assert all([await turn for turn in waiting])


async def test_others_wait_behind_those_who_wait() -> None:
    """Nobody who comes later is faster, and afterwards the door is open again."""
    door = Turns()
    first = [door.enter() for _ in range(MANY)][-1]
    last = door.enter()
    assert first is not None
    assert last is not None
    while not first.done():
        assert not last.done()
        await one_round()
    assert await last
    for _ in range(MANY + 1):
        door.leave()
    assert door.enter() is None


async def test_whose_turn_comes_late_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has waited, and would wait on: better to say no at once."""
    monkeypatch.setattr(turns, "LATE_S", -1.0)
    door = Turns()
    [*_, last] = [door.enter() for _ in range(MANY)]
    assert last is not None
    assert not await last


async def test_who_has_gone_takes_nobodys_turn() -> None:
    """A cancelled request is passed over."""
    door = Turns()
    waiting = [turn for turn in (door.enter() for _ in range(MANY)) if turn is not None]
    for turn in waiting[:A_ROUND]:
        turn.cancel()
    await one_round()
    assert all(turn.done() for turn in waiting[: 2 * A_ROUND])
    assert not waiting[2 * A_ROUND].done()

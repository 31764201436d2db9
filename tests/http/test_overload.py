"""Too much is waiting: whoever comes is told at once that nothing was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from libs.events.requests import Overloaded
from services.gateway.http import turns
from tests.http.world import Answered, World

Call = Callable[[World, str], Awaitable[Answered]]


async def reserve(world: World, held: str) -> Answered:
    """Reserve."""
    return await world.reserve(1)


async def reserve_with_reference(world: World, held: str) -> Answered:
    """Reserve with a text of the partner's own, for which a key would be stored."""
    body = {"product_id": 106, "quantity": 1, "customer_reference": "mine"}
    return await world.call("POST", "/reserve", json=body)


async def activate(world: World, held: str) -> Answered:
    """Activate."""
    return await world.activate(held)


async def cancel(world: World, held: str) -> Answered:
    """Cancel."""
    return await world.call("DELETE", f"/reservations/{held}")


CALLS: dict[Call, int] = {reserve: 201, reserve_with_reference: 201, activate: 201, cancel: 204}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_what_would_wait_too_long_is_refused_at_once(world: World, call: Call) -> None:
    """A problem document with Retry-After; nothing is sent or stored, and later it works."""
    held = await world.held()
    sent, keys = len(world.market.sent), len(world.tables.keys)
    world.market.failure = Overloaded("too much is waiting")
    answered = await call(world, held)
    assert (503, "1") == (answered.status, answered.headers["Retry-After"])
    assert "application/problem+json" == answered.headers["Content-Type"]
    problem = answered.json
    assert ("NOT_EXECUTED", "NOT_EXECUTED") == (problem["error"], problem["code"])
    assert (503, 1) == (problem["status"], problem["retry_after"])
    assert problem["type"].endswith("/problems/not-executed")
    assert problem["message"] == problem["detail"]
    assert "nothing was done" in problem["detail"]
    assert (sent, keys) == (len(world.market.sent), len(world.tables.keys))
    world.market.failure = None
    assert CALLS[call] == (await call(world, held)).status


async def test_reads_go_on(world: World) -> None:
    """They ask no deciding service."""
    held = await world.held()
    world.market.failure = Overloaded("too much is waiting")
    assert 200 == (await world.call("GET", "/inventory")).status
    assert 200 == (await world.call("GET", f"/reservations/{held}")).status


async def test_refusals_alike_share_an_audit_record(world: World) -> None:
    """An overload must not become one of the database; each call is counted all the same."""
    world.market.failure = Overloaded("too much is waiting")
    for _ in range(40):
        await world.reserve(1)
    rows = [row for row in await world.audited() if row.word == "NOT_EXECUTED"]
    assert 40 == sum(row.calls for row in rows)
    assert len(rows) < 40
    assert {None} == {row.command_id for row in rows}


async def test_whose_turn_comes_too_late_is_refused_unread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was looked at, not even its key; what needs no key is answered."""
    monkeypatch.setattr(turns, "AT_ONCE", 0)
    monkeypatch.setattr(turns, "LATE_S", -1.0)
    turned_away = []
    for _ in range(3):
        world.gateway.edge._turns._left = 0
        turned_away.append(await world.call("POST", "/reserve", json={}, key="no such key"))
    assert {(503, "NOT_EXECUTED", "1")} == {
        (each.status, each.json["error"], each.headers["Retry-After"]) for each in turned_away
    }
    world.gateway.edge._turns._left = 0
    for path in ("/healthz", "/problems/not-executed"):
        async with world.client.get(path) as public:
            assert 200 == public.status
    monkeypatch.setattr(turns, "LATE_S", 60.0)
    assert 201 == (await world.reserve(1)).status

"""Limits over HTTP: what counts, what an answer says of it, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.app import quotas
from services.gateway.http.assembly import LimitRules
from tests.http.world import DUDU_KEY, PROD_KEY, TEST_KEY, Answered, World, running_world

FIELDS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls wait long enough for a machine that stands still for a while."""
    monkeypatch.setattr(quotas, "WAIT_S", 30.0)


@pytest.fixture
async def narrow_world() -> AsyncIterator[World]:
    """A partner API that takes 5 calls a second from one address, behind proxies of ours."""
    rules = LimitRules(address_calls_per_second=5, trusted_proxies="127.0.0.0/8, ::1/128")
    async with running_world(rules=rules) as world:
        yield world


def said(answered: Answered) -> tuple[str, ...]:
    """Return what an answer says of the limit, in the older habit."""
    return tuple(answered.headers[field] for field in FIELDS)


async def test_every_answer_to_a_key_says_what_is_left(world: World) -> None:
    """Each call counts once, whatever comes of it; both kinds of fields say the same."""
    await world.limit("test_partner", 100)
    calls = [
        await world.call("GET", "/inventory"),
        await world.call("HEAD", "/inventory"),
        await world.reserve(1),
        await world.reserve(0),
        await world.call("POST", "/reserve", json=[]),
        await world.call("GET", "/orders/ORD-0"),
        await world.call("GET", "/orders?page=0"),
    ]
    assert [200, 200, 201, 422, 400, 404, 422] == [each.status for each in calls]
    assert [("100", str(100 - count), "60") for count in range(1, 8)] == [
        said(each) for each in calls
    ]
    assert '"default";q=100;w=60' == calls[0].headers["RateLimit-Policy"]
    assert '"default";r=99;t=60' == calls[0].headers["RateLimit"]


async def test_a_missing_permission_counts_too(world: World) -> None:
    """The limit comes before the permission."""
    await world.limit("dudu_partner", 2)
    answers = [await world.reserve(1, key=DUDU_KEY) for _ in range(3)]
    assert [403, 403, 429] == [each.status for each in answers]
    assert ["1", "0", "0"] == [each.headers["X-RateLimit-Remaining"] for each in answers]


async def test_what_has_no_key_says_and_counts_nothing(world: World) -> None:
    """Unknown addresses and keys, other methods and health are no calls of a partner."""
    await world.limit("test_partner", 100)
    async with world.client.get("/healthz", headers={"X-API-Key": TEST_KEY}) as response:
        assert not set(FIELDS) & set(response.headers)
    for answered in (
        await world.call("GET", "/nothing"),
        await world.call("PUT", "/inventory"),
        await world.call("GET", "/inventory", key="wrong-key-0000"),
        await world.call("GET", f"/inventory?api_key={TEST_KEY}"),
    ):
        assert not set(FIELDS) & set(answered.headers)
    assert ("100", "99", "60") == said(await world.call("GET", "/inventory"))


async def test_the_call_after_the_last_is_refused(world: World) -> None:
    """429 says when to come back, and then the call passes."""
    await world.limit("test_partner", 100)
    for _ in range(50):
        assert 200 == (await world.call("GET", "/inventory")).status
    world.wait(20)
    for _ in range(50):
        assert 200 == (await world.call("GET", "/inventory")).status
    refused = await world.reserve(1, headers={"X-Request-Id": "r-1"})
    assert (429, "RATE_LIMIT_EXCEEDED") == (refused.status, refused.json["code"])
    assert [] == world.market.sent
    assert ("100", "0") == said(refused)[:2]
    assert '"default";r=0;t=' in refused.headers["RateLimit"]
    seconds = int(refused.headers["Retry-After"])
    assert (seconds, 100, 60) == tuple(
        refused.json[name] for name in ("retry_after", "limit", "window_seconds")
    )
    assert 40 <= seconds <= 41
    assert int(refused.headers["X-RateLimit-Reset"]) <= seconds
    world.wait(seconds)
    answered = await world.call("GET", "/inventory")
    assert (200, "49") == (answered.status, answered.headers["X-RateLimit-Remaining"])


async def test_a_partner_does_not_use_the_limit_of_another(world: World) -> None:
    """Every partner has a quota of its own."""
    await world.limit("test_partner", 1)
    assert [200, 429] == [(await world.call("GET", "/inventory")).status for _ in range(2)]
    assert 200 == (await world.call("GET", "/inventory", key=PROD_KEY)).status


async def test_a_replay_counts(world: World) -> None:
    """A repeat is a call; its body is the first answer's, its limit is today's."""
    headers = {"Idempotency-Key": "k1"}
    first, again = [await world.reserve(1, headers=headers) for _ in range(2)]
    assert first.raw == again.raw
    assert ("999", "998") == (said(first)[1], said(again)[1])


async def test_a_refused_call_leaves_its_idempotency_key_free(world: World) -> None:
    """A 429 is not recorded: the same key is served later."""
    await world.limit("test_partner", 1)
    await world.call("GET", "/inventory")
    headers = {"Idempotency-Key": "k1"}
    assert 429 == (await world.reserve(1, headers=headers)).status
    world.wait(61)
    await world.gateway.directory.refresh()
    answered = await world.reserve(1, headers=headers)
    assert (201, None) == (answered.status, answered.headers.get("Idempotent-Replayed"))


async def test_without_the_quotas_database_calls_end_as_not_executed(world: World) -> None:
    """What is leased goes on; then 503 says that nothing was done."""
    assert 200 == (await world.call("GET", "/inventory")).status
    world.quotas.away = True
    statuses = [(await world.call("GET", "/inventory")).status for _ in range(400)]
    passed = statuses.count(200)
    assert [200] * passed + [503] * (400 - passed) == statuses
    assert 0 < passed < 400
    refused = await world.reserve(1)
    assert ("NOT_EXECUTED", "1") == (refused.json["code"], refused.headers["Retry-After"])
    assert "1000" == refused.headers["X-RateLimit-Limit"]
    assert [] == world.market.sent


async def call_from(world: World, address: str, path: str = "/api/ota/inventory") -> int:
    """Call through our proxy from an address, without a key; return the status."""
    async with world.client.get(path, headers={"X-Forwarded-For": address}) as response:
        if response.status == 429:
            assert "RATE_LIMIT_EXCEEDED" == (await response.json(content_type=None))["code"]
            assert "1" == response.headers["Retry-After"]
        return response.status


async def test_an_address_that_calls_too_often_is_refused_before_its_key(
    narrow_world: World,
) -> None:
    """Two seconds' worth may come at once; health is answered all the same."""
    world = narrow_world
    assert [401] * 10 + [429] * 3 == [await call_from(world, "192.0.2.1") for _ in range(13)]
    assert 429 == await call_from(world, "192.0.2.1", "/api/ota/nothing")
    assert 200 == await call_from(world, "192.0.2.1", "/healthz")
    assert 401 == await call_from(world, "192.0.2.2")
    world.wait(1)
    assert [401] * 5 + [429] == [await call_from(world, "192.0.2.1") for _ in range(6)]


async def test_an_ipv6_subscriber_is_one_address(narrow_world: World) -> None:
    """All addresses of a /64 share a limit."""
    world = narrow_world
    found = [await call_from(world, f"2001:db8::{number:x}") for number in range(12)]
    assert [401] * 10 + [429] * 2 == found
    assert 401 == await call_from(world, "2001:db8:0:1::1")


async def test_nobody_but_our_proxies_says_who_calls(world: World) -> None:
    """Without trusted proxies the header means nothing: the audit has the connection's address."""
    headers = {"X-Forwarded-For": "192.0.2.9"}
    await world.call("GET", "/inventory", key="wrong-key-0000", headers=headers)
    assert ["127.0.0.0/24"] == [row.address for row in await world.audited()]

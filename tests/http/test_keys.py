"""Keys as partners meet them: suspended accounts, typing errors, when a key was last used."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.gateway.app import directory
from services.gateway.domain.api_key import make_api_key
from tests.http.world import PROD_KEY, TEST_KEY, World

NEW_KEY = make_api_key(random=lambda size: b"k" * size).text
MISTYPED = NEW_KEY[:-1] + ("a" if NEW_KEY[-1] != "a" else "b")


async def changed(world: World) -> None:
    """Let the gateway see a change of the directory."""
    world.tables.directory_version += 1
    await world.gateway.directory.refresh()


async def test_a_suspended_account_is_told_so_and_nobody_else(world: World) -> None:
    """401 as for any key that is not good, with another sentence; other partners go on."""
    held = await world.held(key=PROD_KEY)
    world.tables.suspended.add("prod_partner")
    await changed(world)
    for method, path in (
        ("GET", "/inventory"),
        ("GET", f"/reservations/{held}"),
        ("POST", "/reserve"),
    ):
        answered = await world.call(method, path, key=PROD_KEY)
        assert (401, "INVALID_API_KEY") == (answered.status, answered.json["code"])
        assert "suspended" in answered.json["detail"]
        assert answered.headers["WWW-Authenticate"].startswith("Bearer")
    assert 200 == (await world.call("GET", "/inventory", key=TEST_KEY)).status
    assert "suspended" not in (await world.call("GET", "/inventory", key="wrong")).json["detail"]
    world.tables.suspended.clear()
    await changed(world)
    assert 200 == (await world.call("GET", f"/reservations/{held}", key=PROD_KEY)).status


async def test_keys_of_the_new_form_are_taken(world: World) -> None:
    """Beside those of the seed."""
    world.tables.partners[NEW_KEY] = ("harbour", "ota", ("inventory:read",))
    await changed(world)
    for key in (NEW_KEY, TEST_KEY):
        assert 200 == (await world.call("GET", "/inventory", key=key)).status


async def test_a_typing_error_looks_like_any_wrong_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer to the byte, found without a look-up."""
    looked_up = []

    def hash_of(*, pepper: bytes, api_key: str) -> bytes:
        looked_up.append(api_key)
        return b"unknown"

    monkeypatch.setattr(directory, "api_key_hash", hash_of)
    wrong = await world.call("GET", "/inventory", key=NEW_KEY)
    mistyped = await world.call("GET", "/inventory", key=MISTYPED)
    assert [NEW_KEY] == looked_up
    assert 401 == wrong.status == mistyped.status
    assert wrong.raw == mistyped.raw
    assert set(wrong.headers) == set(mistyped.headers)


async def test_uses_are_noted_with_every_call(world: World) -> None:
    """By key id, with the time of the last call, also of one that is refused later."""
    first = world.market.now
    await world.call("GET", "/inventory", key=TEST_KEY)
    await world.call("GET", "/inventory", key=PROD_KEY)
    await world.call("GET", "/inventory", key="wrong")
    world.later(seconds=1)
    assert 404 == (await world.call("GET", "/orders/ORD-1", key=TEST_KEY)).status
    await world.gateway.directory.write_uses()
    assert {
        "key_test_partner": first + timedelta(seconds=1),
        "key_prod_partner": first,
    } == world.tables.key_uses

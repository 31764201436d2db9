"""Two gateways on one database: both follow an operator within 2 seconds, without a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.admin import admin
from tests.support.agency import Agency
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

EFFECTIVE_WITHIN_S = 2.0
PAUSED_S = 0.25
LOOK_S = 0.02
PROFILE = (
    *("--name", "Harbour Travel", "--channel", "ota"),
    *("--calls", "10000", "--permission", "inventory:read"),
)

Console = Callable[..., Awaitable[str]]


@pytest.fixture
async def gateways(deciders: Deciders, agency: Agency) -> AsyncIterator[list[Agency]]:
    """The same partner at two gateways."""
    second = deciders.stack.service("gateway", env={"OTA_GATEWAY_INSTANCE": "1"})
    second.start()
    await asyncio.to_thread(second.wait_ready)
    yield [agency, agency.through(second.url)]
    second.kill()


@pytest.fixture
def console(deciders: Deciders) -> Console:
    """The operators' console."""

    async def run(*words: str) -> str:
        return await asyncio.to_thread(admin, deciders.env, *words)

    return run


async def answers(gateways: list[Agency], key: str) -> list[int]:
    """Return the statuses that a key gets at all gateways now."""
    return [(await gateway.with_key(key).call("GET", "/inventory")).status for gateway in gateways]


async def seen(gateways: list[Agency], key: str, status: int) -> float:
    """Wait until a key gets this status at every gateway; return the seconds that it took."""
    began = time.monotonic()

    async def everywhere() -> bool:
        return [status] * len(gateways) == await answers(gateways, key)

    await eventually(everywhere, what=f"every gateway answers {status}")
    return time.monotonic() - began


@contextmanager
def pauses() -> Iterator[list[float]]:
    """Note how long this process was held up, whenever that was noticeable."""
    loop = asyncio.get_running_loop()
    found: list[float] = []

    timer: asyncio.Handle

    def look(due: float) -> None:
        nonlocal timer
        if (late_s := loop.time() - due) > PAUSED_S:
            found.append(late_s)
        due = loop.time() + LOOK_S
        timer = loop.call_at(due, look, due)

    timer = loop.call_soon(look, loop.time())
    try:
        yield found
    finally:
        timer.cancel()


async def measured(gateways: list[Agency], console: Console, partner: str) -> dict[str, float]:
    """Return how long each change took: a first key, its rotation, suspension, revocation."""
    took_s = {}
    await console("partner", "create", partner, *PROFILE)
    old = json.loads(await console("key", "issue", partner, "--json"))["api_key"]
    took_s["issue"] = await seen(gateways, old, 200)

    rotated = json.loads(await console("key", "rotate", partner, "--overlap", "1h", "--json"))
    took_s["rotate"] = await seen(gateways, rotated["api_key"], 200)
    assert [200, 200] == await answers(gateways, old)

    await console("partner", "suspend", partner)
    took_s["suspend"] = await seen(gateways, rotated["api_key"], 401)
    told = await gateways[1].with_key(old).call("GET", "/inventory")
    assert "suspended" in told.json["detail"]
    await console("partner", "resume", partner)
    took_s["resume"] = await seen(gateways, rotated["api_key"], 200)

    await console("key", "revoke", old, "--yes")
    took_s["revoke"] = await seen(gateways, old, 401)
    assert [200, 200] == await answers(gateways, rotated["api_key"])
    return took_s


async def test_changes_reach_every_gateway(gateways: list[Agency], console: Console) -> None:
    """Each of them in time; measured once more if the machine was paused meanwhile."""
    partner = "harbour"
    with pauses() as paused:
        took_s = await measured(gateways, console, partner)
    if paused and max(took_s.values()) > EFFECTIVE_WITHIN_S:
        partner = "harbour_again"
        took_s = await measured(gateways, console, partner)
    late = {change: s for change, s in took_s.items() if s > EFFECTIVE_WITHIN_S}
    assert {} == late, took_s

    async def used() -> Any:
        (key,) = json.loads(await console("key", "list", partner, "--json"))
        return key["last_used_at"]

    assert await eventually(used, what="the key was used")
    await console("directory", "check")

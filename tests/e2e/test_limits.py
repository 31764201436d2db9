"""The limit of a partner over real gateways: across kill -9, a second gateway and a restart."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.agency import Agency
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

LIMIT = 100
SLICE = LIMIT // 10
PARTNERS = """
[[partners]]
partner_id = "limited_{name}"
name = "Limited"
channel = "ota"
calls_per_minute = {limit}
keys = ["limited_key_{name}_00000"]
permissions = ["inventory:read"]
"""


@pytest.fixture
def limited(
    agency: Agency, deciders: Deciders, tmp_path: Path, request: pytest.FixtureRequest
) -> Agency:
    """A partner of the test's own, with 100 calls a minute."""
    name = request.node.name.removeprefix("test_")[:20]
    file = tmp_path / "partners.toml"
    file.write_text(PARTNERS.format(name=name, limit=LIMIT), encoding="utf-8")
    deciders.stack.run_command("gateway", "load-partners", str(file))
    return agency.with_key(f"limited_key_{name}_00000")


async def passed(agency: Agency, number: int) -> int:
    """Make calls one after another and return how many pass; the others are 429."""
    statuses = [(await agency.call("GET", "/inventory")).status for _ in range(number)]
    assert {200, 429} >= set(statuses)
    return statuses.count(200)


async def known(agency: Agency) -> Agency:
    """Wait until the gateway knows the partner; that costs one call."""

    async def answered() -> bool:
        return (await agency.call("GET", "/inventory")).status != 401

    await eventually(answered)
    return agency


async def kill(deciders: Deciders) -> None:
    """Kill the gateway as a failing machine would, and start it again."""
    await asyncio.to_thread(deciders.kill, "gateway")
    await deciders.restart("gateway")


async def test_a_killed_gateway_gives_no_fresh_limit(limited: Agency, deciders: Deciders) -> None:
    """What was used counts on, and so does what the killed one had leased: a tenth at most."""
    await known(limited)
    assert 100 - 1 == await passed(limited, 130)
    await kill(deciders)
    assert 0 == await passed(await known(limited), 10)


async def test_a_kill_in_the_middle_strands_a_slice_at_most(
    limited: Agency, deciders: Deciders
) -> None:
    """The rest of the limit is there at once."""
    await known(limited)
    for _ in range(39):
        assert 200 == (await limited.call("GET", "/inventory")).status
        await asyncio.sleep(0.02)
    await asyncio.sleep(1.0)  # a quiet second: what was leased for the burst goes back
    await kill(deciders)
    used = 40 + 1 + await passed(await known(limited), 130)
    assert LIMIT - SLICE <= used <= LIMIT


async def test_two_gateways_share_the_limit(limited: Agency, deciders: Deciders) -> None:
    """A burst over both uses 95 to 100 of 100 calls."""
    other = deciders.stack.service("gateway", env={"OTA_GATEWAY_INSTANCE": "1"})
    other.start()
    await asyncio.to_thread(other.wait_ready)
    try:
        second = limited.through(other.url)
        used = 2
        await known(limited)
        await known(second)
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                calls = [
                    group.create_task(passed(each, 30)) for each in (limited, second) for _ in "ab"
                ]
            used += sum(call.result() for call in calls)
        assert LIMIT * 0.95 <= used <= LIMIT
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait_exit()

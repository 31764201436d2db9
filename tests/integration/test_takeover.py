"""Two processes of one service: one owns, one waits, and never do both write."""

from __future__ import annotations

import asyncio

import pytest

from libs.events.contracts.inventory import HoldPlaced
from tests.support.deciders import Deciders
from tests.support.ledger import read_heads
from tests.support.stack import ServiceProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


async def is_waiting(deciders: Deciders, process: ServiceProcess) -> bool:
    """Say whether a process has sessions that ask for all four partitions."""
    sessions = await asyncio.to_thread(
        deciders.stack.cluster.run_sql,
        script="SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name ~ '^ota-inventory-p[0-9]$';",
    )
    return process.running and sessions == "8"


async def end_sessions_of_owners(deciders: Deciders) -> None:
    """Let the server end the sessions that own inventory's partitions, as a cut network does."""
    await asyncio.to_thread(
        deciders.stack.cluster.run_sql,
        script="SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND database ="
        f" (SELECT oid FROM pg_database WHERE datname = '{database(deciders)}');",
    )


def database(deciders: Deciders) -> str:
    """Return the name of inventory's database."""
    return deciders.env["OTA_INVENTORY_DSN"].rpartition("/")[2]


async def test_a_frozen_owner_is_replaced_and_writes_nothing_afterwards(
    deciders: Deciders,
) -> None:
    """A paused process loses its partitions, wakes up, notices, and waits for its turn."""
    frozen = deciders.processes["inventory"]
    second = deciders.stack.service("inventory")
    second.start()
    try:
        await eventually(lambda: is_waiting(deciders, second))
        async with deciders.partner() as partner:
            stock = await partner.open_pool(units=20)
            await partner.held(stock)
            before = await read_heads(deciders.env, "inventory")
            frozen.pause()
            # Decided by nobody as long as the frozen process owns; by the other one then.
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(partner.insist(partner.hold(stock)))
                await end_sessions_of_owners(deciders)
                await asyncio.to_thread(second.wait_ready)
                assert isinstance((await waiting).answer, HoldPlaced)
            frozen.resume()
            for _ in range(5):
                await partner.held(stock)
            await eventually(lambda: is_waiting(deciders, frozen))
            after = await read_heads(deciders.env, "inventory")
            assert [1] * 4 == [after[n].epoch - before[n].epoch for n in range(4)]
            second.kill()
            await asyncio.to_thread(frozen.wait_ready)
            await partner.held(stock)
            books = await deciders.audit(partner)
        pool = next(row for row in books.rows["pool"] if row["pool_no"] == stock.pool_no)
        assert 8 == pool["held"]
    finally:
        frozen.resume()
        second.kill()

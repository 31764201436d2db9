"""Instances of a service agree, through their table, who has which partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from libs.events.postgres import instances
from tests.support.instances import Processes, running_processes
from tests.support.stack import Databases, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """A ledger without a service."""
    made = stack.fresh_databases(services=["inventory"])
    yield made
    made.drop()


@pytest.fixture
async def processes(databases: Databases) -> AsyncIterator[Processes]:
    """Processes that share two partitions."""
    async with running_processes(dsn=databases.env["OTA_INVENTORY_DSN"], partitions=2) as made:
        yield made


async def test_a_newcomer_is_given_its_share(processes: Processes) -> None:
    """The first one is asked for one of its two partitions; given up, it is the newcomer's."""
    first = processes.number(0)
    held = [await first.take(partition) for partition in range(2)]
    for partition in range(2):
        first.serves(partition)
    second = processes.number(1)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        coming = group.create_task(second.take(1))
        await held[1].asked.wait()
        assert not coming.done()
        await first.give_back(1)
        assert not (await coming).lost.is_set()
    assert not held[0].asked.is_set()
    assert {0} == first.serving


async def test_who_is_silent_loses_its_partitions(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is ended by the other one, and it is told once it listens again."""
    first, second = processes.number(0), processes.number(1)
    held = await first.take(0)
    monkeypatch.setattr(instances, "STALE_S", 0.8)
    async with asyncio.timeout(20):
        # Nothing is sent on its session any more, as if its process were paused.
        async with first._speaking:
            assert not (await second.take(0)).lost.is_set()
        await held.lost.wait()
    assert set() == first.serving


async def test_a_partition_that_fails_is_known_by_whom_it_failed_for(processes: Processes) -> None:
    """Given back and taken by nobody it is still the first one's to tell of, until another's."""
    first = processes.number(0)
    await first.take(0)
    assert set() == first.served_last, "not served yet"
    first.serves(0)
    await first.give_back(0)
    await asyncio.sleep(2 * instances.ALONE_BEAT_S)  # looks meanwhile
    assert (set(), {0}) == (first.serving, first.served_last)
    second = processes.number(1)
    async with asyncio.timeout(20):
        await second.take(0)

    async def another_has_it() -> bool:
        return not first.served_last

    await eventually(another_has_it)
    second.serves(0)
    assert {0} == second.served_last


async def test_leaving_is_giving_everything_up(processes: Processes) -> None:
    """All that is held is asked for, and nothing is taken any more."""
    first, second = processes.number(0), processes.number(1)
    held = await first.take(0)
    first.leave()
    assert held.asked.is_set()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        coming = group.create_task(second.take(0))
        await first.give_back(0)
        await first.left()
        await coming
        again = group.create_task(first.take(0))
        await second.give_back(0)
        # It is free now; four beats are time enough to take it.
        done, _ = await asyncio.wait({again}, timeout=4 * instances.BEAT_S)
        assert not done
        again.cancel()

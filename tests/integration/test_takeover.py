"""Two processes of one service share its partitions, and hand them over whatever ends either."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from libs.events.contracts.inventory import HoldPlaced
from libs.events.requests import NotExecuted, OutcomeUnknown
from tests.support.client import Partner, Stock
from tests.support.deciders import Deciders, ops_page
from tests.support.ledger import read_heads
from tests.support.stack import ServiceProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ALL = {0, 1, 2, 3}
PAUSE_S = 0.02


@dataclass(slots=True)
class Traffic:
    """Holds that are sent one after another in each partition; what was not answered in time."""

    placed: int = 0
    unanswered: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


async def serving(process: ServiceProcess) -> set[int]:
    """Return the partitions that a process says it serves."""
    return set(json.loads(await ops_page(process, "/readyz"))["partitions"]["serving"])


async def are_spread(*processes: ServiceProcess) -> bool:
    """Say whether two processes serve two partitions each, and are ready with that."""
    served = [await serving(each) for each in processes]
    return [2, 2] == [len(each) for each in served] and set.union(*served) == ALL


async def serves(process: ServiceProcess, partitions: set[int]) -> bool:
    """Say whether a process serves exactly these."""
    return await serving(process) == partitions


async def fenced(process: ServiceProcess) -> float:
    """Return how many writes and partitions a process was refused."""
    lines = (await ops_page(process, "/metrics")).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("ota_fenced_writes"))


@asynccontextmanager
async def traffic(partner: Partner, stocks: list[Stock]) -> AsyncIterator[Traffic]:
    """Hold single units in every partition while the context is open."""
    found, over = Traffic(), asyncio.Event()

    async def keep_holding(stock: Stock) -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                reply = await partner.send(partner.hold(stock))
                assert isinstance(reply.answer, HoldPlaced), reply.answer
                found.placed += 1
            except (NotExecuted, OutcomeUnknown) as error:
                found.unanswered.append(f"partition {stock.partition}: {error!r}")
            found.slowest_s = max(found.slowest_s, time.monotonic() - began)
            await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for stock in stocks:
            group.create_task(keep_holding(stock))
        try:
            yield found
        finally:
            over.set()


@pytest.fixture
async def second(deciders: Deciders) -> AsyncIterator[ServiceProcess]:
    """Another process of inventory, with its share of the partitions."""
    process = deciders.stack.service("inventory")
    deciders.logs.append(process.log)
    process.start()
    await asyncio.to_thread(process.wait_ready)
    first = deciders.processes["inventory"]
    await eventually(lambda: are_spread(first, process))
    yield process
    process.kill()
    await eventually(lambda: serves(first, ALL))


async def pools(partner: Partner) -> list[Stock]:
    """Return a pool in every partition."""
    return [await partner.open_pool(units=5_000, partition=number) for number in sorted(ALL)]


async def test_a_newcomer_gets_its_share_and_gives_it_back_without_a_lost_command(
    deciders: Deciders,
) -> None:
    """Under traffic partitions move to a second process, and back when it is told to stop."""
    first = deciders.processes["inventory"]
    process = deciders.stack.service("inventory")
    deciders.logs.append(process.log)
    async with deciders.partner() as partner:
        stocks = await pools(partner)
        async with traffic(partner, stocks) as found:
            process.start()
            try:
                await asyncio.to_thread(process.wait_ready)
                await eventually(lambda: are_spread(first, process))
                assert 0 == await asyncio.to_thread(process.stop)
                await eventually(lambda: serves(first, ALL))
            finally:
                process.kill()
        assert [] == found.unanswered
        assert 0 == await fenced(first)
        print(f"{found.placed} holds, the slowest took {found.slowest_s * 1000:.0f} ms")
        await deciders.audit(partner)


async def test_a_killed_owner_is_replaced(deciders: Deciders, second: ServiceProcess) -> None:
    """What was on the way when the owner died is answered by the other one."""
    first = deciders.processes["inventory"]
    async with deciders.partner() as partner:
        stocks = await pools(partner)
        async with traffic(partner, stocks) as found:
            await eventually(lambda: has_placed(found, 20))
            os.kill(second.pid, signal.SIGKILL)
            await eventually(lambda: serves(first, ALL))
            enough = found.placed + 20
            await eventually(lambda: has_placed(found, enough))
        assert [] == found.unanswered
        print(f"{found.placed} holds, the slowest took {found.slowest_s * 1000:.0f} ms")
        await deciders.audit(partner)


async def test_a_frozen_owner_is_replaced_and_writes_nothing_afterwards(
    deciders: Deciders, second: ServiceProcess
) -> None:
    """A paused process loses its partitions, wakes up, is fenced, and stands by for its turn."""
    first = deciders.processes["inventory"]
    async with deciders.partner() as partner:
        stocks = await pools(partner)
        lost = await serving(second)
        before = await read_heads(deciders.env, "inventory")
        second.pause()
        try:
            # Decided by nobody as long as the frozen process owns; by the other one then.
            async with asyncio.TaskGroup() as group:
                for stock in stocks:
                    group.create_task(partner.insist(partner.hold(stock)))
            assert ALL == await serving(first)
        finally:
            second.resume()
        after = await read_heads(deciders.env, "inventory")
        assert lost == {n for n in ALL if after[n].epoch > before[n].epoch}
        await eventually(lambda: counted(second, len(lost)))
        await eventually(lambda: are_spread(first, second))
        async with traffic(partner, stocks) as found:
            await eventually(lambda: has_placed(found, 20))
        assert [] == found.unanswered
        await deciders.audit(partner)


async def has_placed(found: Traffic, number: int) -> bool:
    """Say whether so many holds have been placed."""
    return found.placed >= number


async def counted(process: ServiceProcess, number: int) -> bool:
    """Say whether a process counts so many fenced attempts."""
    return await fenced(process) >= number

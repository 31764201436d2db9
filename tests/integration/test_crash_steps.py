"""Processes killed in the middle of their work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import signal

import pytest

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import HoldPlaced, HoldReleased
from libs.events.requests import NotExecuted, OutcomeUnknown, Request
from tests.support.client import Partner, Stock
from tests.support.deciders import Deciders
from tests.support.ledger import settled
from tests.support.stack import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

STEPS = ("decided", "written", "published")
QUANTITY = 3
STREAM = 240
WORKERS = 12


async def call_reserve(partner: Partner, stock: Stock) -> Request:
    """Return a command that reserves."""
    return partner.hold(stock, quantity=QUANTITY)


async def call_activate(partner: Partner, stock: Stock) -> Request:
    """Return a command that activates a hold which every service knows."""
    placed = await partner.held(stock, quantity=QUANTITY)
    return partner.activate(placed.reservation_id)


async def call_cancel(partner: Partner, stock: Stock) -> Request:
    """Return a command that cancels a hold which every service knows."""
    placed = await partner.held(stock, quantity=QUANTITY)
    return partner.cancel(placed.reservation_id)


CALLS = {"reserve": call_reserve, "activate": call_activate, "cancel": call_cancel}
EFFECTS = {
    # The answer, and what the pool has held and sold once all is quiet.
    "reserve": (HoldPlaced, QUANTITY, 0),
    "activate": (OrderConfirmed, 0, QUANTITY),
    "cancel": (HoldReleased, 0, 0),
}
# Fulfillment has nothing to do with holds and cancellations, so it passes no step there.
CASES = [
    pytest.param(service, step, call, id=f"{call}-{service}.{step}")
    for call, services in {
        "reserve": ("inventory", "reservation"),
        "activate": ("reservation", "inventory", "fulfillment"),
        "cancel": ("reservation", "inventory"),
    }.items()
    for service in services
    for step in STEPS
]


@pytest.mark.parametrize(("service", "step", "call"), CASES)
async def test_a_crash_at_any_step_is_made_good(
    deciders: Deciders, service: str, step: str, call: str
) -> None:
    """A service dies at a step; after its restart the retry has its answer and one effect."""
    kinds, held, sold = EFFECTS[call]
    # A standby until it owns the partitions, so that it starts while the rest is prepared.
    doomed = deciders.start(service, kill_at=f"{service}.{step}")
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10)
        request = await CALLS[call](partner, stock)
        await settled(deciders.env)
        deciders.kill(service)
        await asyncio.to_thread(doomed.wait_ready)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(attempt(partner, request))
            assert -signal.SIGKILL == await asyncio.to_thread(doomed.wait_exit)
            await deciders.restart(service)
            await first
            reply = await partner.insist(request)
        assert isinstance(reply.answer, kinds)
        books = await deciders.audit(partner)
    pool = next(row for row in books.rows["pool"] if row["pool_no"] == stock.pool_no)
    assert (held, sold) == (pool["held"], pool["sold"])
    orders = [row for row in books.rows["customer_order"] if row["pool_no"] == stock.pool_no]
    assert (1 if sold else 0) == len(orders)


async def attempt(partner: Partner, request: Request) -> None:
    """Send once; an answer that does not come is what a crash is about."""
    try:
        await partner.send(request)
    except (NotExecuted, OutcomeUnknown):
        return


@pytest.mark.parametrize("server", ["kafka", "postgres"])
async def test_a_server_that_dies_in_a_stream_of_commands_loses_nothing(
    deciders: Deciders, server: str
) -> None:
    """Kafka or PostgreSQL is killed and started again: every command has its answer and effect."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=STREAM // 2)
        done: list[Request] = []
        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(trade(partner, stock, done, worker))
            await reached(done, STREAM // 4)
            await outage(getattr(deciders.stack, server))
        await reached(done, STREAM)
        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(repeat(partner, done[worker::WORKERS]))
        books = await deciders.audit(partner)
    pool = next(row for row in books.rows["pool"] if row["pool_no"] == stock.pool_no)
    assert pool["held"] + pool["sold"] <= STREAM // 2
    assert 0 < pool["sold"]


async def trade(partner: Partner, stock: Stock, done: list[Request], worker: int) -> None:
    """Reserve one unit after another; activate every second, cancel every third."""
    for number in range(STREAM // WORKERS):
        request = partner.hold(stock, key=f"{stock.pool_no}-{worker}-{number}")
        reply = await partner.insist(request)
        done.append(request)
        if not isinstance(reply.answer, HoldPlaced):
            continue
        if number % 2 == 0:
            await partner.insist(partner.activate(reply.answer.reservation_id))
        elif number % 3 == 0:
            await partner.insist(partner.cancel(reply.answer.reservation_id))


async def repeat(partner: Partner, requests: list[Request]) -> None:
    """Send commands once more."""
    for request in requests:
        await partner.insist(request)


async def reached(done: list[Request], number: int) -> None:
    """Wait until so many commands are answered."""

    async def enough() -> bool:
        return len(done) >= number

    await eventually(enough, timeout_s=60, what="the stream")


async def outage(server: Server) -> None:
    """Kill a server and start it again."""
    await asyncio.to_thread(server.kill)
    server.start()
    await asyncio.to_thread(server.wait_ready)

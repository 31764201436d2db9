"""Holds run out by themselves: soon after their deadline, and never before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import asyncpg
import pytest

from libs.events.contracts.inventory import HoldPlaced
from libs.events.contracts.reservation import ReservationRefused
from tests.support.client import Partner, Stock, seconds_from_now
from tests.support.deciders import Deciders, ops_page
from tests.support.ledger import Books, StoredEvent, service_dsn
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

LATE_MAX = timedelta(seconds=1)
LOCK = "DO $$ BEGIN LOCK TABLE reservation IN SHARE MODE; PERFORM pg_sleep(60); END $$"
BEHIND = timedelta(seconds=3)
"""By then writing has failed for the first time: locks are waited for a second."""
LOOKS, LOOK_S = 16, 0.25


@pytest.fixture
async def ledger(deciders: Deciders) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the ledger's database."""
    connection = await asyncpg.connect(service_dsn(deciders.env, "inventory"))
    yield connection
    await connection.close()


async def all_back(ledger: asyncpg.Connection[asyncpg.Record], stock: Stock) -> None:
    """Wait until nothing of a pool is held."""
    await eventually(
        lambda: ledger.fetchval("SELECT held = 0 FROM pool WHERE pool_no = $1", stock.pool_no)
    )


async def passed(ledger: asyncpg.Connection[asyncpg.Record], instant: datetime) -> None:
    """Wait until the database's clock shows an instant."""
    await eventually(lambda: ledger.fetchval("SELECT clock_timestamp() >= $1", instant))


def expiries(books: Books, stock: Stock) -> list[StoredEvent]:
    """Return the expiries of a pool's holds."""
    found = books.events_of("reservation", type="reservation_expired")
    return [event for event in found if event.body["pool_no"] == stock.pool_no]


def untimely(events: Iterable[StoredEvent], *, ready_at: datetime | None = None) -> list[str]:
    """Return which expiries were early, or late though the service was up."""
    found = []
    for event in events:
        due_at = datetime.fromisoformat(event.body["due_at"])
        if event.decided_at < due_at:
            found.append(f"{event.subject} is early")
        if event.decided_at > max(due_at, ready_at or due_at) + LATE_MAX:
            found.append(f"{event.subject} is late by {event.decided_at - due_at}")
    return found


async def test_holds_run_out_within_a_second(
    deciders: Deciders, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Short holds end within 1 s of their deadlines, none early, and the units are back."""
    async with deciders.partner() as partner:
        stocks = [await partner.open_pool(units=20, partition=number) for number in range(4)]
        for stock in stocks:
            for number in range(3):
                await partner.held(stock, expires_at=seconds_from_now(1 + number / 4))
            await partner.held(stock, hold_s=1)
        for stock in stocks:
            await all_back(ledger, stock)
        books = await deciders.audit(partner)
    for stock in stocks:
        found = expiries(books, stock)
        assert 4 == len(found)
        assert [] == untimely(found)
        # Control: the same check finds an expiry that comes too early or too late.
        assert [] != untimely([replace(found[0], decided_at=found[0].decided_at - LATE_MAX)])
        assert [] != untimely([replace(found[0], decided_at=found[0].decided_at + LATE_MAX)])


async def test_a_thousand_holds_run_out_at_once(
    deciders: Deciders, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A thousand holds with one deadline end within 1 s of it, each once."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=1_000, partition=2)
        deadline = seconds_from_now(5)
        async with asyncio.TaskGroup() as group:
            for _ in range(1_000):
                group.create_task(partner.held(stock, expires_at=deadline))
        await passed(ledger, deadline)
        await all_back(ledger, stock)
        books = await deciders.audit(partner)
    found = expiries(books, stock)
    assert 1_000 == len(found)
    assert [] == untimely(found)


async def test_what_fell_due_while_the_service_was_down_runs_out_after_its_start(
    deciders: Deciders, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Holds whose deadlines passed during an outage end within 1 s of the restart."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=20, partition=1)
        deadline = seconds_from_now(1.5)
        for _ in range(10):
            await partner.held(stock, expires_at=deadline)
        deciders.kill("reservation")
        # Held while nobody keeps deadlines: opened and expired after the restart.
        await partner.held(stock, expires_at=deadline)
        await passed(ledger, deadline)
        assert 11 == await held(ledger, stock)
        await deciders.restart("reservation")
        ready_at = seconds_from_now(0)
        await all_back(ledger, stock)
        books = await deciders.audit(partner)
    found = expiries(books, stock)
    assert 11 == len(found)
    assert [] == untimely(found, ready_at=ready_at)


async def test_holds_stay_due_in_the_figures_while_expiry_cannot_be_written(
    deciders: Deciders, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Somebody locks the table: partitions fail again and again, and no look finds all well."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=20, partition=1)
        deadline = seconds_from_now(3)
        placed = await partner.held(stock, expires_at=deadline)

        async def figures() -> dict[str, float]:
            return values(await ops_page(deciders.processes["reservation"], "/metrics"))

        await eventually(partial(known, deciders, placed.reservation_id))
        async with locked(deciders):
            await passed(ledger, deadline + BEHIND)
            for _ in range(LOOKS):
                seen = await figures()
                assert 1 <= seen["ota_holds_due"] <= seen["ota_holds_open"]
                assert BEHIND.total_seconds() <= seen["ota_hold_overdue_seconds"]
                await asyncio.sleep(LOOK_S)
        await all_back(ledger, stock)
        await deciders.audit(partner)


async def known(deciders: Deciders, reservation_id: str) -> bool:
    """Say whether the service has recorded a hold."""
    database = await asyncpg.connect(service_dsn(deciders.env, "reservation"))
    try:
        found = "SELECT EXISTS (SELECT FROM reservation WHERE reservation_id = $1)"
        return bool(await database.fetchval(found, reservation_id))
    finally:
        await database.close()


@asynccontextmanager
async def locked(deciders: Deciders) -> AsyncIterator[None]:
    """Let nobody write to the table of reservations."""
    blocker = await asyncpg.connect(service_dsn(deciders.env, "reservation"))

    async def lock() -> None:
        with suppress(asyncpg.PostgresConnectionError):
            await blocker.execute(LOCK)

    async with asyncio.TaskGroup() as group:
        group.create_task(lock())
        try:
            yield
        finally:
            blocker.terminate()


def values(page: str) -> dict[str, float]:
    """Return the samples of a page that have no labels."""
    lines = [line.split() for line in page.splitlines() if line and line[0] not in "#{"]
    return {words[0]: float(words[1]) for words in lines if "{" not in words[0]}


async def held(ledger: asyncpg.Connection[asyncpg.Record], stock: Stock) -> int:
    """Return how many units of a pool are held."""
    found = await ledger.fetchval("SELECT held FROM pool WHERE pool_no = $1", stock.pool_no)
    return int(found)


async def test_a_hold_that_was_just_expired_is_refused_and_sold_again(
    deciders: Deciders, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """After its deadline a hold can be neither activated nor cancelled; another may have it."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=1)
        placed = await partner.held(stock, expires_at=seconds_from_now(1))
        await passed(ledger, placed.expires_at)
        for command in (partner.activate, partner.cancel):
            reply = await partner.insist(command(placed.reservation_id))
            assert isinstance(reply.answer, ReservationRefused)
            assert "reservation_expired" == reply.answer.reason
        again = await eventually(lambda: sold_again(partner, stock))
        assert again != placed.reservation_id
        await deciders.audit(partner)


async def sold_again(partner: Partner, stock: Stock) -> str | None:
    """Return the id of a new hold once there is room for it."""
    reply = await partner.insist(partner.hold(stock))
    return reply.answer.reservation_id if isinstance(reply.answer, HoldPlaced) else None

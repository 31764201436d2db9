"""Quotas in PostgreSQL: two gateways on one table, and what the table may be used for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from libs.runtime.postgres import create_pool
from services.gateway.app.quotas import Quotas
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.partner import Caller
from services.gateway.domain.quota import Lease, Quota, StoredQuota
from services.gateway.store.quotas import QuotaStore
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

AGE_ALL = """
UPDATE quota SET version = version + 1,
       used_until = ARRAY(SELECT until - $1::bigint FROM unnest(used_until) AS until)
"""


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """The gateway's database without a gateway."""
    made = stack.fresh_databases(services=["gateway"])
    yield made
    made.drop()


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Connections of the gateway's own role."""
    dsn = databases.env["OTA_GATEWAY_DSN"]
    async with await create_pool(
        dsn, application_name="ota-test", size_max=4, read_only=False
    ) as made:
        yield made


@pytest.fixture
def store(pool: asyncpg.Pool[asyncpg.Record]) -> QuotaStore:
    """The table."""
    return QuotaStore(pool)


def caller(partner_id: str, calls_per_minute: int = 100) -> Caller:
    """Return a partner's key."""
    return Caller(
        key_id=f"key_{partner_id}",
        partner_id=partner_id,
        name=partner_id,
        channel="ota",
        permissions=frozenset(),
        calls_per_minute=calls_per_minute,
        expires_at=None,
    )


@asynccontextmanager
async def gateways(store: QuotaStore, who: Caller, number: int) -> AsyncIterator[list[Quotas]]:
    """Let so many gateways lease in the background."""
    known = {b"k": who}
    made = [
        Quotas(
            table=store,
            callers=lambda: known,
            instance=instance,
            incarnation=f"{who.partner_id}-{instance}",
            monotonic=time.monotonic,
        )
        for instance in range(number)
    ]
    tasks = [asyncio.ensure_future(each.run()) for each in made]  # noqa: TID251
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def passes(quotas: Quotas, who: Caller) -> bool:
    """Make a call and say whether it may pass; one that could not be decided is made again."""
    account = quotas.account(who)
    while True:
        try:
            return quotas.take(account, time.monotonic()) or await quotas.wait(account)
        except StoreUnavailable:
            await asyncio.sleep(0.01)


async def report(quotas: Quotas, who: Caller) -> None:
    """Let a gateway report all that it has let pass; another may be faster for a while."""
    account = quotas.account(who)
    account.hurried = True
    while account.hurried:
        await quotas.settle_due()


async def burst(pick: Callable[[int], Quotas], who: Caller, number: int) -> int:
    """Make calls, all at once, and return how many pass."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(passes(pick(each), who)) for each in range(number)]
    return sum(call.result() for call in calls)


async def test_what_is_written_is_read_again(store: QuotaStore) -> None:
    """With the version that it has now, and the database's clock."""
    quota = Quota(
        used=((1_900_000_000_000, 3), (1_900_000_000_500, 2_000_000_000)),
        leases=(Lease(instance=6, incarnation="ab", granted=9, reported=4, seen_ms=17),),
    )
    first = StoredQuota(partner_id="p1", version=0, quota=quota, now_ms=0)
    empty = StoredQuota(partner_id="p2", version=0, quota=Quota(), now_ms=0)
    assert {"p1", "p2"} == await store.write_quotas([first, empty])
    found = {each.partner_id: each for each in await store.read_quotas(["p1", "p2", "p3"])}
    assert (1, quota) == (found["p1"].version, found["p1"].quota)
    assert [(1, Quota()), (0, Quota())] == [
        (found[each].version, found[each].quota) for each in ("p2", "p3")
    ]
    assert abs(found["p3"].now_ms / 1000 - time.time()) < 60


async def test_only_who_has_read_the_last_version_writes(store: QuotaStore) -> None:
    """Of two that have read the same, one has to look again; others in its batch are stored."""
    row = StoredQuota(partner_id="p4", version=0, quota=Quota(), now_ms=0)
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(store.write_quotas([row])) for _ in range(4)]
    assert 1 == sum("p4" in each.result() for each in tries)
    other = StoredQuota(partner_id="p5", version=0, quota=Quota(), now_ms=0)
    assert {"p5"} == await store.write_quotas([row, other])


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_gateways_on_one_table_never_exceed_the_limit(
    store: QuotaStore, pool: asyncpg.Pool[asyncpg.Record], number: int
) -> None:
    """A burst over all of them: 95 to 100 of 100 pass, and as many again a minute later."""
    who = caller(f"burst{number}")
    async with gateways(store, who, number) as made:
        for each in (*made, *made):  # all know of each other
            await report(each, who)
        first = await burst(lambda each: made[each % number], who, 160)
        assert (95 if number > 1 else 100) <= first <= 100
        assert first + await burst(lambda each: made[each % number], who, 50) <= 100
        for each in made:
            await report(each, who)
        async with pool.acquire() as connection:
            await connection.execute(AGE_ALL, 61_000)
        for each in made:  # for them the minute is over earlier than they were told
            each.account(who).change_limit(100)
        again = await burst(lambda each: made[each % number], who, 160)
        assert (95 if number > 1 else 100) <= again <= 100


async def test_gateways_that_are_killed_and_started_again_get_nothing_fresh(
    store: QuotaStore,
) -> None:
    """Three lives of a gateway share one limit."""
    who = caller("phoenix")
    total = 0
    for life in range(3):
        quotas = Quotas(
            table=store,
            callers=lambda: {b"k": who},
            instance=0,
            incarnation=str(life),
            monotonic=time.monotonic,
        )
        running = asyncio.ensure_future(quotas.run())  # noqa: TID251
        total += await burst(lambda _, now=quotas: now, who, 45)  # type: ignore[misc]  # bound now
        running.cancel()
        await asyncio.wait([running])
    assert 45 < total <= 100


async def test_a_partner_has_one_row_and_nobody_deletes_it(
    pool: asyncpg.Pool[asyncpg.Record], store: QuotaStore
) -> None:
    """The row is replaced, so that nothing old is left to purge; the role cannot delete."""
    who = caller("row")
    async with gateways(store, who, 2) as made:
        await burst(lambda each: made[each % 2], who, 30)
    async with pool.acquire() as connection:
        assert 1 == await connection.fetchval(
            "SELECT count(*) FROM quota WHERE partner_id = 'row' AND cardinality(used_until) < 130"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM quota")

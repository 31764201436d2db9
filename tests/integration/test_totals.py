"""The runbook's statements that make totals of lists anew: on a real PostgreSQL, beside writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from deploy.local.settings import CHECKOUT
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

ROWS = 3_000
ROUNDS = 30
PARTNERS = ("harbour", "magpie", "star")
LOCKED_S = 1.0
"""So long a service's own writes wait for a lock before they fail."""

ADD_RESERVATION = """
INSERT INTO reservation (partition, reservation_id, pool_no, product_id, channel, partner_id,
                         quantity, status, held_at, expires_at, rule_version, ledger_seq)
SELECT 0, $1 || '-' || n, 1, 106, 'ota', $2, 1, 'active', now(), now(), 1,
       n + (SELECT coalesce(max(ledger_seq), 0) FROM reservation)
  FROM generate_series(1, $3::int) AS n
"""
ADD_ORDER = """
INSERT INTO customer_order (partition, order_id, reservation_id, pool_no, partner_id, product_id,
                            channel, quantity, confirmation_code, day_class, total_minor, currency,
                            rule_version, lines, customer, payment_reference_hash, entitlements,
                            status, created_at)
SELECT 0, $1 || '-' || n, $1 || '-' || n, 1, $2, 106, 'ota', 1, $1 || '-' || n, 'weekday', 1,
       'HKD', 1, '[]', '{}', '', '[]', 'confirmed', now()
  FROM generate_series(1, $3::int) AS n
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """One of the two tables of totals: how rows get in, and what is counted alike."""

    service: str
    add: str
    rows: str
    totals: str
    number: str
    alike: str

    @property
    def wrong(self) -> str:
        """A query of the totals that are not the number of their rows; none has a row of 0."""
        return (
            f"SELECT * FROM (SELECT {self.alike}, count(*) AS n FROM {self.rows}"
            f" GROUP BY {self.alike}) AS r"
            f" FULL JOIN (SELECT * FROM {self.totals} WHERE {self.number} <> 0) AS c"
            f" USING ({self.alike}) WHERE n IS DISTINCT FROM {self.number}"
        )

    @property
    def statement(self) -> str:
        """What the runbook says to do."""
        text = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
        (found,) = (
            block
            for block in re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
            if f"INSERT INTO {self.totals}" in block
        )
        return str(found)


RESERVATIONS = Totals(
    service="reservation",
    add=ADD_RESERVATION,
    rows="reservation",
    totals="reservation_count",
    number="reservations",
    alike="partner_id, product_id, status, partition",
)
ORDERS = Totals(
    service="fulfillment",
    add=ADD_ORDER,
    rows="customer_order",
    totals="order_count",
    number="orders",
    alike="partner_id, product_id, partition",
)


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """The databases of both services."""
    made = stack.fresh_databases(services=["reservation", "fulfillment"])
    yield made
    made.drop()


@pytest.fixture(params=[RESERVATIONS, ORDERS], ids=lambda each: each.rows)
async def totals(
    databases: Databases, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Totals, asyncpg.Pool[asyncpg.Record]]]:
    """Rows of three partners whose totals somebody has falsified, and the owner's sessions."""
    which: Totals = request.param
    pool = await asyncpg.create_pool(
        databases.env[f"OTA_{which.service.upper()}_OWNER_DSN"],
        min_size=1,
        max_size=4,
        server_settings={"lock_timeout": str(round(LOCKED_S * 1000))},
    )
    await pool.execute(f"TRUNCATE {which.rows}")
    for partner in PARTNERS:
        await pool.execute(which.add, partner, partner, ROWS)
    await pool.execute(f"UPDATE {which.totals} SET {which.number} = 7 WHERE partner_id = 'harbour'")
    await pool.execute(f"DELETE FROM {which.totals} WHERE partner_id = 'magpie'")
    await pool.execute(
        f"INSERT INTO {which.totals} ({which.alike}, {which.number})"
        f" SELECT {which.alike.replace('partner_id', repr('nobody'))}, 5 FROM {which.totals}"
        " WHERE partner_id = 'star'"
    )
    yield which, pool
    await pool.close()


async def test_totals_are_right_again_while_rows_are_added(
    totals: tuple[Totals, asyncpg.Pool[asyncpg.Record]],
) -> None:
    """Too small, missing and about nothing; whatever the statement meets on its way."""
    which, pool = totals
    assert 3 == len(await pool.fetch(which.wrong)), "the control: all three are noticed"
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            for partner in (*PARTNERS, f"new-{number}"):
                await pool.execute(which.add, f"{partner}-{number}", partner, 3)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(ROUNDS):
            await pool.execute(which.statement)
            # What it has made right stays right: adding what is missing twice would show.
            assert [] == await pool.fetch(which.wrong)
        done.set()
    assert [] == await pool.fetch(which.wrong)
    assert ROWS < await pool.fetchval(
        f"SELECT sum({which.number}) FROM {which.totals} WHERE partner_id = 'magpie'"
    )


async def test_no_write_waits_for_totals_that_were_right(
    totals: tuple[Totals, asyncpg.Pool[asyncpg.Record]],
) -> None:
    """Even if the statement takes for ever, only what it has corrected waits for it."""
    which, pool = totals
    async with pool.acquire() as slow, slow.transaction():
        await slow.execute(which.statement)
        await pool.execute(which.add, "meanwhile", "star", 3)
        await pool.execute(which.add, "meanwhile-new", "new", 3)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pool.execute(which.add, "meanwhile-corrected", "harbour", 3)
    assert [] == await pool.fetch(which.wrong)


async def test_a_locked_table_is_noticed(
    totals: tuple[Totals, asyncpg.Pool[asyncpg.Record]],
) -> None:
    """The control: under a lock of the table no partner's write gets through."""
    which, pool = totals
    async with pool.acquire() as slow, slow.transaction():
        await slow.execute(f"LOCK TABLE {which.rows} IN SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await pool.execute(which.add, "meanwhile", "star", 3)

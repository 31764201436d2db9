"""Lists and searches in a real PostgreSQL touch the rows that they give, not all there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest
from asyncpg.transaction import Transaction

from libs.runtime.postgres import create_pool
from services.gateway.domain.records import STATUSES, ReservationFilter, Slice
from services.gateway.store.audit import AuditFilter, AuditStore
from services.gateway.store.database import Pool
from services.gateway.store.reservation_views import ReservationViews
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
ROWS = 4_000
IN_VAIN_MAX = 20
"""Rows that a query may read and not give, of thousands that there are."""

ADD_RECORDS = """
INSERT INTO audit (at, row_id, calls, key_id, request_id, method, route, status, address, replayed,
                   duration_us)
SELECT $1::timestamptz - make_interval(mins => n), n, 1,
       CASE WHEN n > $2 - 5 THEN 'rare' ELSE 'key' END, 'req_' || n,
       'GET', '/api/ota/inventory', 401, '', false, 1
  FROM generate_series(1, $2::int) AS n
"""
ADD_RESERVATIONS = """
INSERT INTO reservation (partition, reservation_id, pool_no, product_id, channel, partner_id,
                         quantity, status, held_at, expires_at, rule_version, ledger_seq, ended_at)
SELECT 0, 'res_' || n, 1, 106, 'ota', 'harbour', 1,
       CASE WHEN n % 2 = 0 THEN 'expired' ELSE 'cancelled' END,
       $1::timestamptz - make_interval(mins => n), $1::timestamptz, 1, n,
       $1::timestamptz - make_interval(mins => n)
  FROM generate_series(1, $2::int) AS n
"""


class Explained:
    """A pool of one connection; it keeps the plan of all that it is asked."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection
        self.plans: list[dict[str, Any]] = []

    def acquire(self, *, timeout: float) -> Explained:
        """Lend the connection."""
        return self

    async def __aenter__(self) -> Explained:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Explain, then answer."""
        (row,) = await self._connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
        self.plans.append(json.loads(row[0])[0]["Plan"])
        return await self._connection.fetch(query, *values)

    async def fetchrow(self, query: str, *values: object) -> asyncpg.Record:
        """Explain, then answer."""
        return (await self.fetch(query, *values))[0]

    async def fetchval(self, query: str, *values: object) -> object:
        """Explain, then answer."""
        return (await self.fetchrow(query, *values))[0]

    async def execute(self, statement: str) -> str:
        """Do what needs no plan."""
        return await self._connection.execute(statement)

    def transaction(self, *, readonly: bool) -> Transaction:
        """Begin a transaction."""
        return self._connection.transaction(readonly=readonly)

    def read_in_vain(self) -> int:
        """Return how many rows the queries looked at and did not give, or sorted first."""
        return sum(
            node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
            + (node["Actual Rows"] if node["Node Type"] == "Sort" else 0)
            for plan in self.plans
            for node in _nodes(plan)
        )

    def indexes(self) -> set[str]:
        """Return the indexes that the queries went through."""
        return {
            node["Index Name"]
            for plan in self.plans
            for node in _nodes(plan)
            if "Index Name" in node
        }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """The gateway's and the reservation service's databases, migrated."""
    made = stack.fresh_databases(services=["gateway", "reservation"])
    yield made
    made.drop()


@pytest.fixture
async def records(databases: Databases) -> AsyncIterator[Explained]:
    """Many audit records, five of them of a key that was last used long ago."""
    async for explained in filled(databases, "GATEWAY", "audit", ADD_RECORDS, NOW, ROWS):
        yield explained


@pytest.fixture
async def reservations(databases: Databases) -> AsyncIterator[Explained]:
    """A partner's reservations, each a minute older than the one before."""
    async for explained in filled(
        databases, "RESERVATION", "reservation", ADD_RESERVATIONS, NOW, ROWS
    ):
        yield explained


async def filled(
    databases: Databases, service: str, table: str, add: str, *values: object
) -> AsyncIterator[Explained]:
    """Fill a table and lend a connection that explains."""
    pool = await create_pool(
        databases.env[f"OTA_{service}_OWNER_DSN"],
        application_name="ota-test",
        size_max=1,
        read_only=False,
    )
    async with pool.acquire() as connection:
        await connection.execute(f"TRUNCATE {table}")
        await connection.execute(add, *values)
        await connection.execute(f"VACUUM ANALYZE {table}")
        yield Explained(cast("asyncpg.Connection[asyncpg.Record]", connection))
    await pool.close()


async def test_a_key_is_found_without_walking_through_all_records(records: Explained) -> None:
    """Who searches for a leaked key may look back over 400 days."""
    store = AuditStore(cast("Pool", records))
    assert 5 == len(await store.rows(AuditFilter(key_id="rare"), limit=50))
    assert {"audit_by_key"} == records.indexes()
    assert records.read_in_vain() <= IN_VAIN_MAX


async def test_a_call_is_found_by_its_id_in_few_ranges_of_rows(records: Explained) -> None:
    """Although the planner believes that such an index can't tell where a row is."""
    store = AuditStore(cast("Pool", records))
    (found,) = await store.rows(AuditFilter(request_id=f"req_{ROWS - 7}"), limit=50)
    assert f"req_{ROWS - 7}" == found.request_id
    assert {"audit_by_id"} == records.indexes()
    assert records.read_in_vain() < ROWS / 2


async def test_a_deep_page_begins_at_its_place(reservations: Explained) -> None:
    """However far a walk has come, a page costs what the first one did."""
    views = ReservationViews(cast("Pool", reservations))
    passed = ROWS - 1000  # of the last few hundred the planner rather reads all
    after = (NOW - timedelta(minutes=passed), f"res_{passed}")
    found, total = await views.reservations(
        partner_id="harbour",
        which=ReservationFilter(),
        rows=Slice(limit=20, offset=0, after=after),
    )
    assert "reservation_of_partner_ended" in reservations.indexes()
    wanted = [f"res_{number}" for number in range(passed + 1, passed + 21)]
    assert (wanted, ROWS) == ([each.reservation_id for each in found], total)
    assert reservations.read_in_vain() <= IN_VAIN_MAX


async def test_totals_are_the_rows_that_there_are(reservations: Explained) -> None:
    """Whatever happens to rows, and for every list."""
    views = ReservationViews(cast("Pool", reservations))
    change = "UPDATE reservation SET {} WHERE reservation_id <= 'res_2'"
    for changes in (
        "status = 'active', ended_at = NULL",
        "status = 'cancelled', ended_at = held_at",
        "product_id = 107, status = 'expired'",
    ):
        await reservations.execute(change.format(changes))
        for which in (
            ReservationFilter(),
            ReservationFilter(product_id=107),
            *(ReservationFilter(status=status, product_id=106) for status in STATUSES),
        ):
            rows, total = await views.reservations(
                partner_id="harbour", which=which, rows=Slice(limit=ROWS + 1)
            )
            assert len(rows) == total, which
    await reservations.execute("DELETE FROM reservation WHERE status = 'expired'")
    left = await reservations.fetchval("SELECT count(*) FROM reservation")
    counted = await reservations.fetchval("SELECT sum(reservations) FROM reservation_count")
    assert left == counted


@pytest.mark.parametrize(("since", "expired"), [(NOW - timedelta(minutes=9), 4), (None, ROWS // 2)])
async def test_what_ran_out_lately_is_counted_alone(
    reservations: Explained, since: datetime | None, expired: int
) -> None:
    """Not with all that the partner ever held; without a moment, all that ran out."""
    views = ReservationViews(cast("Pool", reservations))
    last = NOW - timedelta(minutes=2)
    assert (expired, last) == await views.expired_since(partner_id="harbour", since=since)
    assert {"reservation_of_partner_expired"} == reservations.indexes()
    assert 0 == reservations.read_in_vain()

"""Gateways find numbers of their own by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from services.gateway.store import number
from services.gateway.store.number import NUMBERS, GatewayNumber
from tests.support.stack import Databases, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def databases(stack: Stack) -> Iterator[Databases]:
    """A gateway's database."""
    made = stack.fresh_databases(services=["gateway"])
    yield made
    made.drop()


async def holders(databases: Databases) -> dict[int, int]:
    """Return which session has which number."""
    connection = await asyncpg.connect(databases.env["OTA_GATEWAY_OWNER_DSN"])
    try:
        rows = await connection.fetch(
            "SELECT objid::int AS number, pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return {row["number"]: row["pid"] for row in rows}
    finally:
        await connection.close()


async def test_numbers_are_different_and_come_back(
    databases: Databases, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lowest free one; a lost session gets the same one again; a gone gateway's is free."""
    monkeypatch.setattr(number, "CHECK_S", 0.02)
    dsn = databases.env["OTA_GATEWAY_DSN"]
    gateways = [GatewayNumber(dsn=dsn) for _ in range(3)]
    assert [0, 1, 2] == [await each.claim() for each in gateways]
    async with asyncio.TaskGroup() as group:
        keeping = [group.create_task(each.keep()) for each in gateways]
        before = await holders(databases)
        await asyncio.to_thread(
            stack.cluster.run_sql, script=f"SELECT pg_terminate_backend({before[1]});"
        )

        async def claimed_again() -> bool:
            after = await holders(databases)
            return after.keys() == before.keys() and after[1] != before[1]

        await eventually(claimed_again)
        keeping[0].cancel()

        async def freed() -> bool:
            return 0 not in await holders(databases)

        await eventually(freed)
        newcomer = GatewayNumber(dsn=dsn)
        assert 0 == await newcomer.claim()
        keeping.append(group.create_task(newcomer.keep()))
        await asyncio.sleep(0)
        for task in keeping:
            task.cancel()


async def test_without_a_database_a_gateway_starts_with_a_number_that_nobody_claims() -> None:
    """It would not be of use to anybody if it did not start."""
    away = GatewayNumber(dsn="postgresql://nobody@127.0.0.1:1/none")
    assert await away.claim() >= NUMBERS
    assert 3 == await GatewayNumber(3, dsn="postgresql://nobody@127.0.0.1:1/none").claim()

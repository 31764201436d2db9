"""Connections to a real PostgreSQL: every wait ends, and sessions are as they should be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from deploy.local.credentials import dsns
from libs.runtime.postgres import acquire, connect, create_pool
from tests.support.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> Iterator[str]:
    """The address of an empty database."""
    assert stack.postgres.running
    stack.cluster.create_databases(services=["inventory"], suffix="_connections")
    yield dsns(
        secrets_by_name=stack.cluster.secrets_by_name,
        server=stack.cluster.server,
        database_suffix="_connections",
    )["OTA_INVENTORY_OWNER_DSN"]
    stack.cluster.drop_databases(services=["inventory"], suffix="_connections")


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A dedicated connection with short limits."""
    made = await connect(
        dsn, application_name="ota-test", statement_timeout_s=0.2, lock_timeout_s=0.05
    )
    yield made
    await made.close(timeout=3.0)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """A pool of one connection, for reads."""
    made = await create_pool(dsn, application_name="ota-test", size_max=1)
    yield made
    await made.close()


async def test_a_session_has_its_limits(dsn: str) -> None:
    """By default the server gives up statements after 2 s and locks after 1 s."""
    made = await connect(dsn, application_name="ota-test")
    names = [
        "application_name",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "TimeZone",
        "jit",
        "tcp_keepalives_idle",
        "client_connection_check_interval",
    ]
    found = [await made.fetchval("SELECT current_setting($1)", name) for name in names]
    await made.close(timeout=3.0)
    assert ["ota-test", "2s", "1s", "5s", "UTC", "off", "5", "1s"] == found


async def test_the_servers_verdict_comes_first(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    """A statement that takes too long is ended by the server, so its outcome is certain."""
    with pytest.raises(asyncpg.QueryCanceledError, match="statement timeout"):
        await connection.execute("SELECT pg_sleep(30)")
    assert 1 == await connection.fetchval("SELECT 1")


async def test_a_lock_is_not_waited_for_long(
    dsn: str, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A lock that somebody holds is given up after the limit."""
    holder = await connect(dsn, application_name="ota-test")
    await holder.execute("SELECT pg_advisory_lock(1)")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await connection.execute("SELECT pg_advisory_lock(1)")
    await holder.close(timeout=3.0)


async def test_codecs_are_the_drivers_own(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    """JSON stays text: what was stored is what is hashed."""
    text = json.dumps({"b": 1, "a": 2})
    assert text == await connection.fetchval("SELECT $1::json", text)


async def test_a_pool_is_for_reading(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Writes through the pool are refused, unless it was opened for them."""
    async with acquire(pool) as borrowed:
        assert 1 == await borrowed.fetchval("SELECT 1")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await borrowed.execute("CREATE TABLE t (no int)")


async def test_a_pool_can_be_for_writing(dsn: str) -> None:
    """With read_only=False writes are allowed."""
    made = await create_pool(dsn, application_name="ota-test", size_max=1, read_only=False)
    async with acquire(made) as borrowed:
        await borrowed.execute("CREATE TEMPORARY TABLE t (no int)")
    await made.close()


async def test_nobody_waits_for_a_connection_for_ever(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """When all connections are lent, the next borrower gets TimeoutError."""
    async with acquire(pool):
        with pytest.raises(TimeoutError):
            async with acquire(pool, timeout_s=0.05):
                pass
    async with acquire(pool) as borrowed:
        assert 1 == await borrowed.fetchval("SELECT 1")


async def test_an_unreachable_server_is_told(dsn: str) -> None:
    """Nobody listens: an error at once, not a wait."""
    nowhere = dsn.rsplit("@", 1)[0] + "@127.0.0.1:1/ota"
    with pytest.raises(OSError, match=r"."):
        await connect(nowhere, application_name="ota-test")

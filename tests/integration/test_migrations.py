"""The services' own migrations, and what each role may do with what they make."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

import asyncpg
import pytest
import structlog

from libs.events.console import EVENT_LOG
from libs.runtime.migrate import MigrationSet, migrate
from services.fulfillment.store import tables as fulfillment
from services.inventory.store import tables as inventory
from services.reservation.store import tables as reservation
from tests.support.ledger import DECIDING
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ADD_EVENT = """
INSERT INTO event VALUES (0, 1, 1, 1, 'type', 1, 'subject', now(), '{}', '{}',
                          decode(repeat('00', 32), 'hex'), decode(repeat('01', 32), 'hex'))
"""
ADD_ANSWER = f"""
INSERT INTO recorded_answer VALUES ('{uuid.UUID(int=1)}', 0, 'fingerprint', 'type', 1, '{{}}', 0,
                                    now())
"""
MIGRATIONS = {
    "inventory": inventory.MIGRATIONS,
    "reservation": reservation.MIGRATIONS,
    "fulfillment": fulfillment.MIGRATIONS,
}
CHANGES = [
    "UPDATE event SET data = '{}'",
    "DELETE FROM event",
    "TRUNCATE event",
    "UPDATE recorded_answer SET answer = '{}'",
    "DELETE FROM recorded_answer",
    "TRUNCATE recorded_answer",
    "DELETE FROM partition_head",
    "ALTER TABLE event DISABLE TRIGGER ALL",
    "DROP TABLE event",
    "CREATE TABLE other (no integer)",
]


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """Databases of the deciding services, migrated, without any data."""
    made = stack.fresh_databases(services=DECIDING)
    yield made
    made.drop()


@pytest.fixture(params=DECIDING)
def service(request: pytest.FixtureRequest) -> str:
    """Each of the deciding services."""
    return str(request.param)


@pytest.fixture
async def app(databases: Databases, service: str) -> AsyncIterator[Connection]:
    """A connection of the service's own role to a log with one event and one answer."""
    connection = await asyncpg.connect(databases.env[f"OTA_{service.upper()}_DSN"])
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(ADD_EVENT)
    await connection.execute(ADD_ANSWER)
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
async def reader(databases: Databases, service: str) -> AsyncIterator[Connection]:
    """A connection of the role that reads what services publish."""
    connection = await asyncpg.connect(databases.env[f"OTA_{service.upper()}_READ_DSN"])
    yield connection
    await connection.close()


async def test_a_repeat_does_nothing(databases: Databases, service: str) -> None:
    """A second run applies nothing and leaves the record and the tables as they are."""
    owner_dsn = databases.env[f"OTA_{service.upper()}_OWNER_DSN"]
    connection = await asyncpg.connect(owner_dsn)
    before = await catalogue(connection)
    sets = [EVENT_LOG, MigrationSet(name=service, folder=MIGRATIONS[service])]
    assert () == await migrate(owner_dsn, sets=sets, log=structlog.get_logger())
    assert before == await catalogue(connection)
    assert {("events", 1), (service, 1)} <= {tuple(row)[:2] for row in before[0]}
    await connection.close()


async def catalogue(connection: Connection) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Return which migrations were applied when, and all tables and views with their identity."""
    applied = await connection.fetch(
        "SELECT set_name, number, checksum, applied_at FROM schema_migration ORDER BY 1, 2"
    )
    relations = await connection.fetch(
        "SELECT oid, relname, relacl::text FROM pg_class"
        " WHERE relnamespace IN ('public'::regnamespace, 'read_v1'::regnamespace) ORDER BY oid"
    )
    return applied, relations


async def test_the_application_role_reads_and_adds(app: Connection) -> None:
    """The service's own role may add to its log and its recorded answers, and read both."""
    assert 1 == await app.fetchval("SELECT count(*) FROM event")
    assert 1 == await app.fetchval("SELECT count(*) FROM recorded_answer")


@pytest.mark.parametrize("change", CHANGES)
async def test_the_application_role_changes_nothing_that_is_recorded(
    app: Connection, change: str
) -> None:
    """The service's own role can't change or remove what was recorded, nor the tables."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(change)


async def test_the_owner_could(databases: Databases, service: str) -> None:
    """Control: the same statements are good SQL, for the role that owns the tables."""
    connection = await asyncpg.connect(databases.env[f"OTA_{service.upper()}_OWNER_DSN"])
    for change in CHANGES[:7]:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(change)
        await transaction.rollback()
    await connection.close()


async def test_the_reader_sees_the_read_views_only(reader: Connection, app: Connection) -> None:
    """Every view of read_v1 can be read, no table behind it."""
    views = await app.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'read_v1'")
    tables = await app.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (view,) in views:
        await reader.fetch(f"SELECT * FROM read_v1.{view}")
    assert {"event", "progress"} <= {view for (view,) in views}
    for (table,) in tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"SELECT * FROM public.{table}")


async def test_the_reader_writes_nothing(reader: Connection) -> None:
    """The reader's sessions are read-only, and without that it has no right to write either."""
    assert "on" == await reader.fetchval("SHOW transaction_read_only")
    await reader.execute("SET default_transaction_read_only = off")
    for change in ("DELETE FROM read_v1.event", "UPDATE read_v1.progress SET seq = 0"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(change)


async def test_services_keep_out_of_each_others_databases(
    databases: Databases, service: str
) -> None:
    """A service's own role can't even connect to another service's database."""
    for other in DECIDING:
        login, _, _ = databases.env[f"OTA_{service.upper()}_DSN"].rpartition("/")
        _, _, database = databases.env[f"OTA_{other.upper()}_DSN"].rpartition("/")
        if other == service:
            await (await asyncpg.connect(f"{login}/{database}")).close()
            continue
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await asyncpg.connect(f"{login}/{database}")

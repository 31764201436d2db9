"""Migrations on a real PostgreSQL: applied once, in order, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import structlog
from structlog.typing import FilteringBoundLogger

from deploy.local.credentials import dsns
from deploy.local.postgres import Cluster
from libs.runtime.migrate import (
    Migration,
    MigrationError,
    MigrationSet,
    Stage,
    migrate,
    pending,
    read_migrations,
)
from libs.runtime.postgres import connect
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

SERVICE = "inventory"
APP_ROLE = "ota_inventory_app"
DATABASE_NUMBERS = count(1)
LOG: FilteringBoundLogger = structlog.get_logger()


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Cluster:
    """The session's PostgreSQL server."""
    assert stack.postgres.running
    return stack.cluster


class Database:
    """An empty database, and a folder of migrations for it."""

    def __init__(self, *, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._suffix = f"_migrate{next(DATABASE_NUMBERS)}"
        cluster.create_databases(services=[SERVICE], suffix=self._suffix)
        found = dsns(
            secrets_by_name=cluster.secrets_by_name,
            server=cluster.server,
            database_suffix=self._suffix,
        )
        self.owner_dsn = found["OTA_INVENTORY_OWNER_DSN"]
        self.app_dsn = found["OTA_INVENTORY_DSN"]
        self.folder = folder
        self.sets = [MigrationSet(name="ledger", folder=folder)]

    def write(self, name: str, sql: str) -> None:
        """Write a migration file."""
        (self.folder / name).write_text(sql, encoding="utf-8")

    async def migrate(self, *, through: Stage = "post") -> list[str]:
        """Migrate as the owner; return the names of the files applied."""
        applied = await migrate(
            self.owner_dsn, sets=self.sets, log=LOG, through=through, readers=[APP_ROLE]
        )
        return [migration.name for migration in applied]

    def files(self) -> tuple[Migration, ...]:
        """Return the migrations as a service has them."""
        return read_migrations(self.sets)

    async def tables(self) -> set[str]:
        """Return the names of the tables that are there."""
        connection = await connect(self.owner_dsn, application_name="ota-test")
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        )
        await connection.close(timeout=3.0)
        return {row["relname"] for row in rows}

    async def change(self, sql: str) -> None:
        """Run SQL as the owner."""
        connection = await connect(self.owner_dsn, application_name="ota-test")
        await connection.execute(sql)
        await connection.close(timeout=3.0)

    def drop(self) -> None:
        """Drop the database."""
        self._cluster.drop_databases(services=[SERVICE], suffix=self._suffix)


@pytest.fixture
def database(cluster: Cluster, tmp_path: Path) -> Iterator[Database]:
    """An empty database with two migrations to come."""
    made = Database(cluster=cluster, folder=tmp_path)
    made.write("0001_pre_pool.sql", "CREATE TABLE pool (no integer); CREATE TABLE hold (no int);")
    made.write("0002_pre_index.sql", "CREATE INDEX pool_no ON pool (no);")
    yield made
    made.drop()


@pytest.fixture
async def app(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the service's own role."""
    connection = await connect(database.app_dsn, application_name="ota-test")
    yield connection
    await connection.close(timeout=3.0)


async def test_files_are_applied_once(database: Database) -> None:
    """The first run applies all in order, the second nothing."""
    assert ["0001_pre_pool.sql", "0002_pre_index.sql"] == await database.migrate()
    assert {"pool", "hold", "schema_migration"} == await database.tables()
    assert [] == await database.migrate()


async def test_a_new_file_is_applied_alone(database: Database) -> None:
    """Only what is new runs."""
    await database.migrate()
    database.write("0003_post_drop.sql", "DROP TABLE hold;")
    assert ["0003_post_drop.sql"] == await database.migrate()


async def test_a_file_that_fails_leaves_nothing(database: Database) -> None:
    """What came before stays, of the failing file nothing does, and a corrected one goes on."""
    database.write("0003_pre_bad.sql", "CREATE TABLE half (no int); CREATE TABLE pool (no int);")
    database.write("0004_pre_next.sql", "CREATE TABLE next (no int);")
    with pytest.raises(MigrationError, match=r"0003_pre_bad\.sql failed.*already exists"):
        await database.migrate()
    assert {"pool", "hold", "schema_migration"} == await database.tables()
    database.write("0003_pre_bad.sql", "CREATE TABLE good (no int);")
    assert ["0003_pre_bad.sql", "0004_pre_next.sql"] == await database.migrate()


async def test_an_applied_file_must_not_change(
    database: Database, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The changed file is named, to whoever migrates and to whoever starts."""
    await database.migrate()
    database.write("0001_pre_pool.sql", "CREATE TABLE pool (no bigint);")
    with pytest.raises(MigrationError, match=r"0001_pre_pool\.sql differs"):
        await database.migrate()
    with pytest.raises(MigrationError, match=r"0001_pre_pool\.sql differs"):
        await pending(app, database.files())


async def test_a_number_that_was_left_out_is_not_applied_late(database: Database) -> None:
    """A file that would run after later ones has to get a new number."""
    await database.migrate()
    await database.change("DELETE FROM schema_migration WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001_pre_pool\.sql was never applied but 0002 was"):
        await database.migrate()


async def test_before_a_roll_out_only_pre_files_run(database: Database) -> None:
    """A run for the roll-out stops in front of the first post file; the next one finishes."""
    database.write("0003_post_drop.sql", "DROP TABLE hold;")
    database.write("0004_pre_more.sql", "CREATE TABLE more (no int);")
    assert ["0001_pre_pool.sql", "0002_pre_index.sql"] == await database.migrate(through="pre")
    assert ["0003_post_drop.sql", "0004_pre_more.sql"] == await database.migrate()


async def test_two_runs_at_once_take_turns(database: Database) -> None:
    """Services that migrate at the same moment apply every file once."""
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(database.migrate()) for _ in range(4)]
    applied = sorted(name for run in runs for name in run.result())
    assert ["0001_pre_pool.sql", "0002_pre_index.sql"] == applied


async def test_a_service_sees_what_is_pending(
    database: Database, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    """On an empty database everything is pending, afterwards nothing, then the new file."""
    assert database.files() == await pending(app, database.files())
    await database.migrate()
    assert () == await pending(app, database.files())
    database.write("0003_post_drop.sql", "DROP TABLE hold;")
    assert ["post"] == [each.stage for each in await pending(app, database.files())]


async def test_older_code_runs_on_a_newer_database(
    database: Database, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    """During a roll-out and after a roll-back nothing is pending, and migrating does nothing."""
    await database.migrate()
    (database.folder / "0002_pre_index.sql").unlink()
    assert () == await pending(app, database.files())
    assert [] == await database.migrate()


async def test_sets_are_independent(database: Database, tmp_path: Path) -> None:
    """Two sets number their files each for itself; the first is complete before the second."""
    other = tmp_path / "log"
    other.mkdir()
    (other / "0001_pre_event.sql").write_text("CREATE TABLE event (no int);", encoding="utf-8")
    database.sets.insert(0, MigrationSet(name="log", folder=other))
    assert ["0001_pre_event.sql", "0001_pre_pool.sql", "0002_pre_index.sql"] == (
        await database.migrate()
    )


async def test_the_application_role_may_not_change_the_record(
    database: Database, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A service reads which migrations there are and no more."""
    await database.migrate()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("DELETE FROM schema_migration")

"""Forward-only migrations from numbered SQL files, ``NNNN_<pre|post>_<slug>.sql``.

*pre* files must work with the code that ran before and come before a roll-out, *post*
files after it. A file never changes once it was applied. Each runs in a transaction of its
own, so a statement that PostgreSQL refuses inside one (CREATE INDEX CONCURRENTLY) has no
place here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from structlog.typing import FilteringBoundLogger

from libs.runtime import postgres

Stage = Literal["pre", "post"]
AnyConnection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
)

STATEMENT_TIMEOUT_S = 600.0
TURN_TIMEOUT_S = 60.0
TABLE_LOCK_TIMEOUT_S = 5.0
_LOCK_KEY = 0x4F54_414D_4947  # "OTAMIG"; one run at a time per database

_FILE = re.compile(r"(?P<number>[0-9]{4})_(?P<stage>pre|post)_(?P<slug>[a-z0-9_]+)\.sql")
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TRANSACTION_CONTROL = re.compile(r"(?im)^\s*(begin|commit|rollback)\s*;")

_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_migration (
    set_name   text        NOT NULL,
    number     integer     NOT NULL,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (set_name, number)
)
"""


class MigrationError(Exception):
    """The migrations cannot be applied; the message says which file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSet:
    """A folder of migrations under a name that never changes."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    set_name: str
    number: int
    stage: Stage
    name: str
    sql: str
    checksum: str


def read_migrations(sets: Iterable[MigrationSet]) -> tuple[Migration, ...]:
    """Read the files of all sets, in order.

    Raises MigrationError for a set without files, a file name of another form, a number that
    is missing or used twice, and a file that begins or ends transactions itself.
    """
    found = []
    for each in sets:
        migrations = [_read(each.name, path) for path in sorted(each.folder.glob("*.sql"))]
        if not migrations:
            raise MigrationError(f"set {each.name}: no files in {each.folder}")
        numbers = [migration.number for migration in migrations]
        if numbers != list(range(1, len(numbers) + 1)):
            raise MigrationError(
                f"set {each.name}: the files' numbers must run from 0001 without gap or"
                f" repeat, found {numbers}"
            )
        found += migrations
    return tuple(found)


def _read(set_name: str, path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"{path}: the name must have the form NNNN_<pre|post>_<slug>.sql")
    raw = path.read_bytes()
    sql = raw.decode()
    if _TRANSACTION_CONTROL.search(sql):
        raise MigrationError(f"{path}: remove BEGIN and COMMIT, each file is one transaction")
    return Migration(
        set_name=set_name,
        number=int(match["number"]),
        stage="pre" if match["stage"] == "pre" else "post",
        name=path.name,
        sql=sql,
        checksum=hashlib.sha256(raw).hexdigest(),
    )


async def pending(
    connection: AnyConnection, migrations: Sequence[Migration]
) -> tuple[Migration, ...]:
    """Return the migrations that the database has not got, in order.

    A service refuses to start while one of stage *pre* is pending. What the database has
    beyond *migrations* is ignored: newer code may have put it there. Needs SELECT on
    ``schema_migration``. Raises MigrationError if an applied file was changed since.
    """
    applied = await _applied(connection)
    for migration in migrations:
        checksum = applied.get((migration.set_name, migration.number), migration.checksum)
        if checksum != migration.checksum:
            raise MigrationError(
                f"set {migration.set_name}: {migration.name} differs from what was applied;"
                " restore the file and put the change into a new one"
            )
    return tuple(m for m in migrations if (m.set_name, m.number) not in applied)


async def _applied(connection: AnyConnection) -> dict[tuple[str, int], str]:
    if await connection.fetchval("SELECT to_regclass('public.schema_migration')") is None:
        return {}
    rows = await connection.fetch("SELECT set_name, number, checksum FROM public.schema_migration")
    return {(row["set_name"], row["number"]): row["checksum"] for row in rows}


async def migrate(
    owner_dsn: str,
    *,
    sets: Sequence[MigrationSet],
    log: FilteringBoundLogger,
    through: Stage = "post",
    readers: Sequence[str] = (),
) -> tuple[Migration, ...]:
    """Apply what is pending, as the database's owner, and return it.

    With ``through="pre"`` it stops in front of the first pending *post* file. *readers* are
    roles that may read which migrations were applied. Waits up to 60 s for another run to
    finish. Raises MigrationError; what was applied before the error stays applied.
    """
    migrations = read_migrations(sets)
    connection = await postgres.connect(
        owner_dsn,
        application_name="ota-migrate",
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        lock_timeout_s=TURN_TIMEOUT_S,
    )
    try:
        await _take_turn(connection)
        await _prepare(connection, readers)
        due = await pending(connection, migrations)
        _refuse_gaps(due, await _applied(connection))
        done = []
        for migration in due:
            if migration.stage == "post" and through == "pre":
                break
            await _apply(connection, migration)
            log.info("migrate.file.applied", set=migration.set_name, file=migration.name)
            done.append(migration)
        log.info("migrate.run.finished", applied=len(done), pending=len(due) - len(done))
        return tuple(done)
    finally:
        await connection.close(timeout=postgres.CONNECT_TIMEOUT_S)


async def _take_turn(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError("another migration of this database does not finish") from error
    await connection.execute(f"SET lock_timeout = {round(TABLE_LOCK_TIMEOUT_S * 1000)}")


async def _prepare(connection: asyncpg.Connection[asyncpg.Record], readers: Sequence[str]) -> None:
    await connection.execute(_TABLE)
    for role in readers:
        if not _ROLE.fullmatch(role):
            raise MigrationError(f"{role!r} is not the name of a role")
        await connection.execute(f'GRANT SELECT ON public.schema_migration TO "{role}"')


def _refuse_gaps(due: Sequence[Migration], applied: dict[tuple[str, int], str]) -> None:
    for migration in due:
        later = [
            number
            for set_name, number in applied
            if set_name == migration.set_name and number > migration.number
        ]
        if later:
            raise MigrationError(
                f"set {migration.set_name}: {migration.name} was never applied but"
                f" {min(later):04d} was; give it the next free number"
            )


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO public.schema_migration (set_name, number, name, checksum)"
                " VALUES ($1, $2, $3, $4)",
                migration.set_name,
                migration.number,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"set {migration.set_name}: {migration.name} failed, nothing of it was applied: {error}"
        ) from error

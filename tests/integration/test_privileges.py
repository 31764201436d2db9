"""Least privilege: what each role of the databases may do, tried, and read from the catalogue.

`test_migrations` tries the event logs of the deciding services; here are all four databases,
their anchors, and the roles themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest

from deploy.local.settings import SERVICES
from tests.support.ledger import DECIDING
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

RUNTIME_ROLES = (*(f"ota_{service}_app" for service in SERVICES), "ota_reader", "ota_verifier")
APPEND_ONLY = {
    **dict.fromkeys(DECIDING, ("event", "anchor", "anchor_key", "recorded_answer")),
    "gateway": ("directory_event", "audit"),
}
DELETED_FROM = {
    **{service: {"service_instance"} for service in DECIDING},
    "gateway": {"cleanup_answer"},
}
"""The tables whose rows a service may delete: who is alive, and short-lived marks."""
SECRET = ("api_key", "operator", "personal_key", "partner", "quota")
CHANGES = ("UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table}")
WRITES = ("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}", *CHANGES)


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """Migrated databases of all four services, without any data."""
    made = stack.fresh_databases()
    yield made
    made.drop()


@asynccontextmanager
async def session(databases: Databases, service: str, kind: str) -> AsyncIterator[Connection]:
    """Give a session in a service's database: as DSN, OWNER_DSN, READ_DSN or VERIFY_DSN say."""
    connection = await asyncpg.connect(databases.env[f"OTA_{service.upper()}_{kind}"])
    try:
        yield connection
    finally:
        await connection.close()


async def tables_of(connection: Connection) -> dict[str, str]:
    """Return a database's tables with a column of each that can be set, as its owner sees them."""
    rows = await connection.fetch(
        "SELECT c.relname, (SELECT attname FROM pg_attribute a"
        "   WHERE a.attrelid = c.oid AND attnum > 0 AND attidentity = ''"
        "   ORDER BY attnum LIMIT 1) AS attname"
        "  FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {row["relname"]: row["attname"] for row in rows}


async def refused(connection: Connection, statement: str) -> bool:
    """Say whether a statement is refused for want of a right; what it did is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError):
        return True  # the second is what a view of several tables answers to everybody
    finally:
        await transaction.rollback()
    return False


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_who_runs_is_powerful_or_owns_anything(
    databases: Databases, service: str
) -> None:
    """No superuser, no maker of roles or databases, no member of another role, no owner."""
    async with session(databases, service, "OWNER_DSN") as owner:
        roles = await owner.fetch(
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
            "  FROM pg_roles WHERE rolname LIKE 'ota\\_%'"
        )
        assert {*RUNTIME_ROLES, *(f"ota_{name}_owner" for name in SERVICES)} == {
            row["rolname"] for row in roles
        }
        assert [] == [row["rolname"] for row in roles if any(list(row.values())[1:])]
        members = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member"
        assert 0 == await owner.fetchval(f"{members} WHERE rolname LIKE 'ota\\_%'")
        owned = await owner.fetch(
            "SELECT relname FROM pg_class WHERE relowner IN (SELECT oid FROM pg_roles"
            "  WHERE rolname = ANY($1::text[]))"
            " UNION ALL SELECT datname FROM pg_database WHERE datdba IN (SELECT oid FROM pg_roles"
            "  WHERE rolname = ANY($1::text[]))",
            list(RUNTIME_ROLES),
        )
        assert [] == owned


@pytest.mark.parametrize("service", SERVICES)
async def test_logs_and_anchors_are_only_ever_added_to(databases: Databases, service: str) -> None:
    """By the service's own role; its owner could, which shows that the statements are good."""
    async with (
        session(databases, service, "DSN") as app,
        session(databases, service, "OWNER_DSN") as owner,
    ):
        columns = await tables_of(owner)
        for table in APPEND_ONLY[service]:
            for change in CHANGES:
                statement = change.format(table=table, column=columns[table])
                assert await refused(app, statement), statement
                assert not await refused(owner, statement), statement
            assert not await refused(app, f"INSERT INTO {table} SELECT * FROM {table}")


@pytest.mark.parametrize("service", SERVICES)
async def test_nothing_else_is_deleted_and_nothing_is_made(
    databases: Databases, service: str
) -> None:
    """The application role has no DELETE but where it is meant to, no TRUNCATE, no CREATE."""
    async with (
        session(databases, service, "DSN") as app,
        session(databases, service, "OWNER_DSN") as owner,
    ):
        for table in await tables_of(owner):
            deletes = not await refused(app, f"DELETE FROM {table}")
            assert deletes == (table in DELETED_FROM.get(service, ())), table
            assert await refused(app, f"TRUNCATE {table}"), table
            assert await refused(app, f"DROP TABLE {table}"), table
        for schema in ("public", "read_v1") if service in DECIDING else ("public",):
            assert await refused(app, f"CREATE TABLE {schema}.other (no integer)")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_cannot_enter_the_others(databases: Databases, service: str) -> None:
    """With its own role and password; as the reader it comes in, and sees views only."""
    login = databases.env[f"OTA_{service.upper()}_DSN"].rpartition("/")[0]
    for other in SERVICES:
        database = databases.env[f"OTA_{other.upper()}_DSN"].rpartition("/")[2]
        if other != service:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await asyncpg.connect(f"{login}/{database}")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["READ_DSN", "VERIFY_DSN"])
async def test_readers_write_nothing(databases: Databases, service: str, kind: str) -> None:
    """Their sessions are read-only, and without that they have no right to write either."""
    async with (
        session(databases, service, kind) as reader,
        session(databases, service, "OWNER_DSN") as owner,
    ):
        assert "on" == await reader.fetchval("SHOW transaction_read_only")
        await reader.execute("SET default_transaction_read_only = off")
        for table, column in (await tables_of(owner)).items():
            for write in WRITES:
                statement = write.format(table=table, column=column)
                assert await refused(reader, statement), statement
        views = await owner.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'read_v1'")
        for (view,) in views:
            assert await refused(reader, f"DELETE FROM read_v1.{view}"), view
        assert await refused(reader, "CREATE TABLE public.other (no integer)")


@pytest.mark.parametrize("service", SERVICES)
async def test_the_reader_sees_no_table(databases: Databases, service: str) -> None:
    """In the gateway's database that is nothing at all."""
    async with (
        session(databases, service, "READ_DSN") as reader,
        session(databases, service, "OWNER_DSN") as owner,
    ):
        for table in await tables_of(owner):
            assert await refused(reader, f"SELECT FROM {table}"), table


@pytest.mark.parametrize("service", SERVICES)
async def test_the_verifier_sees_all_but_secrets(databases: Databases, service: str) -> None:
    """Every table of the ledgers, also those that later migrations make; no keys."""
    async with (
        session(databases, service, "VERIFY_DSN") as verifier,
        session(databases, service, "OWNER_DSN") as owner,
    ):
        tables = set(await tables_of(owner))
        hidden = {table for table in tables if await refused(verifier, f"SELECT FROM {table}")}
        if service in DECIDING:
            assert set() == hidden
        else:
            assert set(SECRET) <= hidden
            assert {"audit", "directory_event", "directory_version"} == tables - hidden


async def test_no_role_may_run_functions_that_were_not_made_for_it(databases: Databases) -> None:
    """The one that deletes old audit rows is the gateway's; triggers' functions are nobody's."""
    granted = (
        "SELECT proname FROM pg_proc WHERE prosecdef AND has_function_privilege($1, oid, 'EXECUTE')"
    )
    for service in SERVICES:
        async with session(databases, service, "OWNER_DSN") as owner:
            for role in RUNTIME_ROLES:
                found = {row["proname"] for row in await owner.fetch(granted, role)}
                own = service == "gateway" and role == "ota_gateway_app"
                assert found == ({"delete_old_audit_rows"} if own else set()), (service, role)

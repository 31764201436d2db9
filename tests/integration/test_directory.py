"""Partners and keys on a real PostgreSQL: events, what is made from them, who may change what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import structlog

from deploy.local.credentials import dsns
from libs.runtime.migrate import MigrationSet, migrate
from libs.runtime.postgres import create_pool
from services.gateway.app.directory import Directory
from services.gateway.app.partners_file import decide_seeds, load_partners
from services.gateway.domain.directory import DirectoryState, Event
from services.gateway.domain.directory_decisions import (
    ChangePartner,
    Command,
    IssueKey,
    Refused,
    RegisterPartner,
    ResumePartner,
    RevokeKey,
    RotateKey,
    SetKeyExpiry,
    SuspendPartner,
    decide_all,
)
from services.gateway.domain.keyed_hash import api_key_hash
from services.gateway.domain.partner import Caller, Ended
from services.gateway.main import MIGRATIONS
from services.gateway.store.database import Pool
from services.gateway.store.directory import DirectoryBroken, DirectoryStore
from services.gateway.store.partners import PartnerStore
from tests.support.admin import admin, run_admin
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

PEPPER = b"p" * 32
SEED = Path(__file__).parents[2] / "deploy" / "seed" / "partners.toml"
SEEDS = load_partners(path=SEED)
TABLES = ("partner", "api_key")

HARBOUR = RegisterPartner(
    partner_id="harbour",
    name="Harbour Travel 港",
    channel="ota",
    permissions=("orders:read", "inventory:read"),
    calls_per_minute=60,
)


def key_hash(text: str) -> str:
    """Return the stored hash of a key."""
    return api_key_hash(pepper=PEPPER, api_key=text).hex()


def issue(key_id: str, partner_id: str = "harbour") -> IssueKey:
    """Return the command that issues a key whose text is its id."""
    return IssueKey(
        partner_id=partner_id, key_id=key_id, key_hash=key_hash(key_id), expires_at=None
    )


@pytest.fixture
def databases(stack: Stack) -> Iterator[Databases]:
    """A gateway's database without any partner."""
    made = stack.fresh_databases(services=["gateway"])
    yield made
    made.drop()


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    """Connections of the gateway's own role."""
    made = await create_pool(
        databases.env["OTA_GATEWAY_DSN"], application_name="ota-test", size_max=4, read_only=False
    )
    yield made
    await made.close()


@pytest.fixture
async def owner(databases: Databases) -> AsyncIterator[Pool]:
    """Connections of the role that owns the tables."""
    made = await create_pool(
        databases.env["OTA_GATEWAY_OWNER_DSN"],
        application_name="ota-test",
        size_max=1,
        read_only=False,
    )
    yield made
    await made.close()


async def change(pool: Pool, *commands: Command, actor: str = "ada") -> tuple[Event, ...] | Refused:
    """Carry out commands in one transaction."""

    def decide(state: DirectoryState, now: datetime) -> tuple[Event, ...] | Refused:
        return decide_all(state, commands, now=now)

    return await DirectoryStore(pool).change(decide, actor=actor)


async def changed(pool: Pool, *commands: Command) -> int:
    """Carry out commands that are not refused; return the number of events."""
    events = await change(pool, *commands)
    assert not isinstance(events, Refused), events
    return len(events)


async def load_seeds(pool: Pool) -> int:
    """Load the development seed; return the number of events."""
    events = await DirectoryStore(pool).change(
        lambda state, now: decide_seeds(state, SEEDS, pepper=PEPPER, now=now), actor="seed"
    )
    assert not isinstance(events, Refused), events
    return len(events)


async def an_eventful_life(pool: Pool) -> int:
    """Let every kind of event happen; return how many did."""
    later = timedelta(hours=1)
    return (
        await load_seeds(pool)
        + await changed(pool, HARBOUR, issue("key-one"))
        + await changed(pool, ChangePartner(partner_id="harbour", calls_per_minute=70))
        + await changed(
            pool,
            RotateKey(
                partner_id="harbour",
                key_id="key-two",
                key_hash=key_hash("key-two"),
                expires_at=None,
                overlap=later,
            ),
        )
        + await changed(pool, RevokeKey(key_id="key-one"), SuspendPartner(partner_id="harbour"))
        + await changed(pool, ResumePartner(partner_id="harbour"))
        + await changed(pool, SuspendPartner(partner_id="dudu_partner"))
        + await changed(
            pool, SetKeyExpiry(key_id="key-two", expires_at=datetime(2099, 1, 1, tzinfo=UTC))
        )
    )


async def contents(pool: Pool) -> dict[str, list[str]]:
    """Return all rows of the tables that are made from the events, as the server prints them."""
    async with pool.acquire() as connection:
        return {
            table: [
                row[0]
                for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")
            ]
            for table in TABLES
        }


async def version(pool: Pool) -> int:
    """Return the directory's version."""
    return await PartnerStore(pool).version()


async def test_the_version_is_the_number_of_events(pool: Pool) -> None:
    """A new directory has version 0; a change raises it by its events, a refused one does not."""
    assert 0 == await version(pool)
    assert 2 == await changed(pool, HARBOUR, issue("key-one"))
    assert 2 == await version(pool)
    refused = await change(pool, SuspendPartner(partner_id="harbour"), HARBOUR)
    assert isinstance(refused, Refused)
    assert 0 == await changed(pool, ResumePartner(partner_id="harbour"))
    assert 2 == await version(pool)
    assert 2 == await DirectoryStore(pool).check()


async def test_the_tables_are_made_from_the_events_byte_for_byte(pool: Pool, owner: Pool) -> None:
    """A rebuild changes nothing; emptied or altered tables come back as they were."""
    events = await an_eventful_life(pool)
    before = await contents(pool)
    assert [7, 8] == [len(before[table]) for table in TABLES]
    assert events == await DirectoryStore(owner).rebuild()
    assert before == await contents(pool)
    async with owner.acquire() as connection:
        await connection.execute("UPDATE partner SET channel = 'direct', created_at = now()")
        await connection.execute("DELETE FROM api_key WHERE key_id = 'key-two'")
    assert before != await contents(pool)
    await DirectoryStore(owner).rebuild()
    assert before == await contents(pool)


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE directory_event SET actor = 'eve' WHERE seq = 2", "event 2 or the one"),
        ("UPDATE directory_event SET at = at - interval '1 s' WHERE seq = 3", "event 3 or the one"),
        ("DELETE FROM directory_event WHERE seq = 2", "event 2 is missing"),
        ("UPDATE directory_version SET version = version + 1", "the version is"),
        ("UPDATE directory_event SET version = 9 WHERE seq = 1", "event 1 cannot be read"),
        ("UPDATE api_key SET revoked_at = NULL", "rebuild"),
        ("UPDATE partner SET permissions = '{}' WHERE partner_id = 'harbour'", "row of harbour"),
    ],
)
async def test_tampering_is_found(pool: Pool, owner: Pool, tampering: str, found: str) -> None:
    """An event that was edited or removed shows in the chain, an altered row in the comparison."""
    events = await an_eventful_life(pool)
    assert events == await DirectoryStore(pool).check()
    async with owner.acquire() as connection:
        await connection.execute(tampering)
    with pytest.raises(DirectoryBroken, match=found):
        await DirectoryStore(pool).check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE directory_event SET actor = 'eve'",
        "DELETE FROM directory_event",
        "TRUNCATE directory_event",
        "DELETE FROM partner",
        "DELETE FROM api_key",
        "UPDATE partner SET channel = 'direct'",
        "UPDATE partner SET partner_id = 'other' WHERE partner_id = 'test_partner'",
        "UPDATE api_key SET key_hash = sha256(key_hash)",
        "UPDATE api_key SET partner_id = 'test_partner'",
        "DELETE FROM api_key_use",
    ],
)
async def test_the_application_role_only_adds(pool: Pool, owner: Pool, statement: str) -> None:
    """What was recorded stays, a channel and a key are for good; control: the owner could."""
    await load_seeds(pool)
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    async with owner.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("ALTER TABLE api_key DROP CONSTRAINT api_key_partner_id_fkey")
        await connection.execute(statement)
        await transaction.rollback()


async def test_the_seed_is_repeatable(pool: Pool) -> None:
    """A second load changes nothing; what operators decided since stays decided."""
    assert 12 == await load_seeds(pool)
    assert 0 == await load_seeds(pool)
    look = await DirectoryStore(pool).look()
    (key,) = look.state.keys_of("test_partner")
    await changed(pool, RevokeKey(key_id=key.key_id), SuspendPartner(partner_id="prod_partner"))
    before = await contents(pool)
    assert 0 == await load_seeds(pool)
    assert before == await contents(pool)
    # Control: a limit in the file is a wish for all time, and comes back.
    await changed(pool, ChangePartner(partner_id="test_partner", calls_per_minute=7))
    assert 1 == await load_seeds(pool)


async def test_operators_wait_for_each_other(pool: Pool) -> None:
    """Of many that want a second key at once one gets it; events have no gap."""
    await changed(pool, HARBOUR, issue("first"))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(change(pool, issue(f"key-{number}"), actor=f"operator {number}"))
            for number in range(6)
        ]
    given = [task.result() for task in tasks if not isinstance(task.result(), Refused)]
    assert 1 == len(given)
    assert 3 == await DirectoryStore(pool).check()


async def test_a_gateway_sees_what_was_decided(pool: Pool) -> None:
    """Through its own queries: limits, suspension, end and revocation of keys."""
    await changed(pool, HARBOUR, issue("key-one"), issue("key-two"))
    directory = Directory(source=PartnerStore(pool), pepper=PEPPER, monotonic=lambda: 0.0)
    await directory.refresh()
    now = datetime.now(UTC)
    caller = directory.caller(api_key="key-one", now=now)
    assert isinstance(caller, Caller)
    assert ("key-one", "harbour", "Harbour Travel 港", "ota", 60, False) == (
        caller.key_id,
        caller.partner_id,
        caller.name,
        caller.channel,
        caller.calls_per_minute,
        caller.suspended,
    )
    ends = now + timedelta(hours=1)
    await changed(
        pool,
        RevokeKey(key_id="key-two"),
        SetKeyExpiry(key_id="key-one", expires_at=ends),
        SuspendPartner(partner_id="harbour"),
    )
    await directory.refresh()
    revoked = directory.caller(api_key="key-two", now=now)
    assert isinstance(revoked, Ended)
    assert ("key-two", "harbour") == (revoked.caller.key_id, revoked.caller.partner_id)
    assert isinstance(directory.caller(api_key="key-one", now=ends), Ended)
    assert {"key-one"} == {each.key_id for each in directory.callers.values()}
    assert replace(caller, suspended=True, expires_at=ends) == directory.caller(
        api_key="key-one", now=now
    )


async def test_uses_are_noted_and_never_go_back(pool: Pool) -> None:
    """The newest time counts, whichever gateway brings it, and it is no change of the directory."""
    store, now = PartnerStore(pool), datetime(2026, 1, 5, tzinfo=UTC)
    await changed(pool, HARBOUR, issue("key-one"))
    await store.note_uses({"key-one": now, "another": now})
    await store.note_uses({"key-one": now - timedelta(seconds=1)})
    await store.note_uses({"key-one": now + timedelta(seconds=1)})
    await store.note_uses({"key-one": now})
    look = await DirectoryStore(pool).look()
    assert {"key-one": now + timedelta(seconds=1), "another": now} == look.used_at
    assert 2 == await version(pool)


async def test_what_was_there_before_becomes_events(stack: Stack, tmp_path: Path) -> None:
    """An upgrade keeps partners, keys and revocations, and the record explains them."""
    assert stack.postgres.running
    stack.cluster.create_databases(services=["gateway"], suffix="_upgrade")
    dsn = dsns(
        secrets_by_name=stack.cluster.secrets_by_name,
        server=stack.cluster.server,
        database_suffix="_upgrade",
    )["OTA_GATEWAY_OWNER_DSN"]
    first = tmp_path / "first"
    first.mkdir()
    for file in MIGRATIONS.folder.glob("0001_*.sql"):
        (first / file.name).write_bytes(file.read_bytes())
    log = structlog.get_logger()
    await migrate(dsn, sets=[MigrationSet(name="gateway", folder=first)], log=log)
    async with await create_pool(
        dsn, application_name="ota-test", size_max=2, read_only=False
    ) as pool:
        async with pool.acquire() as connection:
            await connection.execute(
                "INSERT INTO partner VALUES"
                " ('b', E'Tab\\tand \"quotes\" 港', 'ota', '{orders:read,inventory:read}', 5),"
                " ('a', 'A', 'direct', '{}', 6)"
            )
            await connection.execute(
                "INSERT INTO api_key VALUES"
                " ('key-one', decode(repeat('01', 32), 'hex'), 'a', now() - interval '1 day',"
                " NULL, NULL),"
                " ('key-two', decode(repeat('02', 32), 'hex'), 'b', DEFAULT,"
                " '2099-01-01T00:00:00.5Z', now())"
            )
        before = await contents(pool)
        await migrate(dsn, sets=[MIGRATIONS], log=log)
        assert 5 == await DirectoryStore(pool).check() == await version(pool)
        after = await contents(pool)
        assert [len(rows) for rows in before.values()] == [len(rows) for rows in after.values()]
        await DirectoryStore(pool).rebuild()
        assert after == await contents(pool)
        assert 1 == await changed(pool, SuspendPartner(partner_id="a"))
        assert 6 == await DirectoryStore(pool).check()
    stack.cluster.drop_databases(services=["gateway"], suffix="_upgrade")


def test_an_operators_day(stack: Stack, databases: Databases) -> None:
    """The console from the first partner to the last key, each command as a process."""
    env = {**databases.env, **stack.secret_env}
    assert "there is no partner yet" in admin(env, "partner", "list")
    create = ("partner", "create", "harbour", "--name", "Harbour Travel", "--channel", "ota")
    admin(env, *create, "--calls", "300", "--permission", "inventory:read", "--as", "ada")
    first = json.loads(admin(env, "key", "issue", "harbour", "--json"))
    second = json.loads(admin(env, "key", "rotate", "harbour", "--overlap", "2h", "--json"))
    assert [first["key_id"]] == [each["key_id"] for each in second["ending"]]
    third = run_admin(env, "key", "issue", "harbour")
    assert (1, "") == (third.returncode, third.stdout)
    assert first["key_id"] in third.stderr
    for words in (("key", "list", "nobody"), ("key", "revoke", "nosuchid")):
        unknown = run_admin(env, *words)
        assert (1, "") == (unknown.returncode, unknown.stdout)
        assert "There is no" in unknown.stderr
    unasked = run_admin(env, "key", "revoke", first["api_key"])
    assert (1, True) == (unasked.returncode, "--yes" in unasked.stderr)
    assert "within 2 seconds" in admin(env, "key", "revoke", first["api_key"], "--yes")
    (left,) = json.loads(admin(env, "key", "list", "harbour", "--json"))
    assert (second["key_id"], "active", None) == (
        left["key_id"],
        left["status"],
        left["last_used_at"],
    )
    admin(env, "partner", "suspend", "harbour", "--as", "bob")
    shown = json.loads(admin(env, "partner", "show", "harbour", "--json"))
    assert ["bob", "ada"] == [shown["changes"][place]["by"] for place in (0, -1)]
    assert shown["suspended_at"] is not None
    assert "partner suspended" in admin(env, "partner", "show", "harbour")
    admin(env, "partner", "resume", "harbour")
    admin(env, "partner", "change", "harbour", "--grant", "orders:read", "--calls", "10")
    changed_to = json.loads(admin(env, "partner", "list", "--json"))[0]
    assert (["inventory:read", "orders:read"], 10) == (
        changed_to["permissions"],
        changed_to["calls_per_minute"],
    )
    assert "events follow one another" in admin(env, "directory", "check")
    assert "restart the gateways" in admin(env, "directory", "rebuild", "--yes", owner=True)
    for secret in (first["api_key"], second["api_key"]):
        assert secret not in stack.cluster.run_sql(
            script="SELECT string_agg(e::text || k::text, ' ') FROM directory_event e, api_key k",
            database="ota_gateway" + databases.suffix,
        )

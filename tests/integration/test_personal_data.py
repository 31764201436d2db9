"""Keys of personal data on a real PostgreSQL: erased for good, wrapped anew, all of it recorded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import asyncpg
import pytest

from libs.kernel.ids import derived_uuid
from libs.runtime.postgres import create_pool
from services.gateway.app.master_keys import MasterKeys, MasterKeyUnknown, master_key_id
from services.gateway.domain.personal_data import CustomerErased, FoundKey, MasterKeyRotated
from services.gateway.domain.records import NewKey
from services.gateway.store import personal_data
from services.gateway.store.database import Pool
from services.gateway.store.personal_data import PersonalDataStore, RecordBroken
from services.gateway.store.personal_keys import PersonalKeyStore
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

OLD, NEW = b"o" * 32, b"n" * 32
ANN, BOB, PHONE = "hash-of-ann", "hash-of-bob", "hash-of-phone"


def master_keys(*keys: bytes) -> MasterKeys:
    """Return master keys, the current one first."""
    return MasterKeys(read=lambda: keys, monotonic=time.monotonic)


def key(
    name: str, reservation_id: str, *, email: str | None = None, phone: str | None = None
) -> NewKey:
    """Return a key to store, wrapped under the old master key."""
    wrapped, id = master_keys(OLD).wrap(name.ljust(32).encode())
    return NewKey(
        key_id=derived_uuid("test", name),
        partner_id="harbour",
        reservation_id=reservation_id,
        wrapped=wrapped,
        master_key_id=id,
        email_hash=email,
        phone_hash=phone,
    )


SOLD = key("sold", "res_1", email=ANN, phone=PHONE)
REFERENCE = key("reference", "res_1")
MISTYPED = key("mistyped", "res_1", email=BOB)
OTHER_REFERENCE = key("other reference", "res_2")
OTHERS = replace(key("others", "res_1", email=BOB), partner_id="another")
ALL = (SOLD, REFERENCE, MISTYPED, OTHER_REFERENCE, OTHERS)


@pytest.fixture
def databases(stack: Stack) -> Iterator[Databases]:
    """A gateway's database."""
    made = stack.fresh_databases(services=["gateway"])
    yield made
    made.drop()


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    """Connections of the gateway's own role."""
    made = await create_pool(
        databases.env["OTA_GATEWAY_DSN"], application_name="ota-test", size_max=2, read_only=False
    )
    yield made
    await made.close()


@pytest.fixture
async def owner(databases: Databases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the role that owns the tables."""
    made = await asyncpg.connect(databases.env["OTA_GATEWAY_OWNER_DSN"])
    yield made
    await made.close()


@pytest.fixture
async def store(pool: Pool, owner: asyncpg.Connection[asyncpg.Record]) -> PersonalDataStore:
    """What operators use, with a few keys stored."""
    await PersonalKeyStore(pool).add_keys(ALL)
    return PersonalDataStore(owner)


def ids(keys: list[FoundKey]) -> set[str]:
    """Return the ids of keys."""
    return {each.key_id for each in keys}


def ids_of(*keys: NewKey) -> set[str]:
    """Return the ids of keys."""
    return {each.key_id for each in keys}


async def test_a_customer_is_found_with_what_belongs_to_it(store: PersonalDataStore) -> None:
    """By a hash: its records and the partner's reference beside them, and nobody else's."""
    assert ids_of(SOLD, REFERENCE) == ids(await store.find(by="email", value=ANN))
    assert ids_of(SOLD, REFERENCE) == ids(await store.find(by="phone", value=PHONE))
    assert ids_of(MISTYPED, REFERENCE, OTHERS) == ids(await store.find(by="email", value=BOB))
    everything = await store.find(by="reservation", value="res_1")
    assert ids_of(SOLD, REFERENCE, MISTYPED, OTHERS) == ids(everything)
    assert [] == await store.find(by="email", value="hash-of-nobody")


async def test_erased_is_erased(store: PersonalDataStore, pool: Pool) -> None:
    """Key and hashes are gone, the rest of the table stays, and a repeat does nothing."""
    found = await store.find(by="email", value=ANN)
    erased = await store.erase(found, by="email", actor="ada")
    assert ids_of(SOLD, REFERENCE) == ids(erased)
    assert all(each.erased_at is not None for each in erased)
    assert [] == await store.erase(found, by="email", actor="ada")
    assert [] == await store.find(by="email", value=ANN)
    assert {True} == {
        each.erased_at is not None
        for each in await store.find(by="reservation", value="res_1")
        if each.key_id in ids_of(SOLD, REFERENCE)
    }
    stored = await PersonalKeyStore(pool).stored_keys([each.key_id for each in ALL])
    assert ids_of(SOLD, REFERENCE) == {id for id, each in stored.items() if each.wrapped is None}
    events = [each.event for each in await store.recorded()]
    assert [
        CustomerErased(
            looked_for_by="email",
            key_ids=tuple(sorted(ids_of(SOLD, REFERENCE))),
            partner_ids=("harbour",),
            reservations=1,
        )
    ] == [replace(e, key_ids=tuple(sorted(e.key_ids))) for e in events if hasattr(e, "key_ids")]


async def test_a_repeat_of_the_request_does_not_bring_a_key_back(
    store: PersonalDataStore, pool: Pool
) -> None:
    """The gateway stores what it is sent again under the same id, and finds it erased."""
    await store.erase(await store.find(by="email", value=ANN), by="email", actor="ada")
    again = await PersonalKeyStore(pool).add_keys([SOLD])
    assert again[SOLD.key_id].wrapped is None
    assert again[SOLD.key_id].erased_at is not None


async def test_large_erasures_are_in_batches(
    store: PersonalDataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a transaction with its own event; interrupted, the rest can be done later."""
    monkeypatch.setattr(personal_data, "BATCH", 2)
    found = await store.find(by="reservation", value="res_1")
    assert 4 == len(await store.erase(found, by="reservation", actor="ada"))
    assert [2, 2] == [
        len(each.event.key_ids)
        for each in await store.recorded()
        if isinstance(each.event, CustomerErased)
    ]


FORBIDDEN = (
    "UPDATE personal_key SET wrapped = NULL, erased_at = now()",
    "UPDATE personal_key SET email_hash = NULL",
    "DELETE FROM personal_key",
    "TRUNCATE personal_key",
    "SELECT * FROM personal_data_event",
    "INSERT INTO personal_data_event SELECT * FROM personal_data_event",
    "DELETE FROM personal_data_event",
)


async def test_the_gateway_itself_can_erase_nothing(store: PersonalDataStore, pool: Pool) -> None:
    """Whatever a defect of ours would try: its role may not."""
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


NEVER = (
    "DELETE FROM personal_key",
    "TRUNCATE personal_key",
    "UPDATE personal_key SET wrapped = 'back', erased_at = NULL",
    "UPDATE personal_data_event SET actor = 'nobody'",
    "DELETE FROM personal_data_event",
    "TRUNCATE personal_data_event",
)


async def test_nobody_undoes_it(
    store: PersonalDataStore, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Not even the role that owns the tables brings a key back, or takes an event away."""
    await store.erase(
        await store.find(by="reservation", value="res_1"), by="reservation", actor="ada"
    )
    for statement in NEVER:
        with pytest.raises(asyncpg.RaiseError, match="is not allowed"):
            await owner.execute(statement)


async def test_a_changed_record_is_noticed(
    store: PersonalDataStore, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Control: whoever drops the trigger first is found out by the chain."""
    await store.erase(await store.find(by="email", value=ANN), by="email", actor="ada")
    await owner.execute("ALTER TABLE personal_data_event DISABLE TRIGGER USER")
    await owner.execute("UPDATE personal_data_event SET actor = 'nobody'")
    with pytest.raises(RecordBroken, match="event 1"):
        await store.recorded()


async def test_keys_are_wrapped_anew_and_open_all_the_while(
    store: PersonalDataStore, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches; who knows both master keys opens every key before, between and after."""
    monkeypatch.setattr(personal_data, "BATCH", 2)
    await store.erase(await store.find(by="email", value=ANN), by="email", actor="ada")
    both, seen = master_keys(NEW, OLD), list[int]()
    kept = [each for each in ALL if each not in (SOLD, REFERENCE)]

    def again(wrapped: bytes, id: str) -> bytes:
        return both.wrap(both.unwrap(wrapped, id))[0]

    async def all_open() -> None:
        stored = await PersonalKeyStore(pool).stored_keys([each.key_id for each in ALL])
        for each in kept:
            row = stored[each.key_id]
            assert row.wrapped is not None
            opened = both.unwrap(row.wrapped, row.master_key_id)
            assert master_keys(OLD).unwrap(each.wrapped, each.master_key_id) == opened
        assert stored[SOLD.key_id].wrapped is None

    await all_open()
    current = master_key_id(NEW)
    rewrap = lambda: store.rewrap(  # noqa: E731
        current_id=current, rewrap=again, actor="ada", progress=seen.append
    )
    assert len(kept) == await rewrap()
    assert [2, 3] == seen
    await all_open()
    assert 0 == await rewrap()
    assert {current: len(kept)} == await store.in_use()
    events = [each.event for each in await store.recorded()][1:]
    assert [MasterKeyRotated(master_key_id=current, keys=number) for number in (2, 1)] == events


async def test_an_interrupted_change_of_the_master_key_goes_on(
    store: PersonalDataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch has done stays; a key under an unknown master key stops it and stays too."""
    monkeypatch.setattr(personal_data, "BATCH", 2)
    both, calls = master_keys(NEW, OLD), list[str]()

    def stops(wrapped: bytes, id: str) -> bytes:
        calls.append(id)
        if len(calls) == 3:
            raise MasterKeyUnknown("gone")
        return both.wrap(both.unwrap(wrapped, id))[0]

    current = master_key_id(NEW)
    with pytest.raises(MasterKeyUnknown):
        await store.rewrap(current_id=current, rewrap=stops, actor="ada", progress=lambda _: None)
    assert {current: 2, master_key_id(OLD): 3} == await store.in_use()
    assert 3 == await store.rewrap(
        current_id=current, rewrap=stops, actor="ada", progress=lambda _: None
    )
    assert {current: 5} == await store.in_use()

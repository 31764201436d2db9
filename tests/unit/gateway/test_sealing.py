"""Sealing: what is sealed is opened by its key and its reservation only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence

import pytest
from cryptography.exceptions import InvalidTag

from services.gateway.app.call import Call, Write
from services.gateway.app.key_writer import KeyWriter
from services.gateway.app.master_keys import MasterKeys, MasterKeyUnknown
from services.gateway.app.sealing import Person, Sealer
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.partner import Caller
from services.gateway.domain.records import NewKey, StoredKey

OLD, NEW = b"o" * 32, b"n" * 32
FIELDS = {"name": "陳大文", "special_requests": None}
PERSON = Person(email="a@example.com", phone="12345")


class Table:
    """Stored keys."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredKey] = {}
        self.hashes: dict[str, tuple[str | None, str | None]] = {}

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.key_writer.KeyTable`."""
        for each in keys:
            stored = StoredKey(
                wrapped=each.wrapped, master_key_id=each.master_key_id, erased_at=None
            )
            self.rows.setdefault(each.key_id, stored)
            self.hashes.setdefault(each.key_id, (each.email_hash, each.phone_hash))
        return {each.key_id: self.rows[each.key_id] for each in keys}

    async def stored_keys(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.sealing.KeyReader`."""
        return {key_id: self.rows[key_id] for key_id in key_ids if key_id in self.rows}


def sealer(table: Table, *master_keys: bytes) -> Sealer:
    """Return a sealer with its own stream of "random" bytes."""
    counter = itertools.count(1)
    return Sealer(
        master_keys=MasterKeys(read=lambda: master_keys or (OLD,), monotonic=lambda: 0.0),
        hashes=KeyedHashes(b"f" * 32),
        writer=KeyWriter(table=table),
        reader=table,
        random=lambda size: next(counter).to_bytes(size, "big"),
    )


def write(command_id: str = "c", fingerprint: str = "f") -> Write:
    """Return a write of a partner."""
    caller = Caller(
        key_id="k",
        partner_id="p",
        name="P",
        channel="ota",
        permissions=frozenset(),
        calls_per_minute=1,
        expires_at=None,
    )
    deadline = asyncio.get_running_loop().time() + 5
    call = Call(
        caller=caller,
        request_id="r",
        traceparent="t",
        marks={},
        view_deadline=deadline,
        deadline=deadline,
    )
    return Write(call=call, command_id=command_id, fingerprint=fingerprint)


async def test_sealed_data_come_back() -> None:
    """What was sealed is opened, and can't be read before."""
    table = Table()
    each = sealer(table)
    sealed = await each.seal(write(), reservation_id="res", fields=FIELDS, person=PERSON)
    [opened] = await each.open([(sealed, "res")])
    assert FIELDS == opened.fields
    assert opened.erased_at is None
    assert "陳" not in sealed.ciphertext


async def test_a_repeat_is_sealed_under_the_first_key() -> None:
    """Either ciphertext is opened by the one row there is, whichever the ledger has kept."""
    table = Table()
    each = sealer(table)
    both = [
        await each.seal(write(), reservation_id="res", fields=FIELDS, person=PERSON)
        for _ in range(2)
    ]
    assert (1, 1, 2) == (
        len(table.rows),
        len({sealed.key_id for sealed in both}),
        len({sealed.ciphertext for sealed in both}),
    )
    opened = await each.open([(sealed, "res") for sealed in both])
    assert [FIELDS, FIELDS] == [each.fields for each in opened]


async def test_another_body_under_the_same_key_has_its_own_row() -> None:
    """So that every key is found under the hashes of the person whose data it opens."""
    table = Table()
    each = sealer(table)
    for fingerprint, email in (("f1", "a@example.com"), ("f2", "b@example.com")):
        person = Person(email=email, phone="12345")
        await each.seal(
            write(fingerprint=fingerprint), reservation_id="res", fields=FIELDS, person=person
        )
    assert 2 == len({email for email, _ in table.hashes.values()})


async def test_a_ciphertext_belongs_to_its_reservation() -> None:
    """Moved to another reservation it can't be opened."""
    table = Table()
    each = sealer(table)
    sealed = await each.seal(write(), reservation_id="res", fields=FIELDS)
    with pytest.raises(InvalidTag):
        await each.open([(sealed, "other")])


async def test_erased_data_stay_erased() -> None:
    """Also for a repeat of the request that had brought them."""
    table = Table()
    each = sealer(table)
    sealed = await each.seal(write(), reservation_id="res", fields=FIELDS, person=PERSON)
    table.rows[sealed.key_id] = StoredKey(wrapped=None, master_key_id="gone", erased_at=None)
    again = await each.seal(write(), reservation_id="res", fields=FIELDS, person=PERSON)
    opened = await each.open([(sealed, "res"), (again, "res")])
    assert [{}, {}] == [each.fields for each in opened]
    del table.rows[sealed.key_id]
    [gone] = await each.open([(sealed, "res")])
    assert {} == gone.fields


async def test_data_of_an_older_master_key_are_opened_while_it_is_known() -> None:
    """What is new is under the current one; without the older one, that is said."""
    table = Table()
    before = await sealer(table, OLD).seal(write("1"), reservation_id="res", fields=FIELDS)
    after = await sealer(table, NEW, OLD).seal(write("2"), reservation_id="res", fields=FIELDS)
    both = [(before, "res"), (after, "res")]
    assert [FIELDS, FIELDS] == [each.fields for each in await sealer(table, NEW, OLD).open(both)]
    assert [FIELDS] == [each.fields for each in await sealer(table, NEW).open(both[1:])]
    with pytest.raises(MasterKeyUnknown):
        await sealer(table, NEW).open(both)


async def test_a_repeat_after_a_change_of_the_master_key_uses_the_first_key() -> None:
    """The row is wrapped under the older one, and the data key is the row's."""
    table = Table()
    first = await sealer(table, OLD).seal(write(), reservation_id="res", fields=FIELDS)
    again = await sealer(table, NEW, OLD).seal(write(), reservation_id="res", fields=FIELDS)
    opened = await sealer(table, OLD).open([(first, "res"), (again, "res")])
    assert [FIELDS, FIELDS] == [each.fields for each in opened]

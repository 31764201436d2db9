"""Storing personal keys: together, in order, and nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.gateway.app.key_writer import KeyWriter
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.records import NewKey, StoredKey


def key(key_id: str, wrapped: bytes = b"w") -> NewKey:
    """Return a key to store."""
    return NewKey(
        key_id=key_id,
        partner_id="p",
        reservation_id="r",
        wrapped=wrapped,
        master_key_id="m",
        email_hash=None,
        phone_hash=None,
    )


class Table:
    """A table whose statements wait for *go_on*; *fail_next* makes one fail."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredKey] = {}
        self.batches: list[list[str]] = []
        self.go_on = asyncio.Event()
        self.fail_next = False

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.key_writer.KeyTable`."""
        self.batches.append([each.key_id for each in keys])
        await self.go_on.wait()
        if self.fail_next:
            self.fail_next = False
            raise StoreUnavailable("away")
        for each in keys:
            stored = StoredKey(wrapped=each.wrapped, master_key_id="m", erased_at=None)
            self.rows.setdefault(each.key_id, stored)
        return {each.key_id: self.rows[each.key_id] for each in keys}


def soon(seconds: float = 5) -> float:
    """Return a deadline."""
    return asyncio.get_running_loop().time() + seconds


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_come_meanwhile_are_written_together() -> None:
    """One alone goes at once; the others share the next statement."""
    table = Table()
    writer = KeyWriter(table=table)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(writer.add(key("0"), deadline=soon()))
        await settle()
        others = [
            group.create_task(writer.add(key(str(number)), deadline=soon()))
            for number in range(1, 6)
        ]
        await settle()
        table.go_on.set()
    assert [["0"], ["1", "2", "3", "4", "5"]] == table.batches
    assert all(task.result().wrapped == b"w" for task in (first, *others))


async def test_two_of_the_same_id_get_the_same_key() -> None:
    """Whoever is second uses what the first has stored."""
    table = Table()
    table.go_on.set()
    writer = KeyWriter(table=table)
    stored = [await writer.add(key("a", wrapped), deadline=soon()) for wrapped in (b"1", b"2")]
    assert [b"1", b"1"] == [each.wrapped for each in stored]


async def test_a_failed_statement_fails_its_batch_and_no_other() -> None:
    """The next one writes again."""
    table = Table()
    writer = KeyWriter(table=table)
    table.fail_next = True
    first = asyncio.ensure_future(writer.add(key("0"), deadline=soon()))  # noqa: TID251
    await settle()
    second = asyncio.ensure_future(writer.add(key("1"), deadline=soon()))  # noqa: TID251
    await settle()
    table.go_on.set()
    with pytest.raises(StoreUnavailable):
        await first
    assert b"w" == (await second).wrapped


async def test_whoever_waits_too_long_leaves_the_queue() -> None:
    """At its deadline a request gives up; those behind it are written all the same."""
    table = Table()
    writer = KeyWriter(table=table)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.add(key("0"), deadline=soon()))
        await settle()
        with pytest.raises(StoreUnavailable):
            await writer.add(key("1"), deadline=soon(0.01))
        group.create_task(writer.add(key("2"), deadline=soon()))
        await settle()
        table.go_on.set()
    assert [["0"], ["2"]] == table.batches


async def test_a_turn_that_was_given_to_one_who_left_goes_on() -> None:
    """Cancelled in the very moment of its turn, a request hands on to the next."""
    table = Table()
    writer = KeyWriter(table=table)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(writer.add(key("0"), deadline=soon()))
        await settle()
        leaver = group.create_task(writer.add(key("1"), deadline=soon()))
        await settle()
        table.go_on.set()
        while not first.done():  # noqa: ASYNC110  # until its turn is handed on
            await asyncio.sleep(0)
        leaver.cancel()
        last = group.create_task(writer.add(key("2"), deadline=soon()))
    assert b"w" == last.result().wrapped

"""One behaviour suite for the partition log, run on the in-memory twin and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.events.contracts.inventory import AllotmentSet, HoldReleased
from libs.events.hashing import GENESIS
from libs.events.memory.log import MemoryDatabase, MemoryLog
from libs.events.messages import MESSAGES
from libs.events.ports import (
    AnswerRow,
    EventRow,
    Fenced,
    Head,
    InputPosition,
    Log,
    Repeated,
    Write,
)
from libs.events.postgres.log import PostgresLog
from libs.kernel.state import Entity, State
from libs.runtime.postgres import create_pool
from services.inventory.domain.ledger import Pool
from services.inventory.store.tables import TABLES
from tests.support.instances import running_processes
from tests.support.stack import Stack

MakeLog = Callable[[int], Log]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
async def make_log(request: pytest.FixtureRequest) -> AsyncIterator[MakeLog]:
    """Give a maker of logs over one fresh database."""
    made: list[Log] = []
    if request.param == "memory":
        database = MemoryDatabase(source="inventory", clock=lambda: NOW)

        def make(partition: int) -> Log:
            made.append(MemoryLog(database=database, partition=partition))
            return made[-1]

        yield make
    else:
        stack: Stack = request.getfixturevalue("stack")
        databases = stack.fresh_databases(services=("inventory",))
        dsn = databases.env["OTA_INVENTORY_DSN"]
        pool = await create_pool(dsn, application_name="tests", size_max=3, read_only=False)

        def make(partition: int) -> Log:
            made.append(
                PostgresLog(
                    dsn=dsn,
                    pool=pool,
                    source="inventory",
                    partition=partition,
                    instances=processes.next_for(partition),
                    tables=TABLES,
                )
            )
            return made[-1]

        async with running_processes(dsn=dsn, partitions=2) as processes:
            yield make
            for log in made:
                await log.close()
        pool.terminate()
    for log in made:
        await log.close()
    if request.param == "postgres":
        databases.drop()


def event(seq: int, *, units: int = 10) -> EventRow:
    """Return an event row; its hash is only a stand-in of the right length."""
    data = AllotmentSet(pool_no=1, product_id=106, channel="ota", units=units)
    return EventRow(
        seq=seq,
        type="ota.inventory.allotment_set",
        version=1,
        subject="pool-1",
        meta=(
            '{"correlation_id":"c","causation_id":"k","partner_id":"p","key_id":"i",'
            '"request_id":"r","traceparent":null,"fingerprint":"f","reply_to":3}'
        ),
        data=MESSAGES.write(data).decode(),
        previous_hash=GENESIS,
        hash=bytes([seq]) * 32,
    )


def answer(number: int, *, fingerprint: str = "f") -> AnswerRow:
    """Return an answer recorded under the id with that number."""
    return AnswerRow(
        command_id=str(UUID(int=number)),
        fingerprint=fingerprint,
        type="ota.answer.hold_released",
        version=1,
        answer=MESSAGES.write(HoldReleased(reservation_id="res_x")).decode(),
        reply_to=2,
        evidence=f"1-0-{number}.hash",
    )


def pool(*, held: int = 0, pool_no: int = 1) -> Pool:
    """Return a pool of ten units."""
    return Pool(
        pool_no=pool_no,
        product_id=100 + pool_no,
        channel="ota",
        allotted=10,
        held=held,
        sold=0,
        selling=True,
    )


def write(
    head: Head,
    *,
    events: int = 0,
    answers: tuple[AnswerRow, ...] = (),
    entities: tuple[Entity, ...] = (),
    state: State | None = None,
    decided_at: datetime = NOW,
) -> Write:
    """Return a write of so many events above *head*."""
    state = state or State(partition=head.partition)
    for entity in entities:
        state.put(entity)
    rows = [event(head.seq + n + 1) for n in range(events)]
    after = replace(
        head,
        seq=head.seq + events,
        decided_at=decided_at,
        hash=rows[-1].hash if rows else head.hash,
        inputs={"t": InputPosition(log_epoch=1, offset=7, record_id="x", generation=1, seq=4)},
    )
    return Write(before=head, after=after, events=rows, answers=answers, changes=state.staged())


async def test_new_partition_starts_at_genesis(make_log: MakeLog) -> None:
    """The first owner finds an empty head, at epoch 1."""
    head = await make_log(0).own()
    assert (1, 1, 0, GENESIS, {}) == (
        head.epoch,
        head.generation,
        head.seq,
        head.hash,
        dict(head.inputs),
    )


async def test_write_moves_the_head_with_everything(make_log: MakeLog) -> None:
    """What was written is what the next owner finds, one epoch later."""
    log = make_log(0)
    before = await log.own()
    written = write(before, events=2, answers=(answer(1),), entities=(pool(held=3),))
    at = await log.write(written)
    assert at.tzinfo is not None
    await log.close()
    head = await make_log(0).own()
    assert (before.epoch + 1, 2, NOW, bytes([2]) * 32) == (
        head.epoch,
        head.seq,
        head.decided_at,
        head.hash,
    )
    assert dict(written.after.inputs) == dict(head.inputs)


async def test_events_come_back_as_envelopes(make_log: MakeLog) -> None:
    """Order, positions and who acted survive; a limit cuts the page."""
    log = make_log(0)
    await log.write(write(await log.own(), events=3))
    page = await log.events_after(seq=1, limit=1)
    assert [2] == [each.position.seq for each in page if each.position]
    found = page[0]
    assert ("1-0-2", "inventory", "c", "k", "f", 3) == (
        found.id,
        found.source,
        found.correlation_id,
        found.causation_id,
        found.fingerprint,
        found.reply_to,
    )
    assert found.actor is not None
    assert "p" == found.actor.partner_id
    assert AllotmentSet(pool_no=1, product_id=106, channel="ota", units=10) == found.data
    assert NOW == found.time
    assert [] == list(await log.events_after(seq=3, limit=10))


async def test_entities_are_loaded_while_kept(make_log: MakeLog) -> None:
    """The state tables are the snapshot of their own partition."""
    log = make_log(0)
    head = await log.own()
    await log.write(write(head, events=1, entities=(pool(held=1), pool(pool_no=2))))
    state = State(partition=0)
    await log.load(state)
    assert {pool(held=1), pool(pool_no=2)} == set(state.all(Pool))
    other = State(partition=1)
    await make_log(1).load(other) if isinstance(log, MemoryLog) else None
    assert [] == list(other.all(Pool))


async def test_known_entity_is_replaced(make_log: MakeLog) -> None:
    """A changed entity takes its row's place; a new one with a used key is a repeat."""
    log = make_log(0)
    head = await log.own()
    first = write(head, events=1, entities=(pool(),))
    await log.write(first)
    state = State(partition=0)
    await log.load(state)
    second = write(first.after, events=1, entities=(pool(held=4),), state=state)
    await log.write(second)
    with pytest.raises(Repeated):
        await log.write(write(second.after, events=1, entities=(pool(),)))
    again = State(partition=0)
    await log.load(again)
    assert [pool(held=4)] == list(again.all(Pool))


async def test_stale_position_writes_nothing(make_log: MakeLog) -> None:
    """A write from a position that has been passed is fenced, and leaves no trace."""
    log = make_log(0)
    head = await log.own()
    await log.write(write(head, events=1))
    with pytest.raises(Fenced):
        await log.write(write(head, events=1, answers=(answer(9),)))
    assert [] == list(await log.recorded([answer(9).command_id]))
    assert 1 == len(await log.events_after(seq=0, limit=10))


async def test_old_epoch_writes_nothing(make_log: MakeLog) -> None:
    """After a takeover the old owner's batch changes no row."""
    old = make_log(0)
    before = await old.own()
    old_head = replace(before, epoch=before.epoch - 1)
    with pytest.raises(Fenced):
        await old.write(write(old_head, events=1, answers=(answer(1),)))
    assert [] == list(await old.events_after(seq=0, limit=10))


async def test_standby_waits_for_the_owner(make_log: MakeLog) -> None:
    """A second owner gets the partition when the first gives it up, and not before."""
    first, second = make_log(0), make_log(0)
    head = await first.own()

    async def take_over() -> Head:
        return await second.own()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(take_over())
        await first.write(write(head, events=1))
        assert not waiting.done()
        await first.close()
        assert (head.epoch + 1, 1) == ((await waiting).epoch, waiting.result().seq)


async def test_command_id_is_unique_over_all_partitions(make_log: MakeLog) -> None:
    """The same id in another partition is a repeat, and the batch leaves no trace."""
    one, other = make_log(0), make_log(1)
    await one.write(write(await one.own(), answers=(answer(1),)))
    head = await other.own()
    with pytest.raises(Repeated):
        await other.write(write(head, events=1, answers=(answer(2), answer(1))))
    assert [] == list(await other.events_after(seq=0, limit=10))
    assert [answer(1)] == list(
        await other.recorded([answer(1).command_id, answer(2).command_id, "due:x"])
    )
    await other.write(write(head, events=1, answers=(answer(2),)))


async def test_recent_answers_are_this_partitions(make_log: MakeLog) -> None:
    """A new owner finds what was recorded lately in its own partition."""
    one, other = make_log(0), make_log(1)
    head = await one.own()
    early = write(head, answers=(answer(1),), decided_at=NOW - timedelta(seconds=5))
    await one.write(early)
    await one.write(write(early.after, answers=(answer(2),)))
    await other.write(write(await other.own(), answers=(answer(3),)))
    found = await one.recent_answers(since=NOW - timedelta(seconds=2))
    assert [answer(2)] == list(found)


async def test_published_mark_never_moves_back(make_log: MakeLog) -> None:
    """The mark begins at nothing and only grows."""
    log = make_log(0)
    assert 0 == await log.published()
    await log.mark_published(5)
    await log.mark_published(3)
    assert 5 == await log.published()

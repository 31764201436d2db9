"""A partition's log in PostgreSQL: one owner, one write a batch, and never two of anything."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
from structlog.testing import capture_logs

from libs.events.ports import AnswerRow, EventRow, Fenced, Head, Repeated, Write
from libs.events.postgres.log import UNANSWERED, PostgresLog
from libs.kernel.state import Change
from libs.runtime.postgres import create_pool
from services.inventory.domain.ledger import Pool
from services.inventory.store.tables import TABLES
from tests.support.instances import Processes, running_processes
from tests.support.stack import Databases, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

WRITER_WAITS = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE application_name = $1 AND wait_event_type = 'Lock')"
)
END_WRITER = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'ota-inventory-p{partition}';"
)
PARTITIONS = itertools.count(10)
HASHES = [bytes([number]) * 32 for number in range(256)]


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """A ledger without a service."""
    made = stack.fresh_databases(services=["inventory"])
    yield made
    made.drop()


class Logs:
    """Makes owners of the partitions of one ledger."""

    def __init__(self, *, processes: Processes, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.processes = processes
        self.pool = pool
        self._made: list[PostgresLog] = []

    def make(self, partition: int) -> PostgresLog:
        """Return another process's log of a partition."""
        log = PostgresLog(
            dsn=self.processes.dsn,
            pool=self.pool,
            source="inventory",
            partition=partition,
            instances=self.processes.next_for(partition),
            tables=TABLES,
        )
        self._made.append(log)
        return log

    async def close(self) -> None:
        """Give all partitions up."""
        for log in self._made:
            await log.close()

    async def stored(self, table: str, partition: int) -> int:
        """Return how many rows of a table a partition has."""
        async with self.pool.acquire() as connection:
            found = await connection.fetchval(
                f"SELECT count(*) FROM {table} WHERE partition = $1", partition
            )
        return int(found)

    async def holder(self, partition: int) -> int:
        """Return the process id of the session that owns a partition."""
        async with self.pool.acquire() as connection:
            found = await connection.fetchval(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = $1"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                partition,
            )
        return int(found)

    async def beats(self) -> set[datetime]:
        """Return when the instances have last been heard of."""
        async with self.pool.acquire() as connection:
            return {
                row["beat_at"]
                for row in await connection.fetch("SELECT beat_at FROM service_instance")
            }


@pytest.fixture
async def logs(databases: Databases) -> AsyncIterator[Logs]:
    """Logs of a ledger without a service."""
    dsn = databases.env["OTA_INVENTORY_DSN"]
    pool = await create_pool(dsn, application_name="ota-test", size_max=3, read_only=False)
    async with running_processes(dsn=dsn, partitions=64) as processes:
        made = Logs(processes=processes, pool=pool)
        yield made
        await made.close()
    await pool.close()


@pytest.fixture
def partition() -> int:
    """A partition of the test's own."""
    return next(PARTITIONS)


def a_write(head: Head, *, events: int = 1, command_id: str | None = None) -> Write:
    """Return a write of some events and, with an id, of a recorded answer."""
    rows = [
        EventRow(
            seq=head.seq + number,
            type="ota.inventory.sales_stopped",
            version=1,
            subject="pool-1",
            meta="{}",
            data="{}",
            previous_hash=HASHES[head.seq + number - 1],
            hash=HASHES[head.seq + number],
        )
        for number in range(1, events + 1)
    ]
    answers = []
    if command_id is not None:
        answers.append(
            AnswerRow(
                command_id=command_id,
                fingerprint="fingerprint",
                type="ota.answer.ledger_changed",
                version=1,
                answer="{}",
                reply_to=0,
            )
        )
    seq = head.seq + events
    after = replace(head, seq=seq, hash=HASHES[seq], decided_at=datetime.now(UTC))
    return Write(before=head, after=after, events=rows, answers=answers, changes=[])


async def test_an_owner_writes_without_gaps(logs: Logs, partition: int) -> None:
    """Batches of several owners, one after the other, are numbered 1, 2, 3 and so on."""
    for expected_epoch in (1, 2):
        log = logs.make(partition)
        head = await log.own()
        assert expected_epoch == head.epoch
        for events in (1, 3):
            write = a_write(head, events=events)
            await log.write(write)
            head = write.after
        await log.close()
    async with logs.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT seq, epoch FROM event WHERE partition = $1 ORDER BY seq", partition
        )
    assert [*range(1, 9)] == [row["seq"] for row in rows]
    assert [1] * 4 + [2] * 4 == [row["epoch"] for row in rows]


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(lambda head: replace(head, epoch=head.epoch - 1), id="old epoch"),
        pytest.param(lambda head: replace(head, seq=head.seq - 1), id="old position"),
        pytest.param(lambda head: replace(head, generation=head.generation - 1), id="restored"),
    ],
)
async def test_a_writer_that_is_not_at_the_head_writes_nothing(
    logs: Logs, partition: int, mistake: Callable[[Head], Head]
) -> None:
    """An old epoch or position is fenced: no event, no answer, no move of the head."""
    log = logs.make(partition)
    first = a_write(await log.own(), events=2)
    await log.write(first)
    head = await log.own()
    stale = replace(a_write(head, command_id=str(uuid.uuid4())), before=mistake(head))
    with pytest.raises(Fenced):
        await log.write(stale)
    assert 2 == await logs.stored("event", partition)
    assert 0 == await logs.stored("recorded_answer", partition)
    await log.write(replace(stale, before=head))
    assert 3 == await logs.stored("event", partition)


async def test_a_second_owner_waits_until_the_first_has_gone(logs: Logs, partition: int) -> None:
    """While the first has the partition, the second asks; after that it has the next epoch."""
    first, second = logs.make(partition), logs.make(partition)
    assert 1 == (await first.own()).epoch
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(second.own())
        await beaten_twice(logs)
        assert not waiting.done()
        await first.close()
        assert 2 == (await waiting).epoch


async def beaten_twice(logs: Logs) -> None:
    """Wait until two instances have asked for what they may have, more than once."""
    seen: set[datetime] = set()
    while len(seen) < 6:
        await asyncio.sleep(0.02)
        beats = await logs.beats()
        if len(beats) == 2:
            seen |= beats


async def test_a_killed_session_frees_its_partition(
    logs: Logs, partition: int, stack: Stack
) -> None:
    """When the server ends the owner's session, the next one owns; the old one can't write."""
    first, second = logs.make(partition), logs.make(partition)
    head = await first.own()
    pid = await logs.holder(partition)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(second.own())
        await asyncio.to_thread(
            stack.cluster.run_sql, script=f"SELECT pg_terminate_backend({pid});"
        )
        assert head.epoch + 1 == (await waiting).epoch
        # It is told, so that an owner with nothing to write notices as well.
        await first.lost()
    with pytest.raises(Fenced):
        await first.write(a_write(head))
    assert 0 == await logs.stored("event", partition)


async def test_a_write_without_an_answer_is_told(logs: Logs, partition: int, stack: Stack) -> None:
    """With the position from which the next owner's tells whether it is there."""
    head = await (first := logs.make(partition)).own()
    async with logs.pool.acquire() as held, held.transaction():
        await held.execute("SELECT FROM partition_head WHERE partition = $1 FOR UPDATE", partition)
        with capture_logs() as lines:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                group.create_task(_unanswered(first, a_write(head, events=2)))
                await eventually(
                    lambda: logs.pool.fetchval(WRITER_WAITS, f"ota-inventory-p{partition}")
                )
                await asyncio.to_thread(
                    stack.cluster.run_sql, script=END_WRITER.format(partition=partition)
                )
    (line,) = [each for each in lines if each["event"] == "write.unanswered"]
    told = {name: line[name] for name in ("partition", "epoch", "seq", "events")}
    expected = {"partition": partition, "epoch": head.epoch, "seq": head.seq, "events": 2}
    assert expected == told
    await first.close()
    async with asyncio.timeout(10):
        assert head.seq == (await logs.make(partition).own()).seq


async def _unanswered(log: PostgresLog, write: Write) -> None:
    with pytest.raises(UNANSWERED):
        await log.write(write)


async def test_a_command_id_is_recorded_once_over_all_partitions(logs: Logs) -> None:
    """A batch with a command id that another partition has recorded is refused as a whole."""
    command_id = str(uuid.uuid4())
    first, second = logs.make(next(PARTITIONS)), logs.make(other := next(PARTITIONS))
    await first.write(a_write(await first.own(), command_id=command_id))
    head = await second.own()
    with pytest.raises(Repeated):
        await second.write(a_write(head, events=2, command_id=command_id))
    assert 0 == await logs.stored("event", other)
    assert [command_id] == [row.command_id for row in await second.recorded([command_id])]
    await second.write(a_write(head, events=2, command_id=str(uuid.uuid4())))
    assert 2 == await logs.stored("event", other)


@pytest.mark.parametrize(
    ("held", "sold", "refused"),
    [(6, 4, False), (7, 4, True), (11, 0, True), (-1, 0, True), (0, -1, True)],
)
async def test_the_database_refuses_what_the_domain_should_have(
    logs: Logs, partition: int, held: int, sold: int, refused: bool
) -> None:
    """With the domain's guard out of the way the table still takes no figures beyond 10 units."""
    log = logs.make(partition)
    head = await log.own()
    pool = Pool(
        pool_no=partition,
        product_id=106,
        channel=f"test{partition}",
        allotted=10,
        held=held,
        sold=sold,
        selling=True,
    )
    write = replace(a_write(head), changes=[Change(entity=pool, new=True)])
    if refused:
        with pytest.raises(asyncpg.CheckViolationError, match="pool_never_oversold"):
            await log.write(write)
    else:
        await log.write(write)
    assert (0 if refused else 1) == await logs.stored("event", partition)
    assert (0 if refused else 1) == await logs.stored("pool", partition)


@pytest.mark.parametrize("newest", [3, 7])
async def test_the_published_mark_never_moves_back(logs: Logs, partition: int, newest: int) -> None:
    """The outbox's mark is the furthest that was ever said."""
    log = logs.make(partition)
    for seq in (newest, 1):
        await log.mark_published(seq)
    assert newest == await log.published()

"""The in-memory twin of the PostgreSQL log, with the same refusals."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS
from libs.events.ports import AnswerRow, EventRow, Fenced, Head, Repeated, Write
from libs.events.stored import envelope_of
from libs.kernel.state import Entity, State

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event row with what the table adds: generation and decision time."""

    row: EventRow
    generation: int
    decided_at: datetime


@dataclass(slots=True)
class MemoryDatabase:
    """One service's database; survives its owners, as a server does its clients."""

    source: str
    clock: Callable[[], datetime]
    heads: dict[int, Head] = field(default_factory=dict)
    events: dict[int, list[StoredEvent]] = field(default_factory=dict)
    answers: dict[str, tuple[int, datetime, AnswerRow]] = field(default_factory=dict)
    rows: dict[tuple[type[Entity], str], tuple[int, Entity]] = field(default_factory=dict)
    published: dict[int, int] = field(default_factory=dict)
    owners: dict[int, MemoryLog] = field(default_factory=dict)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def envelopes(self, partition: int, *, after_seq: int, limit: int) -> list[Envelope]:
        """Return stored events as envelopes."""
        events = self.events.get(partition, [])
        first = bisect_right(events, after_seq, key=lambda stored: stored.row.seq)
        return [
            envelope_of(
                source=self.source,
                position=Position(stored.generation, partition, stored.row.seq),
                type=stored.row.type,
                version=stored.row.version,
                decided_at=stored.decided_at,
                meta=stored.row.meta,
                data=stored.row.data,
            )
            for stored in events[first : first + limit]
        ]


class MemoryLog:
    """See `libs.events.ports.Log`."""

    def __init__(self, *, database: MemoryDatabase, partition: int) -> None:
        self._database = database
        self._partition = partition
        self._epoch = 0

    async def own(self) -> Head:
        """See the port; a standby waits until the owner closes or is `taken` from."""
        await self.close()
        while self._database.owners.get(self._partition, self) is not self:
            self._database.released.clear()
            await self._database.released.wait()
        self._database.owners[self._partition] = self
        return self.seize()

    def seize(self) -> Head:
        """Raise the epoch without waiting for the owner, as happens to one that is paused."""
        before = self._database.heads.get(self._partition) or Head(
            partition=self._partition,
            epoch=0,
            generation=1,
            seq=0,
            decided_at=BEGINNING,
            hash=GENESIS,
            inputs={},
        )
        head = replace(before, epoch=before.epoch + 1)
        self._database.heads[self._partition] = head
        self._epoch = head.epoch
        return head

    async def load(self, state: State) -> None:
        """See the port."""
        head = self._database.heads.get(self._partition)
        if head is not None and head.epoch != self._epoch:
            raise Fenced(f"{self._database.source} partition {self._partition} has a newer owner")
        for partition, entity in self._database.rows.values():
            if partition == self._partition and entity.kept:
                state.load(entity)

    async def write(self, write: Write) -> datetime:
        """See the port."""
        database, partition = self._database, self._partition
        head = database.heads[partition]
        if (head.epoch, head.seq) != (write.before.epoch, write.before.seq):
            raise Fenced(f"{database.source} partition {partition} has a newer owner")
        ids = [answer.command_id for answer in write.answers]
        if len(set(ids)) < len(ids) or any(id in database.answers for id in ids):
            raise Repeated("recorded_answer_pkey")
        for change in write.changes:
            if change.new and (type(change.entity), change.entity.key) in database.rows:
                raise Repeated(f"{type(change.entity).__name__} {change.entity.key}")
        decided_at = write.after.decided_at
        stored = database.events.setdefault(partition, [])
        stored += [StoredEvent(row, head.generation, decided_at) for row in write.events]
        for answer in write.answers:
            database.answers[answer.command_id] = (partition, decided_at, answer)
        for change in write.changes:
            entity = change.entity
            database.rows[type(entity), entity.key] = (partition, entity)
        database.heads[partition] = replace(write.after, inputs=dict(write.after.inputs))
        return database.clock()

    async def recorded(self, command_ids: Sequence[str]) -> Sequence[AnswerRow]:
        """See the port."""
        answers = self._database.answers
        return [answers[id][2] for id in command_ids if id in answers]

    async def recent_answers(self, *, since: datetime) -> Sequence[AnswerRow]:
        """See the port."""
        mine = [each for each in self._database.answers.values() if each[0] == self._partition]
        return [row for _, decided_at, row in mine if decided_at >= since]

    async def events_after(self, *, seq: int, limit: int) -> Sequence[Envelope]:
        """See the port."""
        return self._database.envelopes(self._partition, after_seq=seq, limit=limit)

    async def published(self) -> int:
        """See the port."""
        return self._database.published.get(self._partition, 0)

    async def mark_published(self, seq: int) -> None:
        """See the port."""
        before = self._database.published.get(self._partition, 0)
        self._database.published[self._partition] = max(before, seq)

    async def lost(self) -> None:
        """See the port; here only a write tells."""
        await asyncio.Event().wait()

    async def asked(self) -> None:
        """See the port; here nobody asks."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See the port."""
        if self._database.owners.get(self._partition) is self:
            del self._database.owners[self._partition]
            self._database.released.set()

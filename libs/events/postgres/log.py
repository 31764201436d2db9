"""One partition's log in PostgreSQL: ownership, the one write a batch, recorded answers.

The write is a single statement whose parts all hang on the head row's update. That
update is conditional on epoch and seq: fencing, deduplication, gapless sequence and
optimistic concurrency at once (design, rules 1 and 2).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from libs.events.envelope import Envelope, Position
from libs.events.ports import (
    AnswerRow,
    Fenced,
    Head,
    InputPosition,
    Repeated,
    Write,
)
from libs.events.postgres.instances import Holding, Instances
from libs.events.postgres.tables import Row, Table
from libs.events.stored import envelope_of
from libs.kernel.state import Entity, State
from libs.runtime.postgres import acquire, connect

log = structlog.get_logger()

LOAD_TIMEOUT_S = 60
"""Reading the open entities of a partition at the start, far above any other statement."""
LOAD_GULP = 1_000
UNANSWERED = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)
"""The server was asked to write and did not say what has become of it."""
_HEAD = "partition, epoch, generation, seq, decided_at, hash, inputs"
_ANSWER = "command_id::text, fingerprint, type, version, answer, reply_to, evidence"
_EVENT_FIELDS = {
    "seq": "bigint",
    "type": "text",
    "version": "smallint",
    "subject": "text",
    "meta": "text",
    "data": "text",
    "previous_hash": "bytea",
    "hash": "bytea",
}
_ANSWER_FIELDS = {
    "command_id": "uuid",
    "fingerprint": "text",
    "type": "text",
    "version": "smallint",
    "answer": "text",
    "reply_to": "smallint",
    "evidence": "text",
}
EVENT_COLUMNS = "partition, generation, seq, type, version, decided_at, meta, data"


class PostgresLog:
    """The log of *partition* for the service named *source*.

    Whose turn it is *instances* know. Writes go over a connection of its own, reads through
    the service's *pool*.
    """

    def __init__(
        self,
        *,
        dsn: str,
        pool: asyncpg.Pool[asyncpg.Record],
        source: str,
        partition: int,
        instances: Instances,
        tables: Sequence[Table],
    ) -> None:
        self._dsn = dsn
        self._pool = pool
        self._source = source
        self._partition = partition
        self._instances = instances
        self._tables = {table.kind: table for table in tables}
        self._statements: dict[tuple[str, ...], str] = {}
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._holding = Holding()
        self._epoch = 0

    async def own(self) -> Head:
        """See `libs.events.ports.Log.own`; stands by while another process owns it."""
        await self.close()
        self._holding = holding = await self._instances.take(self._partition)
        self._connection = await connect(
            self._dsn, application_name=f"ota-{self._source}-p{self._partition}"
        )
        self._connection.add_termination_listener(lambda _: holding.lost.set())
        if holding.lost.is_set():
            raise Fenced(f"{self._source} partition {self._partition} was lost while connecting")
        row = await self._connection.fetchrow(
            "INSERT INTO partition_head AS h (partition, epoch, owner) VALUES ($1, 1, $2)"
            " ON CONFLICT (partition) DO UPDATE SET epoch = h.epoch + 1, owner = $2"
            f" RETURNING {_HEAD}",
            self._partition,
            self._instances.owner,
        )
        assert row is not None
        self._epoch = row["epoch"]
        return _head(row)

    async def load(self, state: State) -> None:
        """See `libs.events.ports.Log.load`."""
        assert self._connection is not None
        await self._connection.execute(f"SET statement_timeout = {LOAD_TIMEOUT_S * 1000}")
        for table in self._tables.values():
            rows = await self._connection.fetch(
                f"{table.select} WHERE partition = $1 AND ({table.kept_where})",
                self._partition,
                timeout=LOAD_TIMEOUT_S,
            )
            for number, row in enumerate(rows, start=1):
                state.load(table.entity(row))
                if number % LOAD_GULP == 0:
                    await asyncio.sleep(0)  # other partitions of this process are being served
        await self._connection.execute("RESET statement_timeout")
        # A newer owner may have moved the rows since: they would not belong to our head.
        epoch = await self._connection.fetchval(
            "SELECT epoch FROM partition_head WHERE partition = $1", self._partition
        )
        if epoch != self._epoch:
            raise Fenced(f"{self._source} partition {self._partition} has a newer owner")

    async def write(self, write: Write) -> datetime:
        """See `libs.events.ports.Log.write`."""
        assert self._connection is not None
        parts, arguments = self._parts(write)
        statement = self._statements.get(parts)
        if statement is None:
            statement = self._statements[parts] = _statement(parts, self._tables)
        before, after = write.before, write.after
        try:
            written = await self._connection.fetchval(
                statement,
                before.partition,
                before.epoch,
                before.seq,
                before.generation,
                after.seq,
                after.decided_at,
                after.hash,
                json.dumps({topic: asdict(at) for topic, at in after.inputs.items()}),
                *arguments,
            )
        except asyncpg.UniqueViolationError as error:
            raise Repeated(str(error)) from error
        except UNANSWERED as error:
            # Where the next owner finds the head tells what has become of it.
            log.warning(
                "write.unanswered",
                partition=before.partition,
                epoch=before.epoch,
                seq=before.seq,
                events=len(write.events),
                reason=repr(error),
            )
            raise
        if written is None:
            raise Fenced(f"{self._source} partition {self._partition} has a newer owner")
        assert isinstance(written, datetime)
        return written

    def _parts(self, write: Write) -> tuple[tuple[str, ...], list[Any]]:
        """Return which parts the statement needs, and their arguments in order."""
        parts: list[str] = []
        arguments: list[Any] = []
        if write.events:
            parts.append("events")
            arguments += [[getattr(row, c) for row in write.events] for c in _EVENT_FIELDS]
        if write.answers:
            parts.append("answers")
            arguments += [[getattr(row, c) for row in write.answers] for c in _ANSWER_FIELDS]
        grouped: dict[tuple[type, bool], list[Entity]] = {}
        for change in write.changes:
            grouped.setdefault((type(change.entity), change.new), []).append(change.entity)
        for (kind, new), entities in grouped.items():
            table = self._tables[kind]
            parts.append(f"{'insert' if new else 'update'}:{table.name}")
            arguments += table.arrays(entities)
        return tuple(parts), arguments

    async def recorded(self, command_ids: Sequence[str]) -> Sequence[AnswerRow]:
        """See `libs.events.ports.Log.recorded`."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_ANSWER} FROM recorded_answer WHERE command_id = ANY($1::text[]::uuid[])",
                [each for each in command_ids if _is_uuid(each)],
            )
        return [_answer(row) for row in rows]

    async def recent_answers(self, *, since: datetime) -> Sequence[AnswerRow]:
        """See `libs.events.ports.Log.recent_answers`."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_ANSWER} FROM recorded_answer"
                " WHERE partition = $1 AND decided_at >= $2 ORDER BY decided_at",
                self._partition,
                since,
            )
        return [_answer(row) for row in rows]

    async def events_after(self, *, seq: int, limit: int) -> Sequence[Envelope]:
        """See `libs.events.ports.Log.events_after`."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {EVENT_COLUMNS} FROM event WHERE partition = $1 AND seq > $2"
                " ORDER BY seq LIMIT $3",
                self._partition,
                seq,
                limit,
            )
        return [event_envelope(row, source=self._source) for row in rows]

    async def published(self) -> int:
        """See `libs.events.ports.Log.published`."""
        async with acquire(self._pool) as connection:
            found = await connection.fetchval(
                "SELECT published_seq FROM outbox_mark WHERE partition = $1", self._partition
            )
        return int(found or 0)

    async def mark_published(self, seq: int) -> None:
        """See `libs.events.ports.Log.mark_published`."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO outbox_mark AS m (partition, published_seq) VALUES ($1, $2)"
                " ON CONFLICT (partition) DO UPDATE"
                " SET published_seq = greatest(m.published_seq, $2)",
                self._partition,
                seq,
            )

    async def lost(self) -> None:
        """See `libs.events.ports.Log.lost`; the lock goes with the instance's session."""
        await self._holding.lost.wait()

    async def asked(self) -> None:
        """See `libs.events.ports.Log.asked`."""
        await self._holding.asked.wait()

    async def close(self) -> None:
        """See `libs.events.ports.Log.close`."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
        await self._instances.give_back(self._partition)


def _statement(parts: Sequence[str], tables: Mapping[type, Table]) -> str:
    """Write the statement for a batch that has these parts."""
    by_name = {table.name: table for table in tables.values()}
    head = (
        "head AS (UPDATE partition_head SET seq = $5, decided_at = $6, hash = $7, inputs = $8::json"
        " WHERE partition = $1 AND epoch = $2 AND seq = $3 AND generation = $4 RETURNING 1)"
    )
    ctes = [head]
    number = 9
    for index, part in enumerate(parts):
        if part == "events":
            columns, types = list(_EVENT_FIELDS), list(_EVENT_FIELDS.values())
            fixed = {"partition": "$1", "generation": "$4", "epoch": "$2", "decided_at": "$6"}
            table, conflict = "event", ""
        elif part == "answers":
            columns, types = list(_ANSWER_FIELDS), list(_ANSWER_FIELDS.values())
            fixed = {"partition": "$1", "decided_at": "$6"}
            table, conflict = "recorded_answer", ""
        else:
            kind, table = part.split(":")
            declared = by_name[table]
            columns, types = list(declared.columns), list(declared.types)
            fixed = {"partition": "$1"}
            conflict = ""
            if kind == "update":
                assignments = ", ".join(f"{c} = EXCLUDED.{c}" for c in columns if c != declared.key)
                conflict = f" ON CONFLICT ({declared.key}) DO UPDATE SET {assignments}"
        arrays = ", ".join(f"${number + n}::{sql}[]" for n, sql in enumerate(types))
        number += len(types)
        values = [f"u.{c}" for c in columns]
        ctes.append(
            f"part{index} AS (INSERT INTO {table} ({', '.join([*fixed, *columns])})"
            f" SELECT {', '.join([*fixed.values(), *values])}"
            f" FROM head, unnest({arrays}) AS u({', '.join(columns)}){conflict})"
        )
    return f"WITH {', '.join(ctes)} SELECT clock_timestamp() FROM head"


def event_envelope(row: Row, *, source: str) -> Envelope:
    """Return the envelope of a stored event; raises Unreadable for a body of the wrong shape."""
    return envelope_of(
        source=source,
        position=Position(row["generation"], row["partition"], row["seq"]),
        type=row["type"],
        version=row["version"],
        decided_at=row["decided_at"],
        meta=row["meta"],
        data=row["data"],
    )


def _head(row: asyncpg.Record) -> Head:
    inputs = json.loads(row["inputs"])
    return Head(
        partition=row["partition"],
        epoch=row["epoch"],
        generation=row["generation"],
        seq=row["seq"],
        decided_at=row["decided_at"],
        hash=row["hash"],
        inputs={topic: InputPosition(**at) for topic, at in inputs.items()},
    )


def _answer(row: asyncpg.Record) -> AnswerRow:
    return AnswerRow(**dict(row))


def _is_uuid(text: str) -> bool:
    """Only commands of clients have ids under which answers are recorded."""
    return len(text) == 36 and text.count("-") == 4

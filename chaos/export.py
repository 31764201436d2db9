"""Everything that a checker reads, as text files: events, heads, answers, tables, topics.

The format is the one that `docs/history.md` and the verifier's own export describe.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from chaos.ground import Ground
from chaos.layout import DECIDERS

ROWS_AT_ONCE = 2_000
_ORDERED = {"event": "partition, seq", "recorded_answer": "decided_at, command_id"}
_NAMES = {"event": "events", "partition_head": "heads", "recorded_answer": "answers"}
_LEFT_OUT = ("outbox_mark", "schema_migration", "migration", "applied_migration")


async def export(ground: Ground, folder: Path) -> dict[str, int]:
    """Write the export into *folder*; return how many lines each file has."""
    lines: dict[str, int] = {}
    for service in DECIDERS:
        async with _connected(ground, service) as database:
            for table in await _tables(database):
                name = _NAMES.get(table)
                file = f"{name}.{service}" if name else f"table.{service}.{table}"
                lines[file] = await _dump(database, table, folder / f"{file}.jsonl.gz")
    async with _connected(ground, "gateway") as database:
        for table in await _tables(database):
            if table.startswith("audit"):
                lines["audit"] = await _dump(database, table, folder / "audit.jsonl.gz")
    exported_at = datetime.now(UTC).isoformat()
    lines |= await _topics(ground, folder)
    (folder / "export.json").write_text(
        json.dumps({"exported_at": exported_at, "complete_history": True, "lines": lines}),
        encoding="utf-8",
    )
    return lines


@asynccontextmanager
async def _connected(
    ground: Ground, service: str
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    database = await asyncpg.connect(ground.layout.admin_dsn(service), timeout=10)
    try:
        yield database
    finally:
        await database.close()


async def _tables(database: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    rows = await database.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition ORDER BY 1"
    )
    return [row[0] for row in rows if row[0] not in _LEFT_OUT]


async def _dump(database: asyncpg.Connection[asyncpg.Record], table: str, file: Path) -> int:
    order = f" ORDER BY {_ORDERED[table]}" if table in _ORDERED else ""
    count = 0
    with _written(file) as stream:
        async with database.transaction(readonly=True):
            async for row in database.cursor(
                f'SELECT * FROM "{table}"{order}', prefetch=ROWS_AT_ONCE
            ):
                fields = {name: _plain(value) for name, value in row.items()}
                if table == "partition_head":
                    fields["inputs"] = json.loads(fields["inputs"])
                stream.write(_line(fields))
                count += 1
    return count


async def _topics(ground: Ground, folder: Path) -> dict[str, int]:
    bootstrap = ground.layout.broker.bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    partitions = {
        each["topic"]: sorted(part["partition"] for part in each["partitions"])
        for each in described
        if each["topic"].startswith("ota.")
    }
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        lines = {}
        for topic in sorted(partitions):
            file = f"topics.{topic}"
            lines[file] = await _topic(
                consumer, topic, partitions[topic], folder / f"{file}.jsonl.gz"
            )
        return lines
    finally:
        await consumer.stop()


async def _topic(
    consumer: AIOKafkaConsumer, topic: str, partitions: Sequence[int], file: Path
) -> int:
    count = 0
    with _written(file) as stream:
        for partition in partitions:
            where = TopicPartition(topic, partition)
            consumer.assign([where])
            offset = (await consumer.beginning_offsets([where]))[where]
            end = (await consumer.end_offsets([where]))[where]
            consumer.seek(where, offset)
            while offset < end:
                found = await consumer.getmany(where, timeout_ms=500)
                for record in found.get(where, []):
                    stream.write(_line(_record(record)))
                    offset = record.offset + 1
                    count += 1
    return count


def _record(record: ConsumerRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": record.key.decode(errors="replace") if record.key is not None else None,
        "headers": [[name, value.decode(errors="replace")] for name, value in record.headers],
        "value": None,
    }
    if record.value is not None:
        try:
            found["value"] = record.value.decode()
        except UnicodeDecodeError:
            found["value_base64"] = base64.b64encode(record.value).decode()
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UUID | Decimal):
        return str(value)
    return value


def _line(fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"


def _written(file: Path) -> IO[str]:
    return gzip.open(file, "wt", compresslevel=1, encoding="utf-8")


def write_lines(file: Path, rows: Iterable[Any]) -> None:
    """Write a file of JSON lines."""
    file.write_text("".join(map(_line, rows)), encoding="utf-8")

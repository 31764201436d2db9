"""Reads a running system into the files of an export: PostgreSQL in one snapshot a service."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from ota_verify.files import DECIDING, Row, opened

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Progress = Callable[[str, int], None]

PAGE = 2_000
PROGRESS_ROWS = 50_000
NO_ENTITIES = frozenset(
    {
        *("event", "partition_head", "recorded_answer", "anchor", "anchor_key"),
        "schema_migration",
    }
)
_EVENTS = """
SELECT partition, generation, epoch, seq, type, version, subject, decided_at, meta, data,
       previous_hash, hash
  FROM event ORDER BY partition, seq
"""
_ANCHORS = """
SELECT partition, generation, seq, hash, anchored_at, key_id, signature
  FROM anchor ORDER BY partition, generation, seq
"""
_DIRECTORY = """
SELECT seq, type, version, partner_id, data::text AS data, actor, at, previous_hash, hash
  FROM directory_event ORDER BY seq
"""
ORDER: tuple[str, ...] = ("fulfillment", "reservation", "inventory")
"""Readers before those that they read from, so that a cause is there where its effect is."""


async def export_databases(
    folder: Path, dsns: Mapping[str, str], *, progress: Progress
) -> dict[str, Any]:
    """Write what the databases have; return what export.json says of it.

    Raises OSError, asyncpg.PostgresError, KeyError for a service without an address.
    """
    counts: dict[str, int] = {}
    for service in ORDER:
        async with _snapshot(dsns[service]) as connection:
            await _export_service(_Writer(folder, connection, counts, progress), service)
    about: dict[str, Any] = {"rows": counts, "directory_version": None}
    if "gateway" in dsns:
        async with _snapshot(dsns["gateway"]) as connection:
            writer = _Writer(folder, connection, counts, progress)
            await writer.write("audit.jsonl", "SELECT * FROM audit ORDER BY at, row_id")
            await writer.write("directory.jsonl", _DIRECTORY, _with_actor)
            about["directory_version"] = await connection.fetchval(
                "SELECT version FROM directory_version"
            )
    return about


async def export_anchors(folder: Path, dsns: Mapping[str, str]) -> None:
    """Write all anchors and public keys; call it when the topics have been read.

    An anchor is stored before it is published: so all that the topic has are in the tables.
    """
    keys: dict[str, str] = {}
    with opened(folder / "anchors.jsonl", "wt") as stream:
        for service in DECIDING:
            async with _snapshot(dsns[service]) as connection:
                async for row in _rows(connection, _ANCHORS):
                    line = {"service": service, **row, "signature": _base64(row["signature"])}
                    stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                for key in await connection.fetch("SELECT key_id, public_key FROM anchor_key"):
                    keys[key["key_id"]] = _base64(key["public_key"].hex())
    (folder / "anchor_keys.json").write_text(json.dumps(keys, indent=1) + "\n", encoding="utf-8")


async def heads_now(dsns: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return where each log ends now, by service and partition."""
    found = {}
    for service in DECIDING:
        async with _snapshot(dsns[service]) as connection:
            rows = await connection.fetch("SELECT partition, seq FROM partition_head")
            found[service] = {str(row["partition"]): row["seq"] for row in rows}
    return found


async def _export_service(writer: _Writer, service: str) -> None:
    await writer.write(
        f"heads.{service}.jsonl", "SELECT * FROM partition_head ORDER BY partition", _with_inputs
    )
    await writer.write(f"events.{service}.jsonl", _EVENTS)
    await writer.write(f"answers.{service}.jsonl", "SELECT * FROM recorded_answer")
    tables = await writer.connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    )
    for (table,) in tables:
        if table not in NO_ENTITIES:
            await writer.write(f"table.{service}.{table}.jsonl", f'SELECT * FROM "{table}"')


class _Writer:
    """Writes the rows of queries to files of their own."""

    def __init__(
        self, folder: Path, connection: Connection, counts: dict[str, int], progress: Progress
    ) -> None:
        self._folder = folder
        self.connection = connection
        self._counts = counts
        self._progress = progress

    async def write(
        self, name: str, query: str, change: Callable[[Row], Row] = lambda row: row
    ) -> None:
        """Write what a query gives."""
        number = 0
        with opened(self._folder / name, "wt") as stream:
            async for row in _rows(self.connection, query):
                stream.write(json.dumps(change(row), ensure_ascii=False) + "\n")
                number += 1
                if not number % PROGRESS_ROWS:
                    self._progress(name, number)
        self._counts[name] = number
        self._progress(name, number)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[Connection]:
    """Give a session that sees one moment and changes nothing, however long it takes."""
    connection = await asyncpg.connect(
        dsn,
        timeout=5,
        server_settings={
            "application_name": "ota-verify",
            "default_transaction_read_only": "on",
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
            "TimeZone": "UTC",
        },
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close(timeout=5)


async def _rows(connection: Connection, query: str) -> AsyncIterator[Row]:
    async for record in connection.cursor(query, prefetch=PAGE):
        yield {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


def _with_inputs(row: Row) -> Row:
    return {**row, "inputs": json.loads(row["inputs"])}


def _with_actor(row: Row) -> Row:
    """Add the actor as the record's hash has it."""
    return {**row, "actor_json": json.dumps(row["actor"], ensure_ascii=False)}


def _base64(hexadecimal: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()

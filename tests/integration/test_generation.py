"""`ota-... begin-generation` on a database: all partitions or none, and never under a process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from libs.events.postgres.generation import StillServed, begin_generation
from libs.events.postgres.instances import LOCK_SPACE
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration
TAKEN = {"log_epoch": 1, "offset": 70, "record_id": "x", "generation": 1, "seq": 9}
NOTHING = {"log_epoch": 0, "offset": 3, "record_id": "y", "generation": 0, "seq": 0}


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """A ledger without a service."""
    made = stack.fresh_databases(services=["inventory"])
    yield made
    made.drop()


@pytest.fixture
async def ledger(databases: Databases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Two partitions that have read and published something."""
    connection = await asyncpg.connect(databases.env["OTA_INVENTORY_OWNER_DSN"])
    await connection.execute("TRUNCATE partition_head, outbox_mark")
    await connection.executemany(
        "INSERT INTO partition_head (partition, epoch, seq, inputs) VALUES ($1, 5, 9, $2)",
        [(number, json.dumps({"events": TAKEN, "commands": NOTHING})) for number in (0, 1)],
    )
    await connection.execute("INSERT INTO outbox_mark VALUES (0, 9), (1, 9)")
    yield connection
    await connection.close()


async def heads(connection: asyncpg.Connection[asyncpg.Record]) -> list[tuple[int, ...]]:
    """Return what changes."""
    rows = await connection.fetch(
        "SELECT h.generation, h.epoch, h.seq, m.published_seq"
        " FROM partition_head h JOIN outbox_mark m USING (partition) ORDER BY partition"
    )
    return [tuple(row) for row in rows]


async def test_every_partition_begins_its_next_generation(
    databases: Databases, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """After its last event; inputs are read from the start of new topics, from their old place."""
    begun = await begin_generation(databases.env["OTA_INVENTORY_OWNER_DSN"])
    assert [(0, 2, 9), (1, 2, 9)] == [(each.partition, each.generation, each.seq) for each in begun]
    assert [(2, 6, 9, 0)] * 2 == await heads(ledger)
    inputs = json.loads(await ledger.fetchval("SELECT inputs FROM partition_head LIMIT 1"))
    place = {"offset": -1, "record_id": ""}
    assert {"log_epoch": 2, "generation": 2, "seq": 9, **place} == inputs["events"]
    assert {"log_epoch": 1, "generation": 0, "seq": 0, **place} == inputs["commands"]


async def test_a_partition_that_is_served_stops_it(
    databases: Databases, ledger: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Then nothing changes, the other partitions' heads neither."""
    before = await heads(ledger)
    await ledger.execute("SELECT pg_advisory_lock($1, 1)", LOCK_SPACE)
    with pytest.raises(StillServed, match="partition 1"):
        await begin_generation(databases.env["OTA_INVENTORY_OWNER_DSN"])
    assert before == await heads(ledger)
    await ledger.execute("SELECT pg_advisory_unlock($1, 1)", LOCK_SPACE)
    await begin_generation(databases.env["OTA_INVENTORY_OWNER_DSN"])
    assert before != await heads(ledger)

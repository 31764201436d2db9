"""A new generation: what a log is told once after its database went back to an earlier moment.

Positions then compare greater than all that were given out after that moment (design, rule 4),
inputs are read from topics made anew, and numbers are counted where none was given before
(`libs.kernel.ids.Numbers`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import asyncpg

from libs.events.ports import InputPosition
from libs.events.postgres.instances import LOCK_SPACE
from libs.runtime.postgres import connect


class StillServed(Exception):
    """A process owns a partition of this database: it has to be stopped first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A partition's log in its new generation."""

    partition: int
    generation: int
    seq: int
    decided_at: datetime


async def begin_generation(dsn: str) -> Sequence[Begun]:
    """Begin the next generation of every partition, all of them or none; raises StillServed."""
    connection = await connect(dsn, application_name="ota-begin-generation")
    try:
        async with connection.transaction():
            rows = await connection.fetch(
                "SELECT partition, generation, seq, decided_at, inputs,"
                " pg_try_advisory_xact_lock($1, partition) AS ours"
                " FROM partition_head ORDER BY partition FOR UPDATE",
                LOCK_SPACE,
            )
            for row in rows:
                if not row["ours"]:
                    raise StillServed(f"partition {row['partition']} is served")
                await connection.execute(
                    "UPDATE partition_head SET generation = generation + 1, epoch = epoch + 1,"
                    " inputs = $2::json WHERE partition = $1",
                    row["partition"],
                    _from_the_start(row["inputs"], generation=row["generation"] + 1),
                )
            await connection.execute("UPDATE outbox_mark SET published_seq = 0")
    finally:
        await connection.close(timeout=2)
    return [_begun(row) for row in rows]


def _from_the_start(inputs: str, *, generation: int) -> str:
    """Return the inputs' places in their sources' logs, at the beginning of their new topics."""
    places = {
        topic: InputPosition(
            log_epoch=at["log_epoch"] + 1, generation=generation if at["seq"] else 0, seq=at["seq"]
        )
        for topic, at in json.loads(inputs).items()
    }
    return json.dumps({topic: asdict(at) for topic, at in places.items()})


def _begun(row: asyncpg.Record) -> Begun:
    return Begun(
        partition=row["partition"],
        generation=row["generation"] + 1,
        seq=row["seq"],
        decided_at=row["decided_at"],
    )

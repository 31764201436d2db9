"""Looks whether stored events still have the hashes that they were written with.

A sample at a time: the newest events of a partition, and a page from anywhere in it. A whole
audit reads everything; this one costs nothing to speak of and finds what is changed sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg
import structlog

from libs.events.envelope import Position
from libs.events.hashing import chain_hash
from libs.kernel.values import dataclass
from libs.runtime.postgres import acquire

PAGE = 50

log = structlog.get_logger()

_COLUMNS = (
    "partition, generation, seq, type, version, subject, decided_at, meta::text, data::text,"
    " previous_hash, hash"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSample:
    """How many events were looked at, and the positions of those that are not what they were."""

    events: int
    broken: tuple[str, ...]


async def sample_chain(
    pool: asyncpg.Pool[asyncpg.Record],
    *,
    source: str,
    partition: int,
    choose: Callable[[int], int],
) -> ChainSample:
    """Check the newest events of a partition and a page from anywhere in it.

    *choose* returns a random number below its argument. Raises what the driver raises when
    the database cannot be asked.
    """
    async with acquire(pool) as connection:
        head = await connection.fetchval(
            "SELECT seq FROM partition_head WHERE partition = $1", partition
        )
        if not head:
            return ChainSample(events=0, broken=())
        sample: list[asyncpg.Record] = []
        for first in sorted({max(1, head - PAGE + 1), 1 + choose(head)}):
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM event"
                " WHERE partition = $1 AND seq >= $2 AND seq < $3 ORDER BY seq",
                partition,
                first,
                first + PAGE,
            )
            sample += rows
    broken = broken_links(sample, source=source)
    for position in broken:
        log.critical("chain.broken", source=source, position=position)
    return ChainSample(events=len(sample), broken=tuple(broken))


def broken_links(rows: Sequence[asyncpg.Record], *, source: str) -> list[str]:
    """Return the positions of events whose hash is wrong, or does not follow the one before."""
    broken = []
    before: asyncpg.Record | None = None
    for row in rows:
        position = Position(row["generation"], row["partition"], row["seq"])
        hash = chain_hash(
            previous=row["previous_hash"],
            source=source,
            position=position,
            type=row["type"],
            version=row["version"],
            subject=row["subject"],
            decided_at=row["decided_at"],
            meta=row["meta"],
            data=row["data"],
        )
        follows = before is None or before["seq"] + 1 != row["seq"]
        if hash != row["hash"] or not (follows or before["hash"] == row["previous_hash"]):  # type: ignore[index]
            broken.append(position.event_id())
        before = row
    return broken

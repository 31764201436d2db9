"""Other services' logs, through their published read views only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg
import structlog

from libs.events.envelope import Envelope
from libs.events.postgres.log import EVENT_COLUMNS, event_envelope
from libs.runtime.postgres import acquire

log = structlog.get_logger()


class ViewGapReader:
    """Reads what Kafka has not delivered; *pools* maps a topic to its owner's name and views."""

    def __init__(self, pools: Mapping[str, tuple[str, asyncpg.Pool[asyncpg.Record]]]) -> None:
        self._pools = pools

    async def head(self, topic: str, partition: int) -> int:
        """See `libs.events.ports.GapReader.head`."""
        try:
            async with acquire(self._pools[topic][1]) as connection:
                seq = await connection.fetchval(
                    "SELECT seq FROM read_v1.progress WHERE partition = $1", partition
                )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("gaps.owner_unreachable", topic=topic, reason=repr(error))
            return 0
        return int(seq or 0)

    async def fetch(
        self, topic: str, partition: int, *, after_seq: int, limit: int
    ) -> Sequence[Envelope]:
        """See `libs.events.ports.GapReader.fetch`."""
        source, pool = self._pools[topic]
        async with acquire(pool) as connection:
            rows = await connection.fetch(
                f"SELECT {EVENT_COLUMNS} FROM read_v1.event"
                " WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                partition,
                after_seq,
                limit,
            )
        return [event_envelope(row, source=source) for row in rows]

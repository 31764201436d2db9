"""Single events of the deciding services, with the anchors that cover them."""

from __future__ import annotations

from collections.abc import Mapping

from libs.events.envelope import Position
from services.gateway.domain.records import RecordedAnchor, RecordedEvent
from services.gateway.store.database import Pool, borrowed

_EVENT = """
SELECT e.generation, e.type, e.version, e.subject, e.decided_at,
       e.meta::text AS meta, e.data::text AS data, e.previous_hash, e.hash
  FROM read_v1.event e WHERE e.partition = $1 AND e.seq = $2
"""
_ANCHOR = """
SELECT generation, seq, hash, anchored_at, key_id, signature, public_key
  FROM read_v1.anchor WHERE partition = $1 AND generation = $2 AND seq >= $3
 ORDER BY seq LIMIT 1
"""


class EventRecordViews:
    """See `services.gateway.app.receipts.EventRecords`; *pools* are read views by service."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def event(self, source: str, *, partition: int, seq: int) -> RecordedEvent | None:
        """Return what stands at a place now, None if nothing; raises StoreUnavailable."""
        async with borrowed(self._pools[source]) as connection:
            row = await connection.fetchrow(_EVENT, partition, seq)
            if row is None:
                return None
            anchor = await connection.fetchrow(_ANCHOR, partition, row["generation"], seq)
        return RecordedEvent(
            position=Position(row["generation"], partition, seq),
            type=row["type"],
            version=row["version"],
            subject=row["subject"],
            decided_at=row["decided_at"],
            meta=row["meta"],
            data=row["data"],
            previous_hash=row["previous_hash"],
            hash=row["hash"],
            anchor=None if anchor is None else RecordedAnchor(**anchor),
        )

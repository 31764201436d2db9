"""How far another service's read views are."""

from __future__ import annotations

import json
from collections.abc import Mapping

from libs.events.topics import FULFILLMENT_EVENTS, INVENTORY_EVENTS, RESERVATION_EVENTS
from services.gateway.store.database import Pool, borrowed

_PROGRESS = "SELECT partition, generation, seq, inputs::text AS inputs FROM read_v1.progress"

_SOURCE_OF_TOPIC = {
    INVENTORY_EVENTS.name: "inventory",
    RESERVATION_EVENTS.name: "reservation",
    FULFILLMENT_EVENTS.name: "fulfillment",
}


class ViewProgressSource:
    """See `services.gateway.app.progress.ProgressSource`; *service* owns the views."""

    def __init__(self, pool: Pool, *, service: str) -> None:
        self._pool = pool
        self._service = service

    async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Return the place in its own log and in those it follows; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_PROGRESS)
        marks: dict[tuple[str, int], tuple[int, int]] = {}
        for row in rows:
            partition = row["partition"]
            marks[self._service, partition] = (row["generation"], row["seq"])
            for topic, place in json.loads(row["inputs"]).items():
                source = _SOURCE_OF_TOPIC.get(topic)
                if source is not None:
                    marks[source, partition] = (place["generation"], place["seq"])
        return marks

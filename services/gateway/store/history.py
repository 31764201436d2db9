"""Events in the deciding services' read views, as operators look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.gateway.domain.audit import EventRecord
from services.gateway.store.database import Pool, borrowed

_EVENTS = """
SELECT decided_at, $1::text AS service, generation, partition, seq, type,
       meta ->> 'correlation_id' AS command_id, meta ->> 'partner_id' AS partner_id,
       meta ->> 'key_id' AS key_id, meta ->> 'request_id' AS request_id,
       meta ->> 'traceparent' AS traceparent
  FROM read_v1.event
 WHERE subject = $2 AND ($3::text IS NULL OR meta ->> 'correlation_id' = $3)
 ORDER BY partition, seq LIMIT 1000
"""


class EventHistory:
    """Looks up what the services have recorded; *pools* are their read views by service."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def of_reservation(
        self, reservation_id: str, *, command_id: str | None = None
    ) -> Sequence[EventRecord]:
        """Return a reservation's events in all services, oldest first; raises StoreUnavailable.

        With a *command_id*, those that the command led to.
        """
        found = []
        for service, pool in self._pools.items():
            async with borrowed(pool) as connection:
                rows = await connection.fetch(_EVENTS, service, reservation_id, command_id)
            found += [EventRecord(**row) for row in rows]
        return sorted(found, key=lambda event: event.decided_at)

"""The services' read views as the console needs them: every partner's, and nobody's personal data.

Of an event's body only numbers and words of ours are read, and never a ticket's token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from pydantic_core import from_json

from services.gateway.store.database import Pool, borrowed

WINDOW_PLAIN = 60
WINDOW_SEARCH = 2_000
"""Events of a partition that one search looks at, newest first."""
STORY_EVENTS_MAX = 300
PAST_EVENTS_MAX = 4_000

_EVENT = """
e.decided_at AS at, e.generation, e.partition, e.seq, e.type, e.subject,
e.meta ->> 'partner_id' AS partner_id, e.meta ->> 'key_id' AS key_id,
e.meta ->> 'request_id' AS request_id, e.meta ->> 'correlation_id' AS correlation_id,
e.meta ->> 'causation_id' AS causation_id, e.meta ->> 'traceparent' AS traceparent,
(e.data ->> 'pool_no')::int AS pool_no, (e.data ->> 'quantity')::int AS quantity,
(e.data ->> 'units')::bigint AS units, e.data ->> 'reason' AS reason,
e.data ->> 'order_id' AS order_id
"""
# Numbers in a log have no gaps: a window of numbers is a window of events.
_STREAM = f"""
WITH log AS (
  SELECT p.partition, least(p.seq + 1, coalesce(b.below, p.seq + 1)) AS high
    FROM read_v1.progress p
    LEFT JOIN unnest($1::int[], $2::bigint[]) AS b (partition, below) USING (partition)
)
SELECT log.partition AS log, greatest(1, high - $3) AS low,
       (SELECT f.decided_at FROM read_v1.event f
         WHERE f.partition = log.partition AND f.seq = high - $3) AS low_at,
       e.*
  FROM log LEFT JOIN LATERAL (
    SELECT {_EVENT} FROM read_v1.event e
     WHERE e.partition = log.partition AND e.seq >= high - $3 AND e.seq < high
       AND ($4::text IS NULL OR e.type = $4)
       AND ($5::int[] IS NULL OR (e.data ->> 'pool_no')::int = ANY($5))
       AND ($6::text IS NULL OR e.meta ->> 'partner_id' = $6)
     ORDER BY e.seq DESC LIMIT $7
  ) AS e ON true
 ORDER BY log.partition, e.seq DESC
"""
_ABOUT = f"""
SELECT {_EVENT} FROM read_v1.event e WHERE e.subject = $1 ORDER BY e.partition, e.seq LIMIT $2
"""
_MOVEMENTS = """
SELECT e.decided_at AS at, e.type, (e.data ->> 'pool_no')::int AS pool_no,
       (e.data ->> 'quantity')::int AS units
  FROM read_v1.progress p
 CROSS JOIN LATERAL (
    SELECT decided_at, type, data FROM read_v1.event
     WHERE partition = p.partition AND seq > p.seq - $1 AND type = ANY($2::text[])
       AND decided_at > clock_timestamp() - make_interval(secs => $3)
  ) AS e
 ORDER BY e.decided_at DESC
"""
_HOLD = """
SELECT product_id, channel, partner_id, quantity, status, held_at, expires_at, visit_date, pool_no,
       partition
  FROM read_v1.hold WHERE reservation_id = $1
"""
_LIFE = "SELECT status, ended_at, order_id FROM read_v1.reservation WHERE reservation_id = $1"
_DUE = """
SELECT reservation_id, product_id, channel, partner_id, quantity, held_at, expires_at
  FROM read_v1.reservation WHERE status = 'active' ORDER BY expires_at, reservation_id LIMIT $1
"""
_DUE_COUNTS = """
SELECT count(*)::int AS open, coalesce(sum(quantity), 0)::bigint AS units,
       count(*) FILTER (WHERE expires_at < clock_timestamp() - interval '2 s')::int AS overdue,
       count(*) FILTER (WHERE expires_at < clock_timestamp() + interval '5 min')::int AS soon,
       count(*) FILTER (WHERE expires_at < clock_timestamp() + interval '1 h')::int AS in_an_hour
  FROM read_v1.reservation WHERE status = 'active'
"""
_ORDER = """
SELECT order_id, confirmation_code, status, quantity, total_minor, currency, visit_date, day_class,
       created_at
  FROM read_v1.customer_order WHERE reservation_id = $1
"""
_TICKETS = """
SELECT ticket_code, customer_type, status FROM read_v1.ticket WHERE order_id = $1 ORDER BY position
"""
_OF_TICKET = """
SELECT o.reservation_id FROM read_v1.ticket t JOIN read_v1.customer_order o USING (order_id)
 WHERE t.ticket_code = $1
"""
_OF_CODE = "SELECT reservation_id FROM read_v1.customer_order WHERE confirmation_code = $1"
_PROGRESS = "SELECT partition, seq, decided_at, inputs::text AS inputs FROM read_v1.progress"
_OLDEST = """
SELECT min(e.decided_at) FROM unnest($1::int[], $2::bigint[]) AS w (partition, seq)
  JOIN read_v1.event e USING (partition, seq)
"""

Row = asyncpg.Record


class LogViews:
    """One service's log through its read views; everything raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stream(
        self,
        *,
        below: Mapping[int, int],
        type: str | None,
        pool_nos: Sequence[int] | None,
        partner_id: str | None,
        search: bool,
        limit: int,
    ) -> Sequence[Row]:
        """Return the newest events of each partition below a number, with how far was looked.

        There is a row for each partition at least, with its number in ``log``.
        """
        window = WINDOW_SEARCH if search else WINDOW_PLAIN
        async with borrowed(self._pool) as connection:
            return await connection.fetch(
                *(_STREAM, list(below), list(below.values()), window),
                *(type, pool_nos, partner_id, limit),
            )

    async def about(self, subject: str) -> Sequence[Row]:
        """Return what happened to something, oldest first."""
        async with borrowed(self._pool) as connection:
            return await connection.fetch(_ABOUT, subject, STORY_EVENTS_MAX)

    async def movements(self, *, types: Sequence[str], within_s: float) -> Sequence[Row]:
        """Return the newest events of some types, newest first."""
        async with borrowed(self._pool) as connection:
            return await connection.fetch(_MOVEMENTS, PAST_EVENTS_MAX, list(types), within_s)

    async def progress(self) -> Sequence[tuple[int, int, dict[str, int]]]:
        """Return each partition with its last number, and the numbers its inputs are taken to."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_PROGRESS)
        return [(row["partition"], row["seq"], _taken(row["inputs"])) for row in rows]

    async def oldest(self, places: Sequence[tuple[int, int]]) -> Any:
        """Return when the oldest of these events was decided, None if none is there."""
        async with borrowed(self._pool) as connection:
            return await connection.fetchval(
                _OLDEST, [place[0] for place in places], [place[1] for place in places]
            )


class StoryViews:
    """What the services know of one reservation; everything raises StoreUnavailable."""

    def __init__(self, *, inventory: Pool, reservation: Pool, fulfillment: Pool) -> None:
        self._inventory = inventory
        self._reservation = reservation
        self._fulfillment = fulfillment

    async def hold(self, reservation_id: str) -> Row | None:
        """Return the ledger's hold."""
        async with borrowed(self._inventory) as connection:
            return await connection.fetchrow(_HOLD, reservation_id)

    async def life(self, reservation_id: str) -> Row | None:
        """Return the reservation's state."""
        async with borrowed(self._reservation) as connection:
            return await connection.fetchrow(_LIFE, reservation_id)

    async def order(self, reservation_id: str) -> tuple[Row, Sequence[Row]] | None:
        """Return the order that it became, with its tickets."""
        async with borrowed(self._fulfillment) as connection:
            order = await connection.fetchrow(_ORDER, reservation_id)
            if order is None:
                return None
            return order, await connection.fetch(_TICKETS, order["order_id"])

    async def of_ticket(self, ticket_code: str) -> str | None:
        """Return the reservation that a ticket goes back to."""
        async with borrowed(self._fulfillment) as connection:
            found: str | None = await connection.fetchval(_OF_TICKET, ticket_code)
        return found

    async def of_confirmation(self, code: str) -> str | None:
        """Return the reservation that a confirmation code goes back to."""
        async with borrowed(self._fulfillment) as connection:
            found: str | None = await connection.fetchval(_OF_CODE, code)
        return found

    async def due(self, *, limit: int) -> tuple[Sequence[Row], Row]:
        """Return the open holds that end first, and how many there are in all."""
        async with borrowed(self._reservation) as connection:
            rows = await connection.fetch(_DUE, limit)
            counts = await connection.fetchrow(_DUE_COUNTS)
        assert counts is not None  # an aggregate always has a row
        return rows, counts


def _taken(inputs: str) -> dict[str, int]:
    return {topic: place["seq"] for topic, place in from_json(inputs).items()}

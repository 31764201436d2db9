"""What PostgreSQL says happened: units of each pool, holds and orders since a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from bench.settings import CHANNEL, PARTNERS
from bench.stack import StackMissing

CONNECT_TIMEOUT_S = 10
QUERY_TIMEOUT_S = 60
HELD, RELEASED = "ota.inventory.units_held", "ota.inventory.units_released"
ORDERED = "ota.fulfillment.order_created"

_POOLS = "SELECT product_id, held + sold, allotted - held - sold FROM pool WHERE channel = $1"
_HEADS = "SELECT partition, seq FROM partition_head"
_SINCE = (
    "JOIN unnest($1::smallint[], $2::bigint[]) AS h (p, s) ON e.partition = h.p AND e.seq > h.s"
)
_HOLDS = f"""
    SELECT count(*), count(DISTINCT e.data ->> 'reservation_id'),
           count(DISTINCT e.meta ->> 'correlation_id')
      FROM read_v1.event e {_SINCE} WHERE e.type = $3 AND e.meta ->> 'partner_id' = ANY($4)"""
_EXPIRED = f"""
    SELECT o.product_id, sum(o.quantity)::bigint
      FROM read_v1.event e {_SINCE} JOIN hold o ON o.reservation_id = e.data ->> 'reservation_id'
     WHERE e.type = $3 AND e.data ->> 'reason' = 'expired' AND o.channel = $4 GROUP BY 1"""
_LATE = f"""
    SELECT extract(epoch FROM e.decided_at - o.expires_at)::float8
      FROM read_v1.event e {_SINCE} JOIN hold o ON o.reservation_id = e.data ->> 'reservation_id'
     WHERE e.type = $3 AND o.expires_at = $4"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A moment: units held and sold, units left, and the logs' ends."""

    out: Mapping[int, int]
    left: Mapping[int, int]
    inventory: Mapping[int, int]
    fulfillment: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What the logs have since a moment."""

    holds: int
    hold_ids: int
    hold_commands: int
    orders: int
    order_ids: int
    expired: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the services' databases as the superuser that the launcher made."""

    admin_dsn: str

    async def standing(self) -> Standing:
        """Return the present moment."""
        async with self._connected("inventory") as database:
            pools = await database.fetch(_POOLS, CHANNEL)
            inventory = dict(map(tuple, await database.fetch(_HEADS)))
        async with self._connected("fulfillment") as database:
            fulfillment = dict(map(tuple, await database.fetch(_HEADS)))
        return Standing(
            out={product: out for product, out, _ in pools},
            left={product: left for product, _, left in pools},
            inventory=inventory,
            fulfillment=fulfillment,
        )

    async def since(self, moment: Standing) -> Since:
        """Return what happened since *moment*."""
        heads = _columns(moment.inventory)
        async with self._connected("inventory") as database:
            holds = await database.fetchrow(_HOLDS, *heads, HELD, list(PARTNERS))
            expired = await database.fetch(_EXPIRED, *heads, RELEASED, CHANNEL)
        async with self._connected("fulfillment") as database:
            orders = await database.fetchrow(
                _HOLDS, *_columns(moment.fulfillment), ORDERED, list(PARTNERS)
            )
        assert holds is not None
        assert orders is not None
        return Since(
            holds=holds[0],
            hold_ids=holds[1],
            hold_commands=holds[2],
            orders=orders[0],
            order_ids=orders[1],
            expired=dict(map(tuple, expired)),
        )

    async def lateness_s(self, moment: Standing, *, expires_at: object) -> list[float]:
        """Return how late each hold that ended at *expires_at* was released, in order."""
        async with self._connected("inventory") as database:
            rows = await database.fetch(_LATE, *_columns(moment.inventory), RELEASED, expires_at)
        return sorted(row[0] for row in rows)

    @asynccontextmanager
    async def _connected(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        dsn = urlsplit(self.admin_dsn)._replace(path=f"/ota_{service}").geturl()
        try:
            database = await asyncpg.connect(
                dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=QUERY_TIMEOUT_S
            )
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise StackMissing(f"the database of {service} can't be read: {error}") from error
        try:
            yield database
        finally:
            await database.close()


def _columns(heads: Mapping[int, int]) -> tuple[list[int], list[int]]:
    return list(heads), list(heads.values())

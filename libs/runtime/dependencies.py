"""Asks a service's database and the broker now and then whether they are there.

What they answer is shown as metrics: reachable or not, how long it took, how far our clock is
from the database's, what PostgreSQL counts about the service's own database, and when the
certificates end by which they are reached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import asyncpg

from libs.runtime.certificates import show_certificates
from libs.runtime.metrics import DATABASE_FIGURES, Metrics
from libs.runtime.postgres import acquire

PERIOD_S = 5.0
RETRY_S = 1.0
PATIENCE_S = 2.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
AsksBroker: TypeAlias = Callable[[], Awaitable[bool]]

_QUESTION = """
SELECT current_database() AS datname,
       extract(epoch FROM clock_timestamp())::float8 AS database_time,
       d.numbackends AS pg_stat_database_numbackends,
       d.xact_commit AS pg_stat_database_xact_commit,
       d.xact_rollback AS pg_stat_database_xact_rollback,
       d.blks_read AS pg_stat_database_blks_read,
       d.blks_hit AS pg_stat_database_blks_hit,
       d.tup_inserted AS pg_stat_database_tup_inserted,
       d.deadlocks AS pg_stat_database_deadlocks,
       pg_database_size(d.datid) AS pg_database_size_bytes,
       current_setting('max_connections')::int AS pg_settings_max_connections
  FROM pg_stat_database d WHERE d.datname = current_database()
"""


class Dependencies:
    """Watches one service's database and the broker; *broker* says whether it answers."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        pools: Mapping[str, Pool],
        own: str,
        certificates: Sequence[str],
    ) -> None:
        """*own* names the pool of the service's own database, *certificates* are files."""
        self._metrics = metrics
        self._certificates = certificates
        self._pool = pools[own]
        for name, pool in pools.items():
            metrics.pool_connections_max.labels(name).set(pool.get_max_size())
        metrics.at_scrape(lambda: self._show_pools(pools))

    async def run(self, broker: AsksBroker) -> None:
        """Ask for ever."""
        while True:
            show_certificates(self._metrics, self._certificates)
            up = await self._note("postgres", self._ask_database())
            up &= await self._note("kafka", broker())
            await asyncio.sleep(PERIOD_S if up else RETRY_S)

    async def _note(self, dependency: str, asking: Awaitable[bool]) -> bool:
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                up = await asking
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            up = False
        took_s = time.monotonic() - started
        self._metrics.dependency_up.labels(dependency).set(up)
        self._metrics.dependency_round_trip_seconds.labels(dependency).set(took_s)
        return up

    async def _ask_database(self) -> bool:
        async with acquire(self._pool, timeout_s=PATIENCE_S) as connection:
            sent = time.time()
            row = await connection.fetchrow(_QUESTION)
            received = time.time()
        assert row is not None, "a database is in its own statistics"
        offset_s = (sent + received) / 2 - row["database_time"]
        self._metrics.clock_offset_seconds.set(offset_s)
        for name in DATABASE_FIGURES:
            self._metrics.database_figures[name].labels(row["datname"]).set(row[name])
        return True

    def _show_pools(self, pools: Mapping[str, Pool]) -> None:
        for name, pool in pools.items():
            idle = pool.get_idle_size()
            self._metrics.pool_connections.labels(name, "idle").set(idle)
            self._metrics.pool_connections.labels(name, "used").set(pool.get_size() - idle)
            self._metrics.pool_pending_requests.labels(name).set(waiting(pool))


def waiting(pool: Pool) -> int:
    """Return how many wait for a connection; the driver has it in its queue only."""
    return sum(not each.done() for each in pool._queue._getters)  # type: ignore[attr-defined]

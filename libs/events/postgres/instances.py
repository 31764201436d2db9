"""This process among the instances of its service: who is alive, and who has which partition.

One session of each process beats in a table, asks for the partitions that are its own or that
it is next in line for, and holds their advisory locks. A killed process loses its session and
with it the locks at once; a paused one is ended by the others when its beat is too old. What
keeps either from doing harm is not this, but the epoch in each write (`log.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import structlog

from libs.events.postgres.spread import next_in_line, spread
from libs.runtime.postgres import connect

log = structlog.get_logger()

BEAT_S = 0.25
ALONE_BEAT_S = 1.0
STALE_S = 2.0
"""An instance that has not been heard of for so long loses its partitions."""
SETTLE_S = 1.0
"""Partitions move to a newcomer only when nobody has come or gone for so long."""
LOCK_SPACE = 0x4F5441  # "OTA": the advisory locks of partitions
_CHANNEL = "ota_partitions"

_SIGN_ON = """
INSERT INTO service_instance AS i (owner, pid, backend_start, beat_at)
SELECT $1, pid, backend_start, clock_timestamp() FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (owner) DO UPDATE
   SET pid = excluded.pid, backend_start = excluded.backend_start, beat_at = excluded.beat_at,
       holding = '{}', serving = '{}', leaving = false
"""
_BEAT = """
WITH me AS (
    UPDATE service_instance
       SET beat_at = clock_timestamp(), holding = $2, serving = $3, leaving = $4
     WHERE owner = $1 AND pid = pg_backend_pid() RETURNING owner
)
SELECT (SELECT owner FROM me) AS owner,
       ARRAY(SELECT p FROM unnest($5::smallint[]) AS p WHERE pg_try_advisory_lock($6, p)) AS taken
"""
_OTHERS = """
SELECT owner, i.pid, i.backend_start, holding, serving, leaving,
       extract(epoch FROM clock_timestamp() - beat_at)::float8 AS silent_s,
       a.pid IS NOT NULL AS connected
  FROM service_instance AS i
  LEFT JOIN pg_stat_activity AS a ON a.pid = i.pid AND a.backend_start = i.backend_start
 WHERE owner <> $1
"""
_END = """
SELECT pg_terminate_backend(pid, 500) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2
"""
_FORGET = "DELETE FROM service_instance WHERE owner = $1 AND pid = $2 AND backend_start = $3"
_GIVE_BACK = "SELECT pg_advisory_unlock($1, $2), pg_notify($3, '')"


@dataclass(slots=True, eq=False)
class Holding:
    """A partition that is ours: *asked* to give it up, or *lost* already."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Other:
    """Another instance as the table tells of it."""

    holding: frozenset[int]
    serving: frozenset[int]
    leaving: bool


class Instances:
    """The membership of one process; keep `run` running, `take` and `give_back` partitions."""

    def __init__(self, *, dsn: str, source: str, owner: str, partitions: int) -> None:
        self.owner = owner
        self._dsn = dsn
        self._source = source
        self._partitions = partitions
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._speaking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._seeking: dict[int, asyncio.Future[Holding]] = {}
        self._held: dict[int, Holding] = {}
        self._serving: set[int] = set()
        self._served_last: set[int] = set()
        self._others: dict[str, _Other] | None = None
        self._wanted: dict[int, str] = {}
        self._reach: set[int] = set()
        self._leaving = False
        self._given_back = asyncio.Event()
        self._changed_at = 0.0
        self._steady_since = 0.0
        self._unserved_since: dict[int, float] = {}
        self._yielded: dict[int, float] = {}
        self._ended: tuple[str, datetime] | None = None

    @property
    def serving(self) -> frozenset[int]:
        """The partitions that this process serves now."""
        return frozenset(self._serving)

    @property
    def served_last(self) -> frozenset[int]:
        """The partitions that we serve, or were the last to serve and nobody has taken since.

        What is known of a partition that fails is in the memory of whom it fails for.
        """
        return frozenset(self._served_last)

    def not_served(self) -> list[int] | None:
        """Return the partitions that we should serve and do not; None while we know of nobody."""
        if self._others is None:
            return None
        elsewhere = {each for other in self._others.values() for each in other.holding}
        return [
            partition
            for partition in range(self._partitions)
            if partition not in self._serving
            and (partition in self._held or self._wanted.get(partition) == self.owner)
            and partition not in elsewhere
        ]

    def unserved_s(self, partition: int) -> float:
        """Return for how long no instance has served a partition, as far as we know."""
        since = self._unserved_since.get(partition)
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def take(self, partition: int) -> Holding:
        """Wait until a partition is ours."""
        future: asyncio.Future[Holding] = asyncio.get_running_loop().create_future()
        self._seeking[partition] = future
        self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            self._seeking.pop(partition, None)
            await self.give_back(partition)
            raise

    def serves(self, partition: int) -> None:
        """Tell the others that a partition is served."""
        if partition in self._held:
            self._serving.add(partition)
            self._served_last.add(partition)
            self._wake.set()

    async def give_back(self, partition: int) -> None:
        """Let others have a partition; harmless when it is not ours."""
        self._serving.discard(partition)
        if self._held.pop(partition, None) is None:
            return
        self._wake.set()
        self._given_back.set()
        async with self._speaking:
            if self._connection is None:
                return
            try:
                await self._connection.fetchrow(_GIVE_BACK, LOCK_SPACE, partition, _CHANNEL)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                self._connection.terminate()  # the lock goes with the session

    async def left(self) -> None:
        """Wait until nothing is ours any more."""
        while self._held:
            self._given_back.clear()
            await self._given_back.wait()
        async with self._speaking:
            pass  # the server knows, too

    def leave(self) -> None:
        """Take nothing any more, and ask for everything that is ours to be given up."""
        self._leaving = True
        self._reach.clear()
        self._wake.set()
        for holding in self._held.values():
            holding.asked.set()

    async def run(self) -> None:
        """Be an instance until cancelled; what is held is lost when this ends."""
        clock = asyncio.get_running_loop().time
        connection = await connect(
            self._dsn, application_name=f"ota-{self._source}-instance", command_timeout_s=STALE_S
        )
        try:
            connection.add_termination_listener(lambda _: self._lose())
            await connection.execute("SET synchronous_commit = off")
            await connection.add_listener(_CHANNEL, lambda *_: self._wake.set())
            await connection.execute(_SIGN_ON, self.owner)
            self._connection = connection
            self._steady_since = self._changed_at = clock()
            await self._tell()
            while True:
                started = clock()
                self._wake.clear()
                await self._beat()
                await self._look()
                pause_s = BEAT_S if self._others else ALONE_BEAT_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
                if clock() - started > pause_s + BEAT_S:
                    # It was us, or the database: nobody else may be blamed for it.
                    self._steady_since = clock()
        finally:
            self._connection = None
            self._lose()
            connection.terminate()

    def _lose(self) -> None:
        self._others = None
        held, self._held = self._held, {}
        self._serving.clear()
        for holding in held.values():
            holding.lost.set()
        self._wake.set()
        self._given_back.set()

    async def _tell(self) -> None:
        """Let the others look at once."""
        assert self._connection is not None
        await self._connection.execute("SELECT pg_notify($1, '')", _CHANNEL)

    async def _beat(self) -> None:
        """Say that we live and what we have, and take what we may have."""
        assert self._connection is not None
        now = asyncio.get_running_loop().time()
        asked = sorted(
            partition
            for partition in self._reach & self._seeking.keys()
            # The server counts locks: one that we have must not be asked for again.
            if partition not in self._held and self._yielded.get(partition, now) <= now
        )
        async with self._speaking:
            said = await self._connection.fetchrow(
                _BEAT,
                self.owner,
                sorted(self._held),
                sorted(self._serving),
                self._leaving,
                asked,
                LOCK_SPACE,
            )
        assert said is not None
        if said["owner"] is None:
            raise ConnectionError("others take this instance for gone: it signs on anew")
        for partition in said["taken"]:
            holding = self._held[partition] = Holding()
            future = self._seeking.pop(partition, None)
            if future is None or self._leaving:
                await self.give_back(partition)
            else:
                future.set_result(holding)
        if said["taken"]:
            self._wake.set()

    async def _look(self) -> None:
        """Look at the others, and see what is to go where."""
        assert self._connection is not None
        now = asyncio.get_running_loop().time()
        others: dict[str, _Other] = {}
        async with self._speaking:
            for row in await self._connection.fetch(_OTHERS, self.owner):
                who = (row["owner"], row["pid"], row["backend_start"])
                if not row["connected"]:
                    await self._connection.execute(_FORGET, *who)
                    continue
                if row["silent_s"] > STALE_S and now - self._steady_since > STALE_S:
                    await self._end(*who)
                others[who[0]] = _Other(
                    holding=frozenset(row["holding"]),
                    serving=frozenset(row["serving"]),
                    leaving=row["leaving"],
                )
        if self._others is None or others.keys() != self._others.keys():
            self._changed_at = now
            self._wake.set()
        self._others = others
        self._served_last.difference_update(*(other.holding for other in others.values()))
        self._plan(others)
        self._note_unserved(others, now)
        if now - self._changed_at > SETTLE_S:
            self._even_out(others, now)

    async def _end(self, owner: str, pid: int, backend_start: datetime) -> None:
        """End the session of an instance that is paused or cut off: its partitions are free."""
        assert self._connection is not None
        await self._connection.execute(_END, pid, backend_start)
        if self._ended != (owner, backend_start):
            self._ended = (owner, backend_start)
            self._wake.set()
            log.warning("instance.ended", owner=owner, silent_for_s=STALE_S)

    def _plan(self, others: dict[str, _Other]) -> None:
        holding: dict[str, Collection[int]] = {
            name: other.holding for name, other in others.items() if not other.leaving
        }
        if not self._leaving:
            holding[self.owner] = self._held.keys()
        self._wanted = spread(holding, partitions=self._partitions)
        after = next_in_line(self._wanted, holding, partitions=self._partitions)
        self._reach = {
            partition
            for line in (self._wanted, after)
            for partition, owner in line.items()
            if owner == self.owner
        }

    def _note_unserved(self, others: dict[str, _Other], now: float) -> None:
        served = self._serving.union(*(other.serving for other in others.values()))
        for partition in range(self._partitions):
            if partition in served:
                self._unserved_since.pop(partition, None)
            else:
                self._unserved_since.setdefault(partition, now)

    def _even_out(self, others: dict[str, _Other], now: float) -> None:
        """Ask for one partition that somebody else is to have, one after another."""
        if any(holding.asked.is_set() for holding in self._held.values()):
            return
        for partition in sorted(self._serving):
            wanted_by = self._wanted.get(partition, self.owner)
            if wanted_by != self.owner and wanted_by in others:
                log.info("partition.asked_for", partition=partition, owner=wanted_by)
                self._changed_at = now
                self._yielded[partition] = now + SETTLE_S  # not to be taken back at once
                self._held[partition].asked.set()
                return

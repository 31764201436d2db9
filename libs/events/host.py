"""Runs a deciding service: connections, one loop for each partition, health, metrics.

The composition that inventory, reservation and fulfillment share; they differ in what
they pass in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import structlog
from aiohttp import web

from libs.events.behaviour import Behaviour
from libs.events.kafka.admin import ensure_topics
from libs.events.kafka.feed import KafkaFeeds
from libs.events.kafka.publisher import KafkaPublisher
from libs.events.measures import Measures
from libs.events.messages import EVENTS
from libs.events.ports import FeedLost, Fenced, Halted
from libs.events.postgres.log import PostgresLog
from libs.events.postgres.tables import Table
from libs.events.postgres.views import ViewGapReader
from libs.events.topics import ALL, Topic
from libs.events.writer import PartitionLoop
from libs.runtime.clock import DatabaseClock
from libs.runtime.config import ServiceSettings
from libs.runtime.metrics import Metrics, PartitionState, new_registry
from libs.runtime.ops import OpsServer
from libs.runtime.postgres import acquire, create_pool
from libs.runtime.steps import Steps
from libs.runtime.supervise import keep_running, spawn

log = structlog.get_logger()

CLOCK_SAMPLE_S = 1.0
POOL_SIZE_MAX = 6
VERSION = "0.1.0"


def new_metrics(service: str) -> Metrics:
    """Return the metrics of a deciding service."""
    return Metrics(
        new_registry(),
        service=service,
        version=VERSION,
        topics=[topic.name for topic in ALL if topic.poison == "park"],
        event_types=[event.name for event in EVENTS if event.name.startswith(f"ota.{service}.")],
    )


@dataclass(slots=True)
class LoopWatch:
    """Turns what the loop tells into metrics."""

    metrics: Metrics

    def decided(self, *, events: Sequence[str], answers: Sequence[str], replayed: int) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.replayed_answers.inc(replayed)
        self.metrics.batch_messages.observe(max(len(events), len(answers)))
        for event, times in Counter(events).items():
            self.metrics.events_appended.labels(event).inc(times)
        for answer, times in Counter(answers).items():
            self.metrics.commands.labels(self.metrics.service, answer).inc(times)

    def wrote(self, duration_s: float) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.batch_write_duration_seconds.observe(duration_s)

    def dropped_stale(self) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.stale_commands_dropped.inc()

    def parked(self, topic: str) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.dead_letters.labels(topic).inc()

    def filled_gap(self, events: int) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.event_gap_fills.inc()


class Host:
    """One process of a deciding service; enter it, then `serve`."""

    def __init__(
        self,
        *,
        service: str,
        settings: ServiceSettings,
        dsn: str,
        ops_port: int,
        metrics: Metrics,
        tables: Sequence[Table],
        sources: Mapping[str, tuple[Topic, str]],
        views: Mapping[str, str] | None = None,
        lazy_topics: Sequence[Topic] = (),
        ops_routes: Sequence[web.AbstractRouteDef] = (),
    ) -> None:
        """Take what makes the service itself.

        *sources* maps an input topic's owner to the topic and the DSN of its read views,
        *views* other services to the DSN of theirs. *lazy_topics* are inputs that nobody
        waits for.
        """
        self._service = service
        self._settings = settings
        self._dsn = dsn
        self._metrics = metrics
        self._measures = Measures(metrics=metrics, service=service)
        self._tables = tables
        self._sources = sources
        self._views = {owner: dsn for owner, (_, dsn) in sources.items()} | dict(views or {})
        self._lazy = lazy_topics
        self._clock = DatabaseClock(monotonic=time.monotonic)
        self._steps = Steps(settings.kill_at)
        self._owner = f"{socket.gethostname()}-{os.getpid()}"
        self._ready: set[int] = set()
        self._stack = contextlib.AsyncExitStack()
        self._pools: dict[str, asyncpg.Pool[asyncpg.Record]] = {}
        self.publisher = KafkaPublisher(
            bootstrap=settings.kafka_bootstrap,
            client_id=service,
            published=metrics.publish_duration_seconds.observe,
        )
        self.ops = OpsServer(
            service=service,
            host=settings.ops_host,
            port=ops_port,
            registry=metrics.registry,
            routes=ops_routes,
        )
        self.ops.add_ready_check("partitions", self._partitions_missing)
        self.ops.add_startup_check("partitions", self._partitions_missing)

    async def __aenter__(self) -> Host:
        """Connect to everything; raises what the drivers raise when something is away."""
        await self.ops.start()
        self._stack.push_async_callback(self.ops.close)
        for owner, dsn in self._views.items():
            await self._open_pool(owner, dsn, read_only=True)
        await self._open_pool(self._service, self._dsn, read_only=False)
        await self._sample_clock()
        await ensure_topics(bootstrap=self._settings.kafka_bootstrap)
        await self.publisher.start()
        self._stack.push_async_callback(self.publisher.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect, in the opposite order."""
        self.ops.drain()
        await self._stack.aclose()

    async def _open_pool(self, owner: str, dsn: str, *, read_only: bool) -> None:
        pool = await create_pool(
            dsn,
            application_name=f"ota-{self._service}",
            size_max=POOL_SIZE_MAX,
            read_only=read_only,
        )
        self._pools[owner] = pool
        self._stack.callback(pool.terminate)

    def pool(self, owner: str) -> asyncpg.Pool[asyncpg.Record]:
        """Return the pool of connections to a service's database: our own or read views."""
        return self._pools[owner]

    async def serve(
        self,
        *,
        stop: asyncio.Event,
        behaviours: Callable[[int], Behaviour],
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        """Run every partition until *stop*; *beside* are the service's own endless tasks."""
        sample = behaviours(0)
        feeds = KafkaFeeds(
            bootstrap=self._settings.kafka_bootstrap,
            client_id=self._service,
            event_topics=sample.event_inputs,
            command_topic=sample.command_input,
            lazy_topics=self._lazy,
            partitions=self._settings.partitions,
            waited=self._measures.waited,
        )
        await feeds.start()
        self._measures.watch(feeds)
        self._stack.push_async_callback(feeds.stop)
        gaps = ViewGapReader(
            {topic.name: (owner, self._pools[owner]) for owner, (topic, _) in self._sources.items()}
        )
        running = partial(keep_running, stop=stop, log=log)
        async with asyncio.TaskGroup() as group:
            tasks = [
                spawn(group, "pump", running("pump", feeds.pump)),
                spawn(group, "clock", running("clock", self._keep_clock)),
                spawn(group, "measures", running("measures", self._measure)),
            ]
            for factory in beside:
                tasks.append(spawn(group, "beside", running("beside", factory)))
            for partition in range(self._settings.partitions):
                behaviour = sample if partition == 0 else behaviours(partition)
                run = partial(self._run_partition, partition, behaviour, feeds, gaps)
                name = f"partition-{partition}"
                tasks.append(spawn(group, name, running(name, run)))
            await stop.wait()
            self.ops.drain()
            for task in tasks:
                task.cancel()

    async def _run_partition(
        self, partition: int, behaviour: Behaviour, feeds: KafkaFeeds, gaps: ViewGapReader
    ) -> None:
        state = self._metrics.partition_state.labels(str(partition))
        state.set(PartitionState.STANDBY)
        loop = PartitionLoop(
            partition=partition,
            behaviour=behaviour,
            log=PostgresLog(
                dsn=self._dsn,
                pool=self._pools[self._service],
                source=self._service,
                partition=partition,
                owner=self._owner,
                tables=self._tables,
            ),
            feed=feeds.feed(partition),
            publisher=self.publisher,
            gaps=gaps,
            clock=self._clock,
            watch=LoopWatch(self._metrics),
            step=self._steps,
            monotonic=time.monotonic,
            owned=partial(self._owned, partition),
        )
        pending = self._metrics.outbox_pending.labels(str(partition))
        pending.set_function(lambda: loop.outbox_pending)
        try:
            await loop.run()
        except* Fenced as fenced:
            self._metrics.fenced_writes.inc()
            log.warning("partition.fenced", partition=partition, reason=str(fenced.exceptions[0]))
            raise
        except* Halted as halted:
            state.set(PartitionState.HALTED)
            log.error("partition.halted", partition=partition, reason=str(halted.exceptions[0]))
            raise
        except* FeedLost as lost:
            log.error("partition.feed_lost", partition=partition, reason=str(lost.exceptions[0]))
            raise
        finally:
            self._ready.discard(partition)

    def _owned(self, partition: int) -> None:
        self._ready.add(partition)
        self._metrics.partition_state.labels(str(partition)).set(PartitionState.OWNER)

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this process serves now."""
        return frozenset(self._ready)

    def now(self) -> datetime:
        """Return the time at the database server."""
        return self._clock.now()

    async def _measure(self) -> None:
        await self._measures.run(
            pools=self._pools, broker=self.publisher.reaches_broker, owned=lambda: self._ready
        )

    def _partitions_missing(self) -> str | None:
        missing = set(range(self._settings.partitions)) - self._ready
        return f"not serving partitions {sorted(missing)}" if missing else None

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SAMPLE_S)
            await self._sample_clock()

    async def _sample_clock(self) -> None:
        async with acquire(self._pools[self._service]) as connection:
            sent = time.monotonic()
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            received = time.monotonic()
        if self._clock.observe(database_time=now, sent_monotonic=sent, received_monotonic=received):
            self._metrics.clock_jumps.inc()
            log.error("clock.jumped", database_time=now.isoformat(), effect="expiry pauses")

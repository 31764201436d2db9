"""Runs a deciding service: connections, one loop for each partition, health, metrics.

The composition that inventory, reservation and fulfillment share; they differ in what
they pass in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import structlog
from aiohttp import web

from libs.events.anchors import Anchors, AnchorSigner
from libs.events.behaviour import Behaviour
from libs.events.kafka.admin import ensure_topics
from libs.events.kafka.feed import KafkaFeeds
from libs.events.kafka.publisher import KafkaPublisher
from libs.events.measures import LoopWatch, Measures, trace_batch
from libs.events.messages import EVENTS
from libs.events.ports import FeedLost, Fenced, Halted
from libs.events.postgres.anchors import PostgresAnchorTable
from libs.events.postgres.instances import Instances
from libs.events.postgres.log import PostgresLog
from libs.events.postgres.tables import Table
from libs.events.postgres.views import ViewGapReader
from libs.events.topics import ALL, Topic
from libs.events.writer import PartitionLoop
from libs.runtime.certificates import certificate_files
from libs.runtime.clock import DatabaseClock
from libs.runtime.config import DecidingSettings
from libs.runtime.metrics import Metrics, PartitionState, new_registry
from libs.runtime.ops import OpsServer, public_keys
from libs.runtime.postgres import acquire, create_pool
from libs.runtime.steps import Steps, Throttle
from libs.runtime.supervise import keep_running, spawn
from libs.runtime.tracing import start_tracing

log = structlog.get_logger()

CLOCK_SAMPLE_S = 1.0
LEAVE_S = 5.0
"""So long the hand-over of all partitions may take when the process is told to stop."""
SIGN_ON_S_MAX = 1.0
HALTED_S = 10.0
"""A partition that has halted is tried again each 5 s at least; so long it counts as not served."""
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


class Host:
    """One process of a deciding service; enter it, then `serve`."""

    def __init__(
        self,
        *,
        service: str,
        settings: DecidingSettings,
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
        self._instances = Instances(
            dsn=dsn,
            source=service,
            # Containers may have one host name, and all of them process 1.
            owner=f"{socket.gethostname()}-{secrets.token_hex(3)}-{os.getpid()}",
            partitions=settings.partitions,
        )
        self._halted_at: dict[int, float] = {}
        self._loops: dict[int, PartitionLoop] = {}
        self._signer = AnchorSigner(settings.anchor_signing_key)
        self._stack = contextlib.AsyncExitStack()
        self._pools: dict[str, asyncpg.Pool[asyncpg.Record]] = {}
        tracing = start_tracing(service=service, version=VERSION)
        self._traced = None if tracing is None else partial(trace_batch, tracing)
        if tracing is not None:
            self._stack.callback(tracing.close)
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
            routes=(*ops_routes, public_keys("/anchor-keys", [self._signer.public_key])),
        )
        self.ops.add_ready_check("partitions", self._partitions_missing)
        self.ops.add_startup_check("partitions", self._partitions_missing)
        self.ops.add_note("partitions", self._partitions_held)
        metrics.partitions_owned.set_function(lambda: len(self.serving))

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

    @property
    def serving(self) -> frozenset[int]:
        """The partitions that this process owns and serves now."""
        return self._instances.serving

    @property
    def served_last(self) -> frozenset[int]:
        """See `Instances.served_last`: those that are served, or were until they failed."""
        return self._instances.served_last

    async def serve(
        self,
        *,
        stop: asyncio.Event,
        behaviours: Callable[[int], Behaviour],
        lost: Callable[[int], None] = lambda _: None,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        """Run every partition until *stop*; *beside* are the service's own endless tasks.

        *lost* is told of each partition that is not served here any more.
        """
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
                spawn(
                    group,
                    "instances",
                    running("instances", self._instances.run, backoff_max_s=SIGN_ON_S_MAX),
                ),
                spawn(group, "anchors", running("anchors", self._anchor)),
                spawn(group, "measures", running("measures", self._measure)),
            ]
            loops = []
            tasks += [spawn(group, "beside", running("beside", factory)) for factory in beside]
            for partition in range(self._settings.partitions):
                behaviour = sample if partition == 0 else behaviours(partition)
                run = partial(self._run_partition, partition, behaviour, feeds, gaps, lost)
                name = f"partition-{partition}"
                loops.append(spawn(group, name, running(name, run)))
            await stop.wait()
            self.ops.drain()
            # Others take over while everything here still runs.
            self._instances.leave()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._instances.left()
            for task in (*loops, *tasks):
                task.cancel()

    async def _run_partition(
        self,
        partition: int,
        behaviour: Behaviour,
        feeds: KafkaFeeds,
        gaps: ViewGapReader,
        lost: Callable[[int], None],
    ) -> None:
        """Serve a partition whenever it is ours; ends by exception only."""
        failures = self._metrics.partition_failures.labels(str(partition))
        while True:
            try:
                await self._serve_partition(partition, behaviour, feeds, gaps)
            except Exception:
                failures.inc()
                raise
            finally:
                lost(partition)

    async def _serve_partition(
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
                instances=self._instances,
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
            throttle=self._throttle(),
            traced=self._traced,
        )
        self._loops[partition] = loop
        pending = self._metrics.outbox_pending.labels(str(partition))
        pending.set_function(lambda: loop.outbox_pending)
        unserved = self._metrics.partition_unserved_seconds.labels(str(partition))
        unserved.set_function(partial(self._instances.unserved_s, partition))
        try:
            await loop.run()
        except* Fenced as fenced:
            self._metrics.fenced_writes.inc()
            log.warning("partition.fenced", partition=partition, reason=str(fenced.exceptions[0]))
            raise
        except* Halted as halted:
            state.set(PartitionState.HALTED)
            self._halted_at[partition] = time.monotonic()
            (why, *_) = halted.exceptions
            about = why.about if isinstance(why, Halted) else {}
            log.error("partition.halted", partition=partition, reason=str(why), **about)
            raise
        except* FeedLost as lost:
            log.error("partition.feed_lost", partition=partition, reason=str(lost.exceptions[0]))
            raise

    def _throttle(self) -> Throttle | None:
        per_s = self._settings.throttle
        if per_s is None:
            return None
        log.warning("test_hook.throttle", commands_per_s=per_s, effect="commands wait, for a test")
        return Throttle(per_s)

    def _owned(self, partition: int) -> None:
        self._instances.serves(partition)
        self._metrics.partition_state.labels(str(partition)).set(PartitionState.OWNER)

    def now(self) -> datetime:
        """Return the time at the database server."""
        return self._clock.now()

    async def _measure(self) -> None:
        await self._measures.run(
            pools=self._pools,
            certificates=certificate_files(self._settings),
            broker=self.publisher.reaches_broker,
            owned=lambda: self.serving,
        )

    def _partitions_missing(self) -> str | None:
        missing = self._instances.not_served()
        if missing is None:
            return "not signed on: is our database reachable?"
        since = time.monotonic() - HALTED_S
        halted = {each for each in self.serving if self._halted_at.get(each, since) > since}
        missing = sorted(halted.union(missing))
        return f"not serving partitions {missing}" if missing else None

    def _partitions_held(self) -> object:
        standby = set(range(self._settings.partitions)) - self.serving
        return {"serving": sorted(self.serving), "standing_by": sorted(standby)}

    async def _anchor(self) -> None:
        await Anchors(
            service=self._service,
            signer=self._signer,
            table=PostgresAnchorTable(self._pools[self._service], service=self._service),
            publisher=self.publisher,
            heads=lambda: [self._loops[partition].head for partition in sorted(self.serving)],
            now=self._clock.now,
            monotonic=time.monotonic,
            interval_s=self._settings.anchor_interval_s,
            every_events=self._settings.anchor_events,
        ).run()

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SAMPLE_S)
            await self._sample_clock()

    async def _sample_clock(self) -> None:
        async with acquire(self._pools[self._service]) as connection:
            sent = time.monotonic()
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            received = time.monotonic()
        paused = self._clock.jumped
        if self._clock.observe(database_time=now, sent_monotonic=sent, received_monotonic=received):
            self._metrics.clock_jumps.inc()
            log.error("clock.jumped", database_time=now.isoformat(), effect="expiry pauses")
        elif paused and not self._clock.jumped:
            log.warning("clock.set_right", database_time=now.isoformat(), effect="expiry goes on")

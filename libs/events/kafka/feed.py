"""The input logs of a process: its topics and partitions, assigned by hand.

Positions come from PostgreSQL, there is no consumer group (design, rule 7). A pump
drains each consumer at once into a queue for each partition, because its fetcher does
not ask again while anything is undrained.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from libs.events.codec import record_id
from libs.events.kafka.address import connection
from libs.events.ports import FeedLost, InputPosition, Received
from libs.events.topics import Topic
from libs.kernel.values import dataclass

log = structlog.get_logger()

FETCH_WAIT_MS = 500
COMMANDS_MAX = 64
EVENTS_MAX = 512
QUEUE_MAX = 20_000
"""Records waiting for one partition; above it the consumer is left alone until they are fewer."""
LINGER_S = 0.05
"""Inputs that nobody waits for are taken in gulps, this far apart."""
SEEK_BACK = timedelta(minutes=10)
OFFSETS_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a feed is behind the broker: *records* not taken, the oldest *age_s* old.

    *end* is the broker's next offset, as of the last fetch.
    """

    topic: str
    partition: int
    records: int
    age_s: float
    end: int


class KafkaFeeds:
    """The consumers and their pumps; `feed` gives each partition its part.

    Each input has a consumer of its own, so that a fetch for one need not name the others'
    partitions. Inputs that nobody waits for (*lazy_topics*) are drained in gulps: one fetch
    then serves many rounds.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        client_id: str,
        event_topics: Sequence[Topic],
        command_topic: Topic | None,
        lazy_topics: Sequence[Topic],
        partitions: int,
        waited: Callable[[str, float], None] = lambda topic, waited_s: None,
    ) -> None:
        """*waited* is told of each gulp how long its oldest record had been at the broker."""
        self._streams = [
            (
                consumer(bootstrap=bootstrap, client_id=f"{client_id}-{topic.name}"),
                topic.name,
                LINGER_S if topic in lazy_topics else 0.0,
            )
            for topic in (*event_topics, *([command_topic] if command_topic else []))
        ]
        consumers = {name: consumer for consumer, name, _ in self._streams}
        # Of its own: a question must not wait for the long poll of a partition that is served.
        self._offsets = consumer(bootstrap=bootstrap, client_id=f"{client_id}-offsets")
        self._feeds = {
            partition: KafkaFeed(
                consumers=consumers,
                offsets=self._offsets,
                partition=partition,
                event_topics=[topic.name for topic in event_topics],
                command_topic=command_topic.name if command_topic else None,
                waited=waited,
            )
            for partition in range(partitions)
        }

    def feed(self, partition: int) -> KafkaFeed:
        """Return the feed of one partition."""
        return self._feeds[partition]

    def lags(self) -> Iterator[Lag]:
        """Return how far every open feed is behind."""
        for feed in self._feeds.values():
            yield from feed.lags()

    async def start(self) -> None:
        """Connect; everything is assigned, and paused until its feed is opened."""
        names = [name for _, name, _ in self._streams]
        await self._assign(self._offsets, names)
        for consumer, name, _ in self._streams:
            await self._assign(consumer, [name])

    async def _assign(self, consumer: AIOKafkaConsumer, topics: Sequence[str]) -> None:
        await consumer.start()
        assigned = [TopicPartition(name, number) for name in topics for number in self._feeds]
        consumer.assign(assigned)
        for each in assigned:
            consumer.seek(each, 0)
        consumer.pause(*assigned)

    async def pump(self) -> None:
        """Move what arrives into the partitions' queues, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for consumer, name, pause_s in self._streams:
                group.create_task(self._pump(consumer, pause_s), name=f"pump {name}")

    async def _pump(self, consumer: AIOKafkaConsumer, pause_s: float) -> None:
        while True:
            try:
                records = await consumer.getmany(timeout_ms=60_000)
            except OffsetOutOfRangeError as error:
                for topic, partition in error.args[0]:
                    self._feeds[partition].lose(topic)
                continue
            for (_topic, partition), arrived in records.items():
                self._feeds[partition].put(arrived)
            await asyncio.sleep(pause_s)
            while any(feed.full for feed in self._feeds.values()):  # noqa: ASYNC110 - rare
                await asyncio.sleep(LINGER_S)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the pumps running while the context is open."""
        async with asyncio.TaskGroup() as group:
            pumping = group.create_task(self.pump(), name="pump")
            try:
                yield
            finally:
                pumping.cancel()

    async def stop(self) -> None:
        """Disconnect."""
        for consumer in (self._offsets, *(consumer for consumer, _, _ in self._streams)):
            await consumer.stop()


def consumer(*, bootstrap: str, client_id: str) -> AIOKafkaConsumer:
    """Return a consumer without a group, whose positions are ours (ADR 7)."""
    return AIOKafkaConsumer(
        **connection(bootstrap),
        client_id=client_id,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        request_timeout_ms=5_000,
        check_crcs=True,
    )


class KafkaFeed:
    """One partition of the inputs; see `libs.events.ports.Feed`."""

    def __init__(
        self,
        *,
        consumers: Mapping[str, AIOKafkaConsumer],
        offsets: AIOKafkaConsumer,
        partition: int,
        event_topics: Sequence[str],
        command_topic: str | None,
        waited: Callable[[str, float], None],
    ) -> None:
        self._waited = waited
        # The next offset to take, and when the broker appended the last one taken.
        self._taken: dict[str, tuple[int, float]] = {}
        self._consumers = consumers
        self._offsets = offsets
        self._partition = partition
        self._event_topics = tuple(event_topics)
        self._command_topic = command_topic
        self._topics = (*event_topics, *([command_topic] if command_topic else []))
        self._queues: dict[str, deque[ConsumerRecord]] = {t: deque() for t in self._topics}
        self._expected: dict[str, tuple[int, str]] = {}
        self._log_epochs = dict.fromkeys(self._topics, 0)
        self._wake = asyncio.Event()
        self._lost = ""
        self._open = False

    @property
    def full(self) -> bool:
        """Whether enough is waiting."""
        return sum(map(len, self._queues.values())) > QUEUE_MAX

    def put(self, records: Sequence[ConsumerRecord]) -> None:
        """Queue what has arrived for this partition."""
        if not self._open:
            return
        self._queues[records[0].topic].extend(records)
        self._wake.set()

    def lose(self, topic: str) -> None:
        """Note that the broker has no record at our position; ask no more until reopened."""
        self._lost = topic
        self._consumers[topic].pause(TopicPartition(topic, self._partition))
        self._wake.set()

    async def open(self, inputs: Mapping[str, InputPosition]) -> Mapping[str, int]:
        """See `libs.events.ports.Feed.open`."""
        self.close()
        waiting: dict[str, int] = {}
        async with asyncio.timeout(OFFSETS_TIMEOUT_S):
            asked = [TopicPartition(topic, self._partition) for topic in self._topics]
            begins = await self._offsets.beginning_offsets(asked)
            ends = await self._offsets.end_offsets(asked)
            for topic, consumer in self._mine():
                where = TopicPartition(topic, self._partition)
                begin, end = begins[where], ends[where]
                stored = inputs.get(topic) or InputPosition()
                self._log_epochs[topic] = stored.log_epoch
                if stored.offset >= end:
                    start = await self._go_back(where, begin)
                elif stored.offset < begin:
                    start = begin  # nothing was taken yet, or retention has removed what was
                else:
                    start = stored.offset
                    self._expected[topic] = (stored.offset, stored.record_id)
                consumer.seek(where, start)
                self._taken[topic] = (start, time.time())
                if topic == self._command_topic and start < end - (topic in self._expected):
                    waiting[topic] = end
        self._open = True
        for topic, consumer in self._mine():
            consumer.resume(TopicPartition(topic, self._partition))
        return waiting

    def _mine(self) -> list[tuple[str, AIOKafkaConsumer]]:
        return [(topic, self._consumers[topic]) for topic in self._topics]

    async def _go_back(self, where: TopicPartition, begin: int) -> int:
        """The broker has lost records that we have seen: a new log epoch, ids absorb repeats."""
        self._log_epochs[where.topic] += 1
        since = int((datetime.now(UTC) - SEEK_BACK).timestamp() * 1000)
        found = (await self._offsets.offsets_for_times({where: since}))[where]
        back_to = int(found.offset) if found is not None else begin
        log.error("feed.tail_lost", topic=where.topic, partition=where.partition, back_to=back_to)
        return back_to

    async def take(self, *, timeout_s: float) -> list[Received]:
        """See `libs.events.ports.Feed.take`."""
        deadline = time.monotonic() + timeout_s
        while True:
            await self._something(deadline)
            if self._lost:
                topic, self._lost = self._lost, ""
                raise FeedLost(f"{topic} partition {self._partition}: the broker has lost records")
            taken: list[Received] = []
            for topic in self._event_topics:
                taken += await self._drain(topic, EVENTS_MAX)
            if self._command_topic is not None:
                taken += await self._drain(self._command_topic, COMMANDS_MAX)
            if taken or not self._open or time.monotonic() >= deadline:
                return taken

    async def _something(self, deadline: float) -> None:
        """Wait until something should be taken, or until *deadline*."""
        if self._ready():
            return
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._wake.wait()

    def _ready(self) -> bool:
        """Whether something waits that should not wait longer."""
        return bool(self._lost) or not self._open or any(self._queues.values())

    async def _drain(self, topic: str, limit: int) -> list[Received]:
        queue = self._queues[topic]
        taken: list[Received] = []
        while queue and len(taken) < limit:
            record = queue.popleft()
            expected = self._expected.pop(topic, None)
            if expected is not None:
                if expected == (record.offset, record_id(record.headers)):
                    self._taken[topic] = (record.offset + 1, record.timestamp / 1000)
                    continue
                await self._rewind(topic)
                return []
            taken.append(
                Received(
                    topic=topic,
                    log_epoch=self._log_epochs[topic],
                    offset=record.offset,
                    appended_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
                    headers=record.headers,
                    value=record.value,
                )
            )
        if taken:
            self._taken[topic] = (record.offset + 1, record.timestamp / 1000)
            self._waited(topic, time.time() - taken[0].appended_at.timestamp())
        return taken

    def lags(self) -> Iterator[Lag]:
        """Return how far this partition is behind in each topic; nothing while it is closed."""
        if not self._open:
            return
        now = time.time()
        for topic, consumer in self._mine():
            end = consumer.highwater(TopicPartition(topic, self._partition))
            if end is None:  # nothing was fetched yet
                continue
            next_offset, last_at = self._taken[topic]
            queue = self._queues[topic]
            oldest_at = queue[0].timestamp / 1000 if queue else last_at
            behind = max(0, end - next_offset)
            age_s = max(0.0, now - oldest_at) if behind else 0.0
            yield Lag(topic=topic, partition=self._partition, records=behind, age_s=age_s, end=end)

    async def _rewind(self, topic: str) -> None:
        where = TopicPartition(topic, self._partition)
        async with asyncio.timeout(OFFSETS_TIMEOUT_S):
            begins = await self._offsets.beginning_offsets([where])
            start = await self._go_back(where, begins[where])
        self._queues[topic].clear()
        self._consumers[topic].seek(where, start)

    def close(self) -> None:
        """See `libs.events.ports.Feed.close`."""
        self._open = False
        self._wake.set()
        self._lost = ""
        self._expected.clear()
        for queue in self._queues.values():
            queue.clear()
        for topic, consumer in self._mine():
            try:
                consumer.pause(TopicPartition(topic, self._partition))
            except (KafkaError, RuntimeError) as error:  # already stopped: nothing left to pause
                log.debug("feed.close", reason=repr(error))

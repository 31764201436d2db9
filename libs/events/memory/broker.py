"""The in-memory twin of the broker: topics, feeds, a publisher, and gaps read from databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.events.codec import Headers, last_in_order, record_id
from libs.events.envelope import Envelope
from libs.events.memory.log import MemoryDatabase
from libs.events.ports import FeedLost, InputPosition, NotSent, Outgoing, Received, Tail

COMMANDS_MAX = 64
EVENTS_MAX = 512


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in a topic's partition."""

    headers: Headers
    value: bytes
    appended_at: datetime


@dataclass(slots=True)
class MemoryBroker:
    """All topics. While *down*, nothing can be sent, and nothing arrives."""

    clock: Callable[[], datetime]
    logs: dict[tuple[str, int], list[Stored]] = field(default_factory=dict)
    down: bool = False
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def log(self, topic: str, partition: int) -> list[Stored]:
        """Return the records of a topic's partition."""
        return self.logs.setdefault((topic, partition), [])

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Store records in order; raises NotSent while down."""
        if self.down:
            raise NotSent(f"{len(records)} records: the broker is down")
        for record in records:
            stored = Stored(list(record.headers), record.value, self.clock())
            self.log(record.topic, record.partition).append(stored)
        async with self.arrived:
            self.arrived.notify_all()

    def lose_tail(self, topic: str, partition: int, records: int) -> None:
        """Forget the newest records, as a broker does that lost power before it flushed."""
        log = self.log(topic, partition)
        del log[len(log) - records :]


class MemoryPublisher:
    """See `libs.events.ports.Publisher`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See the port."""
        await self._broker.append(records)
        placed: dict[tuple[str, int], int] = {}
        for record in records:
            where = (record.topic, record.partition)
            placed[where] = placed.get(where, 0) + 1
        return [_Placed(topic, self._end(topic, p) - count) for (topic, p), count in placed.items()]

    def _end(self, topic: str, partition: int) -> int:
        return len(self._broker.log(topic, partition))

    async def tail(self, topic: str, partition: int) -> Tail:
        """See the port."""
        log = self._broker.log(topic, partition)
        last = last_in_order((stored.headers for stored in log), whole=True)
        return Tail(end_offset=len(log), last=last)


class _Placed:
    """An acknowledgement; unlike a future it needs no loop and no observer."""

    def __init__(self, topic: str, offset: int) -> None:
        self.topic, self.offset = topic, offset

    def __await__(self):  # type: ignore[no-untyped-def]
        return self
        yield


class MemoryFeed:
    """See `libs.events.ports.Feed`."""

    def __init__(
        self,
        *,
        broker: MemoryBroker,
        partition: int,
        event_topics: Collection[str],
        command_topic: str | None,
    ) -> None:
        self._broker = broker
        self._partition = partition
        self._event_topics = tuple(event_topics)
        self._command_topic = command_topic
        self._topics = (*event_topics, *([command_topic] if command_topic else []))
        self._next: dict[str, int] = {}
        self._log_epochs: dict[str, int] = {}
        self._expected: dict[str, str] = {}

    async def open(self, inputs: Mapping[str, InputPosition]) -> Mapping[str, int]:
        """See the port."""
        waiting = {}
        self._expected.clear()
        for topic in self._topics:
            log = self._broker.log(topic, self._partition)
            stored = inputs.get(topic) or InputPosition()
            self._log_epochs[topic] = stored.log_epoch
            if stored.offset >= len(log):
                self._log_epochs[topic] += 1
                self._next[topic] = 0
            elif stored.offset < 0:
                self._next[topic] = 0
            elif record_id(log[stored.offset].headers) != stored.record_id:
                self._log_epochs[topic] += 1
                self._next[topic] = 0
            else:
                self._next[topic] = stored.offset + 1
            if topic == self._command_topic and self._next[topic] < len(log):
                waiting[topic] = len(log)
        return waiting

    async def take(self, *, timeout_s: float) -> list[Received]:
        """See the port."""
        if not self._next:
            return []
        if not self._waiting():
            try:
                async with asyncio.timeout(timeout_s), self._broker.arrived:
                    await self._broker.arrived.wait_for(self._waiting)
            except TimeoutError:
                return []
        return self.drain()

    def drain(self, limits: Mapping[str, int] | None = None) -> list[Received]:
        """Return what is there, of each topic at most what *limits* say; raises FeedLost."""
        taken = []
        for topic in self._topics:
            limit = COMMANDS_MAX if topic == self._command_topic else EVENTS_MAX
            if limits is not None:
                limit = min(limit, limits.get(topic, 0))
            log = self._broker.log(topic, self._partition)
            if self._next[topic] > len(log):
                raise FeedLost(f"{topic} partition {self._partition}")
            for offset in range(self._next[topic], min(len(log), self._next[topic] + limit)):
                taken.append(
                    Received(
                        topic=topic,
                        log_epoch=self._log_epochs[topic],
                        offset=offset,
                        appended_at=log[offset].appended_at,
                        headers=log[offset].headers,
                        value=log[offset].value,
                    )
                )
                self._next[topic] = offset + 1
        return taken

    def next_offset(self, topic: str) -> int:
        """Return the offset of the record that is taken next."""
        return self._next.get(topic, 0)

    def _waiting(self) -> bool:
        return not self._broker.down and any(
            self._next.get(topic, 0) != len(self._broker.log(topic, self._partition))
            for topic in self._topics
        )

    def close(self) -> None:
        """See the port."""
        self._next.clear()


class MemoryGapReader:
    """See `libs.events.ports.GapReader`; *owners* maps a topic to its owner's database."""

    def __init__(self, owners: Mapping[str, MemoryDatabase]) -> None:
        self._owners = owners

    async def head(self, topic: str, partition: int) -> int:
        """See the port."""
        head = self._owners[topic].heads.get(partition)
        return head.seq if head is not None else 0

    async def fetch(
        self, topic: str, partition: int, *, after_seq: int, limit: int
    ) -> Sequence[Envelope]:
        """See the port."""
        return self._owners[topic].envelopes(partition, after_seq=after_seq, limit=limit)

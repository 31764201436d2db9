"""Producers: one for events and answers of a service, with the rules that the client needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from libs.events.codec import parse_position
from libs.events.envelope import Position
from libs.events.ports import NotSent, Outgoing

SEND_TIMEOUT_S = 2.0
TAIL_RECORDS = 50
TAIL_TIMEOUT_S = 5.0


def producer(*, bootstrap: str, client_id: str) -> AIOKafkaProducer:
    """Return a producer that waits for the broker's acknowledgement and never lingers.

    Idempotence stays off: it burns sequence numbers when a broker restarts, and ids
    and positions absorb repeats anyway (research: reliability, K2 and K3).
    """
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        linger_ms=0,
        max_batch_size=262_144,
        max_request_size=1_048_576,
        request_timeout_ms=3_000,
    )


class KafkaPublisher:
    """See `libs.events.ports.Publisher`. Answers and events have a producer each.

    A producer keeps one request in flight, so an answer behind a load of events would
    wait for their round trip.
    """

    def __init__(self, *, bootstrap: str, client_id: str, replies_topic: str) -> None:
        self._bootstrap = bootstrap
        self._replies_topic = replies_topic
        self._events = producer(bootstrap=bootstrap, client_id=f"{client_id}-events")
        self._replies = producer(bootstrap=bootstrap, client_id=f"{client_id}-replies")

    async def start(self) -> None:
        """Connect."""
        await self._events.start()
        await self._replies.start()

    async def stop(self) -> None:
        """Send what is buffered, within the time limit, and disconnect."""
        for each in (self._replies, self._events):
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await each.stop()
            except TimeoutError:
                continue  # the broker is away: what is unsent is in the outbox

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See `libs.events.ports.Publisher.send`."""
        futures = []
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for record in records:
                    to_replies = record.topic == self._replies_topic
                    futures.append(
                        await (self._replies if to_replies else self._events).send(
                            record.topic,
                            partition=record.partition,
                            key=record.key,
                            value=record.value,
                            headers=record.headers,
                        )
                    )
        except (TimeoutError, KafkaError) as error:
            for future in futures:
                future.add_done_callback(_observe)
            raise NotSent(f"{len(records) - len(futures)} records: {error!r}") from error
        if records and records[0].topic == self._replies_topic:
            for future in futures:
                future.add_done_callback(_observe)
        return futures

    async def last_event(self, topic: str, partition: int) -> Position | None:
        """See `libs.events.ports.Publisher.last_event`."""
        where = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            async with asyncio.timeout(TAIL_TIMEOUT_S):
                consumer.assign([where])
                begin = (await consumer.beginning_offsets([where]))[where]
                end = (await consumer.end_offsets([where]))[where]
                newest = None
                offset = max(begin, end - TAIL_RECORDS)
                consumer.seek(where, offset)
                while offset < end:
                    for record in (await consumer.getmany(where, timeout_ms=200)).get(where, []):
                        offset = record.offset + 1
                        newest = _newer(newest, record.headers)
                return newest
        finally:
            await consumer.stop()


def _newer(newest: Position | None, headers: Sequence[tuple[str, bytes]]) -> Position | None:
    for name, value in headers:
        if name == "ce_position":
            position = parse_position(value.decode())
            return position if newest is None else max(newest, position)
    return newest


def _observe(future: asyncio.Future[object]) -> None:
    """Take note of a failed answer, which its asker learns by trying again."""
    if not future.cancelled():
        future.exception()

"""Producers: one for events and answers of a service, with the rules that the client needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from libs.events.codec import last_in_order
from libs.events.kafka.address import connection
from libs.events.ports import NotSent, Outgoing, Tail

SEND_TIMEOUT_S = 2.0
TAIL_RECORDS = 50
TAIL_TIMEOUT_S = 5.0


def producer(*, bootstrap: str, client_id: str) -> AIOKafkaProducer:
    """Return a producer that waits for the broker's acknowledgement and never lingers.

    Batches are compressed, which costs next to nothing and leaves a quarter of the bytes for
    sockets and disks (ADR 16).

    Idempotence stays off: it burns sequence numbers when a broker restarts, and ids
    and positions absorb repeats anyway (ADR 7).
    """
    return AIOKafkaProducer(
        **connection(bootstrap),
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        linger_ms=0,
        compression_type="snappy",
        max_batch_size=262_144,
        max_request_size=1_048_576,
        request_timeout_ms=3_000,
    )


async def send_in_batches(
    producer: AIOKafkaProducer, records: Sequence[Outgoing]
) -> list[asyncio.Future[RecordMetadata]]:
    """Enqueue *records* as one batch for each partition, in order; a future a batch.

    A batch costs the client library a tenth of what its records cost one by one. Waits
    while an earlier batch of the same partition has not left yet. Raises KafkaError.
    """
    futures = []
    by_partition: dict[tuple[str, int], list[Outgoing]] = {}
    for record in records:
        by_partition.setdefault((record.topic, record.partition), []).append(record)
    for (topic, partition), together in by_partition.items():
        batch = producer.create_batch()
        for record in together:
            if not _append(batch, record):
                futures.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                _append(batch, record)
        futures.append(await producer.send_batch(batch, topic, partition=partition))
    for future in futures:
        future.add_done_callback(_observe)
    return futures


def _append(batch: BatchBuilder, record: Outgoing) -> bool:
    """Say whether there was room."""
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers)
    return added is not None


async def reaches_broker(producer: AIOKafkaProducer) -> bool:
    """Ask a broker for the topics, and say whether one has answered; may take long."""
    try:
        return bool(await producer.client.force_metadata_update())
    except KafkaError:
        return False


class KafkaPublisher:
    """See `libs.events.ports.Publisher`.

    Answers and events share one producer: what a batch of commands has led to leaves in
    one request, which is cheaper for everybody than two are for the first of them.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        client_id: str,
        published: Callable[[float], None] = lambda duration_s: None,
    ) -> None:
        """*published* is told how long the broker took to acknowledge what was sent together."""
        self._bootstrap = bootstrap
        self._published = published
        self._producer = producer(bootstrap=bootstrap, client_id=client_id)

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is buffered, within the time limit, and disconnect."""
        with contextlib.suppress(TimeoutError):  # the broker is away: the outbox has it all
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._producer.stop()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See `libs.events.ports.Publisher.send`."""
        started = time.monotonic()

        def acknowledged(last: asyncio.Future[object]) -> None:
            if not last.cancelled() and last.exception() is None:
                self._published(time.monotonic() - started)

        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                futures = await send_in_batches(self._producer, records)
        except (TimeoutError, KafkaError) as error:
            raise NotSent(f"{len(records)} records: {error!r}") from error
        if futures:
            futures[-1].add_done_callback(acknowledged)
        return futures

    async def reaches_broker(self) -> bool:
        """Ask a broker for the topics, and say whether one has answered."""
        return await reaches_broker(self._producer)

    async def tail(self, topic: str, partition: int) -> Tail:
        """See `libs.events.ports.Publisher.tail`."""
        where = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            **connection(self._bootstrap),
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
                records: list[Sequence[tuple[str, bytes]]] = []
                first = offset = max(begin, end - TAIL_RECORDS)
                consumer.seek(where, offset)
                while offset < end:
                    for record in (await consumer.getmany(where, timeout_ms=200)).get(where, []):
                        offset = record.offset + 1
                        records.append(record.headers)
                last = last_in_order(records, whole=first == 0)
                return Tail(end_offset=end, last=last)
        finally:
            await consumer.stop()


def _observe(future: asyncio.Future[RecordMetadata]) -> None:
    """Take note of a failure; who cares for it awaits the future as well."""
    if not future.cancelled():
        future.exception()

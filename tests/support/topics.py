"""What an operator, an attacker or a failing disk may do to Kafka's topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from libs.events.codec import Headers
from libs.events.kafka.admin import ensure_topics
from libs.events.kafka.publisher import producer
from libs.events.topics import Topic
from tests.support.waiting import eventually


async def append(
    *, bootstrap: str, topic: Topic, partition: int, value: bytes, headers: Headers
) -> int:
    """Append a record as it is and return its offset."""
    writer = producer(bootstrap=bootstrap, client_id="test")
    await writer.start()
    try:
        sent = await writer.send_and_wait(
            topic.name, partition=partition, value=value, headers=headers
        )
    finally:
        await writer.stop()
    return int(sent.offset)


async def read_all(*, bootstrap: str, topic: Topic, partition: int) -> Sequence[ConsumerRecord]:
    """Return all records that a partition has now."""
    where = TopicPartition(topic.name, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign([where])
        offset = (await consumer.beginning_offsets([where]))[where]
        end = (await consumer.end_offsets([where]))[where]
        consumer.seek(where, offset)
        found: list[ConsumerRecord] = []
        while offset < end:
            for record in (await consumer.getmany(where, timeout_ms=200)).get(where, []):
                found.append(record)
                offset = record.offset + 1
        return found
    finally:
        await consumer.stop()


async def recreate(*, bootstrap: str, topic: Topic) -> None:
    """Delete a topic with all that it holds and make it anew, empty."""
    async with _admin(bootstrap=bootstrap) as admin:
        await admin.delete_topics([topic.name])

        async def gone() -> bool:
            return topic.name not in await admin.list_topics()

        await eventually(gone)
    await ensure_topics(bootstrap=bootstrap, topics=[topic])


async def forget(*, bootstrap: str, topic: Topic, partition: int) -> None:
    """Let the broker forget all records that a partition has, as retention does."""
    async with _admin(bootstrap=bootstrap) as admin:
        everything = RecordsToDelete(before_offset=-1)
        await admin.delete_records({TopicPartition(topic.name, partition): everything})


@asynccontextmanager
async def _admin(*, bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()

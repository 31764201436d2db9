"""One behaviour suite for feeds and publishers, run on the in-memory twin and on Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from libs.events import codec
from libs.events.contracts.inventory import ResumeSales, SalesResumed
from libs.events.envelope import Envelope, Position
from libs.events.kafka.admin import ensure_topics
from libs.events.kafka.feed import KafkaFeeds
from libs.events.kafka.publisher import KafkaPublisher
from libs.events.memory.broker import MemoryBroker, MemoryFeed, MemoryPublisher
from libs.events.ports import Feed, InputPosition, Outgoing, Publisher, Received
from libs.events.topics import Topic
from tests.support.stack import Stack

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TAKE_S = 5.0


@dataclass(frozen=True)
class Broker:
    """A broker with one topic of events and one of commands, and a feed of partition 0."""

    events: str
    commands: str
    publisher: Publisher
    feed: Feed


def _topic(name: str) -> Topic:
    return Topic(
        name=name,
        partitions=2,
        key="none",
        retention_ms=3_600_000,
        poison="halt",
        purpose="A test's.",
    )


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """Give a broker whose topics are new."""
    if request.param == "memory":
        memory = MemoryBroker(clock=lambda: datetime.now(UTC))
        feed = MemoryFeed(broker=memory, partition=0, event_topics=["e"], command_topic="c")
        yield Broker("e", "c", MemoryPublisher(memory), feed)
        return
    stack: Stack = request.getfixturevalue("stack")
    assert stack.kafka.running
    unique = uuid4().hex
    events, commands = _topic(f"test.{unique}.events"), _topic(f"test.{unique}.commands")
    bootstrap = stack.broker.bootstrap
    await ensure_topics(bootstrap=bootstrap, topics=[events, commands])
    publisher = KafkaPublisher(bootstrap=bootstrap, client_id="tests")
    await publisher.start()
    feeds = KafkaFeeds(
        bootstrap=bootstrap,
        client_id="tests",
        event_topics=[events],
        command_topic=commands,
        lazy_topics=[],
        partitions=2,
    )
    await feeds.start()
    async with feeds.running():
        yield Broker(events.name, commands.name, publisher, feeds.feed(0))
    await feeds.stop()
    await publisher.stop()


def record(topic: str, number: int, *, partition: int = 0) -> Outgoing:
    """Return a record whose id is its number; on the event topic it has a position."""
    position = Position(1, partition, number)
    envelope = Envelope(
        id=str(number),
        source="test",
        time=NOW,
        data=SalesResumed(pool_no=number) if topic.endswith(("events", "e")) else _command(number),
        correlation_id="c",
        causation_id="c",
        position=position if topic.endswith(("events", "e")) else None,
    )
    headers, value = codec.encode(envelope)
    return Outgoing(topic=topic, partition=partition, key=b"k", headers=headers, value=value)


def _command(number: int) -> ResumeSales:
    return ResumeSales(pool_no=number)


async def publish(broker: Broker, *records: Outgoing) -> None:
    """Send and wait until the broker has them."""
    acknowledged: list[Awaitable[object]] = list(await broker.publisher.send(list(records)))
    for each in acknowledged:
        await each


async def take(feed: Feed, number: int) -> list[Received]:
    """Take until so many records have come."""
    taken: list[Received] = []
    while len(taken) < number:
        more = await feed.take(timeout_s=TAKE_S)
        assert more, f"only {len(taken)} of {number} records came"
        taken += more
    return taken


def ids(received: list[Received]) -> list[str]:
    """Return the records' ids."""
    return [codec.record_id(each.headers) for each in received]


async def test_new_feed_starts_at_the_beginning(broker: Broker) -> None:
    """Everything that was there comes, in order, events before commands."""
    await publish(broker, *(record(broker.commands, n) for n in (1, 2)))
    await publish(broker, *(record(broker.events, n) for n in (3, 4)))
    assert {broker.commands: 2} == dict(await broker.feed.open({}))
    taken = await take(broker.feed, 4)
    assert ["3", "4"] == ids([r for r in taken if r.topic == broker.events])
    assert ["1", "2"] == ids([r for r in taken if r.topic == broker.commands])
    assert [0, 1] == [r.offset for r in taken if r.topic == broker.events]
    assert all(r.appended_at.tzinfo is not None for r in taken)


async def test_feed_continues_after_its_position(broker: Broker) -> None:
    """What was processed does not come again; the log epoch stays."""
    await publish(broker, *(record(broker.events, n) for n in (1, 2, 3)))
    position = InputPosition(log_epoch=4, offset=1, record_id="2", generation=1, seq=2)
    assert {} == dict(await broker.feed.open({broker.events: position}))
    taken = await take(broker.feed, 1)
    assert ([2], ["3"], [4]) == (
        [r.offset for r in taken],
        ids(taken),
        [r.log_epoch for r in taken],
    )


async def test_shorter_log_is_a_new_epoch(broker: Broker) -> None:
    """A stored offset past the end means a lost tail: back by time, one epoch on."""
    await publish(broker, *(record(broker.events, n) for n in (1, 2)))
    position = InputPosition(log_epoch=0, offset=9, record_id="10", generation=1, seq=10)
    await broker.feed.open({broker.events: position})
    taken = await take(broker.feed, 2)
    assert (["1", "2"], [1, 1]) == (ids(taken), [r.log_epoch for r in taken])


async def test_another_record_at_the_position_is_a_new_epoch(broker: Broker) -> None:
    """New records may stand where lost ones stood: the id tells."""
    await publish(broker, *(record(broker.events, n) for n in (1, 2)))
    position = InputPosition(log_epoch=0, offset=1, record_id="lost", generation=1, seq=2)
    await broker.feed.open({broker.events: position})
    taken = await take(broker.feed, 2)
    assert (["1", "2"], [1, 1]) == (ids(taken), [r.log_epoch for r in taken])


async def test_take_waits_and_gives_up(broker: Broker) -> None:
    """Nothing comes back after the timeout; what comes while waiting comes at once."""
    await broker.feed.open({})
    assert [] == await broker.feed.take(timeout_s=0.05)
    await publish(broker, record(broker.commands, 1))
    assert ["1"] == ids(await take(broker.feed, 1))


async def test_batches_are_bounded(broker: Broker) -> None:
    """At most 64 commands come at once; none is lost or out of order."""
    await broker.feed.open({})
    await publish(broker, *(record(broker.commands, n) for n in range(150)))
    taken: list[Received] = []
    while len(taken) < 150:
        batch = await broker.feed.take(timeout_s=TAKE_S)
        assert 1 <= len(batch) <= 64
        taken += batch
    assert [str(n) for n in range(150)] == ids(taken)


async def test_other_partitions_stay_away(broker: Broker) -> None:
    """A feed gives its own partition only."""
    await broker.feed.open({})
    await publish(broker, record(broker.events, 1, partition=1), record(broker.events, 2))
    assert ["2"] == ids(await take(broker.feed, 1))
    assert [] == await broker.feed.take(timeout_s=0.05)


async def test_tail_tells_how_far_a_topic_has_every_event(broker: Broker) -> None:
    """What came after a gap does not count until the gap is filled; repeats change nothing."""
    assert (await broker.publisher.tail(broker.events, 0)).last is None
    await publish(broker, *(record(broker.events, n) for n in (1, 2, 3)))
    await publish(broker, record(broker.events, 2))
    tail = await broker.publisher.tail(broker.events, 0)
    assert (Position(1, 0, 3), 4) == (tail.last, tail.end_offset)
    await publish(broker, record(broker.events, 5))
    assert Position(1, 0, 3) == (await broker.publisher.tail(broker.events, 0)).last
    await publish(broker, *(record(broker.events, n) for n in (4, 5)))
    assert Position(1, 0, 5) == (await broker.publisher.tail(broker.events, 0)).last


async def test_acknowledgement_tells_where_a_batch_stands(broker: Broker) -> None:
    """By its offset a relay sees that a topic has become shorter."""
    places = []
    for numbers in ((1, 2), (3,)):
        batch = [record(broker.events, number) for number in numbers]
        for acknowledged in await broker.publisher.send(batch):
            places.append(await acknowledged)
    assert [(broker.events, 0), (broker.events, 2)] == [(p.topic, p.offset) for p in places]

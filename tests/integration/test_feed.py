"""The input logs of a partition: taken from where it stopped, and what the broker has lost."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from libs.events.kafka.admin import ensure_topics
from libs.events.kafka.feed import KafkaFeed, KafkaFeeds
from libs.events.ports import FeedLost, InputPosition, Received
from libs.events.topics import Topic
from tests.support import topics
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

NAMES = itertools.count(1)
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Tape:
    """A topic of a test's own, with one partition."""

    bootstrap: str
    topic: Topic

    async def append(self, *ids: str) -> None:
        """Append records with these ids."""
        for id in ids:
            await topics.append(
                bootstrap=self.bootstrap,
                topic=self.topic,
                partition=0,
                value=id.encode(),
                headers=[("ce_id", id.encode())],
            )

    async def recreate(self) -> None:
        """Lose everything."""
        await topics.recreate(bootstrap=self.bootstrap, topic=self.topic)

    def inputs(self, last: Received) -> Mapping[str, InputPosition]:
        """Return what is stored after a record was processed."""
        id = dict(last.headers)["ce_id"].decode()
        return {
            self.topic.name: InputPosition(
                log_epoch=last.log_epoch, offset=last.offset, record_id=id
            )
        }

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[KafkaFeed]:
        """Give a feed of a new process."""
        feeds = KafkaFeeds(
            bootstrap=self.bootstrap,
            client_id="test",
            event_topics=[self.topic],
            command_topic=None,
            lazy_topics=[],
            partitions=1,
        )
        await feeds.start()
        try:
            async with feeds.running():
                yield feeds.feed(0)
        finally:
            await feeds.stop()

    async def read(self, inputs: Mapping[str, InputPosition], number: int) -> Sequence[Received]:
        """Return so many records after a stored position, as a new process takes them."""
        async with self.feed() as feed:
            await feed.open(inputs)
            return await take(feed, number)


async def take(feed: KafkaFeed, number: int) -> list[Received]:
    """Take until there are so many records."""
    taken: list[Received] = []
    for _ in range(20):
        taken += await feed.take(timeout_s=1)
        if len(taken) >= number:
            break
    return taken


def values(taken: Sequence[Received]) -> list[tuple[int, str]]:
    """Return log epoch and value of records."""
    return [(each.log_epoch, (each.value or b"").decode()) for each in taken]


@pytest.fixture
async def tape(stack: Stack) -> Tape:
    """An empty topic."""
    assert stack.kafka.running
    name = f"test.feed{next(NAMES)}.v1"
    topic = Topic(
        name=name, partitions=1, key="none", retention_ms=HOUR_MS, poison="halt", purpose="a test"
    )
    await ensure_topics(bootstrap=stack.broker.bootstrap, topics=[topic])
    return Tape(stack.broker.bootstrap, topic)


async def test_a_new_process_goes_on_after_the_stored_position(tape: Tape) -> None:
    """What was processed does not come again; what follows comes once, in order."""
    await tape.append("a", "b", "c", "d")
    first = await tape.read({}, 4)
    assert [(0, "a"), (0, "b"), (0, "c"), (0, "d")] == values(first)
    assert [(0, "c"), (0, "d")] == values(await tape.read(tape.inputs(first[1]), 2))


async def test_an_empty_log_is_a_new_epoch(tape: Tape) -> None:
    """After the broker has lost everything, its new records come with the next log epoch."""
    await tape.append("a", "b", "c")
    stored = tape.inputs((await tape.read({}, 3))[-1])
    await tape.recreate()
    await tape.append("x")
    assert [(1, "x")] == values(await tape.read(stored, 1))


async def test_another_record_at_the_stored_position_is_a_new_epoch(tape: Tape) -> None:
    """When the lost tail has grown again beyond the position, all of it comes, none is skipped."""
    await tape.append("a", "b")
    stored = tape.inputs((await tape.read({}, 2))[-1])
    await tape.recreate()
    await tape.append("w", "x", "y", "z")
    assert [(1, "w"), (1, "x"), (1, "y"), (1, "z")] == values(await tape.read(stored, 4))


async def test_a_loss_under_a_running_feed_is_told(tape: Tape) -> None:
    """A feed whose position vanishes raises FeedLost, and opens again with the next log epoch."""
    await tape.append("a", "b", "c")
    async with tape.feed() as feed:
        await feed.open({})
        stored = tape.inputs((await take(feed, 3))[-1])
        await tape.recreate()
        with pytest.raises(FeedLost):
            await take(feed, 1)
        await tape.append("x")
        await feed.open(stored)
        assert [(1, "x")] == values(await take(feed, 1))


async def test_what_retention_has_removed_is_no_loss(tape: Tape) -> None:
    """Records below the log's beginning are passed over; the log epoch stays."""
    await tape.append("a", "b", "c")
    stored = tape.inputs((await tape.read({}, 3))[0])
    await topics.forget(bootstrap=tape.bootstrap, topic=tape.topic, partition=0)
    await tape.append("d")
    assert [(0, "d")] == values(await tape.read(stored, 1))


def lag_of(feed: KafkaFeed) -> tuple[int, int] | None:
    """Return how many records are not taken and the broker's next offset; None before any fetch."""
    lags = list(feed.lags())
    return (lags[0].records, lags[0].end) if lags else None


async def test_what_was_not_taken_is_the_lag(tape: Tape) -> None:
    """Nothing once all is taken, also for a new process that goes on there; none while closed."""
    await tape.append("a", "b", "c")

    async def behind(feed: KafkaFeed, records: int) -> bool:
        return lag_of(feed) == (records, 3)

    async def behind_after_a_look(feed: KafkaFeed, records: int) -> bool:
        assert [] == await feed.take(timeout_s=0.1)
        return await behind(feed, records)

    async with tape.feed() as feed:
        await feed.open({})
        await eventually(lambda: behind(feed, 3))
        assert all(lag.age_s > 0 for lag in feed.lags())
        stored = tape.inputs((await take(feed, 3))[-1])
        assert (0, 3) == lag_of(feed)
        assert [0.0] == [lag.age_s for lag in feed.lags()]
        feed.close()
        assert lag_of(feed) is None
    async with tape.feed() as feed:
        await feed.open(stored)
        await eventually(lambda: behind_after_a_look(feed, 0))

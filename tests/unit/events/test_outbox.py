"""What the relay does when the broker comes back with less than it had acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

from libs.events.codec import encode, parse_position
from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS
from libs.events.memory.broker import MemoryBroker, MemoryPublisher
from libs.events.outbox import Outbox
from libs.events.ports import Head, Outgoing, Tail
from libs.events.topics import INVENTORY_EVENTS
from tests.support import examples

TOPIC = INVENTORY_EVENTS.name
EVENTS = 3


def event(seq: int) -> Envelope:
    """Return the ledger's event at a place."""
    position = Position(1, 0, seq)
    data = replace(examples.UNITS_HELD, reservation_id=f"res_{seq}")
    return replace(examples.envelope_of(data), id=position.event_id(), position=position)


def _record(event: Envelope) -> Outgoing:
    headers, value = encode(event)
    return Outgoing(topic=TOPIC, partition=0, key=b"", headers=headers, value=value)


class Recorded:
    """A log of three events, the first two of them published."""

    async def published(self) -> int:
        """See `Log`."""
        return EVENTS - 1

    async def events_after(self, *, seq: int, limit: int) -> Sequence[Envelope]:
        """See `Log`."""
        return [event(each) for each in range(seq + 1, EVENTS + 1)][:limit]


class Forgetful:
    """A publisher whose broker loses everything once, right after somebody has looked."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._publisher = MemoryPublisher(broker)
        self._lost = False

    async def tail(self, topic: str, partition: int) -> Tail:
        """See `Publisher`."""
        found = await self._publisher.tail(topic, partition)
        if not self._lost:
            self._lost = True
            self._broker.log(topic, partition).clear()
        return found

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See `Publisher`."""
        return await self._publisher.send(records)


async def test_what_is_lost_while_it_is_published_again_is_published_too() -> None:
    """The batch lands where older events stood: those are sent once more."""
    broker = MemoryBroker(clock=lambda: examples.HELD_AT)
    publisher = Forgetful(broker)
    for each in (event(1), event(2)):
        await publisher.send([_record(each)])
    log: Any = Recorded()
    outbox = Outbox(log=log, publisher=publisher, topic=TOPIC, partition=0)
    await outbox.open(
        Head(
            partition=0,
            epoch=1,
            generation=1,
            seq=EVENTS,
            decided_at=examples.HELD_AT,
            hash=GENESIS,
            inputs={},
        )
    )
    places = {
        parse_position(value.decode()).seq
        for stored in broker.log(TOPIC, 0)
        for name, value in stored.headers
        if name == "ce_position"
    }
    assert places == {1, 2, 3}
    assert outbox.pending == 0

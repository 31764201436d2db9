"""After a restore: places count in the new generation, old topics are not taken for new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from libs.events.codec import encode
from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS
from libs.events.intake import Intake
from libs.events.memory.broker import MemoryBroker, MemoryPublisher
from libs.events.outbox import Outbox
from libs.events.ports import Halted, Head, InputPosition, Outgoing, Received
from libs.events.topics import INVENTORY_EVENTS, Topic
from services.reservation.app.behaviour import ReservationBehaviour
from tests.support import examples

NOW = examples.HELD_AT
EVENTS: Topic = INVENTORY_EVENTS


def event(seq: int, *, generation: int = 1) -> Envelope:
    """Return a ledger's event at a place."""
    position = Position(generation, 0, seq)
    data = replace(examples.UNITS_HELD, reservation_id=f"res_{seq}")
    return replace(examples.envelope_of(data), id=position.event_id(), position=position)


def head(*, generation: int, seq: int = 0, taken: int = 0) -> Head:
    """Return a head that has taken so many of the ledger's events."""
    return Head(
        partition=0,
        epoch=1,
        generation=generation,
        seq=seq,
        decided_at=NOW,
        hash=GENESIS,
        inputs={EVENTS.name: InputPosition(generation=generation, seq=taken)},
    )


class Owner:
    """The ledger's read view."""

    def __init__(self, *events: Envelope) -> None:
        self.events = events

    async def head(self, topic: str, partition: int) -> int:
        """See `GapReader`."""
        return len(self.events)

    async def fetch(
        self, topic: str, partition: int, *, after_seq: int, limit: int
    ) -> tuple[Envelope, ...]:
        """See `GapReader`."""
        return self.events[after_seq : after_seq + limit]


class Unwatched:
    """Nobody looks."""

    def dropped_stale(self) -> None:
        """See `IntakeWatch`."""

    def parked(self, topic: str) -> None:
        """See `IntakeWatch`."""

    def filled_gap(self, events: int) -> None:
        """See `IntakeWatch`."""


def intake(*events: Envelope) -> tuple[Intake, list[float]]:
    """Return an intake, and the clock that it looks at."""
    clock = [0.0]
    unused: Any = None

    async def unthrottled(_: int) -> None:
        pass

    made = Intake(
        partition=0,
        behaviour=ReservationBehaviour(
            numbers=examples.NUMBERS, lookup=unused, catalogues=unused, watch=unused
        ),
        gaps=Owner(*events),
        publisher=MemoryPublisher(MemoryBroker(clock=lambda: NOW)),
        watch=Unwatched(),
        now=lambda: NOW,
        monotonic=lambda: clock[0],
        throttle=unthrottled,
    )
    return made, clock


def received(envelope: Envelope) -> Received:
    """Return an event as it comes from a new topic."""
    headers, value = encode(envelope)
    return Received(
        topic=EVENTS.name,
        log_epoch=1,
        offset=0,
        appended_at=NOW,
        headers=headers,
        value=value,
    )


@pytest.mark.parametrize(("own", "expected"), [(2, (2, 2)), (1, (1, 2))])
async def test_an_old_event_counts_in_the_generation_that_has_begun(
    own: int, expected: tuple[int, int]
) -> None:
    """Who waits for (2, 2) must not wait for ever; without a restore nothing changes."""
    taking, _ = intake()
    taking.start(head(generation=own, taken=1))
    await taking.admit([received(event(2))])
    at = taking.at(EVENTS.name)
    assert expected == (at.generation, at.seq)


async def test_an_old_event_from_its_owner_counts_in_it_too() -> None:
    """The same where Kafka had not delivered it."""
    taking, clock = intake(event(1), event(2))
    taking.start(head(generation=2, taken=1))
    clock[0] = 3.0
    assert [] == await taking.check_sources()
    clock[0] = 6.0
    assert ["1-0-2"] == [each.id for each in await taking.check_sources()]
    at = taking.at(EVENTS.name)
    assert (2, 2) == (at.generation, at.seq)


class Published:
    """The part of a log that an outbox asks first."""

    async def published(self) -> int:
        """See `Log`."""
        return 0

    async def events_after(self, *, seq: int, limit: int) -> list[Envelope]:
        """See `Log`."""
        return [event(number) for number in range(seq + 1, 3)]


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_topic_that_knows_more_than_the_log_halts_it(ahead: bool) -> None:
    """Its readers would have taken events that never happened now."""
    broker = MemoryBroker(clock=lambda: NOW)
    publisher = MemoryPublisher(broker)
    for seq in range(1, 4 if ahead else 3):
        headers, value = encode(event(seq))
        await publisher.send(
            [Outgoing(topic=EVENTS.name, partition=0, key=b"", headers=headers, value=value)]
        )
    log: Any = Published()
    outbox = Outbox(log=log, publisher=publisher, topic=EVENTS.name, partition=0)
    if ahead:
        with pytest.raises(Halted, match="restored"):
            await outbox.open(head(generation=2, seq=2))
    else:
        await outbox.open(head(generation=2, seq=2))
        assert 0 == outbox.pending

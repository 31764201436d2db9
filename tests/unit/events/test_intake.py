"""From records to messages: each position once, gaps filled, old commands dropped, poison apart.

The reservation service's inputs stand for any service's: commands and another service's events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from libs.events.codec import encode
from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS
from libs.events.intake import Intake
from libs.events.memory.broker import MemoryBroker, MemoryPublisher
from libs.events.ports import Halted, Head, InputPosition, Received
from libs.events.topics import (
    DEAD_LETTERS,
    INVENTORY_EVENTS,
    RESERVATION_COMMANDS,
)
from services.reservation.app.behaviour import ReservationBehaviour
from tests.support import examples

NOW = examples.HELD_AT
EVENTS, COMMANDS = INVENTORY_EVENTS.name, RESERVATION_COMMANDS.name


def units_held(seq: int) -> Envelope:
    """Return the ledger's event at a position."""
    data = replace(examples.UNITS_HELD, reservation_id=f"res_{seq}")
    position = Position(1, 0, seq)
    return replace(examples.envelope_of(data), id=position.event_id(), position=position)


def units_sold(seq: int) -> Envelope:
    """Return an event that the service does not decide about."""
    position = Position(1, 0, seq)
    envelope = examples.envelope_of(examples.UNITS_SOLD)
    return replace(envelope, id=position.event_id(), position=position)


def cancel(number: int) -> Envelope:
    """Return a command, issued now."""
    id = f"command-{number}"
    return replace(examples.envelope_of(examples.CANCEL), id=id, correlation_id=id)


@dataclass
class Owner:
    """The ledger's read view: all of its events, and what was asked of it."""

    events: list[Envelope] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    answers: bool = True

    async def head(self, topic: str, partition: int) -> int:
        """See `GapReader`."""
        assert (EVENTS, 0) == (topic, partition)
        return len(self.events) if self.answers else 0

    async def fetch(
        self, topic: str, partition: int, *, after_seq: int, limit: int
    ) -> Sequence[Envelope]:
        """See `GapReader`."""
        assert (EVENTS, 0) == (topic, partition)
        self.asked.append((after_seq, limit))
        return self.events[after_seq : after_seq + limit]


@dataclass
class Counted:
    """A watch that counts."""

    stale: int = 0
    parked_records: int = 0
    gap_events: int = 0

    def dropped_stale(self) -> None:
        """See `IntakeWatch`."""
        self.stale += 1

    def parked(self, topic: str) -> None:
        """See `IntakeWatch`."""
        self.parked_records += 1

    def filled_gap(self, events: int) -> None:
        """See `IntakeWatch`."""
        self.gap_events += events


class Inputs:
    """An intake with its surroundings, and records in the order they came."""

    def __init__(self) -> None:
        self.clock = NOW
        self.elapsed_s = 0.0
        self.owner, self.watch = Owner(), Counted()
        self.broker = MemoryBroker(clock=lambda: self.clock)
        unused: Any = None
        behaviour = ReservationBehaviour(
            numbers=examples.NUMBERS, lookup=unused, catalogues=unused, watch=unused
        )
        self.intake = Intake(
            partition=0,
            behaviour=behaviour,
            gaps=self.owner,
            publisher=MemoryPublisher(self.broker),
            watch=self.watch,
            now=lambda: self.clock,
            monotonic=lambda: self.elapsed_s,
            throttle=self.throttle,
        )
        self.intake.start(self.head({}))
        self.offsets: dict[str, int] = {}
        self.throttled: list[int] = []

    def head(self, inputs: dict[str, InputPosition]) -> Head:
        """Return a head with those input positions."""
        return Head(
            partition=0,
            epoch=1,
            generation=1,
            seq=0,
            decided_at=NOW,
            hash=GENESIS,
            inputs=inputs,
        )

    def record(self, topic: str, envelope: Envelope, **other: Any) -> Received:
        """Return the next record of a topic."""
        headers, value = encode(envelope)
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        received = Received(
            topic=topic,
            log_epoch=0,
            offset=offset,
            appended_at=NOW,
            headers=headers,
            value=value,
        )
        return replace(received, **other)

    async def events(self, *envelopes: Envelope) -> list[str]:
        """Take events in and return the ids of what is to be decided."""
        return await self.take(*(self.record(EVENTS, envelope) for envelope in envelopes))

    async def throttle(self, commands: int) -> None:
        """Note what is about to be decided."""
        self.throttled.append(commands)

    async def take(self, *records: Received) -> list[str]:
        """Take records in and return the ids of what is to be decided."""
        return [message.id for message in await self.intake.admit(records)]


async def test_what_arrives_is_decided_in_its_order() -> None:
    """And the positions move along, one for each topic."""
    inputs = Inputs()
    decided = await inputs.take(
        inputs.record(EVENTS, units_held(1)), inputs.record(COMMANDS, cancel(1))
    )
    assert ["1-0-1", "command-1"] == decided
    assert {
        EVENTS: InputPosition(offset=0, record_id="1-0-1", generation=1, seq=1),
        COMMANDS: InputPosition(offset=0, record_id="command-1"),
    } == inputs.intake.positions


async def test_a_position_is_taken_once() -> None:
    """Repeats of a relay are absorbed, within a batch and after it; the offset still moves."""
    inputs = Inputs()
    assert ["1-0-1", "1-0-2"] == await inputs.events(
        units_held(1), units_held(2), units_held(1), units_held(2)
    )
    assert [] == await inputs.events(units_held(2))
    assert (4, 2) == (inputs.intake.at(EVENTS).offset, inputs.intake.at(EVENTS).seq)


async def test_what_is_of_no_interest_moves_the_position_only() -> None:
    """It is part of the sequence, so that it leaves no gap."""
    inputs = Inputs()
    assert ["1-0-2"] == await inputs.events(units_sold(1), units_held(2), units_sold(3))
    assert 3 == inputs.intake.at(EVENTS).seq
    assert [] == inputs.owner.asked


async def test_a_gap_is_filled_from_the_owner() -> None:
    """What Kafka lost comes before what it delivered; what is of no interest stays out."""
    inputs = Inputs()
    inputs.owner.events = [units_held(1), units_sold(2), units_held(3), units_held(4)]
    assert ["1-0-1", "1-0-3", "1-0-4"] == await inputs.events(units_held(4))
    assert [(0, 3)] == inputs.owner.asked
    assert 3 == inputs.watch.gap_events
    assert 4 == inputs.intake.at(EVENTS).seq


async def test_a_long_gap_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No query is without a limit."""
    monkeypatch.setattr("libs.events.intake.GAP_PAGE", 2)
    inputs = Inputs()
    inputs.owner.events = [units_held(seq) for seq in range(1, 7)]
    assert 6 == len(await inputs.events(units_held(6)))
    assert [(0, 2), (2, 2), (4, 1)] == inputs.owner.asked


async def test_a_gap_that_nobody_can_fill_halts_the_partition() -> None:
    """An event of another service is never skipped."""
    inputs = Inputs()
    inputs.owner.events = [units_held(1)]
    with pytest.raises(Halted, match=r"events 2\.\.3 are nowhere to be found"):
        await inputs.events(units_held(1), units_held(4))


async def test_an_event_that_can_not_be_read_halts_the_partition() -> None:
    """It waits for somebody who can, and its position does not move."""
    inputs = Inputs()
    with pytest.raises(Halted, match=r"inventory\.events\.v1 offset 0"):
        await inputs.take(inputs.record(EVENTS, units_held(1), value=b"{}"))
    assert -1 == inputs.intake.at(EVENTS).offset
    assert 0 == inputs.watch.parked_records


@pytest.mark.parametrize(
    "other",
    [
        {"value": b"{}"},
        {"headers": [("ce_type", b"\xff")]},
        {"headers": [], "value": None},
    ],
)
async def test_a_command_that_can_not_be_read_is_parked_as_it_came(other: dict[str, Any]) -> None:
    """The next one follows; the record says why it lies there."""
    inputs = Inputs()
    poison = inputs.record(COMMANDS, cancel(1), **other)
    assert ["command-2"] == await inputs.take(poison, inputs.record(COMMANDS, cancel(2)))
    (parked,) = inputs.broker.log(DEAD_LETTERS.name, 0)
    assert (poison.value or b"") == parked.value
    assert poison.headers == parked.headers[:-3]
    assert ["x-dlq-reason", "x-dlq-topic", "x-dlq-partition"] == [
        name for name, _ in parked.headers[-3:]
    ]
    assert (1, 1) == (inputs.watch.parked_records, inputs.intake.at(COMMANDS).offset)


async def test_a_command_of_another_service_is_parked() -> None:
    """It came to the wrong topic, and its asker must not wait for nothing unseen."""
    inputs = Inputs()
    stray = replace(cancel(1), data=examples.STOP_SALES)
    assert [] == await inputs.take(inputs.record(COMMANDS, stray))
    assert 1 == inputs.watch.parked_records


async def test_a_record_is_not_passed_while_it_can_not_be_parked() -> None:
    """Only what lies in the dead letters may be left behind."""
    inputs = Inputs()
    inputs.broker.down = True
    with pytest.raises(Exception, match="the broker is down"):
        await inputs.take(inputs.record(COMMANDS, cancel(1), value=b"{}"))
    assert -1 == inputs.intake.at(COMMANDS).offset


@pytest.mark.parametrize(
    "age_s, decided", [(0.0, True), (2.5, True), (2.500001, False), (3600.0, False), (-5.0, True)]
)
@pytest.mark.parametrize("by", ["issue", "append"])
async def test_old_commands_are_dropped(age_s: float, decided: bool, by: str) -> None:
    """By issue or append time, whichever is older: their askers have been told 504."""
    inputs = Inputs()
    then = NOW - timedelta(seconds=age_s)
    command = replace(cancel(1), time=then) if by == "issue" else cancel(1)
    appended_at = then if by == "append" else NOW
    record = inputs.record(COMMANDS, command, appended_at=appended_at)
    assert decided == bool(await inputs.take(record))
    assert decided == (inputs.watch.stale == 0)
    assert 0 == inputs.intake.at(COMMANDS).offset


async def test_old_events_are_decided_all_the_same() -> None:
    """What has happened stays true."""
    inputs = Inputs()
    inputs.clock = NOW + timedelta(hours=1)
    assert ["1-0-1"] == await inputs.events(units_held(1))
    assert 0 == inputs.watch.stale


async def test_the_owner_is_asked_now_and_then_what_kafka_keeps_from_us() -> None:
    """What it had at the last question and we have still not got is read from it."""
    inputs = Inputs()
    inputs.owner.events = [units_held(1), units_held(2), units_sold(3)]
    checked: list[list[str]] = []
    for _ in range(4):
        inputs.elapsed_s += 2.0
        checked.append([message.id for message in await inputs.intake.check_sources()])
    assert [[], ["1-0-1", "1-0-2"], [], []] == checked
    assert 3 == inputs.intake.at(EVENTS).seq
    assert [] == await inputs.events(units_held(1), units_held(2))


async def test_the_owner_is_left_in_peace_in_between() -> None:
    """One question each two seconds, and none about what has come meanwhile."""
    inputs = Inputs()
    inputs.owner.events = [units_held(1)]
    inputs.elapsed_s += 1.9
    assert [] == await inputs.intake.check_sources()
    inputs.elapsed_s += 0.1
    assert [] == await inputs.intake.check_sources()
    await inputs.events(units_held(1))
    inputs.elapsed_s += 2.0
    assert [] == await inputs.intake.check_sources()
    assert [] == inputs.owner.asked


async def test_an_owner_that_can_not_be_asked_keeps_nobody_waiting() -> None:
    """Kafka may still deliver."""
    inputs = Inputs()
    inputs.owner.answers = False
    inputs.owner.events = [units_held(1)]
    for _ in range(3):
        inputs.elapsed_s += 2.0
        assert [] == await inputs.intake.check_sources()
    assert ["1-0-1"] == await inputs.events(units_held(1))


async def test_positions_that_are_not_saved_are_noticed() -> None:
    """Progress without effects is written too, soon."""
    inputs = Inputs()
    assert 0.0 == inputs.intake.unsaved_s()
    await inputs.events(units_sold(1))
    inputs.elapsed_s += 0.25
    assert 0.25 == inputs.intake.unsaved_s()
    inputs.intake.saved()
    assert 0.0 == inputs.intake.unsaved_s()


async def test_a_new_owner_continues_from_its_head() -> None:
    """What the one before had taken does not come again."""
    inputs = Inputs()
    inputs.intake.start(inputs.head({EVENTS: InputPosition(offset=6, generation=1, seq=7)}))
    assert ["1-0-8"] == await inputs.events(units_held(6), units_held(7), units_held(8))


async def test_a_throttle_is_told_of_commands_that_will_be_decided() -> None:
    """Events, and commands too old to be decided, cost nothing."""
    inputs = Inputs()
    old = inputs.record(COMMANDS, cancel(1), appended_at=NOW - timedelta(seconds=10))
    await inputs.take(inputs.record(EVENTS, units_held(1)), old)
    await inputs.take(inputs.record(COMMANDS, cancel(2)), inputs.record(COMMANDS, cancel(3)))
    assert [0, 2] == inputs.throttled

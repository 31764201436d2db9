"""What a batch means for the reservation service: what it looks up, opens early and expires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from libs.events.contracts.inventory import UnitsHeld
from libs.events.contracts.reservation import (
    ExpireReservation,
    ReservationActivated,
    ReservationRefused,
)
from libs.events.envelope import Envelope, Position
from libs.events.hashing import GENESIS
from libs.events.messages import MESSAGES
from libs.events.ports import Head, InputPosition
from libs.events.topics import INVENTORY_EVENTS
from libs.kernel.outcome import Decision
from libs.kernel.state import State
from services.reservation.app.behaviour import ReservationBehaviour
from services.reservation.domain.hold import Reservation
from tests.support import examples
from tests.support.catalogues import KeptCatalogues

ID = examples.RESERVATION_ID
NEWER = replace(
    examples.CATALOGUE,
    version=8,
    products=(replace(examples.PRODUCT, prices=replace(examples.PRICES, currency="XTS")),),
)


@dataclass
class Stored:
    """Our own table and the ledger's read view; remembers what it was asked for."""

    own: dict[str, Reservation] = field(default_factory=dict)
    ledger: dict[str, Envelope] = field(default_factory=dict)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        """See `HoldsLookup`."""
        self.asked.append(("own", list(reservation_ids)))
        return [self.own[id] for id in reservation_ids if id in self.own]

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        """See `HoldsLookup`."""
        self.asked.append(("ledger", list(reservation_ids)))
        return [self.ledger[id] for id in reservation_ids if id in self.ledger]

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        """See `HoldsLookup`."""
        return {
            id: reservation.ledger_seq
            for id, reservation in self.own.items()
            if reservation.ledger_seq > ledger_seq
        }


@dataclass
class Seen:
    """A watch that remembers what it was told."""

    delays_s: list[float] = field(default_factory=list)

    def expired(self, delay_s: float) -> None:
        """See `HoldsWatch`."""
        self.delays_s.append(delay_s)


def units_held(number: int, *, id: str | None = None) -> Envelope:
    """Return the ledger's event at a position; its reservation is `res_<number>`."""
    data = replace(examples.UNITS_HELD, reservation_id=id or f"res_{number}")
    position = Position(1, 0, number)
    return replace(
        examples.envelope_of(data),
        id=position.event_id(),
        position=position,
        correlation_id=f"place-{number}",
    )


def command(data: object, *, id: str = "command-1") -> Envelope:
    """Return a command in its envelope."""
    return replace(examples.envelope_of(data), id=id, correlation_id=id)


def activate(number: int) -> Envelope:
    """Return the command to activate `res_<number>`."""
    data = replace(examples.ACTIVATE, reservation_id=f"res_{number}")
    return command(data, id=f"activate-{number}")


class Partition:
    """A partition without the loop: prepare, decide, evolve, write, over what is stored."""

    def __init__(self, stored: Stored | None = None) -> None:
        self.stored = stored or Stored()
        self.seen = Seen()
        self.catalogues = KeptCatalogues(examples.CATALOGUE, NEWER)
        self.state = State(partition=0)
        self.behaviour = ReservationBehaviour(
            numbers=examples.NUMBERS,
            lookup=self.stored,
            catalogues=self.catalogues,
            watch=self.seen,
        )
        self.head = Head(
            partition=0,
            epoch=1,
            generation=1,
            seq=0,
            decided_at=examples.NOW,
            hash=GENESIS,
            inputs={},
        )
        self.answers: list[object] = []

    async def restarted(self) -> Partition:
        """Return the partition as its next owner finds it."""
        successor = Partition(self.stored)
        successor.head = self.head
        for reservation in self.stored.own.values():
            if reservation.kept:
                successor.state.load(reservation)
        await successor.behaviour.start(successor.state, successor.head)
        return successor

    async def batch(self, *messages: Envelope, at: datetime = examples.NOW) -> list[object]:
        """Decide messages in one batch, write it, and return what has happened."""
        self.state.release()
        happened: list[object] = []
        self.answers = []
        before = await self.behaviour.prepare(self.state, messages)
        for message in [*before, *messages]:
            decision = self._decide(message, at)
            happened += [*decision.projected, *decision.events]
            if decision.answer is not None:
                self.answers.append(decision.answer)
        self._write(happened, messages, at)
        return happened

    def _decide(self, message: Envelope, at: datetime) -> Decision:
        decision = self.behaviour.decide(self.state, message, at)
        for event in decision.events:
            position = Position(1, 0, self.head.seq + 1)
            self.behaviour.evolve(self.state, event, position, at)
            self.head = replace(self.head, seq=position.seq)
        for entity in decision.projected:
            self.state.put(entity)
        return decision

    def _write(
        self, happened: Sequence[object], messages: Sequence[Envelope], at: datetime
    ) -> None:
        taken = [m.position.seq for m in messages if m.position is not None]
        inputs = dict(self.head.inputs)
        if taken:
            inputs[INVENTORY_EVENTS.name] = InputPosition(generation=1, seq=max(taken))
        self.head = replace(self.head, decided_at=at, inputs=inputs)
        changes = self.state.staged()
        for change in changes:
            if isinstance(change.entity, Reservation):
                self.stored.own[change.entity.reservation_id] = change.entity
        self.state.commit()
        self.behaviour.committed(self.state, changes, happened, self.head)


def kinds(events: Sequence[object]) -> list[str]:
    """Return the names of what happened."""
    return [type(event).__name__ for event in events]


async def test_a_hold_opens_when_the_ledger_tells_of_it() -> None:
    """The usual way; nothing is looked up."""
    partition = Partition()
    assert ["Reservation"] == kinds(await partition.batch(units_held(1)))
    assert ["ReservationActivated"] == kinds(await partition.batch(activate(1)))
    assert [] == partition.stored.asked


async def test_a_command_may_overtake_the_ledgers_event() -> None:
    """The hold is looked up, opened early with the ledger's time and place, and decided."""
    partition = Partition()
    partition.stored.ledger["res_7"] = units_held(7)
    opened, activated = await partition.batch(activate(7))
    assert isinstance(opened, Reservation)
    assert isinstance(activated, ReservationActivated)
    assert (7, examples.HELD_AT) == (opened.ledger_seq, opened.held_at)
    assert [("own", ["res_7"]), ("ledger", ["res_7"])] == partition.stored.asked


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_late_event_of_an_early_hold_is_ignored(restarted: bool) -> None:
    """Ended or not, remembered or read again after a restart: it opens nothing twice."""
    partition = Partition()
    for number in (3, 4):
        partition.stored.ledger[f"res_{number}"] = units_held(number)
    await partition.batch(activate(3))
    # Too few customer types: refused, so that this one stays open.
    wrong = replace(examples.ACTIVATE, reservation_id="res_4", customer_types=("adult", "adult"))
    await partition.batch(command(wrong))
    if restarted:
        partition = await partition.restarted()
    happened = await partition.batch(*(units_held(number) for number in (1, 2, 3, 4, 5)))
    opened = [event.reservation_id for event in happened if isinstance(event, Reservation)]
    assert ["res_1", "res_2", "res_5"] == opened


async def test_a_command_beside_the_late_event_of_an_ended_early_hold_finds_it() -> None:
    """The copy opens nothing, so the stored reservation has to be read to refuse rightly."""
    partition = Partition()
    partition.stored.ledger["res_3"] = units_held(3)
    await partition.batch(activate(3))
    again = command(replace(examples.ACTIVATE, reservation_id="res_3"), id="command-2")
    assert [] == await partition.batch(units_held(3), again)
    expected = ReservationRefused(
        reason="already_activated", reservation_id="res_3", order_id=examples.ORDER_ID
    )
    assert [expected] == partition.answers


async def test_an_event_that_comes_before_the_command_needs_no_look_up() -> None:
    """In one batch the hold is open when its command is decided."""
    partition = Partition()
    happened = await partition.batch(units_held(1), activate(1))
    assert ["Reservation", "ReservationActivated"] == kinds(happened)
    assert [] == partition.stored.asked


async def test_an_event_that_comes_behind_the_command_opens_nothing_twice() -> None:
    """What was read past Kafka comes last in a batch; the command must not miss its hold."""
    partition = Partition()
    partition.stored.ledger["res_1"] = units_held(1)
    happened = await partition.batch(activate(1), units_held(1))
    assert ["Reservation", "ReservationActivated"] == kinds(happened)


async def test_an_ended_reservation_is_read_from_the_own_table() -> None:
    """The ledger is not asked about what is known here."""
    partition = Partition()
    partition.stored.own[ID] = replace(
        examples.RESERVATION, status="cancelled", ended_by="cancel-1"
    )
    assert [] == await partition.batch(command(examples.ACTIVATE))
    assert [
        ReservationRefused(reason="reservation_cancelled", reservation_id=ID)
    ] == partition.answers
    assert [("own", [ID])] == partition.stored.asked


async def test_one_query_finds_all_that_a_batch_does_not_know() -> None:
    """However many commands name how many reservations."""
    partition = Partition()
    for number in (1, 2):
        partition.stored.ledger[f"res_{number}"] = units_held(number)
    happened = await partition.batch(activate(2), activate(1), activate(2), activate(9))
    opened = ["Reservation"] * 2
    assert [*opened, "ReservationActivated", "ReservationActivated"] == kinds(happened)
    asked = ["res_1", "res_2", "res_9"]
    assert [("own", asked), ("ledger", asked)] == partition.stored.asked


async def test_what_nobody_knows_is_not_found() -> None:
    """404 only if the ledger has not got it either."""
    partition = Partition()
    assert [] == await partition.batch(command(examples.CANCEL))
    assert [
        ReservationRefused(reason="reservation_not_found", reservation_id=ID)
    ] == partition.answers


async def test_anothers_reservation_is_not_found() -> None:
    """It looks like an unknown one, opened early or not."""
    partition = Partition()
    partition.stored.ledger[ID] = units_held(1, id=ID)
    foreign = replace(examples.ACTIVATE, partner_id="dudu_partner")
    await partition.batch(command(foreign))
    assert [
        ReservationRefused(reason="reservation_not_found", reservation_id=ID)
    ] == partition.answers


@pytest.mark.parametrize("restarted", [False, True])
async def test_open_holds_expire_at_their_deadlines(restarted: bool) -> None:
    """Deadlines come with the holds and are derived from them at a restart."""
    partition = Partition()
    await partition.batch(units_held(1), units_held(2), activate(1))
    if restarted:
        partition = await partition.restarted()
    assert examples.EXPIRES_AT == partition.behaviour.next_due()
    early = examples.EXPIRES_AT - timedelta(microseconds=1)
    assert [] == list(partition.behaviour.due(partition.state, early, 10))

    at = examples.EXPIRES_AT + timedelta(seconds=1.5)
    due = partition.behaviour.due(partition.state, at, 10)
    assert [ExpireReservation(reservation_id="res_2")] == list(due)
    happened = await partition.batch(*(command(each, id="due") for each in due), at=at)
    assert ["ReservationExpired"] == kinds(happened)
    assert partition.behaviour.next_due() is None
    assert [] == list(partition.behaviour.due(partition.state, at, 10))
    assert ([1.5], 0) == (partition.seen.delays_s, partition.behaviour.open_holds())


async def test_a_command_comes_before_the_expiry_that_is_due_in_the_same_tick() -> None:
    """Both end the hold, once: the command is refused as expired and appends the expiry."""
    partition = Partition()
    await partition.batch(units_held(1))
    at = examples.EXPIRES_AT
    due = [command(each, id="due") for each in partition.behaviour.due(partition.state, at, 10)]
    assert ["ReservationExpired"] == kinds(await partition.batch(activate(1), *due, at=at))
    assert "activate-1" == partition.stored.own["res_1"].ended_by


async def test_an_order_has_the_prices_of_its_hold_wherever_the_hold_is_found() -> None:
    """In the same batch, in memory, or in the ledger only: the version is read before deciding."""

    def of_version(number: int, version: int) -> Envelope:
        held = units_held(number)
        assert isinstance(held.data, UnitsHeld)
        return replace(held, data=replace(held.data, rule_version=version))

    partition = Partition()
    partition.stored.ledger = {"res_3": of_version(3, 8)}
    await partition.batch(of_version(1, 8))
    assert [] == partition.catalogues.read_versions
    events = await partition.batch(of_version(2, 7), activate(1), activate(2), activate(3))
    sold = [each for each in events if isinstance(each, ReservationActivated)]
    assert [("XTS", 8), ("HKD", 7), ("XTS", 8)] == [
        (each.currency, each.rule_version) for each in sold
    ]


async def test_operators_see_how_many_holds_are_open() -> None:
    """Counters of order numbers are not holds."""
    partition = Partition()
    await partition.batch(units_held(1), units_held(2), units_held(3))
    assert 3 == partition.behaviour.open_holds()
    await partition.batch(activate(1))
    assert 2 == partition.behaviour.open_holds()


def test_the_service_reads_the_messages_that_it_decides() -> None:
    """Every name of its interests is registered."""
    behaviour = Partition().behaviour
    assert set(behaviour.interests) <= {message.name for message in MESSAGES}
    assert MESSAGES.message_of(examples.UNITS_HELD).shape is UnitsHeld

"""Any interleaving of opening, activating, cancelling and expiring ends every hold exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.contracts.inventory import UnitsHeld
from libs.events.contracts.reservation import (
    ActivateReservation,
    CancelReservation,
    CompletedDownstream,
    ExpireReservation,
    ReservationActivated,
    ReservationCancelled,
    ReservationExpired,
    ReservationRefused,
)
from libs.events.envelope import Position
from libs.kernel.outcome import Decision
from libs.kernel.pricing import total_minor
from libs.kernel.state import State
from services.reservation.domain.decisions import decide, open_hold
from services.reservation.domain.hold import (
    Numbering,
    Reservation,
    ReservationEvent,
    evolve,
)
from tests.support import examples
from tests.support.catalogues import product_in

repeatable = settings(derandomize=True, deadline=None, max_examples=200)

HOLDS = 4
LONGEST_S = 30
TERMINAL = (ReservationActivated, ReservationCancelled, ReservationExpired)
Command = ActivateReservation | CancelReservation | ExpireReservation


@dataclass(frozen=True)
class Step:
    """What comes, about which hold, and how long after the step before."""

    kind: Literal["open", "activate", "cancel", "expire"]
    hold: int
    after_s: int
    own: bool
    customer_types: int

    def message(self, quantities: dict[str, int]) -> UnitsHeld | Command:
        """Return the message of this step."""
        id = f"res_{self.hold}"
        partner_id = examples.PARTNER_ID if self.own else "dudu_partner"
        match self.kind:
            case "open":
                return replace(
                    examples.UNITS_HELD,
                    reservation_id=id,
                    quantity=quantities[id],
                    expires_at=deadline(id),
                )
            case "activate":
                return replace(
                    examples.ACTIVATE,
                    reservation_id=id,
                    partner_id=partner_id,
                    customer_types=("adult", "child", "elderly")[: self.customer_types] or "adult",
                )
            case "cancel":
                return CancelReservation(reservation_id=id, partner_id=partner_id)
            case "expire":
                return ExpireReservation(reservation_id=id)


def deadline(id: str) -> datetime:
    """Return when a hold expires; each has an instant of its own."""
    return examples.HELD_AT + timedelta(seconds=6 * int(id[4:]))


steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(("open", "open", "activate", "activate", "cancel", "expire")),
        hold=st.integers(0, HOLDS - 1),
        # Whole seconds, so that clocks often stand exactly at a deadline.
        after_s=st.sampled_from((0, 0, 0, 0, 1, 2)),
        own=st.sampled_from((True, True, True, False)),
        customer_types=st.sampled_from((0, 0, 1, 2, 3)),
    ),
    min_size=5,
    max_size=40,
)
quantities = st.fixed_dictionaries({f"res_{number}": st.integers(1, 3) for number in range(HOLDS)})


@dataclass
class Partition:
    """The decider over its own stored rows; open holds are in memory, ended ones are loaded."""

    state: State = field(default_factory=lambda: State(partition=0))
    stored: dict[str, Reservation] = field(default_factory=dict)
    opened: list[Reservation] = field(default_factory=list)
    log: list[tuple[ReservationEvent, str, datetime]] = field(default_factory=list)
    numbering: Numbering | None = None

    def decide(self, message: UnitsHeld | Command, id: str, now: datetime) -> Decision:
        """Decide as the loop does, with what is stored at hand."""
        known = self.stored.get(message.reservation_id)
        if known is not None and not known.kept:
            self.state.load(known)
        if isinstance(message, UnitsHeld):
            return open_hold(
                self.state, message, held_at=now, position=Position(1, 0, 1), opened_early=()
            )
        return decide(
            self.state,
            message,
            correlation_id=id,
            now=now,
            numbers=examples.NUMBERS,
            product=lambda product_id, _: product_in(examples.CATALOGUE, product_id),
        )

    def write(self, decision: Decision, id: str, now: datetime) -> None:
        """Project, evolve the events and commit."""
        for entity in decision.projected:
            assert isinstance(entity, Reservation)
            self.state.put(entity)
            self.opened.append(entity)
        for event in decision.events:
            assert isinstance(event, ReservationEvent)
            self.evolve(event, id, now)
            self.log.append((event, id, now))
        self.commit()

    def evolve(self, event: ReservationEvent, id: str, now: datetime) -> None:
        """Stage one event."""
        evolve(self.state, event, id, now)

    def commit(self) -> None:
        """Keep what is staged."""
        for change in self.state.staged():
            if isinstance(change.entity, Reservation):
                self.stored[change.entity.reservation_id] = change.entity
            elif isinstance(change.entity, Numbering):
                self.numbering = change.entity
        self.state.commit()


def expected_status(before: Reservation | None, step: Step, now: datetime) -> str | None:
    """Say how a hold stands after a step, by the rules alone."""
    if before is None:
        return "active" if step.kind == "open" else None
    if before.status != "active" or step.kind == "open":
        return before.status
    if step.kind == "expire":
        return "expired" if now >= before.expires_at else "active"
    if not step.own:
        return "active"
    if now >= before.expires_at:
        return "expired"
    if step.kind == "cancel":
        return "cancelled"
    fits = step.customer_types in (0, before.quantity)
    return "activated" if fits else "active"


def check_answer(step: Step, before: Reservation | None, decision: Decision) -> None:
    """An answer is true: success only with the effect, a refusal names how the hold stands."""
    activated = any(isinstance(event, ReservationActivated) for event in decision.events)
    match decision.answer:
        case CompletedDownstream():
            again = before is not None and before.status == "cancelled"
            assert activated if step.kind == "activate" else step.kind == "cancel"
            assert decision.events or again
        case ReservationRefused(reason="reservation_expired"):
            assert not activated
            assert decision.recorded
        case ReservationRefused(reason="already_activated" | "cannot_cancel_activated" as reason):
            assert before is not None
            assert before.status == "activated", reason
        case _:
            assert not activated


def play(history: list[Step], sizes: dict[str, int]) -> Partition:
    """Play a history and let time run out in the end; every step is checked."""
    partition, now = Partition(), examples.HELD_AT
    last = [Step("expire", hold, LONGEST_S, own=True, customer_types=1) for hold in range(HOLDS)]
    for number, step in enumerate([*history, *last]):
        now += timedelta(seconds=step.after_s)
        id = f"command-{number}"
        message = step.message(sizes)
        before = partition.stored.get(message.reservation_id)
        decision = partition.decide(message, id, now)
        check_answer(step, before, decision)
        partition.write(decision, id, now)
        after = partition.stored.get(message.reservation_id)
        expected = expected_status(before, step, now)
        assert expected == (after.status if after is not None else None)
        assert () == partition.decide(message, id, now).events
        partition.state.release()
    return partition


@repeatable
@given(history=steps, sizes=quantities)
def test_every_hold_ends_exactly_once(history: list[Step], sizes: dict[str, int]) -> None:
    """Opened once, ended once, never before it was opened, and with all of its units."""
    partition = play(history, sizes)
    lives: dict[str, list[ReservationEvent]] = {}
    for event, _, _ in partition.log:
        lives.setdefault(event.reservation_id, []).append(event)
    opened = {each.reservation_id: each for each in partition.opened}
    assert len(opened) == len(partition.opened)
    assert set(opened) == {f"res_{step.hold}" for step in history if step.kind == "open"}
    assert set(lives) == set(opened)
    for id, ends in lives.items():
        assert 1 == len(ends)
        assert isinstance(ends[0], TERMINAL)
        assert (sizes[id], opened[id].pool_no) == (ends[0].quantity, ends[0].pool_no)


@repeatable
@given(history=steps, sizes=quantities)
def test_the_deadline_divides_orders_from_expiries(
    history: list[Step], sizes: dict[str, int]
) -> None:
    """Nothing is activated or cancelled at the deadline or after, nothing expires before."""
    for event, _, decided_at in play(history, sizes).log:
        if isinstance(event, ReservationActivated | ReservationCancelled):
            assert decided_at < deadline(event.reservation_id)
        elif isinstance(event, ReservationExpired):
            assert deadline(event.reservation_id) == event.due_at <= decided_at


@repeatable
@given(history=steps, sizes=quantities)
def test_orders_have_numbers_of_their_own_and_sums_that_add_up(
    history: list[Step], sizes: dict[str, int]
) -> None:
    """One number for each activation; the lines are all units and the whole price."""
    partition = play(history, sizes)
    sold = [event for event, _, _ in partition.log if isinstance(event, ReservationActivated)]
    assert len(sold) == len({event.order_id for event in sold})
    assert len(sold) == (partition.numbering.orders if partition.numbering else 0)
    for event in sold:
        assert event.quantity == len(event.customer_types)
        assert event.quantity == sum(line.count for line in event.lines)
        assert event.total_minor == total_minor(event.lines)


@repeatable
@given(history=steps, sizes=quantities)
def test_the_log_alone_gives_the_same_reservations(
    history: list[Step], sizes: dict[str, int]
) -> None:
    """Replayed from its beginning, in one go, it leads to the very same rows and counter.

    What the ledger's events have opened comes before it.
    """
    played, replayed = play(history, sizes), Partition()
    for reservation in played.opened:
        replayed.state.put(reservation)
    for event, id, decided_at in played.log:
        replayed.evolve(event, id, decided_at)
    replayed.commit()
    assert (played.stored, played.numbering) == (replayed.stored, replayed.numbering)

"""The deadlines: what is due comes in order, bounded, and stays until it has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from libs.events.contracts.reservation import ExpireReservation
from libs.kernel.state import State
from services.reservation.domain.deadlines import Deadlines
from services.reservation.domain.hold import Reservation
from tests.support import examples

SECOND = timedelta(seconds=1)
START = examples.EXPIRES_AT


def hold(number: int, *, after_s: int) -> Reservation:
    """Return an open hold that is due so many seconds after START."""
    return replace(
        examples.RESERVATION,
        reservation_id=f"res_{number}",
        expires_at=START + after_s * SECOND,
    )


def holds(*after_s: int) -> tuple[State, Deadlines]:
    """Return a state with open holds of those deadlines, and the index over it."""
    state = State(partition=0)
    for number, seconds in enumerate(after_s):
        state.load(hold(number, after_s=seconds))
    return state, Deadlines(state.all(Reservation))


def end(state: State, *numbers: int) -> None:
    """End holds for good."""
    for number in numbers:
        found = state.get(Reservation, f"res_{number}")
        assert found is not None
        state.put(replace(found, status="cancelled"))
    state.commit()


def due(
    state: State, deadlines: Deadlines, *, at: datetime = START + 100 * SECOND, limit: int = 10
) -> list[str]:
    """Return the ids of the holds that are due."""
    commands = deadlines.due(state, at, limit)
    assert all(isinstance(command, ExpireReservation) for command in commands)
    return [command.reservation_id for command in commands]


def test_holds_come_in_the_order_of_their_deadlines() -> None:
    """Not in the order in which they were opened."""
    state, deadlines = holds(3, 1, 2)
    assert ["res_1", "res_2", "res_0"] == due(state, deadlines)
    assert START + SECOND == deadlines.next_at()


def test_a_deadline_is_due_at_its_instant() -> None:
    """And not before."""
    state, deadlines = holds(1, 2)
    assert [] == due(state, deadlines, at=START + SECOND - timedelta(microseconds=1))
    assert ["res_0"] == due(state, deadlines, at=START + SECOND)


def test_the_limit_holds_and_nothing_is_lost() -> None:
    """Holds stay due until they have ended, however often they are asked for."""
    state, deadlines = holds(1, 2, 3)
    assert ["res_0", "res_1"] == due(state, deadlines, limit=2)
    assert ["res_0", "res_1"] == due(state, deadlines, limit=2)
    end(state, 0, 1)
    assert ["res_2"] == due(state, deadlines, limit=2)


def test_ended_holds_are_passed_over() -> None:
    """They don't count against the limit."""
    state, deadlines = holds(1, 2, 3, 4)
    end(state, 0, 2)
    assert ["res_1", "res_3"] == due(state, deadlines, limit=2)


def test_ended_holds_at_the_top_do_not_wake_anybody() -> None:
    """After tidying the next deadline is that of an open hold."""
    state, deadlines = holds(1, 2, 3)
    end(state, 0)
    deadlines.tidy(state)
    assert START + 2 * SECOND == deadlines.next_at()
    end(state, 1, 2)
    deadlines.tidy(state)
    assert deadlines.next_at() is None


def test_an_added_hold_takes_its_place() -> None:
    """A later hold may be due earlier."""
    state, deadlines = holds(5)
    earlier = hold(9, after_s=1)
    state.load(earlier)
    deadlines.add(earlier)
    assert START + SECOND == deadlines.next_at()
    assert ["res_9", "res_0"] == due(state, deadlines)


def test_without_open_holds_there_is_no_deadline() -> None:
    """Nothing waits."""
    state, deadlines = holds()
    assert deadlines.next_at() is None
    assert [] == due(state, deadlines)


def test_what_is_overdue_is_counted_up_to_a_limit() -> None:
    """Only open holds past their deadline, however they lie in the heap."""
    state, deadlines = holds(5, 1, 4, 2, 9, 3)
    assert [0, 1, 3, 6] == [
        deadlines.overdue(state, START + seconds * SECOND, limit=10) for seconds in (0, 1, 3, 9)
    ]
    assert 2 == deadlines.overdue(state, START + 100 * SECOND, limit=2)
    end(state, 3)
    assert 2 == deadlines.overdue(state, START + 3 * SECOND, limit=10)

"""Opening a hold's life from the ledger's event, once."""

from __future__ import annotations

from dataclasses import replace

from libs.kernel.outcome import Decision
from services.reservation.domain.hold import Reservation
from tests.support import examples
from tests.support.given import HOLDS, Holds, given


def test_units_held_open_a_reservation() -> None:
    """Everything frozen in the ledger's event is taken over, with its time and place."""
    story = given(HOLDS)
    story.seq = 11
    story.when(examples.UNITS_HELD, at=examples.HELD_AT)
    assert [Decision(projected=(examples.RESERVATION,))] == story.decisions
    assert examples.RESERVATION == story.entity(Reservation, examples.RESERVATION_ID)


def test_a_copy_opens_nothing() -> None:
    """An open reservation stays as it is, whatever the copy says."""
    story = given(HOLDS, examples.UNITS_HELD)
    story.when(replace(examples.UNITS_HELD, quantity=99)).then_nothing()
    assert examples.RESERVATION == story.entity(Reservation, examples.RESERVATION_ID)


def test_the_late_copy_of_a_hold_that_was_opened_early_is_ignored() -> None:
    """Even when the reservation has ended meanwhile and has left memory."""
    early = Holds(opened_early={examples.RESERVATION_ID})
    given(early).when(examples.UNITS_HELD).then_nothing()


def test_other_holds_open_beside_an_early_one() -> None:
    """Only the named ones are ignored."""
    early = Holds(opened_early={"res_other"})
    story = given(early).when(examples.UNITS_HELD, at=examples.HELD_AT)
    assert 1 == len(story.decisions[-1].projected)

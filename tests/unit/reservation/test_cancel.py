"""Cancelling a hold, and its expiry by the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from libs.events.contracts.reservation import CompletedDownstream, ReservationRefused
from services.reservation.domain.hold import Reservation
from tests.support import examples
from tests.support.given import HOLDS, Story, given

TICK = timedelta(microseconds=1)
DOWNSTREAM = CompletedDownstream(command_id="command-1")


def refused(
    reason: Literal["reservation_not_found", "reservation_expired", "cannot_cancel_activated"],
    *,
    order_id: str | None = None,
) -> ReservationRefused:
    """Return a refusal about the example reservation."""
    return ReservationRefused(
        reason=reason, reservation_id=examples.RESERVATION_ID, order_id=order_id
    )


def opened() -> Story:
    """Return a partition with one open hold."""
    return given(HOLDS, examples.UNITS_HELD)


def test_an_active_hold_is_cancelled() -> None:
    """The ledger answers once it has the units back."""
    story = opened().when(examples.CANCEL)
    story.then(examples.RESERVATION_CANCELLED, answer=DOWNSTREAM, recorded=True)
    (ended,) = story.in_last_write(Reservation)
    expected = replace(
        examples.RESERVATION, status="cancelled", ended_at=examples.NOW, ended_by="command-1"
    )
    assert expected == ended


def test_cancelling_again_is_answered_by_what_the_first_one_led_to() -> None:
    """Another key for the same wish: the ledger is asked for its first answer, nothing moves."""
    story = opened().when(examples.CANCEL)
    (ended,) = story.in_last_write(Reservation)
    for id in ("command-2", "command-3"):
        story.when(examples.CANCEL, id=id, ended=[ended]).then(answer=DOWNSTREAM, recorded=True)


def test_the_deadline_itself_is_too_late() -> None:
    """One microsecond before is in time; at the instant the hold has expired."""
    opened().when(examples.CANCEL, at=examples.EXPIRES_AT - TICK).then(
        examples.RESERVATION_CANCELLED, answer=DOWNSTREAM, recorded=True
    )
    opened().when(examples.CANCEL, at=examples.EXPIRES_AT).then(
        examples.RESERVATION_EXPIRED, answer=refused("reservation_expired"), recorded=True
    )


def test_refusals_of_a_cancellation_come_in_a_fixed_order() -> None:
    """Each row mends the fault that the row before was refused for, and meets the next one."""
    hold = replace(
        examples.RESERVATION,
        status="activated",
        order_id=examples.ORDER_ID,
        expires_at=examples.NOW,
    )
    faulty = replace(examples.CANCEL, partner_id="dudu_partner")
    given(HOLDS).when(faulty).then(answer=refused("reservation_not_found"))
    given(HOLDS).when(faulty, ended=[hold]).then(answer=refused("reservation_not_found"))

    given(HOLDS).when(examples.CANCEL, ended=[hold]).then(
        answer=refused("cannot_cancel_activated", order_id=examples.ORDER_ID), recorded=True
    )

    hold = replace(hold, status="expired", order_id=None)
    given(HOLDS).when(examples.CANCEL, ended=[hold]).then(
        answer=refused("reservation_expired"), recorded=True
    )

    hold = replace(hold, status="active")
    given(HOLDS).when(examples.CANCEL, ended=[hold]).then(
        replace(examples.RESERVATION_EXPIRED, due_at=examples.NOW),
        answer=refused("reservation_expired"),
        recorded=True,
    )

    hold = replace(hold, expires_at=examples.EXPIRES_AT)
    given(HOLDS).when(examples.CANCEL, ended=[hold]).then(
        examples.RESERVATION_CANCELLED, answer=DOWNSTREAM, recorded=True
    )


# The clock


def test_a_hold_expires_at_its_deadline() -> None:
    """The event names the deadline; its own time is the decision's."""
    late = examples.EXPIRES_AT + timedelta(seconds=2)
    story = opened().when(examples.EXPIRE, at=late, id="due").then(examples.RESERVATION_EXPIRED)
    (ended,) = story.in_last_write(Reservation)
    assert replace(examples.RESERVATION, status="expired", ended_at=late, ended_by="due") == ended


def test_a_hold_never_expires_early() -> None:
    """A clock that asks too soon gets nothing, however little is missing."""
    opened().when(examples.EXPIRE, at=examples.EXPIRES_AT - TICK).then_nothing()


@pytest.mark.parametrize("end", [examples.ACTIVATE, examples.CANCEL, examples.EXPIRE])
def test_an_ended_hold_does_not_expire(end: object) -> None:
    """Whoever came first has ended it; the clock looks again and finds nothing to do."""
    at = examples.EXPIRES_AT if end is examples.EXPIRE else examples.NOW
    story = opened().when(end, at=at)
    (ended,) = story.in_last_write(Reservation)
    story.when(examples.EXPIRE, at=examples.EXPIRES_AT).then_nothing()
    story.when(examples.EXPIRE, at=examples.EXPIRES_AT, ended=[ended]).then_nothing()


def test_an_unknown_hold_does_not_expire() -> None:
    """There is nobody to tell."""
    given(HOLDS).when(examples.EXPIRE, at=examples.EXPIRES_AT).then_nothing()

"""Activating a hold: the price it is sold at, its order number, every reason to refuse it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

import pytest

from libs.events.contracts.reservation import (
    CompletedDownstream,
    ReservationActivated,
    ReservationRefused,
)
from libs.kernel.pricing import PriceLine
from services.reservation.domain.hold import Numbering, Reservation
from tests.support import examples
from tests.support.given import HOLDS, Holds, Story, given

TICK = timedelta(microseconds=1)
DOWNSTREAM = CompletedDownstream(command_id="command-1")


def refused(
    reason: Literal[
        "reservation_not_found",
        "reservation_expired",
        "reservation_cancelled",
        "already_activated",
    ],
    *,
    order_id: str | None = None,
) -> ReservationRefused:
    """Return a refusal about the example reservation."""
    return ReservationRefused(
        reason=reason, reservation_id=examples.RESERVATION_ID, order_id=order_id
    )


def opened(*, visit_date: date | None = examples.WEEKEND, quantity: int = 3) -> Story:
    """Return a partition with one open hold."""
    return given(
        HOLDS,
        replace(examples.UNITS_HELD, visit_date=visit_date, quantity=quantity),
    )


def activated(story: Story) -> ReservationActivated:
    """Return the activation that was just decided."""
    (event,) = story.decisions[-1].events
    assert isinstance(event, ReservationActivated)
    return event


def test_an_active_hold_becomes_an_order() -> None:
    """The event says all that an order needs; the answer is completed by its service."""
    story = opened().when(examples.ACTIVATE)
    story.then(examples.RESERVATION_ACTIVATED, answer=DOWNSTREAM, recorded=True)
    (ended,) = story.in_last_write(Reservation)
    expected = replace(
        examples.RESERVATION,
        status="activated",
        order_id=examples.ORDER_ID,
        ended_at=examples.NOW,
        ended_by="command-1",
    )
    assert expected == ended
    assert story.state.get(Reservation, examples.RESERVATION_ID) is None


@pytest.mark.parametrize(
    "visit_date, day_class, adult_minor",
    [
        (None, "weekday", 28_800),
        (examples.WEEKDAY, "weekday", 28_800),
        (examples.WEEKEND, "weekend", 31_800),
        (examples.SPECIAL_WEEKDAY, "special", 43_200),
        (examples.SPECIAL_WEEKEND, "special", 41_300),
    ],
)
@pytest.mark.parametrize("given_with", ["hold", "activation"])
def test_the_day_makes_the_price(
    visit_date: date | None, day_class: str, adult_minor: int, given_with: str
) -> None:
    """The date may come with the hold or with the activation; without one it is a weekday."""
    if given_with == "hold":
        story = opened(visit_date=visit_date).when(examples.ACTIVATE)
    else:
        command = replace(examples.ACTIVATE, visit_date=visit_date)
        story = opened(visit_date=None).when(command)
    event = activated(story)
    assert (visit_date, day_class) == (event.visit_date, event.day_class)
    assert 2 * adult_minor + 18_800 == event.total_minor
    assert (
        PriceLine(
            customer_type="adult",
            count=2,
            unit_price_minor=adult_minor,
            subtotal_minor=2 * adult_minor,
        ),
        PriceLine(customer_type="child", count=1, unit_price_minor=18_800, subtotal_minor=18_800),
    ) == event.lines


def test_the_visit_date_of_the_activation_wins() -> None:
    """A date given later replaces the one given with the hold."""
    command = replace(examples.ACTIVATE, visit_date=examples.WEEKDAY)
    event = activated(opened(visit_date=examples.SPECIAL_WEEKDAY).when(command))
    assert (examples.WEEKDAY, "weekday") == (event.visit_date, event.day_class)


def test_the_prices_are_those_of_the_hold() -> None:
    """Nothing but the version counts that it was made in: rules and currency are frozen."""
    prices = replace(
        examples.PRICES, rule_version=3, currency="XTS", adult_weekday_minor=1, child_minor=10
    )
    product = replace(examples.PRODUCT, prices=prices)
    holds = Holds(catalogue=replace(examples.CATALOGUE, version=3, products=(product,)))
    story = given(holds, replace(examples.UNITS_HELD, rule_version=3, visit_date=None))
    event = activated(story.when(examples.ACTIVATE))
    assert (12, "XTS", 3) == (event.total_minor, event.currency, event.rule_version)


@pytest.mark.parametrize("customer_type", ["adult", "child", "elderly"])
def test_one_customer_type_counts_for_all_units(customer_type: str) -> None:
    """The event has one word for each unit, whoever was brief."""
    command = replace(examples.ACTIVATE, customer_types=customer_type)
    event = activated(opened().when(command))
    assert (customer_type,) * 3 == event.customer_types
    assert [(customer_type, 3)] == [(line.customer_type, line.count) for line in event.lines]


@pytest.mark.parametrize("count", [0, 1, 2, 4, 100])
def test_another_number_of_customer_types_than_units_is_refused(count: int) -> None:
    """The refusal names the right number; it is not recorded, and the hold stays open."""
    command = replace(examples.ACTIVATE, customer_types=("adult",) * count)
    story = opened().when(command)
    story.then(
        answer=ReservationRefused(
            reason="customer_types_do_not_match",
            reservation_id=examples.RESERVATION_ID,
            quantity=3,
        )
    )
    assert "active" == story.entity(Reservation, examples.RESERVATION_ID).status


def test_an_unknown_customer_type_is_a_defect() -> None:
    """The gateway answers such requests itself, so here it is an error and not a refusal."""
    with pytest.raises(ValueError, match="unknown customer types"):
        opened().when(replace(examples.ACTIVATE, customer_types="pensioner"))


def test_a_hold_of_one_unit_takes_one_customer_type() -> None:
    """One word for all and one word for each are the same here."""
    for types in ("elderly", ("elderly",)):
        command = replace(examples.ACTIVATE, customer_types=types)
        assert ("elderly",) == activated(opened(quantity=1).when(command)).customer_types


def test_order_numbers_are_never_given_twice() -> None:
    """Each activation of a partition takes the next number, whatever happens between."""
    ids = [f"res_{number}" for number in range(20)]
    story = given(HOLDS, *(replace(examples.UNITS_HELD, reservation_id=id) for id in ids))
    orders = []
    for number, id in enumerate(ids):
        command = replace(examples.ACTIVATE, reservation_id=id)
        if number % 3 == 0:
            story.when(replace(examples.CANCEL, reservation_id=id))
            continue
        orders.append(activated(story.when(command)).order_id)
    assert 13 == len(set(orders)) == len(orders)
    assert 13 == story.entity(Numbering, "partition-0").orders


def test_order_numbers_of_partitions_differ() -> None:
    """The partition is part of the number."""
    orders = {
        activated(
            given(HOLDS, examples.UNITS_HELD, partition=partition).when(examples.ACTIVATE)
        ).order_id
        for partition in range(4)
    }
    assert 4 == len(orders)


def test_a_refused_activation_takes_no_order_number() -> None:
    """Only what happened counts."""
    story = opened().when(replace(examples.ACTIVATE, partner_id="dudu_partner"))
    assert examples.ORDER_ID == activated(story.when(examples.ACTIVATE)).order_id


def test_the_deadline_itself_is_too_late() -> None:
    """One microsecond before is in time; at the instant the hold has expired."""
    opened().when(examples.ACTIVATE, at=examples.EXPIRES_AT - TICK).then(
        examples.RESERVATION_ACTIVATED, answer=DOWNSTREAM, recorded=True
    )
    opened().when(examples.ACTIVATE, at=examples.EXPIRES_AT).then(
        examples.RESERVATION_EXPIRED, answer=refused("reservation_expired"), recorded=True
    )


def test_refusing_as_expired_appends_the_expiry_once() -> None:
    """The units come back at once, and neither the clock nor a repeat ends the hold again."""
    story = opened().when(examples.ACTIVATE, at=examples.EXPIRES_AT)
    (ended,) = story.in_last_write(Reservation)
    assert ("expired", examples.EXPIRES_AT) == (ended.status, ended.ended_at)
    story.when(examples.EXPIRE, at=examples.EXPIRES_AT).then_nothing()
    story.when(examples.ACTIVATE, at=examples.EXPIRES_AT, ended=[ended])
    story.then(answer=refused("reservation_expired"), recorded=True)


def test_activating_again_names_the_order_and_does_nothing() -> None:
    """One order for one reservation, ever."""
    story = opened().when(examples.ACTIVATE)
    (ended,) = story.in_last_write(Reservation)
    story.when(examples.ACTIVATE, id="command-2", ended=[ended])
    story.then(answer=refused("already_activated", order_id=examples.ORDER_ID), recorded=True)


def test_refusals_of_an_activation_come_in_a_fixed_order() -> None:
    """Each row mends the fault that the row before was refused for, and meets the next one."""
    hold = replace(
        examples.RESERVATION,
        status="activated",
        order_id=examples.ORDER_ID,
        expires_at=examples.NOW,
    )
    faulty = replace(examples.ACTIVATE, partner_id="dudu_partner", customer_types=("adult",) * 2)
    given(HOLDS).when(faulty).then(answer=refused("reservation_not_found"))
    given(HOLDS).when(faulty, ended=[hold]).then(answer=refused("reservation_not_found"))

    faulty = replace(faulty, partner_id=hold.partner_id)
    given(HOLDS).when(faulty, ended=[hold]).then(
        answer=refused("already_activated", order_id=examples.ORDER_ID), recorded=True
    )

    hold = replace(hold, status="cancelled", order_id=None)
    given(HOLDS).when(faulty, ended=[hold]).then(
        answer=refused("reservation_cancelled"), recorded=True
    )

    hold = replace(hold, status="expired")
    given(HOLDS).when(faulty, ended=[hold]).then(
        answer=refused("reservation_expired"), recorded=True
    )

    hold = replace(hold, status="active")
    expired = replace(examples.RESERVATION_EXPIRED, due_at=examples.NOW)
    given(HOLDS).when(faulty, ended=[hold]).then(
        expired, answer=refused("reservation_expired"), recorded=True
    )

    hold = replace(hold, expires_at=examples.EXPIRES_AT)
    mismatch = ReservationRefused(
        reason="customer_types_do_not_match",
        reservation_id=examples.RESERVATION_ID,
        quantity=3,
    )
    given(HOLDS).when(faulty, ended=[hold]).then(answer=mismatch)

    faulty = replace(faulty, customer_types=examples.CUSTOMER_TYPES)
    given(HOLDS).when(faulty, ended=[hold]).then(
        examples.RESERVATION_ACTIVATED, answer=DOWNSTREAM, recorded=True
    )

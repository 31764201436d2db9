"""Placing a hold: what is written, for how long, and every reason to refuse it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.events.contracts.inventory import HoldRefused
from services.inventory.domain.ledger import Hold, Pool
from tests.support import examples
from tests.support.given import LEDGER, given

HOUR = timedelta(hours=1)
AT = examples.HELD_AT
STOCK = replace(examples.ALLOTMENT_SET, units=10)
OTHER = replace(STOCK, pool_no=examples.OTHER_POOL_NO, channel="direct")


def test_a_hold_takes_units_and_freezes_what_it_was_given() -> None:
    """The event and the answer carry the frozen prices, and the pool's figures move."""
    story = given(LEDGER, STOCK).when(examples.PLACE_HOLD, at=AT)
    story.then(examples.UNITS_HELD, answer=examples.HOLD_PLACED, recorded=True)
    pool = story.entity(Pool, examples.POOL_NO)
    assert (3, 0, 7) == (pool.held, pool.sold, pool.available)
    assert replace(examples.HOLD, seq=2) == story.entity(Hold, examples.RESERVATION_ID)


def test_a_hold_leaves_other_pools_alone() -> None:
    """A channel can't take the other's units."""
    story = given(LEDGER, STOCK, OTHER)
    before = story.entity(Pool, OTHER.pool_no)
    story.when(examples.PLACE_HOLD, at=AT)
    assert before == story.entity(Pool, OTHER.pool_no)


def test_the_last_units_can_be_held() -> None:
    """A pool sells what it was allotted, to the last unit."""
    story = given(LEDGER, STOCK).when(replace(examples.PLACE_HOLD, quantity=10), at=AT)
    assert 0 == story.entity(Pool, examples.POOL_NO).available


@pytest.mark.parametrize("quantity", [1, 100])
def test_both_ends_of_the_quantity_are_held(quantity: int) -> None:
    """1 and 100 units are within the rule."""
    story = given(LEDGER, replace(STOCK, units=100))
    story.when(replace(examples.PLACE_HOLD, quantity=quantity), at=AT)
    assert quantity == story.entity(Pool, examples.POOL_NO).held


@pytest.mark.parametrize("quantity", [-1, 0, 101])
def test_a_quantity_outside_the_rule_is_a_defect(quantity: int) -> None:
    """The gateway answers such requests itself, so here it is an error and not a refusal."""
    with pytest.raises(ValueError, match=f"quantity {quantity} is outside"):
        given(LEDGER, STOCK).when(replace(examples.PLACE_HOLD, quantity=quantity), at=AT)


def test_a_repeat_holds_nothing_more_and_is_answered_as_the_first() -> None:
    """The same reservation id never takes units twice, even where its answer was lost."""
    story = given(LEDGER, STOCK).when(examples.PLACE_HOLD, at=AT)
    story.when(examples.PLACE_HOLD, at=AT + HOUR)
    story.then(answer=examples.HOLD_PLACED, recorded=True)
    assert 3 == story.entity(Pool, examples.POOL_NO).held


def test_a_repeat_is_answered_as_the_first_whatever_came_between() -> None:
    """Neither a stop of sales nor an empty pool turns a placed hold into a refused one."""
    story = given(LEDGER, replace(STOCK, units=3), examples.UNITS_HELD, examples.SALES_STOPPED)
    story.when(examples.PLACE_HOLD, at=AT + HOUR)
    story.then(answer=examples.HOLD_PLACED, recorded=True)


@pytest.mark.parametrize(
    "hold_s, expires_at, expected",
    [
        (None, None, AT + 24 * HOUR),
        (1, None, AT + timedelta(seconds=1)),
        (47 * 3600, None, AT + 47 * HOUR),
        (48 * 3600, None, AT + 48 * HOUR),
        (48 * 3600 + 1, None, AT + 48 * HOUR),
        (10**9, None, AT + 48 * HOUR),
        (None, AT + timedelta(microseconds=1), AT + timedelta(microseconds=1)),
        (None, AT + 48 * HOUR, AT + 48 * HOUR),
        (None, AT + 48 * HOUR + timedelta(microseconds=1), AT + 48 * HOUR),
        (None, datetime(9999, 12, 31, tzinfo=UTC), AT + 48 * HOUR),
        # A partner's own instant wins over a length, and its time zone is irrelevant.
        (60, AT + HOUR, AT + HOUR),
        (None, (AT + HOUR).astimezone(timezone(8 * HOUR)), AT + HOUR),
    ],
)
def test_the_ledger_sets_the_deadline(
    hold_s: int | None, expires_at: datetime | None, expected: datetime
) -> None:
    """24 h by default, 48 h at most, to the microsecond, from the ledger's own time."""
    command = replace(examples.PLACE_HOLD, hold_s=hold_s, expires_at=expires_at)
    story = given(LEDGER, STOCK).when(command, at=AT)
    story.then(
        replace(examples.UNITS_HELD, expires_at=expected),
        answer=replace(examples.HOLD_PLACED, expires_at=expected),
        recorded=True,
    )


@pytest.mark.parametrize(
    "hold_s, expires_at", [(0, None), (-1, None), (None, AT), (None, AT - timedelta(seconds=1))]
)
def test_a_deadline_that_is_now_or_past_is_refused(
    hold_s: int | None, expires_at: datetime | None
) -> None:
    """A hold that would be expired at once is not made; nothing is recorded for a repeat."""
    command = replace(examples.PLACE_HOLD, hold_s=hold_s, expires_at=expires_at)
    given(LEDGER, STOCK).when(command, at=AT).then(
        answer=HoldRefused(reason="expiry_in_the_past", available=10)
    )


def test_a_refusal_for_want_of_units_tells_how_many_are_left() -> None:
    """Sold out is decided about the whole quantity, recorded, and leaves the pool as it was."""
    story = given(LEDGER, STOCK, replace(examples.UNITS_HELD, quantity=8))
    before = story.entity(Pool, examples.POOL_NO)
    other_id = replace(examples.PLACE_HOLD, reservation_id="res_other")
    story.when(other_id, at=AT)
    story.then(answer=HoldRefused(reason="sold_out", available=2), recorded=True)
    assert before == story.entity(Pool, examples.POOL_NO)


def test_refusals_come_in_a_fixed_order() -> None:
    """Each row mends the fault that the row before was refused for, and meets the next one."""
    story = given(
        LEDGER, replace(STOCK, units=2), replace(examples.SALES_STOPPED, pool_no=STOCK.pool_no)
    )
    faulty = replace(
        examples.PLACE_HOLD, reservation_id="res_faulty", quantity=0, pool_no=999, expires_at=AT
    )
    with pytest.raises(ValueError, match="quantity"):
        story.when(faulty, at=AT)

    faulty = replace(faulty, quantity=3)
    story.when(faulty, at=AT).then(answer=HoldRefused(reason="pool_unknown", available=0))

    faulty = replace(faulty, pool_no=STOCK.pool_no)
    story.when(faulty, at=AT).then(answer=HoldRefused(reason="expiry_in_the_past", available=2))

    faulty = replace(faulty, expires_at=AT + HOUR)
    story.when(faulty, at=AT).then(
        answer=HoldRefused(reason="sales_stopped", available=0), recorded=True
    )

    story.happened(examples.SALES_RESUMED, at=AT, id="resume")
    story.when(faulty, at=AT).then(
        answer=HoldRefused(reason="sold_out", available=2), recorded=True
    )

    cap = replace(examples.PARTNER_CAP_SET, pool_no=STOCK.pool_no, units=2, held=0)
    story.happened(replace(STOCK, units=3), cap, at=AT, id="allot")
    story.when(faulty, at=AT).then(
        answer=HoldRefused(reason="hold_limit", available=3, limit=2, held=0), recorded=True
    )

    story.happened(replace(cap, units=3), at=AT, id="cap")
    story.when(faulty, at=AT)
    assert 0 == story.entity(Pool, STOCK.pool_no).available

"""What the end of a reservation does to the units: moved once, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.events.contracts.inventory import HoldRefused, LedgerConflictFound, SalesStopped
from services.inventory.domain.decisions import TerminalEvent
from services.inventory.domain.ledger import Hold, Pool
from tests.support import examples
from tests.support.given import LEDGER, Story, given

ENDS: tuple[TerminalEvent, ...] = (
    examples.RESERVATION_ACTIVATED,
    examples.RESERVATION_CANCELLED,
    examples.RESERVATION_EXPIRED,
)
STOCK = replace(examples.ALLOTMENT_SET, units=10)


def held() -> Story:
    """Return a ledger with one hold of 3 out of 10 units."""
    return given(LEDGER, STOCK, examples.UNITS_HELD)


def conflict(event: TerminalEvent, reason: str) -> tuple[LedgerConflictFound, SalesStopped]:
    """Return what a terminal event leads to that can't be applied."""
    found = LedgerConflictFound(
        reservation_id=event.reservation_id,
        pool_no=event.pool_no,
        event_type=type(event).__name__,
        event_id="1-0-9",
        reason=reason,
    )
    stopped = SalesStopped(pool_no=event.pool_no, reason=f"conflict over {examples.RESERVATION_ID}")
    return found, stopped


def test_an_activation_sells_the_held_units() -> None:
    """Held becomes sold; available stays; the order's service answers, not the ledger."""
    story = held().when(examples.RESERVATION_ACTIVATED).then(examples.UNITS_SOLD)
    pool = story.entity(Pool, examples.POOL_NO)
    assert (0, 3, 7) == (pool.held, pool.sold, pool.available)
    assert ["sold"] == [hold.status for hold in story.in_last_write(Hold)]


def test_a_cancellation_gives_the_units_back_and_is_answered_here() -> None:
    """The partner hears of it when the units are available again."""
    story = held().when(examples.RESERVATION_CANCELLED)
    story.then(examples.UNITS_RELEASED, answer=examples.HOLD_RELEASED, recorded=True)
    pool = story.entity(Pool, examples.POOL_NO)
    assert (0, 0, 10) == (pool.held, pool.sold, pool.available)
    assert ["released"] == [hold.status for hold in story.in_last_write(Hold)]


def test_an_expiry_gives_the_units_back_and_answers_nobody() -> None:
    """Nobody has asked for it."""
    story = held().when(examples.RESERVATION_EXPIRED)
    story.then(replace(examples.UNITS_RELEASED, reason="expired"))
    assert 10 == story.entity(Pool, examples.POOL_NO).available


@pytest.mark.parametrize("event", ENDS)
def test_a_closed_hold_leaves_memory(event: TerminalEvent) -> None:
    """Nothing on the hot path grows with what was ever sold or released."""
    story = held().when(event)
    assert story.state.get(Hold, examples.RESERVATION_ID) is None
    assert [] == list(story.state.all(Hold))


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_a_second_end_moves_nothing_and_stops_the_sales_of_the_pool(
    first: TerminalEvent, second: TerminalEvent
) -> None:
    """The ledger's own guard: were another service wrong, no unit would move twice."""
    story = held().when(first)
    before = story.entity(Pool, examples.POOL_NO)
    story.when(second, id="1-0-9").then(*conflict(second, "not held"))
    assert replace(before, selling=False) == story.entity(Pool, examples.POOL_NO)


@pytest.mark.parametrize("second", ENDS)
def test_a_second_end_in_the_same_batch_is_a_conflict_too(second: TerminalEvent) -> None:
    """The stage counts, not only what is written."""
    story = held()
    first = LEDGER.decide(
        story.state, examples.RESERVATION_ACTIVATED, id="1-0-8", seq=0, now=examples.NOW
    )
    for event in first.events:
        LEDGER.evolve(
            story.state,
            event,
            id="1-0-8",
            position=examples.POSITION,
            decided_at=examples.NOW,
        )
    story.when(second, id="1-0-9").then(*conflict(second, "is sold with 3 units of pool 1"))


@pytest.mark.parametrize("event", ENDS)
def test_an_end_of_another_quantity_is_a_conflict(event: TerminalEvent) -> None:
    """Units are moved as they were held or not at all; the hold stays open."""
    wrong = replace(event, quantity=4)
    story = held().when(wrong, id="1-0-9")
    story.then(*conflict(wrong, "is held with 3 units of pool 1"))
    assert 3 == story.entity(Pool, examples.POOL_NO).held
    assert "held" == story.entity(Hold, examples.RESERVATION_ID).status


@pytest.mark.parametrize("event", ENDS)
def test_an_end_in_another_pool_is_a_conflict(event: TerminalEvent) -> None:
    """A hold never moves the units of a pool that it does not belong to, nor its own then."""
    other = replace(STOCK, pool_no=examples.OTHER_POOL_NO, channel="direct")
    wrong = replace(event, pool_no=other.pool_no)
    story = given(LEDGER, STOCK, other, examples.UNITS_HELD).when(wrong, id="1-0-9")
    story.then(*conflict(wrong, "is held with 3 units of pool 1"))
    assert 3 == story.entity(Pool, examples.POOL_NO).held
    assert 10 == story.entity(Pool, other.pool_no).available


@pytest.mark.parametrize("event", ENDS)
def test_an_end_in_a_pool_that_does_not_exist_is_recorded_only(event: TerminalEvent) -> None:
    """There are no sales to stop."""
    lost = replace(event, pool_no=999)
    given(LEDGER, STOCK).when(lost, id="1-0-9").then(conflict(lost, "not held")[0])


@pytest.mark.parametrize("event", ENDS)
def test_after_a_conflict_holds_are_refused_until_sales_are_resumed(event: TerminalEvent) -> None:
    """Selling goes on only when somebody has looked."""
    story = given(LEDGER, STOCK).when(event, id="1-0-9").when(examples.PLACE_HOLD)
    story.then(answer=HoldRefused(reason="sales_stopped", available=0), recorded=True)
    story.when(examples.RESUME_SALES).when(examples.PLACE_HOLD, at=examples.HELD_AT)
    story.then(examples.UNITS_HELD, answer=examples.HOLD_PLACED, recorded=True)


def test_the_open_holds_of_a_stopped_pool_still_end() -> None:
    """A stop is for new holds; what was promised is kept."""
    story = held().when(examples.STOP_SALES).when(examples.RESERVATION_ACTIVATED)
    story.then(examples.UNITS_SOLD)

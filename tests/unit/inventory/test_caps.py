"""Caps on what a partner may hold of a pool at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.events.contracts.inventory import HoldRefused, LedgerChanged, LedgerChangeRefused
from services.inventory.domain.ledger import PartnerCap, Pool
from tests.support import examples
from tests.support.given import LEDGER, Story, given

AT = examples.HELD_AT
CHANGED = LedgerChanged(pool_no=examples.POOL_NO)
NAME = examples.PARTNER_CAP.name
NEXT = replace(examples.PLACE_HOLD, reservation_id="res_next", expires_at=None)
OTHERS = replace(examples.UNITS_HELD, reservation_id="res_others", partner_id="another")
ELSEWHERE = replace(
    examples.UNITS_HELD, reservation_id="res_elsewhere", pool_no=examples.OTHER_POOL_NO
)
STOCK = (
    examples.ALLOTMENT_SET,
    replace(examples.ALLOTMENT_SET, pool_no=examples.OTHER_POOL_NO, channel="direct"),
)


def capped(units: int) -> Story:
    """Return a pool in which the example partner holds three units and may hold *units*."""
    return given(
        LEDGER, *STOCK, examples.UNITS_HELD, replace(examples.PARTNER_CAP_SET, units=units)
    )


def test_a_cap_begins_with_what_is_held() -> None:
    """Counted at the decision: the partner's open holds in that pool, and nobody else's."""
    story = given(LEDGER, *STOCK, examples.UNITS_HELD, OTHERS, ELSEWHERE)
    story.when(examples.CAP_PARTNER)
    story.then(examples.PARTNER_CAP_SET, answer=CHANGED, recorded=True)
    assert examples.PARTNER_CAP == story.entity(PartnerCap, NAME)


def test_holds_of_the_same_batch_count() -> None:
    """What was held, and what was given back, a moment before in one write."""
    story = given(LEDGER, *STOCK, examples.UNITS_HELD)
    gone = replace(examples.UNITS_RELEASED, reservation_id=examples.RESERVATION_ID)
    for event in (gone, replace(examples.UNITS_HELD, reservation_id="res_new", quantity=5)):
        story.decider.evolve(story.state, event, id="c", position=examples.POSITION, decided_at=AT)
    story.when(examples.CAP_PARTNER)
    story.then(replace(examples.PARTNER_CAP_SET, held=5), answer=CHANGED, recorded=True)


def test_up_to_the_cap_and_not_beyond() -> None:
    """The refusal names limit and held, is recorded, and moves nothing."""
    story = capped(6).when(NEXT, at=AT)
    assert 6 == story.entity(PartnerCap, NAME).held
    before = story.entity(Pool, examples.POOL_NO)
    one_more = replace(NEXT, reservation_id="res_more", quantity=1)
    story.when(one_more, at=AT).then(
        answer=HoldRefused(reason="hold_limit", available=1994, limit=6, held=6), recorded=True
    )
    assert before == story.entity(Pool, examples.POOL_NO)


@pytest.mark.parametrize("end", [examples.RESERVATION_ACTIVATED, examples.RESERVATION_CANCELLED])
def test_a_hold_that_ends_makes_room(end: object) -> None:
    """Only open units count: sold ones are as good as gone."""
    story = capped(3)
    story.when(NEXT, at=AT)
    assert isinstance(story.decisions[-1].answer, HoldRefused)
    story.when(end, at=AT)
    assert 0 == story.entity(PartnerCap, NAME).held
    story.when(NEXT, at=AT)
    assert 3 == story.entity(PartnerCap, NAME).held


@pytest.mark.parametrize("other", [{"partner_id": "another"}, {"pool_no": examples.OTHER_POOL_NO}])
def test_a_cap_concerns_one_partner_in_one_pool(other: dict[str, object]) -> None:
    """Others hold what they like."""
    story = capped(0).when(replace(NEXT, **other), at=AT)  # type: ignore[arg-type]
    assert story.decisions[-1].events
    assert 3 == story.entity(PartnerCap, NAME).held


def test_a_cap_below_what_is_held_takes_nothing_away() -> None:
    """New holds wait until enough of the old ones have ended."""
    story = capped(1)
    assert (3, 1) == (
        story.entity(Pool, examples.POOL_NO).held,
        story.entity(PartnerCap, NAME).units,
    )
    refused = HoldRefused(reason="hold_limit", available=1997, limit=1, held=3)
    story.when(replace(NEXT, quantity=1), at=AT).then(answer=refused, recorded=True)


def test_a_changed_cap_goes_on_counting() -> None:
    """The figure of the running count is the one in the event."""
    story = capped(10).when(NEXT, at=AT)
    story.when(replace(examples.CAP_PARTNER, units=20))
    story.then(replace(examples.PARTNER_CAP_SET, units=20, held=6), answer=CHANGED, recorded=True)


def test_a_lifted_cap_counts_nothing_and_can_come_back() -> None:
    """Without a cap nothing is kept up to date; a new one counts anew."""
    story = capped(3).when(replace(examples.CAP_PARTNER, units=None))
    story.then(replace(examples.PARTNER_CAP_SET, units=None, held=3), answer=CHANGED, recorded=True)
    story.when(NEXT, at=AT)
    assert (None, 0) == (
        story.entity(PartnerCap, NAME).units,
        story.entity(PartnerCap, NAME).held,
    )
    story.when(examples.CAP_PARTNER)
    story.then(replace(examples.PARTNER_CAP_SET, held=6), answer=CHANGED, recorded=True)


def test_the_same_cap_again_changes_nothing() -> None:
    """Also none where there is none."""
    capped(10).when(examples.CAP_PARTNER).then(answer=CHANGED)
    story = given(LEDGER, *STOCK).when(replace(examples.CAP_PARTNER, units=None))
    story.then(answer=CHANGED)


def test_what_no_cap_can_be() -> None:
    """An unknown pool is refused, units below zero are a defect of the command line."""
    refused = LedgerChangeRefused(reason="pool_unknown", detail="pool 1")
    given(LEDGER).when(examples.CAP_PARTNER).then(answer=refused)
    with pytest.raises(ValueError, match="-1 units can't be a cap"):
        given(LEDGER, *STOCK).when(replace(examples.CAP_PARTNER, units=-1))


def test_a_repeat_of_a_placed_hold_is_answered_as_the_first_whatever_the_cap() -> None:
    """A cap that came between does not turn it into a refusal."""
    story = capped(0).when(examples.PLACE_HOLD, at=AT)
    story.then(answer=examples.HOLD_PLACED, recorded=True)

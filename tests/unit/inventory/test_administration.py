"""Allotments, stops of sales and catalogue versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.events.contracts.inventory import (
    CataloguePublished,
    LedgerChanged,
    LedgerChangeRefused,
    PublishCatalogue,
)
from services.inventory.domain.ledger import Pool, PublishedCatalogue
from tests.support import examples
from tests.support.given import LEDGER, Story, given

CHANGED = LedgerChanged(pool_no=examples.POOL_NO)


def test_the_first_allotment_makes_the_pool() -> None:
    """A new pool sells at once, with all its units available."""
    story = given(LEDGER).when(examples.SET_ALLOTMENT)
    story.then(examples.ALLOTMENT_SET, answer=CHANGED, recorded=True)
    expected = replace(examples.POOL, held=0)
    assert expected == story.entity(Pool, examples.POOL_NO)


def test_an_allotment_may_go_up_and_down() -> None:
    """The units count from now on; held and sold stay."""
    story = given(LEDGER, examples.ALLOTMENT_SET, examples.UNITS_HELD)
    for units in (2500, 3):
        story.when(replace(examples.SET_ALLOTMENT, units=units))
        story.then(replace(examples.ALLOTMENT_SET, units=units), answer=CHANGED, recorded=True)
        pool = story.entity(Pool, examples.POOL_NO)
        assert (units, 3, units - 3) == (pool.allotted, pool.held, pool.available)


def test_the_same_allotment_again_changes_nothing() -> None:
    """Loading a catalogue twice is harmless."""
    given(LEDGER, examples.ALLOTMENT_SET).when(examples.SET_ALLOTMENT).then(answer=CHANGED)


def test_an_allotment_below_what_is_held_and_sold_is_refused() -> None:
    """Units that are promised can't be taken away; exactly as many as are promised is fine."""
    story = given(
        LEDGER,
        examples.ALLOTMENT_SET,
        replace(examples.UNITS_HELD, reservation_id="res_sold"),
        replace(examples.UNITS_SOLD, reservation_id="res_sold"),
        examples.UNITS_HELD,
    )
    refused = LedgerChangeRefused(
        reason="below_held_and_sold", detail="3 units are held and 3 sold"
    )
    story.when(replace(examples.SET_ALLOTMENT, units=5)).then(answer=refused)
    assert 2000 == story.entity(Pool, examples.POOL_NO).allotted
    story.when(replace(examples.SET_ALLOTMENT, units=6))
    assert 0 == story.entity(Pool, examples.POOL_NO).available


@pytest.mark.parametrize("other", [{"product_id": 107}, {"channel": "direct"}])
def test_a_pool_never_changes_hands(other: dict[str, object]) -> None:
    """Reservation ids carry the number, so it stays with its product and channel."""
    moved = replace(examples.SET_ALLOTMENT, **other)  # type: ignore[arg-type]
    refused = LedgerChangeRefused(
        reason="pool_belongs_elsewhere", detail="pool 1 is product 106 in channel ota"
    )
    given(LEDGER, examples.ALLOTMENT_SET).when(moved).then(answer=refused)


def test_refusals_of_an_allotment_come_in_a_fixed_order() -> None:
    """Each row mends the fault that the row before was refused for, and meets the next one."""
    story = given(LEDGER, examples.ALLOTMENT_SET, examples.UNITS_HELD)
    faulty = replace(examples.SET_ALLOTMENT, units=-1, channel="direct")
    with pytest.raises(ValueError, match="-1 units can't be allotted"):
        story.when(faulty)

    faulty = replace(faulty, units=2)
    story.when(faulty).then(
        answer=LedgerChangeRefused(
            reason="pool_belongs_elsewhere", detail="pool 1 is product 106 in channel ota"
        )
    )

    faulty = replace(faulty, channel=examples.CHANNEL)
    story.when(faulty).then(
        answer=LedgerChangeRefused(
            reason="below_held_and_sold", detail="3 units are held and 0 sold"
        )
    )

    faulty = replace(faulty, units=3)
    story.when(faulty).then(replace(examples.ALLOTMENT_SET, units=3), answer=CHANGED, recorded=True)


def test_sales_stop_and_go_on() -> None:
    """Each switch is an event the first time, and the same answer without one again."""
    story = given(LEDGER, examples.ALLOTMENT_SET)
    story.when(examples.RESUME_SALES).then(answer=CHANGED)
    story.when(examples.STOP_SALES).then(examples.SALES_STOPPED, answer=CHANGED, recorded=True)
    assert not story.entity(Pool, examples.POOL_NO).selling
    story.when(examples.STOP_SALES).then(answer=CHANGED)
    story.when(examples.RESUME_SALES).then(examples.SALES_RESUMED, answer=CHANGED, recorded=True)
    assert story.entity(Pool, examples.POOL_NO).selling
    story.when(examples.RESUME_SALES).then(answer=CHANGED)


@pytest.mark.parametrize("command", [examples.STOP_SALES, examples.RESUME_SALES])
def test_an_unknown_pool_has_no_switch(command: object) -> None:
    """A mistyped number is refused, not ignored."""
    refused = LedgerChangeRefused(reason="pool_unknown", detail="pool 1")
    given(LEDGER).when(command).then(answer=refused)


def test_a_stop_does_not_change_the_allotment() -> None:
    """Both can be changed without the other."""
    story = given(LEDGER, examples.ALLOTMENT_SET, examples.SALES_STOPPED)
    story.when(replace(examples.SET_ALLOTMENT, units=5))
    assert (5, False) == (
        story.entity(Pool, examples.POOL_NO).allotted,
        story.entity(Pool, examples.POOL_NO).selling,
    )


# Catalogue versions


def version(number: int, *, addons: bool = True) -> PublishCatalogue:
    """Return the command for a catalogue version; without add-ons it is another document."""
    catalogue = replace(examples.CATALOGUE, version=number)
    return PublishCatalogue(catalogue=catalogue if addons else replace(catalogue, addons=()))


def published(story: Story) -> list[int]:
    """Return the versions that were ever made current."""
    return sorted(each.version for each in story.state.all(PublishedCatalogue))


def not_newer(current: int) -> LedgerChangeRefused:
    """Return the refusal of a version that comes too late."""
    return LedgerChangeRefused(
        reason="catalogue_version_not_newer",
        detail=f"version {current} is current; a changed catalogue needs a higher one",
    )


def test_a_newer_catalogue_becomes_current_and_older_ones_stay() -> None:
    """Orders need the versions they were sold by, so versions are kept."""
    story = given(LEDGER)
    for number in (7, 9):
        command = version(number)
        story.when(command).then(
            CataloguePublished(catalogue=command.catalogue),
            answer=LedgerChanged(catalogue_version=number),
            recorded=True,
        )
    assert [7, 9] == published(story)
    assert examples.NOW == story.entity(PublishedCatalogue, 9).published_at


def test_the_current_catalogue_again_changes_nothing() -> None:
    """Loading the same file twice is harmless."""
    story = given(LEDGER, examples.CATALOGUE_PUBLISHED)
    story.when(examples.PUBLISH_CATALOGUE).then(answer=LedgerChanged(catalogue_version=7))


@pytest.mark.parametrize(
    "command", [version(7, addons=False), version(6), version(6, addons=False)]
)
def test_a_changed_catalogue_needs_a_higher_version(command: PublishCatalogue) -> None:
    """A version never means two documents, and the current one never goes back."""
    story = given(LEDGER, examples.CATALOGUE_PUBLISHED).when(command)
    story.then(answer=not_newer(7))
    assert [7] == published(story)


@pytest.mark.parametrize("late", [version(8), version(9, addons=False)])
def test_versions_count_within_a_batch_too(late: PublishCatalogue) -> None:
    """What an earlier command of the same batch has published is current already."""
    story = given(LEDGER, examples.CATALOGUE_PUBLISHED)
    story.decider.evolve(
        story.state,
        CataloguePublished(catalogue=version(9).catalogue),
        id="command-9",
        position=examples.POSITION,
        decided_at=examples.NOW,
    )
    story.when(late).then(answer=not_newer(9))

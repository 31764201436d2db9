"""What an operator types to find records, and what is printed of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from libs.events.envelope import Position
from services.gateway.admin.audit import (
    LIMIT_MAX,
    moment,
    network,
    page_size,
    place,
    position,
    statuses,
)
from services.gateway.admin.terminal import plain
from services.gateway.domain.audit import EventRecord

AT = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00", "2026-01-31T16:00:00+08:00"],
)
def test_a_moment_is_utc_unless_it_says_otherwise(text: str) -> None:
    """As the records show it."""
    assert AT == moment(text)


@pytest.mark.parametrize(
    "text, ago",
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_moment_may_be_so_long_ago(text: str, ago: timedelta) -> None:
    """Counted from now."""
    before = datetime.now(UTC)
    assert before - ago <= moment(text) <= datetime.now(UTC) - ago


def test_a_moment_is_not_before_all_calendars() -> None:
    """So long ago as no date can be is refused like any other slip."""
    with pytest.raises(argparse.ArgumentTypeError, match="neither a time"):
        moment("999999d")
    with pytest.raises(argparse.ArgumentTypeError, match="not within the calendar"):
        moment("0001-01-01T00:00:00+14:00")


def test_places_survive_being_printed() -> None:
    """What a page says of the next one is understood again, to the microsecond."""
    at = AT + timedelta(microseconds=1)
    assert (at, 2**62) == place(f"{plain(at)}/{2**62}")


@pytest.mark.parametrize(
    "text, bounds", [("409", (409, 410)), ("4xx", (400, 500)), ("5xx", (500, 600))]
)
def test_statuses_are_one_or_a_class(text: str, bounds: tuple[int, int]) -> None:
    """Half-open, as the query has them."""
    assert bounds == statuses(text)


@pytest.mark.parametrize("text", ["203.0.113.9", "203.0.113.0/24"])
def test_an_address_is_found_by_its_network(text: str) -> None:
    """Records know no more of it."""
    assert "203.0.113.0/24" == network(text)


@pytest.mark.parametrize(
    "read, text",
    [
        (moment, "yesterday"),
        (moment, "9999999d"),
        (moment, ""),
        (statuses, "4"),
        (statuses, "600"),
        (statuses, "4XX"),
        (network, "harbour"),
        (place, "2026-01-31T08:00:00Z"),
        (place, "now/1"),
        (page_size, "0"),
        (page_size, str(LIMIT_MAX + 1)),
        (page_size, "-1"),
    ],
)
def test_what_makes_no_sense_is_refused(read: Callable[[str], object], text: str) -> None:
    """With a sentence, not with a traceback."""
    with pytest.raises(argparse.ArgumentTypeError):
        read(text)


def test_an_event_is_named_by_its_position() -> None:
    """In the form of its id, which every service and topic has."""
    event = EventRecord(
        decided_at=AT,
        service="inventory",
        generation=1,
        partition=2,
        seq=77,
        type="ota.inventory.units_held",
        command_id="c",
        partner_id=None,
        key_id=None,
        request_id=None,
        traceparent=None,
    )
    assert Position(1, 2, 77).event_id() == position(event)

"""The stream of events: filters out of addresses, and pages that pass nothing over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.ids import reservation_id
from services.gateway.console.events import (
    EventFilter,
    EventLine,
    LogScan,
    page_of,
    read_filter,
    read_place,
    write_place,
)

BEGIN = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
RESERVATION = reservation_id(command_id="c", pool_no=1)


def line(service: str, partition: int, seq: int, at_s: float, **changed: object) -> EventLine:
    """Return an event."""
    fields: dict[str, object] = {
        "at": BEGIN + timedelta(seconds=at_s),
        "service": service,
        "generation": 1,
        "partition": partition,
        "seq": seq,
        "type": f"ota.{service}.units_held",
        "subject": RESERVATION,
        **dict.fromkeys(("partner_id", "key_id", "request_id", "correlation_id", "causation_id")),
        **dict.fromkeys(("traceparent", "pool_no", "quantity", "units", "reason", "order_id")),
        **changed,
    }
    return EventLine(**fields)  # type: ignore[arg-type]


def scan(log: Sequence[EventLine], *, below: int, window: int, limit: int) -> LogScan:
    """Look at a log as the query does: a window of numbers, *limit* of what fits in it."""
    low = max(1, below - window)
    fits = [each for each in log if low <= each.seq < below and each.quantity != 0][::-1]
    cut = fits[: limit + 1]
    low_at = log[below - window - 1].at if below - window >= 1 else None
    if len(cut) > limit:
        low, low_at = cut[-1].seq, cut[-1].at
    return LogScan(
        service=log[0].service, partition=log[0].partition, lines=cut, low=low, low_at=low_at
    )


logs_of = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40),
    min_size=1,
    max_size=4,
)


@given(logs_of, st.integers(1, 8), st.integers(1, 6))
def test_pages_show_each_event_once_in_order(
    steps: list[list[tuple[int, int]]], window: int, limit: int
) -> None:
    """However logs lie beside each other, and however little of them one search looks at."""
    logs = []
    for number, log in enumerate(steps):
        at_s, lines = 0.0, []
        for seq, (step, quantity) in enumerate(log, 1):
            at_s += step
            lines.append(line("inventory", number, seq, at_s, quantity=quantity))
        logs.append(lines)
    place = {("inventory", number): len(log) + 1 for number, log in enumerate(logs)}
    shown: list[EventLine] = []
    for _ in range(1_000):
        page = page_of(
            [
                scan(log, below=place["inventory", number], window=window, limit=limit)
                for number, log in enumerate(logs)
            ],
            limit=limit,
        )
        shown += page.lines
        if page.older is None:
            break
        place = read_place(page.older)
    expected = {(each.partition, each.seq) for log in logs for each in log if each.quantity != 0}
    assert len(expected) == len(shown)
    assert expected == {(each.partition, each.seq) for each in shown}
    assert sorted((each.at for each in shown), reverse=True) == [each.at for each in shown]


def test_a_place_survives_the_address() -> None:
    """Written and read again."""
    place = {("inventory", 0): 12, ("fulfillment", 3): 1}
    assert place == read_place(write_place(place))
    assert {} == read_place(None)
    asked, wrong = read_filter({"before": write_place(place)})
    assert (write_place(place), [], False) == (asked.before, wrong, asked.is_live)


@pytest.mark.parametrize(
    "given, wrong",
    [
        ({"service": "billing"}, ["service"]),
        ({"type": "ota.inventory.units_held' OR 1=1"}, ["type"]),
        ({"product_id": "106x"}, ["product"]),
        ({"product_id": "١٠٦"}, ["product"]),
        ({"partner_id": "<script>"}, ["partner"]),
        ({"reservation_id": "res_1"}, ["reservation"]),
        ({"before": "inventory.0.x"}, ["before"]),
        ({"before": "inventory.0.1-"}, ["before"]),
        ({"before": "1" * 9000}, ["before"]),
    ],
)
def test_what_is_no_filter_is_named_and_left_out(given: dict[str, str], wrong: list[str]) -> None:
    """A misspelt filter must not look as if it had found nothing."""
    assert (EventFilter(), wrong) == read_filter(given)


def test_a_filter_names_the_logs_to_ask() -> None:
    """A type lives in one service's log; a contradiction asks nobody."""
    held = "ota.inventory.units_held"
    assert ("inventory",) == read_filter({"type": held})[0].services
    assert () == read_filter({"type": held, "service": "fulfillment"})[0].services
    assert 3 == len(EventFilter().services)
    asked, _ = read_filter({"type": held, "product_id": "106", "partner_id": "harbour"})
    assert read_filter(dict(pair.split("=") for pair in asked.query().split("&")))[0] == asked
    assert asked.is_search
    assert not EventFilter(service="inventory").is_search


def test_an_event_is_shown_without_its_type_s_prefix() -> None:
    """And its trace id out of the trace context."""
    told = line("inventory", 1, 7, 0, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    assert ("units held", "1-1-7", "a" * 32) == (told.word, told.position, told.trace_id)
    assert RESERVATION == told.reservation_id
    assert None is line("inventory", 1, 7, 0, subject="106").reservation_id

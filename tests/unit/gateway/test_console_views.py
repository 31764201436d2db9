"""What the console's pages show: stock and its past, stories, partners, health, alerts, times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from libs.events.topics import INVENTORY_EVENTS, RESERVATION_EVENTS
from libs.kernel.ids import reservation_id
from services.gateway.console.alerts import board_of
from services.gateway.console.health import Progress, lag_lines, service_line
from services.gateway.console.moments import count, countdown, moment, span
from services.gateway.console.pages import rendered
from services.gateway.console.partners import partner_lines
from services.gateway.console.stock import POINTS_MAX, History, Movement, pool_lines
from services.gateway.console.story import HoldFacts, LifeFacts, Told, tell
from services.gateway.domain.audit import AuditRow
from services.gateway.domain.directory import DirectoryState, Key, Partner
from services.gateway.domain.quota import Lease, Quota, StoredQuota
from services.gateway.store.directory import Look
from services.gateway.store.stock_views import StockRow
from tests.unit.gateway.test_console_events import line

NOW = datetime(2026, 11, 23, 6, 3, 22, 512_345, tzinfo=UTC)
RESERVATION = reservation_id(command_id="c", pool_no=1)
HOSTILE = "<script>alert(1)</script>\"'&"


def pool(number: int, *, allotted: int, held: int, sold: int, selling: bool = True) -> StockRow:
    """Return a pool."""
    return StockRow(
        pool_no=number,
        product_id=100 + number,
        channel="ota",
        partition=0,
        allotted=allotted,
        held=held,
        sold=sold,
        available=allotted - held - sold,
        selling=selling,
    )


def test_each_pool_has_a_word_for_its_state() -> None:
    """Colour is never all there is; pools that something was taken from come first."""
    rows = [
        pool(1, allotted=0, held=0, sold=0),
        pool(2, allotted=10, held=0, sold=0),
        pool(3, allotted=10, held=4, sold=5),
        pool(4, allotted=10, held=5, sold=5),
        pool(5, allotted=10, held=0, sold=1, selling=False),
        pool(6, allotted=10, held=5, sold=6),
    ]
    assert ["low", "sold out", "stopped", "oversold", "selling"] == [
        each.state for each in pool_lines(rows, str)
    ]


def test_the_past_is_told_from_what_happened() -> None:
    """From now backwards: each event undone."""

    def moved(ago_s: float, what: str, units: int) -> Movement:
        at = NOW - timedelta(seconds=ago_s)
        return Movement(at=at, type=f"ota.inventory.units_{what}", pool_no=1, units=units)

    history = History()
    happened = [moved(10, "released", 2), moved(20, "sold", 3), moved(30, "held", 5)]
    history.tell_past([pool(1, allotted=100, held=0, sold=3)], happened, now=NOW)
    assert [(100, 0, 0), (95, 5, 0), (95, 2, 3), (97, 0, 3), (97, 0, 3)] == [
        figures[1] for _, figures in history.points
    ]
    assert sorted(at for at, _ in history.points) == [at for at, _ in history.points]


def test_the_plot_keeps_ten_minutes_and_no_more_points_than_that() -> None:
    """However long somebody looks."""
    history = History()
    for second in range(2_000):
        history.add([pool(1, allotted=10, held=0, sold=0)], now=NOW + timedelta(seconds=second))
    assert POINTS_MAX >= len(history.points)
    assert 600 >= history.points[-1][0] - history.points[0][0]


def call(at_s: float, *, status: int = 201, duration_ms: int = 10, command: str = "c") -> AuditRow:
    """Return a call that ended so long after NOW."""
    return AuditRow(
        at=NOW + timedelta(seconds=at_s),
        row_id=int(at_s * 1000),
        calls=1,
        partner_id="harbour",
        key_id="k1",
        method="POST",
        route="/api/ota/reserve",
        status=status,
        word=None,
        request_id="req_1",
        address="192.0.2.0/24",
        replayed=False,
        command_id=command,
        reservation_id=RESERVATION,
        order_id=None,
        answered_by="inventory",
        generation=1,
        partition=0,
        seq=1,
        duration_us=duration_ms * 1000,
    )


def told(**changed: Any) -> Told:
    """Return what was found of a reservation."""
    fields: dict[str, Any] = {
        "reservation_id": RESERVATION,
        "hold": None,
        "life": None,
        "order": None,
        "events": (),
        "calls": (),
        "away": (),
        **changed,
    }
    return Told(**fields)


def hold(status: str, *, expires_in_s: float = 3600) -> HoldFacts:
    """Return a hold that was made a minute ago."""
    return HoldFacts(
        product_id=106,
        channel="ota",
        partner_id="harbour",
        quantity=2,
        status=status,
        held_at=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(seconds=expires_in_s),
        visit_date=date(2026, 12, 1),
        pool_no=1,
        partition=0,
    )


def test_a_story_is_one_line_of_time() -> None:
    """A call stands where it began, with what it led to below it, and how long that took."""
    shift = (NOW - datetime(2026, 11, 23, 6, 0, tzinfo=UTC)).total_seconds()
    events = [
        line("inventory", 0, 1, shift + 0.003, correlation_id="c"),
        line("reservation", 0, 1, shift + 4.0, correlation_id="c"),
    ]
    story = tell(told(events=events, calls=[call(0.010)]), now=NOW)
    assert [None, 0.003, 3.997] == [each.after_s and round(each.after_s, 3) for each in story.steps]
    assert [False, False, True] == [each.slow for each in story.steps]
    assert 0.01 == story.steps[0].duration_s
    assert tell(told(), now=NOW).is_empty


OPEN = LifeFacts(status="active", ended_at=None, order_id=None)


@pytest.mark.parametrize(
    "found, warnings",
    [
        ({"hold": hold("held")}, ["has not heard"]),
        ({"hold": hold("held", expires_in_s=-60)}, ["not given back", "has not heard"]),
        ({"hold": hold("held"), "life": OPEN}, []),
        (
            {
                "hold": hold("held"),
                "life": LifeFacts(
                    status="activated", ended_at=NOW - timedelta(minutes=1), order_id="ORD-1"
                ),
            },
            ["not counted", "no order"],
        ),
        ({"hold": hold("held"), "away": ("reservation",)}, ["reservation can't be asked"]),
    ],
    ids=["unopened", "overdue", "well", "half activated", "away"],
)  # fmt: skip
def test_a_story_says_what_looks_wrong(found: dict[str, Any], warnings: list[str]) -> None:
    """And nothing where it can't know."""
    story = tell(told(**found), now=NOW)
    assert len(warnings) == len(story.warnings)
    for part, warning in zip(warnings, story.warnings, strict=True):
        assert part in warning


def test_partners_are_shown_with_use_and_keys() -> None:
    """Those nearest to their limit first; reported calls count until their time is over."""

    def partner(id: str, limit: int) -> Partner:
        return Partner(
            partner_id=id,
            name=id,
            channel="ota",
            permissions=(),
            calls_per_minute=limit,
            created_at=NOW,
        )

    def key(id: str, **changed: Any) -> Key:
        fields = {"key_id": id, "key_hash": id, "partner_id": "b", "created_at": NOW}
        return Key(**{**fields, "expires_at": None, **changed})

    keys = [
        key("good"),
        key("gone", revoked_at=NOW),
        key("over", expires_at=NOW - timedelta(days=1)),
        key("soon", expires_at=NOW + timedelta(days=1)),
    ]
    look = Look(
        state=DirectoryState(partners=[partner("a", 100), partner("b", 10)], keys=keys),
        used_at={"good": NOW},
        now=NOW,
    )
    lease = Lease(instance=0, incarnation="x", granted=7, reported=4, seen_ms=50_000)
    quota = Quota(used=((40_000, 5), (60_000, 9)), leases=(lease,))
    rows = [StoredQuota(partner_id="b", version=1, quota=quota, now_ms=50_000)]
    first, second = partner_lines(look, rows)
    assert ("b", 9, 3, 90, "near its limit") == (
        *(first.partner.partner_id, first.used, first.leased),
        *(round(first.percent), first.pressure),
    )
    states = {each.key.key_id: each.state for each in first.keys}
    assert {"good": "active", "gone": "revoked", "over": "ended", "soon": "ends soon"} == states
    assert (NOW, 0, "") == (first.last_used_at, second.used, second.pressure)


METRICS = """\
# HELP ota_outbox_pending Events.
# TYPE ota_outbox_pending gauge
ota_outbox_pending{partition="0"} 2.0
ota_outbox_pending{partition="1"} 3.0
ota_partition_state{partition="0"} 1.0
ota_partition_state{partition="1"} 0.0
ota_batch_write_duration_seconds_bucket{le="0.1"} 17.0
"""


def test_a_service_is_shown_as_its_ops_port_tells() -> None:
    """Sums over labels, reasons in words; silence is a state."""
    ready = {"status": "unavailable", "failed": {"partitions": "not serving [1]"}}
    found = service_line("inventory", "http://x", ready=ready, metrics=METRICS)
    assert ("not ready", ["partitions: not serving [1]"], 1) == (
        *(found.state, found.reasons),
        found.owned,
    )
    assert {"ota_outbox_pending": 5.0} == found.figures
    silent = service_line("inventory", "http://x", ready=None, metrics="")
    assert "unreachable" == silent.state
    strange = service_line("x", "http://x", ready={}, metrics="ota_outbox_pending{ 1\n")
    assert {} == strange.figures


def test_lag_is_what_was_recorded_and_not_taken() -> None:
    """Over all partitions, with the first event that waits in each."""
    inventory, reservation = INVENTORY_EVENTS.name, RESERVATION_EVENTS.name
    heads = [
        Progress(service="inventory", partition=0, seq=10, inputs={reservation: 4}),
        Progress(service="inventory", partition=1, seq=20, inputs={reservation: 0}),
        Progress(service="reservation", partition=0, seq=5, inputs={inventory: 7}),
        Progress(service="reservation", partition=1, seq=0, inputs={inventory: 20, "other": 3}),
    ]
    found = [(each.service, each.source, each.records, each.waiting) for each in lag_lines(heads)]
    assert [
        ("inventory", "reservation", 1, [(0, 5)]),
        ("reservation", "inventory", 3, [(0, 8)]),
    ] == found


def rule(name: str, state: str, **changed: Any) -> dict[str, Any]:
    """Return an alert rule as Prometheus gives it."""
    return {"name": name, "state": state, "type": "alerting", "labels": {}, **changed}


def test_alerts_that_want_attention_come_first() -> None:
    """With the words of the instance, not the template of the rule."""
    alert = {
        "activeAt": "2026-11-23T06:00:00.123456789Z",
        "annotations": {"summary": "3 units too many", "runbook_url": "javascript:alert(1)"},
    }
    rules = [
        rule("Quiet", "inactive", annotations={"summary": "{{ $value }}"}),
        rule("Late", "pending", alerts=[alert], labels={"severity": "ticket"}),
        rule("Broken", "inactive", lastError="parse error"),
        rule("Oversold", "firing", alerts=[alert, alert], labels={"severity": "page"}),
        {"name": "slo:ratio", "type": "recording"},
    ]
    board = board_of({"data": {"groups": [{"rules": rules}]}})
    assert ["Oversold", "Late", "Broken"] == [each.name for each in board.loud]
    assert (1, ["Quiet"]) == (board.firing, [each.name for each in board.quiet])
    first = board.lines[0]
    since = datetime(2026, 11, 23, 6, 0, 0, 123456, tzinfo=UTC)
    assert ("3 units too many", 2, since) == (first.summary, first.instances, first.since)
    assert first.runbook_url is None  # a script in a link would run on our page


def test_an_alert_leads_to_the_runbook_and_to_its_dashboard() -> None:
    """Here, and at Grafana where it is known; addresses of others are left as they are."""
    notes = {"runbook_url": "docs/runbook-alerts.md#oversell", "dashboard_url": "/d/ota-business"}
    answer = {"data": {"groups": [{"rules": [rule("Oversell", "firing", annotations=notes)]}]}}
    (line,) = board_of(answer, grafana_url="https://grafana.example.com/").lines
    assert line.runbook_url == "/console/runbook/alerts#oversell"
    assert line.dashboard_url == "https://grafana.example.com/d/ota-business"
    (line,) = board_of(answer).lines
    assert line.dashboard_url is None
    notes |= {"runbook_url": "https://wiki.example.com/x", "dashboard_url": "/admin"}
    (line,) = board_of(answer).lines
    assert (line.runbook_url, line.dashboard_url) == ("https://wiki.example.com/x", None)


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"groups": [{}]}}, {"data": 1}])
def test_another_answer_than_prometheus_s_is_an_error(answer: dict[str, Any]) -> None:
    """One that the panel can tell of."""
    with pytest.raises(ValueError, match="no list of rules"):
        board_of(answer)


def test_times_are_hong_kong_s_with_utc_to_point_at() -> None:
    """And milliseconds, because latencies are read off them."""
    text = str(moment(NOW))
    assert ">23 Nov 14:03:22.512<" in text
    assert 'title="2026-11-23 06:03:22.512345 UTC"' in text
    assert f'data-until="{round(NOW.timestamp() * 1000)}"' in str(countdown(NOW))


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "–"),
        (0.0002, "200 µs"),
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (61, "1 min 1 s"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
        (-3, "−3.0 s"),
    ],
)
def test_spans_have_the_units_that_matter(seconds: float | None, text: str) -> None:
    """At most two."""
    assert text == span(seconds)
    assert "12\u202f345" == count(12_345)


def test_what_others_wrote_is_escaped() -> None:
    """Names, reasons, ids: none of them becomes part of the page."""
    row = pool(1, allotted=10, held=1, sold=1)
    stock = rendered("panels/stock.html", lines=pool_lines([row], lambda _: HOSTILE), without=[])
    failed = rendered("panels/failed.html", reason=HOSTILE, last="", read_at=None)
    events = [line("inventory", 0, 1, 0, subject=HOSTILE, reason=HOSTILE, partner_id=HOSTILE)]
    hostile_call = call(0)._replace(route=HOSTILE, request_id=HOSTILE, word=HOSTILE)
    story = tell(told(events=events, calls=[hostile_call]), now=NOW)
    page = rendered("panels/story.html", story=story, pool=lambda _: HOSTILE)
    for text in (stock, failed, page):
        assert "&lt;script&gt;" in text
        assert "<script>" not in text
        assert "alert(1)</script>" not in text

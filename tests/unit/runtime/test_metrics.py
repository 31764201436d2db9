"""The metrics catalogue: what a service shows, in which units, within which bounds.

Names, labels and edges that dashboards and alerts rely on stand in docs/metrics.md, which a test
of deploy/monitoring keeps true.
"""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from structlog.testing import capture_logs

from libs.runtime import metrics as module
from libs.runtime.metric_group import HTTP_BUCKETS_S, SERVICES
from libs.runtime.metrics import (
    LAG_WINDOW_S,
    OTHER,
    Metrics,
    PartitionState,
    PartnerLabels,
    new_registry,
)


def metrics_of(service: str) -> Metrics:
    """Return the metrics of a service in a registry of their own."""
    return Metrics(
        CollectorRegistry(),
        service=service,
        version="1.2.3",
        topics=("ota.inventory.commands.v1",),
        event_types=("ota.inventory.units_held",),
    )


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of the ledger."""
    return metrics_of("inventory")


def exposed(metrics: Metrics) -> str:
    """Return what Prometheus reads."""
    return generate_latest(metrics.registry).decode()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_shows_what_is_its_own(service: str) -> None:
    """All of its metrics, kind included, and none of another's."""
    made = metrics_of(service)
    text = exposed(made)
    for info in made.catalogue:
        assert (f"# TYPE {info.name} {info.kind}" in text) == (service in info.services), info.name


def test_every_metric_says_what_it_is(metrics: Metrics) -> None:
    """A sentence, a unit, and a name that occurs once; time and sizes in base units."""
    names = [info.name for info in metrics.catalogue]
    assert len(names) == len(set(names))
    for info in metrics.catalogue:
        assert info.meaning.endswith("."), info.name
        assert info.unit or info.name.startswith("pg_"), info.name
        assert not info.name.endswith(("_ms", "_kb", "_minutes")), info.name
        assert (info.kind == "counter") == info.name.endswith("_total"), info.name
        assert info.kind != "histogram" or info.buckets, info.name


def test_no_label_is_unbounded(metrics: Metrics) -> None:
    """Whatever grows with sales is no label."""
    bounded = {
        *("http_request_method", "http_route", "http_response_status_code", "reason", "limit"),
        *("partner_id", "product_id", "channel", "currency", "ending", "outcome", "service"),
        *("topic", "partition", "consumergroup", "type", "dependency", "datname"),
        *("pool_name", "state", "version", "python_version"),
        "file",  # of certificates: those that the settings name
    }
    assert {label for info in metrics.catalogue for label in info.labels} <= bounded


def test_partners_are_labels_up_to_a_bound() -> None:
    """Who comes late is counted with the others; who was there keeps its name."""
    labels = PartnerLabels(partners_max=2)
    assert ["a", "b", OTHER, "a"] == [labels.name(each) for each in ("a", "b", "c", "a")]


@pytest.mark.parametrize(
    "line",
    [
        "ota_oversell_incidents_total 0.0",
        "ota_ledger_conflicts_total 0.0",
        "ota_fenced_writes_total 0.0",
        "ota_clock_jumps_total 0.0",
        "ota_chain_breaks_total 0.0",
        'ota_dead_letters_total{topic="ota.inventory.commands.v1"} 0.0',
        'ota_events_appended_total{type="ota.inventory.units_held"} 0.0',
    ],
)
def test_what_alerts_watch_is_there_at_zero(metrics: Metrics, line: str) -> None:
    """An alert on an increase needs the zero before it."""
    assert line in exposed(metrics).splitlines()


def test_buckets_have_edges_at_the_objectives() -> None:
    """A quantile at an objective needs no interpolation."""
    assert {0.02, 0.03, 0.05, 0.1, 0.5, 1.0, 2.0} <= set(HTTP_BUCKETS_S)
    text = exposed(metrics_of("reservation"))
    for objective in ("0.5", "1.0", "2.0", "3.0", "5.0"):
        assert f'ota_hold_expiry_delay_seconds_bucket{{le="{objective}"}}' in text


def test_states_are_read_at_the_scrape(metrics: Metrics) -> None:
    """A hook runs before anything is shown, each time."""
    figures = iter((3, 4))
    metrics.at_scrape(lambda: metrics.holds_open.set(next(figures)))
    assert "ota_holds_open 3.0" in exposed(metrics)
    assert "ota_holds_open 4.0" in exposed(metrics)


def test_a_hook_that_fails_hides_nothing(metrics: Metrics) -> None:
    """The others run, and everything is shown; the log has the failure."""
    metrics.at_scrape(lambda: metrics.holds_open.set(1 // 0))
    metrics.at_scrape(lambda: metrics.holds_open.set(5))
    with capture_logs() as logs:
        assert "ota_holds_open 5.0" in exposed(metrics)
    assert ["metrics.refresh.failed"] == [each["event"] for each in logs]


def test_a_lag_shows_until_a_scrape_has_seen_it(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of this window and the last one, then it is forgotten."""
    clock = iter((100.0, 100.2, 100.0 + LAG_WINDOW_S, 100.0 + 2 * LAG_WINDOW_S))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    for lag_s, shown in ((0.7, 0.7), (0.1, 0.7), (0.1, 0.7), (0.2, 0.2)):
        metrics.note_lag(lag_s)
        assert f"ota_event_loop_lag_seconds {shown}" in exposed(metrics)


def test_a_slow_call_names_its_trace() -> None:
    """Whoever asks for OpenMetrics gets the exemplar."""
    made = metrics_of("gateway")
    observe = made.http_server_request_duration_seconds.labels("GET", "/x", "200").observe
    observe(0.3, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
    text = generate_openmetrics(made.registry).decode()
    assert 'le="0.5"' in text
    assert '# {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.3' in text


def test_the_build_is_named(metrics: Metrics) -> None:
    """Service and version are on the build gauge."""
    assert 'service="inventory",version="1.2.3"' in exposed(metrics)


def test_creation_times_are_left_out(metrics: Metrics) -> None:
    """They would double the output."""
    metrics.commands.labels("inventory", "accepted").inc()
    assert "_created" not in exposed(metrics)


def test_partition_states_are_numbers(metrics: Metrics) -> None:
    """A state is set as it is named."""
    metrics.partition_state.labels(2).set(PartitionState.HALTED)
    assert 'ota_partition_state{partition="2"} 2.0' in exposed(metrics)


def test_two_registries_do_not_meet() -> None:
    """Nothing is shared between the metrics of two registries of one process."""
    first, second = (metrics_of("inventory") for _ in range(2))
    first.fenced_writes.inc()
    assert "ota_fenced_writes_total 0.0" in exposed(second)


def test_a_process_shows_its_own_figures() -> None:
    """CPU and memory of the process are in a new registry."""
    assert b"process_cpu_seconds_total" in generate_latest(new_registry())

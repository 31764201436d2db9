"""The metrics catalogue: names, labels and edges that dashboards and alerts rely on."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from libs.runtime.metrics import HTTP_BUCKETS_S, Metrics, PartitionState, new_registry

NAMES = {
    "http_server_request_duration_seconds": (
        "http_request_method",
        "http_route",
        "http_response_status_code",
    ),
    "ota_commands_total": ("service", "outcome"),
    "ota_events_appended_total": ("type",),
    "ota_batch_messages": (),
    "ota_batch_write_duration_seconds": (),
    "ota_fenced_writes_total": (),
    "ota_dead_letters_total": ("topic",),
    "ota_partition_state": ("partition",),
    "ota_partition_unserved_seconds": ("partition",),
    "ota_partitions_owned": (),
    "ota_outbox_pending": ("partition",),
    "ota_event_gap_fills_total": (),
    "ota_stale_commands_dropped_total": (),
    "ota_replayed_answers_total": (),
    "ota_inventory_available_units": ("product_id", "channel"),
    "ota_inventory_held_units": ("product_id", "channel"),
    "ota_inventory_sold_units": ("product_id", "channel"),
    "ota_holds_open": (),
    "ota_hold_expiry_delay_seconds": (),
    "ota_oversell_incidents_total": (),
    "ota_ledger_conflicts_total": (),
    "ota_clock_jumps_total": (),
    "ota_event_loop_lag_seconds": (),
    "ota_replies_unmatched_total": (),
    "ota_commands_unknown_outcome_total": (),
    "ota_commands_shed_total": (),
    "ota_requests_shed_total": (),
    "ota_connections_open": (),
    "ota_connections_refused_total": ("reason",),
    "ota_audit_rows_total": (),
    "ota_audit_dropped_total": (),
    "ota_audit_backlog_rows": (),
    "ota_calls_over_limit_total": ("limit",),
    "ota_build_info": ("service", "version", "python_version"),
}


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a service in a registry of their own."""
    return Metrics(
        CollectorRegistry(),
        service="inventory",
        version="1.2.3",
        topics=("ota.inventory.commands.v1",),
        event_types=("ota.inventory.units_held",),
    )


def exposed(metrics: Metrics) -> str:
    """Return what Prometheus reads."""
    return generate_latest(metrics.registry).decode()


def test_the_catalogue_is_complete(metrics: Metrics) -> None:
    """Names and labels are these; changing one breaks somebody's dashboard."""
    assert NAMES == {info.name: info.labels for info in metrics.catalogue}
    assert all(info.meaning.endswith(".") for info in metrics.catalogue)


def test_every_name_of_the_catalogue_is_exposed(metrics: Metrics) -> None:
    """The catalogue says what is in the registry, kind included."""
    text = exposed(metrics)
    for info in metrics.catalogue:
        assert f"# TYPE {info.name} {info.kind}" in text


@pytest.mark.parametrize(
    "line",
    [
        "ota_oversell_incidents_total 0.0",
        "ota_ledger_conflicts_total 0.0",
        "ota_fenced_writes_total 0.0",
        "ota_clock_jumps_total 0.0",
        'ota_dead_letters_total{topic="ota.inventory.commands.v1"} 0.0',
        'ota_events_appended_total{type="ota.inventory.units_held"} 0.0',
    ],
)
def test_what_alerts_watch_is_there_at_zero(metrics: Metrics, line: str) -> None:
    """An alert on an increase needs the zero before it."""
    assert line in exposed(metrics).splitlines()


def test_buckets_have_edges_at_the_objectives(metrics: Metrics) -> None:
    """A quantile at an objective needs no interpolation."""
    assert {0.02, 0.03, 0.05, 0.1, 0.5, 1.0, 2.0} <= set(HTTP_BUCKETS_S)
    for objective in ("0.5", "1.0", "2.0", "3.0", "5.0"):
        assert f'ota_hold_expiry_delay_seconds_bucket{{le="{objective}"}}' in exposed(metrics)


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
    first, second = (
        Metrics(CollectorRegistry(), service="inventory", version="1") for _ in range(2)
    )
    first.fenced_writes.inc()
    assert "ota_fenced_writes_total 0.0" in exposed(second)


def test_a_process_shows_its_own_figures() -> None:
    """CPU and memory of the process are in a new registry."""
    assert b"process_cpu_seconds_total" in generate_latest(new_registry())

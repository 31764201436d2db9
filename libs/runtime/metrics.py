"""The catalogue of metrics: every name, unit, label and meaning that the services expose.

Labels are bounded sets; ids of reservations, orders or customers are never labels. One
process per registry (no multi-process mode).
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

HTTP_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Edges lie exactly on the objectives, so that a quantile at one needs no interpolation."""

WRITE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
EXPIRY_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 60.0)
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class PartitionState(IntEnum):
    """The values of ``ota_partition_state``."""

    STANDBY = 0
    OWNER = 1
    HALTED = 2


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One line of the catalogue, for the generated documentation."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def new_registry() -> CollectorRegistry:
    """Return a registry that has the process's own figures (CPU, memory, descriptors)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class Metrics:
    """All metrics of one process, registered in *registry*.

    *topics* and *event_types* are the label values that must be visible before the first
    occurrence, so that an alert on an increase sees the step from 0 to 1.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        service: str,
        version: str,
        topics: Iterable[str] = (),
        event_types: Iterable[str] = (),
    ) -> None:
        # Creation times double the output and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # no annotations
        self.registry = registry
        self.service = service
        self.catalogue: list[MetricInfo] = []
        self._register_edge()
        self._register_loop()
        self._register_stock()
        self._register_process(version)
        for topic in topics:
            self.dead_letters.labels(topic)
        for event_type in event_types:
            self.events_appended.labels(event_type)

    def _register_edge(self) -> None:
        self.http_server_request_duration_seconds = self._histogram(
            "http_server_request_duration_seconds",
            "Time from the request's head to the answer's end, by route template.",
            buckets=HTTP_BUCKETS_S,
            labels=("http_request_method", "http_route", "http_response_status_code"),
        )
        self.replies_unmatched = self._counter(
            "ota_replies_unmatched_total", "Replies for which no request was waiting any more."
        )
        self.commands_unknown_outcome = self._counter(
            "ota_commands_unknown_outcome_total",
            "Commands handed to Kafka whose answer was not there in time (504).",
        )
        self.commands_shed = self._counter(
            "ota_commands_shed_total",
            "Commands refused (503) because their partition would not have answered soon.",
        )
        self.requests_shed = self._counter(
            "ota_requests_shed_total",
            "Requests refused (503) unread because their turn came too late: too many have come.",
        )
        self.connections_open = self._gauge(
            "ota_connections_open", "Connections to the partner port."
        )
        self.connections_refused = self._counter(
            "ota_connections_refused_total",
            "Connections turned away, evicted, or ended for a head that cannot be read.",
            labels=("reason",),
        )

        self.audit_rows = self._counter("ota_audit_rows_total", "Audit records that were stored.")
        self.audit_dropped = self._counter(
            "ota_audit_dropped_total", "Calls whose audit record was given up: the store is away."
        )
        self.audit_backlog_rows = self._gauge(
            "ota_audit_backlog_rows", "Audit records that wait to be stored."
        )

        self.calls_over_limit = self._counter(
            "ota_calls_over_limit_total",
            "Calls refused (429) by the limit of their partner or of their source address.",
            labels=("limit",),
        )

    def _register_loop(self) -> None:
        self.commands = self._counter(
            "ota_commands_total", "Commands by how they ended.", labels=("service", "outcome")
        )
        self.events_appended = self._counter(
            "ota_events_appended_total", "Events written to the log.", labels=("type",)
        )
        self.batch_messages = self._histogram(
            "ota_batch_messages", "Messages decided in one write.", buckets=BATCH_BUCKETS
        )
        self.batch_write_duration_seconds = self._histogram(
            "ota_batch_write_duration_seconds",
            "Time of the one write of a batch.",
            buckets=WRITE_BUCKETS_S,
        )
        self.fenced_writes = self._counter(
            "ota_fenced_writes_total", "Writes refused because a newer owner exists."
        )
        self.dead_letters = self._counter(
            "ota_dead_letters_total", "Messages put aside as unreadable.", labels=("topic",)
        )
        self.partition_state = self._gauge(
            "ota_partition_state", "0 standby, 1 owner, 2 halted.", labels=("partition",)
        )
        self.partitions_owned = self._gauge(
            "ota_partitions_owned", "Partitions that this process owns and serves."
        )
        self.partition_unserved_seconds = self._gauge(
            "ota_partition_unserved_seconds",
            "For how long no process has served a partition, as far as this one knows.",
            labels=("partition",),
        )
        self.outbox_pending = self._gauge(
            "ota_outbox_pending",
            "Events written and not yet known to be published.",
            labels=("partition",),
        )
        self.event_gap_fills = self._counter(
            "ota_event_gap_fills_total", "Gaps in a feed that were filled from the owner's view."
        )
        self.stale_commands_dropped = self._counter(
            "ota_stale_commands_dropped_total", "Commands too old to be decided."
        )
        self.replayed_answers = self._counter(
            "ota_replayed_answers_total", "Repeats that got their recorded answer."
        )
        self.clock_jumps = self._counter(
            "ota_clock_jumps_total", "Jumps of the database's clock; expiry pauses."
        )

    def _register_stock(self) -> None:
        pool = ("product_id", "channel")
        self.inventory_available_units = self._gauge(
            "ota_inventory_available_units", "Units of a pool that can be held.", labels=pool
        )
        self.inventory_held_units = self._gauge(
            "ota_inventory_held_units", "Units of a pool in open holds.", labels=pool
        )
        self.inventory_sold_units = self._gauge(
            "ota_inventory_sold_units", "Units of a pool that were sold.", labels=pool
        )
        self.holds_open = self._gauge("ota_holds_open", "Holds that are neither ended nor sold.")
        self.hold_expiry_delay_seconds = self._histogram(
            "ota_hold_expiry_delay_seconds",
            "Time from a hold's deadline to the decision that it has expired.",
            buckets=EXPIRY_BUCKETS_S,
        )
        self.oversell_incidents = self._counter(
            "ota_oversell_incidents_total", "Pools found with more held and sold than allotted."
        )
        self.ledger_conflicts = self._counter(
            "ota_ledger_conflicts_total", "Terminal events that the ledger could not apply."
        )

    def _register_process(self, version: str) -> None:
        self.event_loop_lag_seconds = self._gauge(
            "ota_event_loop_lag_seconds", "How late the event loop's last heartbeat was."
        )
        build = self._gauge(
            "ota_build_info", "Always 1.", labels=("service", "version", "python_version")
        )
        build.labels(self.service, version, platform.python_version()).set(1)

    def _counter(self, name: str, meaning: str, *, labels: tuple[str, ...] = ()) -> Counter:
        self.catalogue.append(MetricInfo(name, "counter", labels, meaning))
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *, labels: tuple[str, ...] = ()) -> Gauge:
        self.catalogue.append(MetricInfo(name, "gauge", labels, meaning))
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, *, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        self.catalogue.append(MetricInfo(name, "histogram", labels, meaning))
        return Histogram(name, meaning, labels, registry=self.registry, buckets=buckets)

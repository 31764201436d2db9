"""The metrics that the services expose: one catalogue of names, units, labels and meanings.

One process per registry (no multi-process mode). A service shows what is its own. What is a
state is read at the scrape (`MetricGroup.at_scrape`): between two scrapes it costs nothing.
docs/metrics.md is made from here (`make monitoring`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from enum import IntEnum

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

from libs.runtime.business_metrics import BusinessMetrics
from libs.runtime.gateway_metrics import GatewayMetrics
from libs.runtime.loop_metrics import LoopMetrics
from libs.runtime.metric_group import DECIDERS

PARTNERS_MAX = 500
"""Partners that have series of their own; what others do is counted as `OTHER`."""
OTHER = "other"

LAG_WINDOW_S = 15.0
"""The loop's worst lag shows for so long at least, so that a scrape sees it."""


DATABASE_FIGURES = {
    "pg_stat_database_numbackends": "Connections to a service's database",
    "pg_stat_database_xact_commit": "Transactions committed since the server's statistics began",
    "pg_stat_database_xact_rollback": "Transactions rolled back since then",
    "pg_stat_database_blks_read": "Blocks read from disk since then",
    "pg_stat_database_blks_hit": "Blocks found in the server's cache since then",
    "pg_stat_database_tup_inserted": "Rows inserted since then",
    "pg_stat_database_deadlocks": "Deadlocks since then",
    "pg_database_size_bytes": "Size of a service's database on disk",
    "pg_settings_max_connections": "Connections that the server takes in all",
}
"""What each service asks its own database about itself."""


class PartitionState(IntEnum):
    """The values of ``ota_partition_state``."""

    STANDBY = 0
    OWNER = 1
    HALTED = 2


class PartnerLabels:
    """Keeps the number of partners that are label values within bounds."""

    def __init__(self, *, partners_max: int = PARTNERS_MAX) -> None:
        self._known: set[str] = set()
        self._partners_max = partners_max

    def name(self, partner_id: str) -> str:
        """Return a partner's label value: its id, or `OTHER` when there are too many."""
        if partner_id not in self._known:
            if len(self._known) >= self._partners_max:
                return OTHER
            self._known.add(partner_id)
        return partner_id


class _WorstLag:
    """The largest lag of this window and the one before."""

    def __init__(self) -> None:
        self._since = 0.0
        self._now = self._before = 0.0

    def note(self, lag_s: float) -> None:
        now = time.monotonic()
        if now - self._since >= LAG_WINDOW_S:
            self._since, self._before, self._now = now, self._now, 0.0
        self._now = max(self._now, lag_s)

    def worst_s(self) -> float:
        return max(self._now, self._before)


def new_registry() -> CollectorRegistry:
    """Return a registry that has the process's own figures (CPU, memory, descriptors)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class Metrics(GatewayMetrics, LoopMetrics, BusinessMetrics):
    """All metrics of one process; *registry* gets those of its *service*.

    *topics* and *event_types* are the label values that must be visible before the first
    occurrence, so that an alert on an increase sees the step from 0 to 1. An attribute
    exists in every service, whether it is shown there or not.
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
        super().__init__(registry, service=service)
        self.partners = PartnerLabels()
        self._lag = _WorstLag()
        self._register_edge()
        self._register_connections()
        self._register_partners()
        self._register_loop()
        self._register_outcomes()
        self._register_inputs()
        self._register_stock()
        self._register_holds()
        self._register_orders()
        self._register_process(version)
        self._register_database()
        for topic in topics:
            self.dead_letters.labels(topic)
        for event_type in event_types:
            self.events_appended.labels(event_type)
        for limit in ("address", "partner", "pricing"):
            self.calls_over_limit.labels(limit)
        for reason in ("address_full", "full", "head_malformed", "head_too_large", "head_too_slow"):
            self.connections_refused.labels(reason)

    def note_lag(self, lag_s: float) -> None:
        """Take note of how late a heartbeat of the event loop was."""
        self._lag.note(lag_s)

    def _register_process(self, version: str) -> None:
        lag = self._gauge(
            "ota_event_loop_lag_seconds",
            "How late the event loop's worst heartbeat of the last 15 to 30 seconds was.",
        )
        lag.set_function(self._lag.worst_s)
        self.dependency_up = self._gauge(
            "ota_dependency_up",
            "1 while the service's database (postgres) or the broker (kafka) answers, else 0.",
            labels=("dependency",),
            unit="state",
        )
        self.dependency_round_trip_seconds = self._gauge(
            "ota_dependency_round_trip_seconds",
            "Time of the last small question to the database or the broker.",
            labels=("dependency",),
        )
        self.clock_offset_seconds = self._gauge(
            "ota_clock_offset_seconds", "This machine's clock less the database server's."
        )
        self.certificate_expires = self._gauge(
            "ota_certificate_expires_timestamp_seconds",
            "When the first certificate of a file ends that the settings name (authorities of"
            " Kafka or PostgreSQL, our own); 0 if it cannot be read.",
            labels=("file",),
        )
        self.clock_jumps = self._counter(
            "ota_clock_jumps_total",
            "Jumps of the database's clock; expiry pauses.",
            unit="jumps",
            services=DECIDERS,
        )
        build = self._gauge(
            "ota_build_info",
            "Always 1.",
            labels=("service", "version", "python_version"),
            unit="info",
        )
        build.labels(self.service, version, platform.python_version()).set(1)

    def _register_database(self) -> None:
        pool = ("pool_name",)
        self.pool_connections = self._gauge(
            "db_client_connections_usage",
            "Connections of a pool to PostgreSQL, idle or used.",
            labels=(*pool, "state"),
            unit="connections",
        )
        self.pool_connections_max = self._gauge(
            "db_client_connections_max",
            "Connections that a pool may open.",
            labels=pool,
            unit="connections",
        )
        self.pool_pending_requests = self._gauge(
            "db_client_connections_pending_requests",
            "Statements that wait for a connection of a pool.",
            labels=pool,
            unit="statements",
        )
        self.database_figures = {
            name: self._gauge(name, f"{meaning} (postgres_exporter's name).", labels=("datname",))
            for name, meaning in DATABASE_FIGURES.items()
        }

"""How a metric is made: a line of the catalogue and the object that counts, at once.

Labels are bounded sets; ids of reservations, orders or customers are never labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger()

HTTP_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Edges lie exactly on the objectives, so that a quantile at one needs no interpolation."""

WRITE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)

GATEWAY = ("gateway",)
INVENTORY = ("inventory",)
RESERVATION = ("reservation",)
FULFILLMENT = ("fulfillment",)
DECIDERS = (*INVENTORY, *RESERVATION, *FULFILLMENT)
SERVICES = (*GATEWAY, *DECIDERS)

_UNITS = ("seconds", "bytes", "units", "rows", "messages", "events", "calls", "jobs", "records")


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One line of the catalogue, for the generated documentation."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str
    services: tuple[str, ...]
    buckets: tuple[float, ...] = ()


class _Refresher(Collector):
    """Stands first in a registry, and has what is a state read before it is shown."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], None]] = []

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        for hook in self.hooks:
            try:
                hook()
            except Exception:  # what else there is to see must be seen all the same
                log.exception("metrics.refresh.failed")
        return ()


class MetricGroup:
    """Makes the metrics of one process; *registry* gets those of its *service*."""

    def __init__(self, registry: CollectorRegistry, *, service: str) -> None:
        self.registry = registry
        self.service = service
        self.catalogue: list[MetricInfo] = []
        self._refresher = _Refresher()
        registry.register(self._refresher)

    def at_scrape(self, hook: Callable[[], None]) -> None:
        """Have *hook* bring gauges up to date before they are shown; it does no I/O."""
        self._refresher.hooks.append(hook)

    def _shown(
        self,
        kind: str,
        name: str,
        meaning: str,
        labels: tuple[str, ...],
        unit: str,
        services: tuple[str, ...],
        buckets: tuple[float, ...] = (),
    ) -> CollectorRegistry | None:
        """Add a line to the catalogue; return where the metric is shown, None if not here."""
        stem = name.removesuffix("_total")
        unit = unit or next((each for each in _UNITS if stem.endswith(f"_{each}")), "")
        self.catalogue.append(MetricInfo(name, kind, unit, labels, meaning, services, buckets))
        return self.registry if self.service in services else None

    def _counter(
        self,
        name: str,
        meaning: str,
        *,
        labels: tuple[str, ...] = (),
        unit: str = "",
        services: tuple[str, ...] = SERVICES,
    ) -> Counter:
        registry = self._shown("counter", name, meaning, labels, unit, services)
        return Counter(name, meaning, labels, registry=registry)

    def _gauge(
        self,
        name: str,
        meaning: str,
        *,
        labels: tuple[str, ...] = (),
        unit: str = "",
        services: tuple[str, ...] = SERVICES,
    ) -> Gauge:
        registry = self._shown("gauge", name, meaning, labels, unit, services)
        return Gauge(name, meaning, labels, registry=registry)

    def _histogram(
        self,
        name: str,
        meaning: str,
        *,
        buckets: tuple[float, ...],
        labels: tuple[str, ...] = (),
        unit: str = "",
        services: tuple[str, ...] = SERVICES,
    ) -> Histogram:
        registry = self._shown("histogram", name, meaning, labels, unit, services, buckets)
        return Histogram(name, meaning, labels, registry=registry, buckets=buckets)

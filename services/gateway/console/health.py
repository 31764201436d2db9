"""How the services are: what their ops ports say, and how far each is behind its inputs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from libs.events.topics import FULFILLMENT_EVENTS, INVENTORY_EVENTS, RESERVATION_EVENTS

LAG_WARN_S = 5.0
SOURCES = {
    INVENTORY_EVENTS.name: "inventory",
    RESERVATION_EVENTS.name: "reservation",
    FULFILLMENT_EVENTS.name: "fulfillment",
}
_SHOWN = (
    ("ota_outbox_pending", "events to publish"),
    ("ota_event_loop_lag_seconds", "loop lag"),
    ("ota_dead_letters_total", "dead letters since start"),
    ("ota_fenced_writes_total", "fenced writes"),
    ("process_resident_memory_bytes", "memory"),
    ("process_start_time_seconds", "running for"),
)
"""Metrics that a service's card shows, where the service has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """A service; *figures* are pairs of a metric's name and its sum over all labels."""

    name: str
    url: str
    state: str
    reasons: Sequence[str]
    figures: Mapping[str, float]
    owned: int | None

    @property
    def cards(self) -> list[tuple[str, str, float]]:
        """Names, words and values of what is shown."""
        return [(name, word, self.figures[name]) for name, word in _SHOWN if name in self.figures]


def service_line(
    name: str, url: str, *, ready: Mapping[str, Any] | None, metrics: str
) -> ServiceLine:
    """Return a service as its ops port describes it; *ready* None: it did not answer."""
    if ready is None:
        return ServiceLine(
            name=name,
            url=url,
            state="unreachable",
            reasons=["its ops port does not answer"],
            figures={},
            owned=None,
        )
    failed = ready.get("failed") or {}
    sums, owned = _sums(metrics)
    return ServiceLine(
        name=name,
        url=url,
        state="ready" if ready.get("status") == "ok" else "not ready",
        reasons=[f"{check}: {reason}" for check, reason in failed.items()],
        figures=sums,
        owned=owned,
    )


def _sums(metrics: str) -> tuple[dict[str, float], int | None]:
    sums: dict[str, float] = {}
    owned: int | None = None
    wanted = {name for name, _ in _SHOWN} | {"ota_partition_state"}
    # Only the lines that are shown are parsed: histograms have hundreds.
    lines = [line for line in metrics.splitlines() if line.split("{")[0].split(" ")[0] in wanted]
    try:
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except ValueError:
        return {}, None
    for family in families:
        for sample in family.samples:
            if sample.name == "ota_partition_state":
                owned = (owned or 0) + (sample.value == 1)
            else:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums, owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A partition's head, and how far it has taken each of its inputs."""

    service: str
    partition: int
    seq: int
    inputs: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LagLine:
    """How far a service is behind another one's log, all partitions together.

    *waiting* are the places, one for each partition that is behind, of the first events that
    were not taken yet.
    """

    service: str
    source: str
    records: int
    waiting: Sequence[tuple[int, int]]
    since: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """For how long the oldest event waits."""
        return 0.0 if self.since is None else max(0.0, (now - self.since).total_seconds())


def lag_lines(heads: Sequence[Progress]) -> list[LagLine]:
    """Return each pair of a reader and the log that it reads."""
    seqs = {(head.service, head.partition): head.seq for head in heads}
    behind: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for head in heads:
        for topic, taken in head.inputs.items():
            source = SOURCES.get(topic)
            if source is None:
                continue
            missing = max(0, seqs.get((source, head.partition), taken) - taken)
            behind.setdefault((head.service, source), []).append((head.partition, taken, missing))
    return [
        LagLine(
            service=service,
            source=source,
            records=sum(missing for _, _, missing in parts),
            waiting=[(partition, taken + 1) for partition, taken, missing in parts if missing],
        )
        for (service, source), parts in sorted(behind.items())
    ]

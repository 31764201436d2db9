"""What a committed batch looks like in the metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from libs.events.measures import LoopWatch
from libs.runtime.metrics import Metrics


@pytest.mark.parametrize(
    ("events", "answers", "projected", "messages"),
    [
        (("a", "a"), ("Done", "Done", "Refused"), 0, 3),
        ((), (), 4, 4),
        (("a",), ("Done",), 4, 4),
    ],
    ids=["commands", "another service's events", "both"],
)
def test_a_batchs_size_counts_whatever_it_led_to(
    events: tuple[str, ...], answers: tuple[str, ...], projected: int, messages: int
) -> None:
    """A batch that only follows another log has a size too (ADR 17)."""
    registry = CollectorRegistry()
    watch = LoopWatch(Metrics(registry, service="reservation", version="1"))
    watch.decided(events=events, answers=answers, projected=projected, replayed=0)
    assert messages == registry.get_sample_value("ota_batch_messages_sum")
    appended = registry.get_sample_value("ota_events_appended_total", {"type": "a"})
    assert (len(events) or None) == appended

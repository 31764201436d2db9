"""Latencies summed up: nearest-rank percentiles in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a step's answers took, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], *, percent: float) -> float:
    """Return the nearest-rank percentile of values in ascending order.

    It is a value that was measured, never one in between. Raises ValueError for
    no values or a percentage outside 0..100.
    """
    if not ordered or not 0 <= percent <= 100:
        raise ValueError(f"no percentile {percent} of {len(ordered)} values")
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summarise(seconds: Sequence[float]) -> Latency | None:
    """Return the latency figures of measured durations in seconds, None for none."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def ms(percent: float) -> float:
        return round(percentile(ordered, percent=percent) * 1000, 3)

    return Latency(p50_ms=ms(50), p95_ms=ms(95), p99_ms=ms(99), max_ms=ms(100))

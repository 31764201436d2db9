"""What the services count about themselves: their metrics at both ends of a window."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 5
KEPT = ("ota_", "http_server_")
_SUMS = ("_sum", "_count", "_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Sums and counts by service and metric, labels added up."""

    at: float
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Scraper:
    """Reads the ops ports; *addresses* by service. A service that is away is left out."""

    addresses: Mapping[str, str]
    http: aiohttp.ClientSession = field(repr=False)

    async def read(self) -> Reading:
        """Return the present values."""
        values: dict[str, Mapping[str, float]] = {}
        at = time.perf_counter()

        async def one(service: str, address: str) -> None:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    async with self.http.get(f"http://{address}/metrics") as response:
                        values[service] = sums(await response.text())
            except (aiohttp.ClientError, TimeoutError, OSError):
                return

        async with asyncio.TaskGroup() as group:
            for service, address in self.addresses.items():
                group.create_task(one(service, address), name=f"scrape-{service}")
        return Reading(at=at, values=values)


def sums(text: str) -> dict[str, float]:
    """Return our counters, and our histograms' sums and counts, added up over their labels."""
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(KEPT) and sample.name.endswith(_SUMS):
                found[sample.name] += sample.value
    return dict(found)


def between(before: Reading, after: Reading) -> dict[str, dict[str, float]]:
    """Return by service what happened a second, and the means of what was observed.

    ``<metric>/s`` for counters and observations, ``<metric> mean`` for histograms.
    """
    seconds = after.at - before.at
    found: dict[str, dict[str, float]] = {}
    for service, values in after.values.items():
        earlier = before.values.get(service)
        if earlier is None or seconds <= 0:
            continue
        figures = {}
        for name, value in sorted(values.items()):
            change = value - earlier.get(name, 0.0)
            if change <= 0:
                continue
            if name.endswith("_sum"):
                stem = name.removesuffix("_sum")
                count = values[f"{stem}_count"] - earlier.get(f"{stem}_count", 0.0)
                if count > 0:
                    figures[f"{stem} mean"] = round(change / count, 6)
            else:
                stem = name.removesuffix("_count").removesuffix("_total")
                figures[f"{stem}/s"] = round(change / seconds, 2)
        found[service] = figures
    return found

"""What must have happened at least once, or the run has shown nothing: counted while it runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.ground import Ground, scrape

PAUSE_S = 1.5
_METRICS: Mapping[str, str] = {
    "ota_fenced_writes_total": "fenced writes",
    "ota_replayed_answers_total": "stored-result replays",
    "ota_stale_commands_dropped_total": "stale commands dropped",
    "ota_dead_letters_total": "dead letters",
    "ota_event_gap_fills_total": "gaps filled from the owner's view",
}
_LOG_LINES: Mapping[str, str] = {
    "outbox.published_again": "relay rewinds",
    "feed.tail_lost": "lost tails noticed",
    "partition.fenced": "owners that noticed their successor",
}
WRITE, OWNED = "write.unanswered", "partition.owned"
RESOLVED = "unknown commits resolved"
WANTED: Mapping[str, int] = {
    "fenced writes": 20,
    "stored-result replays": 1_000,
    "422 fingerprint": 100,
    RESOLVED: 20,
    "504 then 201 with same key": 50,
    "activation lost to expiry": 20,
    "expiry lost to activation": 20,
    "sold-out 409": 1_000,
    "stale commands dropped": 10,
    "relay rewinds": 3,
    "dead letters": 20,
    "shed 503": 100,
}
"""What 30 minutes with all faults should reach (the plan's part 6.4); above zero is what counts."""
NEEDS: Mapping[str, frozenset[str]] = {
    "fenced writes": frozenset(("F2", "F12", "F9")),
    RESOLVED: frozenset(("F9",)),
    "504 then 201 with same key": frozenset(("F1", "F2", "F4", "F6", "F8")),
    "stale commands dropped": frozenset(("F2", "F4", "F6", "F11")),
    "relay rewinds": frozenset(("F7", "F10", "F6", "F1")),
    "dead letters": frozenset(("F18",)),
    "shed 503": frozenset(("F6", "F25", "F4")),
}
"""Which faults lead to it; what none of the chosen ones leads to is not asked for."""


@dataclass(slots=True)
class Sums:
    """Counters of processes that come and go, added up over all their lives."""

    sums: Counter[str] = field(default_factory=Counter)
    _last: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def take(self, process: str, rows: list[tuple[str, str, float]]) -> None:
        """Add what a process has counted since the last time; a lower figure is a new life."""
        for name, labels, value in rows:
            if name in _METRICS:
                before = self._last.get((process, name, labels), 0.0)
                self.sums[_METRICS[name]] += int(value - before if value >= before else value)
                self._last[process, name, labels] = value


async def collect(ground: Ground, sums: Sums) -> None:
    """Add up the metrics of all instances until cancelled."""
    while True:
        for each in ground.layout.instances:
            sums.take(each.name, await asyncio.to_thread(scrape, each))
        await asyncio.sleep(PAUSE_S)


@dataclass(slots=True)
class Unanswered:
    """Writes whose answer was lost, and where the owner after it found the log of its partition.

    Writes without events are left out: the position does not tell whether they are there.
    """

    _writes: set[tuple[str, int, int, int]] = field(default_factory=set)
    _owners: dict[tuple[str, int], dict[int, int]] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Read a log line that tells of either."""
        try:
            row = json.loads(line)
            service, partition, epoch = row["service.name"], row["partition"], row["epoch"]
            if row["event"] == WRITE and row["events"]:
                self._writes.add((service, partition, epoch, row["seq"]))
            elif row["event"] == OWNED:
                self._owners.setdefault((service, partition), {})[epoch] = row["seq"]
        except (ValueError, KeyError, TypeError):
            return  # cut off: a killed process, a full disk

    def counted(self) -> Counter[str]:
        """Count what has become of them, as the next owner found it."""
        found: Counter[str] = Counter()
        for service, partition, epoch, seq in self._writes:
            owners = self._owners.get((service, partition), {})
            if later := [each for each in owners if each > epoch]:
                there = owners[min(later)] > seq
                found[RESOLVED] += 1
                found[f"{RESOLVED}, the batch was {'' if there else 'not '}there"] += 1
        return found


def logged(folder: Path) -> Counter[str]:
    """Count what the services wrote into their logs."""
    found: Counter[str] = Counter()
    unanswered = Unanswered()
    pattern = re.compile("|".join(map(re.escape, (*_LOG_LINES, WRITE, OWNED))))
    for log in sorted(folder.glob("*.log*")):
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if (hit := pattern.search(line)) is None:
                    continue
                if hit.group() in _LOG_LINES:
                    found[_LOG_LINES[hit.group()]] += 1
                else:
                    unanswered.take(line)
    return found + unanswered.counted()


def sometimes(
    *, sums: Mapping[str, int], logs: Mapping[str, int], lost: Mapping[str, int], model: Any
) -> dict[str, int]:
    """Return all counters of a run by name."""
    counts: Mapping[str, int] = model["counts"]
    return {
        **dict.fromkeys(WANTED, 0),
        **sums,
        **logs,
        "stored-result replays": counts.get("replayed", 0),
        "replays counted by the services": sums.get("stored-result replays", 0),
        "422 fingerprint": counts.get("reused", 0),
        "commits whose answer the proxy lost": lost.get("write", 0),
        "records whose answer the proxy lost": lost.get("produce", 0),
        "504 then 201 with same key": counts.get("unknown, then done with the same key", 0),
        "activation lost to expiry": counts.get("race 409 RESERVATION_EXPIRED", 0),
        "expiry lost to activation": counts.get("race 201", 0),
        "sold-out 409": counts.get("409 SOLD_OUT", 0),
        "shed 503": counts.get("shed 503", 0),
    }

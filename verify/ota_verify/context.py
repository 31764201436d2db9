"""What the models of the services share: heads, sets to compare, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ota_verify.chain import Event
from ota_verify.files import EVENT_TOPICS, Row
from ota_verify.findings import Findings
from ota_verify.sets import RowSets

Heads = Mapping[str, Mapping[int, Row]]

ANSWERS = "recorded_answer"
ANSWER_NAMES = "ota.answer."
EVENTLESS = frozenset({"completed_downstream", "reservation_refused"})
"""Answers that are recorded with an event or without one; old rows do not tell which."""


@dataclass(slots=True, kw_only=True)
class Context:
    """*heads* are those of the export, *heads_after* were read after everything else."""

    findings: Findings
    sets: RowSets
    heads: Heads
    heads_after: Mapping[str, Mapping[int, int]]
    units: dict[str, int] = field(default_factory=dict)

    def head_seq(self, service: str, partition: int) -> int:
        """Return where the exported log ends by its head."""
        head = self.heads.get(service, {}).get(partition)
        return int(head["seq"]) if head is not None else 0

    def last_known_seq(self, service: str, partition: int) -> int:
        """Return the highest number that a log has had when all had been read."""
        after = self.heads_after.get(service, {}).get(partition, 0)
        return max(after, self.head_seq(service, partition))

    def taken(self, reader: str, source: str, partition: int) -> int:
        """Return how far *reader* has taken *source*'s log, as far as that was exported."""
        head = self.heads.get(reader, {}).get(partition)
        if head is None:
            return 0
        inputs = head["inputs"].get(EVENT_TOPICS[source], {})
        return min(int(inputs.get("seq", 0)), self.head_seq(source, partition))

    def wrong(self, check: str, event: Event, text: str) -> None:
        """Take in what is wrong with an event."""
        self.findings.add(check, event.service, text, partition=event.partition, seq=event.seq)

    def need_actor(self, event: Event) -> None:
        """Check that an event that a partner caused says who it was."""
        meta = event.meta
        missing = [name for name in ("partner_id", "key_id", "request_id") if not meta.get(name)]
        if missing:
            self.wrong("actors", event, f"does not say its {', '.join(missing)}")

    def expect_answer(
        self, event: Event, type: str, answer: Mapping[str, Any], *, version: int = 1
    ) -> None:
        """Expect the recorded answer of the command that led to an event."""
        meta = event.meta
        evidenced = "epoch" in meta
        if type in EVENTLESS and not evidenced:
            return
        row = {
            "partition": event.partition,
            "fingerprint": meta.get("fingerprint") or "",
            "type": f"{ANSWER_NAMES}{type}",
            "version": version,
            "answer": answer,
            "reply_to": meta.get("reply_to"),
            "decided_at": event.decided_at,
            "evidence": f"{event.id}.{event.hash}" if evidenced else None,
        }
        self.sets.expect(f"{event.service}.{ANSWERS}", meta["correlation_id"], row)


@lru_cache(maxsize=4096)
def instant(text: str | None) -> str | None:
    """Return a time in the one spelling that is compared."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")


def chosen(row: Row, names: Iterable[str]) -> Row:
    """Return some fields of a row; missing ones are None."""
    return {name: row.get(name) for name in names}


def read_json(text: str | None) -> Any:
    """Return the value of a column that is JSON in text."""
    return None if text is None else json.loads(text)

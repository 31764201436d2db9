"""What was found to be wrong: by check, with its place, the first ones in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

FINDINGS_MAX = 200
"""So many are kept in full; the others are counted."""

CHECKS: Mapping[str, str] = {
    "readable": "every row can be read",
    "chain": "hashes recomputed and linked from the first event, numbers without gap",
    "time": "decision times, epochs and generations never go back",
    "actors": "what a partner caused says who, with which key, in which request",
    "heads": "each head is its log's last event",
    "anchors": "signed heads verify and are what the log has there",
    "receipts": "receipts that partners kept are what the log has there",
    "witnesses": "no log ends before what others have already read of it",
    "conservation": "no pool oversold, every movement from what was there",
    "once": "one end for a hold, one order for an activation, each effect from one cause",
    "tables": "entity tables are what replaying the events gives",
    "answers": "each recorded answer is that of its event, and none is missing",
    "topics": "what is published is what the ledgers have",
    "directory": "the record of partners and keys is an unbroken chain",
}
"""The checks in the order in which they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. *where* is a service's log or a table; numbers where there are."""

    check: str
    where: str
    text: str
    partition: int | None = None
    seq: int | None = None

    def place(self) -> str:
        """Return the place in words."""
        if self.partition is None:
            return self.where
        number = "" if self.seq is None else f"/{self.seq}"
        return f"{self.where} {self.partition}{number}"


class Findings:
    """Collects findings, bounded."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(
        self,
        check: str,
        where: str,
        text: str,
        *,
        partition: int | None = None,
        seq: int | None = None,
    ) -> None:
        """Take in a finding."""
        assert check in CHECKS, check
        self.counts[check] += 1
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(
                Finding(check=check, where=where, text=text, partition=partition, seq=seq)
            )

    def note(self, text: str) -> None:
        """Take in what is no fault and should be known."""
        self.notes.append(text)

    def first(self) -> Finding | None:
        """Return the finding at the earliest place of a log, or the first one."""
        placed = [each for each in self.kept if each.seq is not None]
        if placed:
            return min(placed, key=lambda each: (each.seq or 0, each.where, each.partition or 0))
        return self.kept[0] if self.kept else None

    def as_json(self) -> list[Mapping[str, object]]:
        """Return those that were kept."""
        return [asdict(each) for each in self.kept]

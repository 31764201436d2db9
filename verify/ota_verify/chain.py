"""Hash chains: each event's hash is recomputed and linked to the one before.

Written from the description in docs/tamper-evidence.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ota_verify.files import Row
from ota_verify.findings import Findings

GENESIS = "00" * 32


@dataclass(slots=True, kw_only=True)
class Event:
    """An event as it is stored, with its JSON read; *type* is the last word of its name."""

    service: str
    partition: int
    generation: int
    epoch: int
    seq: int
    type: str
    name: str
    version: int
    subject: str
    decided_at: str
    meta: dict[str, Any]
    data: dict[str, Any]
    raw_data: str
    hash: str

    @property
    def id(self) -> str:
        """Generation, partition and number."""
        return f"{self.generation}-{self.partition}-{self.seq}"


def recomputed(service: str, row: Row) -> str:
    """Return the hash that a stored event should have; raises KeyError, ValueError, TypeError."""
    text = "\n".join(
        (
            service,
            f"{row['generation']}-{row['partition']}-{row['seq']}",
            row["type"],
            str(row["version"]),
            row["subject"],
            row["decided_at"],
            row["meta"],
            row["data"],
        )
    )
    return hashlib.sha256(bytes.fromhex(row["previous_hash"]) + text.encode()).hexdigest()


@dataclass(slots=True)
class Tail:
    """The end of a partition's log so far."""

    seq: int = 0
    hash: str = GENESIS
    generation: int = 0
    epoch: int = 0
    decided_at: str = ""
    has_epoch: bool = False
    broken: bool = False


@dataclass(slots=True)
class ChainCheck:
    """Follows the partitions of one service's log."""

    service: str
    findings: Findings
    tails: dict[int, Tail] = field(default_factory=dict)
    events: int = 0
    _partition: int = -1

    def row(self, row: Row) -> None:
        """Check the next stored event."""
        self.events += 1
        partition, seq = row["partition"], row["seq"]
        tail = self.tails.get(partition)
        if tail is None:
            tail = self.tails[partition] = Tail()
        if partition < self._partition:
            self._wrong(row, "chain", "partitions are out of order")
        self._partition = partition
        if not tail.broken:
            fault = self._fault(row, tail)
            if fault is not None:
                tail.broken = True
                self._wrong(row, "chain", fault)
        tail.seq, tail.hash = seq, row["hash"]

    def _fault(self, row: Row, tail: Tail) -> str | None:
        if row["seq"] != tail.seq + 1:
            return f"follows {tail.seq}: events are missing, double or out of order"
        if row["previous_hash"] != tail.hash:
            return "is not linked to the event before it"
        if row["hash"] != recomputed(self.service, row):
            return "is not what its hash was made of"
        return None

    def times(self, event: Event) -> None:
        """Check what may never go back, once the event was read."""
        tail = self.tails[event.partition]
        place = {"partition": event.partition, "seq": event.seq}
        for name, value, before in (
            ("decided_at", event.decided_at, tail.decided_at),
            ("epoch", event.epoch, tail.epoch),
            ("generation", event.generation, tail.generation),
        ):
            if value < before:  # type: ignore[operator]  # two of one kind
                text = f"{name} goes back from {before} to {value}"
                self.findings.add("time", self.service, text, **place)
        covered = event.meta.get("epoch")
        if covered != event.epoch and (covered is not None or tail.has_epoch):
            text = f"epoch {event.epoch} is not the {covered} that its hash covers"
            self.findings.add("chain", self.service, text, **place)
        tail.has_epoch = tail.has_epoch or covered is not None
        tail.decided_at = max(tail.decided_at, event.decided_at)
        tail.epoch, tail.generation = event.epoch, event.generation

    def _wrong(self, row: Row, check: str, text: str) -> None:
        self.findings.add(check, self.service, text, partition=row["partition"], seq=row["seq"])


def check_heads(heads: dict[int, Row], chain: ChainCheck, findings: Findings) -> None:
    """Check that each head row is the end of its log."""
    service = chain.service
    for partition in sorted({*heads, *chain.tails}):
        head, tail = heads.get(partition), chain.tails.get(partition, Tail())
        if head is None:
            findings.add("heads", service, "the log has no head", partition=partition)
            continue
        if head["seq"] != tail.seq:
            text = f"the head is at {head['seq']}, the log ends at {tail.seq}"
            findings.add("heads", service, text, partition=partition, seq=tail.seq)
        elif head["hash"] != tail.hash:
            text = "the head's hash is not the last event's"
            findings.add("heads", service, text, partition=partition, seq=tail.seq)
        for name, last in (
            ("epoch", tail.epoch),
            ("generation", tail.generation),
            ("decided_at", tail.decided_at),
        ):
            if tail.seq and head[name] < last:
                text = f"the head's {name} {head[name]} is before the last event's {last}"
                findings.add("heads", service, text, partition=partition, seq=tail.seq)


def check_directory(rows: list[Row], version: int | None, findings: Findings) -> int:
    """Check the gateway's record of partners and keys; return how many events it has."""
    previous, last = GENESIS, 0
    for row in rows:
        stored = {
            "generation": 1,
            "partition": 0,
            "seq": row["seq"],
            "type": row["type"],
            "version": row["version"],
            "subject": row["partner_id"],
            "decided_at": row["at"],
            "meta": row["actor_json"],
            "data": row["data"],
            "previous_hash": row["previous_hash"],
        }
        linked = row["seq"] == last + 1 and row["previous_hash"] == previous
        if not linked or row["hash"] != recomputed("gateway", stored):
            findings.add("directory", "gateway", "the chain breaks", partition=0, seq=row["seq"])
            return len(rows)
        previous, last = row["hash"], row["seq"]
    if version is not None and rows and version != last:
        text = f"the directory is at {version}, its record ends at {last}"
        findings.add("directory", "gateway", text, partition=0, seq=last)
    return len(rows)

"""Verifies an export: one pass over its files, and a second one to name what differs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ota_verify.chain import ChainCheck, Event, check_directory, check_heads
from ota_verify.context import Context, instant
from ota_verify.files import ANCHORS_TOPIC, DECIDING, EVENT_TOPICS, ExportFolder, Row
from ota_verify.findings import Findings
from ota_verify.fulfillment import Orders
from ota_verify.inventory import Inventory
from ota_verify.pins import Pins, compare_anchors
from ota_verify.reservation import Reservations
from ota_verify.sets import Focus, RowSets
from ota_verify.tables import COMPARED, find_answer, find_row
from ota_verify.topics import Publication

Progress = Callable[[str, int], None]
"""Is told what is read and how many rows of it so far."""

PROGRESS_ROWS = 50_000
DIFFERENCES_MAX = 50
_CHECK_OF = {"ended": "once", "ordered": "once"}
_BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """*keys* are public anchor keys that were got otherwise; without any, the export's own.

    *receipts* are header values that partners kept. *restored* are the generations that a
    restore has ended. Without *anchors* and *topics* these are left out of account.
    """

    keys: Mapping[str, bytes] | None = None
    receipts: tuple[str, ...] = ()
    restored: frozenset[int] = frozenset()
    anchors: bool = True
    topics: bool = True


@dataclass(slots=True, kw_only=True)
class Report:
    """What a verification came to."""

    findings: Findings
    events: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    pins: int = 0
    records: int = 0
    units: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings.counts

    def as_json(self) -> Mapping[str, Any]:
        """Return all of it."""
        first = self.findings.first()
        return {
            "sound": self.sound,
            "events": self.events,
            "rows": self.rows,
            "pins": self.pins,
            "records": self.records,
            "units": dict(self.units),
            "seconds": round(self.seconds, 3),
            "events_per_second": round(sum(self.events.values()) / max(self.seconds, 1e-9)),
            "counts": dict(self.findings.counts),
            "first": None if first is None else first.place(),
            "findings": self.findings.as_json(),
            "notes": self.findings.notes,
        }


def verify(
    folder: ExportFolder, options: Options | None = None, *, progress: Progress | None = None
) -> Report:
    """Verify an export; raises ExportError when it cannot be read as one."""
    began = time.perf_counter()
    told = progress or (lambda what, rows: None)
    options = options or Options()
    first = _Pass(folder, options, focus=None, progress=told)
    report = first.run()
    focus = first.sets.differing()
    if focus:
        second = _Pass(folder, options, focus=focus, progress=told)
        second.run()
        _name_differences(second.sets, report.findings)
    report.seconds = time.perf_counter() - began
    return report


def _name_differences(sets: RowSets, findings: Findings) -> None:
    for number, (name, difference) in enumerate(sets.differences()):
        check = _CHECK_OF.get(name) or ("answers" if "recorded_answer" in name else "tables")
        if number < DIFFERENCES_MAX:
            findings.add(check, name, difference.told())
        else:
            findings.counts[check] += 1


class _Pass:
    """One pass over all files."""

    def __init__(
        self, folder: ExportFolder, options: Options, *, focus: Focus | None, progress: Progress
    ) -> None:
        self._folder = folder
        self._options = options
        self._progress = progress
        self.findings = Findings()
        self.sets = RowSets(focus)
        after = folder.document("export.json").get("heads_after", {})
        self._context = Context(
            findings=self.findings,
            sets=self.sets,
            heads={service: self._heads(service) for service in DECIDING},
            heads_after={
                service: {int(partition): int(seq) for partition, seq in heads.items()}
                for service, heads in after.items()
            },
        )
        self._pins = Pins(
            self.findings, self._keys(), self._context.last_known_seq, options.restored
        )
        self._publication = Publication(self._context)
        self._report = Report(findings=self.findings)

    def run(self) -> Report:
        """Read everything once."""
        if self._options.anchors:
            self._read_anchors()
        for receipt in self._options.receipts:
            self._pins.receipt(receipt)
        holds, orders = Reservations(self._context), Orders(self._context)
        ledger = Inventory(self._context, holds.held)
        chains = {service: ChainCheck(service, self.findings) for service in DECIDING}
        self._read_lives(chains, ledger, holds)
        for _ in self._read_events(chains["fulfillment"], orders.event):
            pass
        ledger.finish()
        orders.finish()
        for service, chain in chains.items():
            check_heads(dict(self._context.heads[service]), chain, self.findings)
        self._pins.finish({service: chain.tails for service, chain in chains.items()})
        self._check_witnesses()
        self._read_tables(holds)
        holds.finish()
        if self._options.topics:
            self._read_topics()
        self._read_directory()
        self._report.units = self._context.units
        self._report.pins = self._pins.count
        self._report.records = self._publication.records
        return self._report

    def _rows(self, name: str) -> Iterator[Row]:
        """Yield a file's rows; one that breaks a check is told and passed over by the caller."""
        number = 0
        for number, row in enumerate(self._folder.rows(name), 1):
            yield row
            if not number % PROGRESS_ROWS:
                self._progress(name, number)
        self._report.rows += number
        if number:
            self._progress(name, number)

    def _heads(self, service: str) -> dict[int, Row]:
        found = {}
        for row in self._folder.rows(f"heads.{service}.jsonl"):
            try:
                row["decided_at"] = instant(row["decided_at"])
                found[int(row["partition"])] = row
                row["seq"] + row["epoch"] + row["generation"]  # numbers, all of them
                row["inputs"].items()
            except _BROKEN:
                self._unreadable("heads", f"heads.{service}", row)
        return found

    def _keys(self) -> Mapping[str, bytes]:
        if self._options.keys is not None:
            return self._options.keys
        keys = {}
        for key_id, text in self._folder.document("anchor_keys.json").items():
            try:
                keys[key_id] = base64.urlsafe_b64decode(text + "==")
            except (TypeError, ValueError):
                self.findings.add("anchors", "anchor_keys", f"key {key_id} cannot be read")
        if keys:
            self.findings.note(
                "anchors were verified with the system's own list of public keys;"
                " give those that you got otherwise with --keys"
            )
        return keys

    def _read_anchors(self) -> None:
        stored = list(self._anchor_rows("anchors.jsonl", self._rows("anchors.jsonl")))
        records = self._rows(f"topics.{ANCHORS_TOPIC}.jsonl") if self._options.topics else ()
        published = list(self._anchor_rows(ANCHORS_TOPIC, _values(records)))
        for row in stored:
            self._pins.anchor(row, "table")
        for row in published:
            self._pins.anchor(row, "topic")
        if published:
            compare_anchors(stored, published, self.findings)

    def _anchor_rows(self, name: str, rows: Iterable[Row]) -> Iterator[Row]:
        names = ("service", "partition", "generation", "seq", "hash", "key_id", "signature")
        for row in rows:
            try:
                found = {each: row[each] for each in names}
                yield found | {"anchored_at": instant(row["anchored_at"])}
            except _BROKEN:
                self._unreadable("anchors", name, row)

    def _read_lives(
        self, chains: Mapping[str, ChainCheck], ledger: Inventory, holds: Reservations
    ) -> None:
        """Read two logs side by side: an end after its hold, and when the ledger takes it.

        What the ledger has taken of reservations was decided about holds that it had before.
        So no more lives are in memory than are open.
        """
        ends = self._read_events(chains["reservation"], holds.event)
        at: tuple[int, int] | None = (-1, 0)
        for _ in self._read_events(chains["inventory"], ledger.event):
            while at is not None and at < ledger.ended:
                at = next(ends, None)
        for _ in ends:
            pass

    def _read_events(
        self, chain: ChainCheck, apply: Callable[[Event], None]
    ) -> Iterator[tuple[int, int]]:
        """Yield partition and number of each event when it has been applied."""
        service = chain.service
        for row in self._rows(f"events.{service}.jsonl"):
            try:
                chain.row(row)
                event = read_event(service, row)
                chain.times(event)
                self._pins.event(event)
                if self._options.topics:
                    self._publication.event(event)
                apply(event)
                place = (event.partition, int(event.seq))
            except _BROKEN as error:
                self._unreadable("readable", service, row, error)
            else:
                yield place
        self._report.events[service] = chain.events

    def _check_witnesses(self) -> None:
        """What others say of a log's length: readers, the outbox, the audit trail."""
        for reader, heads in self._context.heads.items():
            for partition, head in heads.items():
                for source, topic in EVENT_TOPICS.items():
                    taken = head["inputs"].get(topic, {}).get("seq", 0)
                    self._witness(source, partition, taken, f"{reader} has read up to it")
            for row in self._rows(f"table.{reader}.outbox_mark.jsonl"):
                seq = row["published_seq"]
                self._witness(reader, row["partition"], seq, "it was published")
        for row in self._rows("audit.jsonl"):
            if row.get("answered_by") in DECIDING and row.get("seq") is not None:
                text = "an answer in the audit trail has told of it"
                self._witness(row["answered_by"], row["partition"], row["seq"], text)

    def _witness(self, service: str, partition: int, seq: int, text: str) -> None:
        if seq > self._context.last_known_seq(service, partition):
            text = f"is not there, but {text}"
            self.findings.add("witnesses", service, text, partition=partition, seq=seq)

    def _read_tables(self, holds: Reservations) -> None:
        for table in COMPARED:
            if self._folder.path(f"table.{table}.jsonl") is None:
                self.findings.add("tables", table, "the table is not in the export")
            for row in self._rows(f"table.{table}.jsonl"):
                try:
                    find_row(self._context, table, row)
                    if table == "reservation.reservation":
                        holds.row(row)
                except _BROKEN as error:
                    self._unreadable("tables", table, row, error)
        for service in DECIDING:
            for row in self._rows(f"answers.{service}.jsonl"):
                try:
                    find_answer(self._context, service, row)
                except _BROKEN as error:
                    self._unreadable("answers", service, row, error)

    def _read_topics(self) -> None:
        for service, topic in EVENT_TOPICS.items():
            for row in self._rows(f"topics.{topic}.jsonl"):
                try:
                    self._publication.record(service, row)
                except _BROKEN as error:
                    self._unreadable("topics", topic, row, error)
        self._publication.finish()

    def _read_directory(self) -> None:
        rows = list(self._rows("directory.jsonl"))
        if not rows:
            return
        version = self._folder.document("export.json").get("directory_version")
        try:
            count = check_directory(rows, version, self.findings)
        except _BROKEN as error:
            self.findings.add("directory", "gateway", f"cannot be read: {error!r}")
        else:
            self._report.events["gateway"] = count

    def _unreadable(self, check: str, where: str, row: Row, error: Exception | None = None) -> None:
        partition, seq = row.get("partition"), row.get("seq")
        self.findings.add(
            check,
            where,
            f"a row cannot be read or applied: {error}",
            partition=partition if isinstance(partition, int) else None,
            seq=seq if isinstance(seq, int) else None,
        )


def read_event(service: str, row: Row) -> Event:
    """Return an event with its JSON read; raises KeyError, TypeError, ValueError."""
    return Event(
        service=service,
        partition=row["partition"],
        generation=row["generation"],
        epoch=row["epoch"],
        seq=row["seq"],
        type=row["type"].rpartition(".")[2],
        name=row["type"],
        version=row["version"],
        subject=row["subject"],
        decided_at=row["decided_at"],
        meta=json.loads(row["meta"]),
        data=json.loads(row["data"]),
        raw_data=row["data"],
        hash=row["hash"],
    )


def _values(records: Iterable[Row]) -> Iterator[Row]:
    """Yield the values of records; what is no JSON object is left to whoever reads the rows."""
    for record in records:
        try:
            value = json.loads(record.get("value") or "null")
        except ValueError:
            value = None
        yield value if isinstance(value, dict) else {}

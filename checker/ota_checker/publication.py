"""What Kafka carried, against the logs: events, figures, commands and dead letters.

I17 and I19; the figures that owners report are I2.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field

from ota_checker.chain import content_digest
from ota_checker.identity import micros, short_digest
from ota_checker.model import SERVICES, LogState, Model
from ota_checker.reading import Export, Row
from ota_checker.verdicts import Verdicts

COMMAND_AGE_MAX_S = 2.5
"""Older commands are dropped (design, rule 9); a younger one without any trace was lost."""
MARGIN_S = 0.2
COMMANDS = {
    "ota.inventory.commands.v1": "inventory",
    "ota.reservation.commands.v1": "reservation",
}
COMMAND_TYPES = {
    "inventory": frozenset(
        f"ota.inventory.{name}"
        for name in (
            *("place_hold", "set_allotment", "stop_sales", "resume_sales"),
            *("cap_partner", "publish_catalogue"),
        )
    ),
    "reservation": frozenset(
        ("ota.reservation.activate_reservation", "ota.reservation.cancel_reservation")
    ),
}


@dataclass(slots=True)
class _Seen:
    """What of one partition's log the topic has had."""

    events: bytearray
    newest: int = 0
    began_at: int | None = None
    """The first sequence number of a topic whose oldest records were removed."""


class Publication:
    """The event topics of one service."""

    def __init__(self, *, service: str, model: Model, verdicts: Verdicts) -> None:
        self._service = service
        self._model = model
        self._verdicts = verdicts
        self._seen: dict[int, _Seen] = {}
        self._repeats = 0
        self._early = 0

    def check(self, export: Export) -> None:
        """Compare the topic with the log, in both directions."""
        name = f"topics.ota.{self._service}.events.v1.jsonl"
        if export.path(name) is None:
            return
        started: set[int] = set()
        for record in export.rows(name):
            removed = record["partition"] not in started and record["offset"] > 0
            started.add(record["partition"])
            self._take(record, removed)
        self._finish()

    def _take(self, record: Row, removed: bool) -> None:
        headers = headers_of(record)
        position = headers.get("ce_position")
        if position is None:
            return  # signals and what others put there have no place in the log
        verdicts, partition = self._verdicts, record["partition"]
        verdicts.look("I17")
        try:
            _, stated, seq = map(int, position.split("-"))
        except ValueError:
            return
        log = self._model.logs.get((self._service, partition), LogState())
        seen = self._seen.setdefault(partition, _Seen(bytearray(len(log.contents) + 1)))
        if removed and seen.began_at is None:
            seen.began_at = seen.newest = seq - 1
        place = (self._service, partition, seq)
        if stated != partition or not 0 < seq <= len(log.contents):
            rule = f"{position} of {self._service} was published and is not in the log"
            verdicts.violate("I17", rule, until=(self._service, partition, log.seq))
            return
        told = content_digest(
            headers.get("ce_type", ""), headers.get("ce_dataversion", ""), record.get("value") or ""
        )
        if told != log.contents[seq - 1]:
            rule = f"{position} of {self._service} was published with another content"
            verdicts.violate("I17", rule, until=place, events=(place,))
        self._repeats += seen.events[seq]
        self._early += seq > seen.newest + 1
        seen.events[seq] = 1
        seen.newest = max(seen.newest, seq)

    def _finish(self) -> None:
        verdicts = self._verdicts
        for (service, partition), log in self._model.logs.items():
            if service != self._service:
                continue
            seen = self._seen.get(partition)
            if seen is None:
                rule = f"{service} partition {partition} has {len(log.contents)} events,"
                verdicts.violate("I17", f"{rule} its topic has none")
                continue
            for seq in range((seen.began_at or 0) + 1, len(log.contents) + 1):
                if not seen.events[seq] and self._model.settled(log.decided_at):
                    place = (service, partition, seq)
                    rule = f"event {seq} of {service} partition {partition} was never published"
                    verdicts.violate("I17", rule, until=place, events=(place,))
        figures = verdicts.figures
        figures["events_published_again"] = _add(figures, "events_published_again", self._repeats)
        figures["events_published_early"] = _add(figures, "events_published_early", self._early)


def _add(figures: dict[str, object], name: str, more: int) -> int:
    before = figures.get(name, 0)
    return (before if isinstance(before, int) else 0) + more


def check_figures(*, export: Export, model: Model, verdicts: Verdicts) -> None:
    """What owners report of their pools is the state at the position that they name."""
    for record in export.rows("topics.ota.inventory.availability.v1.jsonl"):
        if headers_of(record).get("ce_type") == "ota.inventory.availability_reported":
            _check_figures(value_of(record), model, verdicts)
    last = ""
    for record in export.rows("topics.ota.gateway.replies.v1.jsonl"):
        headers = headers_of(record)
        id, text = headers.get("ce_correlationid", ""), headers.get("ce_figures", "")
        if model.traced_at(id) is None:
            model.answered.add(id)
        if text and text != last:
            last = text
            _check_figures(f'{{"pools":[{text}]}}', model, verdicts)


def _check_figures(text: str, model: Model, verdicts: Verdicts) -> None:
    """Check figures; anybody may put anything into a topic, and what no reader takes is none."""
    try:
        for figures in json.loads(text)["pools"]:
            _check_figure(figures, model, verdicts)
    except (ValueError, LookupError, TypeError):
        verdicts.figures["figures_unreadable"] = _add(verdicts.figures, "figures_unreadable", 1)


def _check_figure(figures: Row, model: Model, verdicts: Verdicts) -> None:
    pool = model.pools.get(figures["pool_no"])
    index = pool.version_at(figures["seq"]) if pool is not None else -1
    verdicts.look("I2")
    if pool is None or index < 0:
        return
    told = (figures["available"], figures["allotted"])
    if told != (pool.available[index], pool.capacity[index]):
        place = ("inventory", pool.partition, figures["seq"])
        rule = (
            f"pool {pool.number} was reported with {told[0]} of {told[1]} units at {place[2]},"
            f" the replay has {pool.available[index]} of {pool.capacity[index]}"
        )
        verdicts.violate("I2", rule, until=place, pool_no=pool.number)


@dataclass(slots=True)
class _Waiting:
    """A command without a trace, until a later one tells when it must have been looked at."""

    id: str
    kind: str
    offset: int
    issued_at: int
    expires_at: int | None
    """From when on it would have been refused without a record."""


@dataclass(slots=True)
class _CommandPartition:
    end: int = -1
    newest_ms: int = 0
    seen: set[int] = field(default_factory=set)
    waiting: list[_Waiting] = field(default_factory=list)


class Commands:
    """The command topic of one service."""

    def __init__(
        self,
        *,
        topic: str,
        model: Model,
        verdicts: Verdicts,
        dead: Counter[tuple[str, int]],
    ) -> None:
        self._topic = topic
        self._service = COMMANDS[topic]
        self._model = model
        self._verdicts = verdicts
        self._dead = dead
        self._counts: Counter[str] = Counter()
        self._partitions: dict[int, _CommandPartition] = {}

    def check(self, export: Export) -> None:
        """Account for every offset."""
        for record in export.rows(f"topics.{self._topic}.jsonl"):
            self._take(record)
        for head in export.rows(f"heads.{self._service}.jsonl"):
            self._check_taken(head)
        for partition in self._partitions.values():
            self._counts["dropped as stale"] += len(partition.waiting)
        figures = self._verdicts.figures
        for name, count in self._counts.items():
            figures[f"commands {name}"] = _add(figures, f"commands {name}", count)

    def _take(self, record: Row) -> None:
        partition = self._partitions.setdefault(record["partition"], _CommandPartition())
        partition.end = record["offset"]
        partition.newest_ms = record["timestamp_ms"]
        self._verdicts.look("I19")
        headers = headers_of(record)
        letter = (self._topic, short_digest(value_of(record)))
        command = _command(record, headers, self._service)
        traced_at = self._model.traced_at(headers.get("ce_id", ""))
        if self._dead[letter] <= 0:  # what could not be decided is parked as it was understood
            letter = (self._topic, short_digest("id " + headers.get("ce_id", "")))
        if self._dead[letter] > 0:
            self._counts["dead-lettered"] += 1
            self._dead[letter] -= 1
            return
        if command is None:
            rule = (
                f"{self._topic} {record['partition']}/{record['offset']} can't be read and is no"
                " dead letter"
            )
            self._verdicts.violate("I19", rule)
            return
        id, digest = headers["ce_id"], short_digest(headers["ce_id"])
        issued_at = min(micros(headers["ce_time"]), record["timestamp_ms"] * 1000)
        if digest in partition.seen:
            self._counts["repeated"] += 1
        elif traced_at is not None:
            self._counts["processed"] += 1
            if traced_at >= issued_at:
                self._pass(partition, traced_at, record["partition"])
        elif id in self._model.answered or self._refused(headers["ce_type"], command, issued_at):
            self._counts["refused without a record"] += 1
        else:
            asked = command.get("expires_at")
            expires_at = micros(asked) if asked is not None else None
            partition.waiting.append(
                _Waiting(id, headers["ce_type"], record["offset"], issued_at, expires_at)
            )
        partition.seen.add(digest)

    def _pass(self, partition: _CommandPartition, now: int, number: int) -> None:
        """Commands are decided in order: what stands before a decided one was looked at."""
        age_min = (COMMAND_AGE_MAX_S - MARGIN_S) * 1e6
        for waiting in partition.waiting:
            if waiting.expires_at is not None and waiting.expires_at <= now:
                self._counts["refused without a record"] += 1
            elif now - waiting.issued_at < age_min:
                age_s = (now - waiting.issued_at) / 1e6
                rule = (
                    f"{self._topic} {number}/{waiting.offset} was skipped: {waiting.kind}"
                    f" {waiting.id}, {age_s:.2f} s old, and no trace of it"
                )
                self._verdicts.violate("I19", rule)
            else:
                self._counts["dropped as stale"] += 1
        partition.waiting.clear()

    def _refused(self, kind: str, command: Row, issued_at: int) -> bool:
        """Say whether the rules refuse a command without a record, or it changes nothing."""
        model = self._model
        if kind == "ota.inventory.place_hold":
            return command.get("pool_no") not in model.pools
        if kind.startswith("ota.inventory."):
            return True  # an operator's command that asks for what is so already
        hold = model.holds.get(str(command.get("reservation_id")))
        if hold is None or hold.partner_id != command.get("partner_id"):
            return True
        if hold.held_at + MARGIN_S * 1e6 > issued_at:
            return True  # asked for before it was there
        types = command.get("customer_types")
        return isinstance(types, list) and len(types) != hold.quantity

    def _check_taken(self, head: Row) -> None:
        inputs = head["inputs"]
        taken = (json.loads(inputs) if isinstance(inputs, str) else inputs).get(self._topic)
        partition = self._partitions.get(head["partition"])
        if partition is None or not self._model.settled(partition.newest_ms * 1000):
            return
        offset = taken["offset"] if taken is not None else -1
        if offset < partition.end:
            rule = f"{self._topic} {head['partition']}: taken up to {offset} of {partition.end}"
            self._verdicts.violate("I19", rule)


def _command(record: Row, headers: dict[str, str], service: str) -> Row | None:
    """Return the body of a readable command, None for anything else."""
    wanted = ("ce_id", "ce_type", "ce_time", "ce_correlationid", "ce_dataversion")
    if not all(name in headers for name in wanted):
        return None
    if headers["ce_type"] not in COMMAND_TYPES[service]:
        return None
    try:
        micros(headers["ce_time"])
        body = json.loads(value_of(record))
        if body.get("expires_at") is not None:
            micros(body["expires_at"])
    except (ValueError, TypeError, AttributeError):
        return None
    return body if isinstance(body, dict) else None


def headers_of(record: Row) -> dict[str, str]:
    """Return a record's headers; those without a value have an empty one."""
    return {str(name): value or "" for name, value in record["headers"]}


def value_of(record: Row) -> str:
    """Return a record's value as text."""
    if record.get("value") is not None:
        return str(record["value"])
    return b64decode(record.get("value_base64") or "").decode("latin-1")


def dead_letters(export: Export) -> Counter[tuple[str, int]]:
    """Return how often records stand in the dead letters, by topic and content."""
    found: Counter[tuple[str, int]] = Counter()
    for record in export.rows("topics.ota.platform.dead-letters.v1.jsonl"):
        headers = headers_of(record)
        topic = str(headers.get("x-dlq-topic", record.get("key")))
        found[topic, short_digest(value_of(record))] += 1
        if "ce_id" in headers:
            found[topic, short_digest("id " + headers["ce_id"])] += 1
    return found


def check_publication(*, export: Export, model: Model, verdicts: Verdicts) -> None:
    """Run all checks of topics that the export has."""
    for service in SERVICES:
        Publication(service=service, model=model, verdicts=verdicts).check(export)
    check_figures(export=export, model=model, verdicts=verdicts)
    dead = dead_letters(export)
    verdicts.figures["dead_letters"] = sum(
        1 for _ in export.text_lines("topics.ota.platform.dead-letters.v1.jsonl")
    )
    for topic in COMMANDS:
        Commands(topic=topic, model=model, verdicts=verdicts, dead=dead).check(export)

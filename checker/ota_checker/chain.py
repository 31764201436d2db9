"""What holds for every event of every log: its place, its time, its writer, its hash, its author.

I13, I18 and I22. The hash is SHA-256 over the hash before (32 bytes) and, joined by newlines, the
service, ``generation-partition-seq``, type, version, subject, decision time (UTC, microseconds),
meta and data exactly as stored.
"""

from __future__ import annotations

import hashlib
import json

from ota_checker.identity import micros, short_digest
from ota_checker.model import LogState, Model
from ota_checker.reading import Row
from ota_checker.verdicts import Verdicts


class LogCheck:
    """Follows the partitions of one service's log."""

    def __init__(self, *, service: str, model: Model, verdicts: Verdicts) -> None:
        self._service = service
        self._model = model
        self._verdicts = verdicts
        self.events = 0

    def take(self, row: Row) -> tuple[int, Row, Row]:
        """Check an event's place in its log; return its time, its meta and its data."""
        partition, seq, at = row["partition"], row["seq"], micros(row["decided_at"])
        log = self._model.logs.setdefault((self._service, partition), LogState())
        place = (self._service, partition, seq)
        before = (self._service, partition, log.seq)
        verdicts = self._verdicts
        if seq != log.seq + 1:
            rule = f"event {seq} of {self._service} partition {partition} follows event {log.seq}"
            verdicts.violate("I13", rule, until=place, events=(before, place))
        if at < log.decided_at or row["generation"] < log.generation:
            rule = f"{self._service} partition {partition}: time or generation goes back at {seq}"
            verdicts.violate("I13", rule, until=place, events=(before, place))
        if row["epoch"] < log.epoch:
            rule = (
                f"{self._service} partition {partition}: event {seq} was written in epoch"
                f" {row['epoch']} after one of epoch {log.epoch}"
            )
            verdicts.violate("I18", rule, until=place, events=(before, place))
        self._chain(row, log)
        log.seq, log.decided_at, log.generation = seq, max(at, log.decided_at), row["generation"]
        log.epoch = max(log.epoch, row["epoch"])
        log.hash = row["hash"]
        anchored = self._model.anchors.pop(place, None)
        if anchored is not None and anchored != row["hash"]:
            rule = (
                f"event {seq} of {self._service} partition {partition} was anchored with another"
                " hash"
            )
            verdicts.violate("I22", rule, until=place, events=(place,))
        log.contents.append(content_digest(row["type"], row["version"], row["data"]))
        self.events += 1
        return at, json.loads(row["meta"]), json.loads(row["data"])

    def _chain(self, row: Row, log: LogState) -> None:
        position = f"{row['generation']}-{row['partition']}-{row['seq']}"
        decided = row["decided_at"].replace("Z", "+00:00")
        if "." not in decided:
            decided = f"{decided[:19]}.000000{decided[19:]}"
        text = "\n".join(
            (
                self._service,
                position,
                row["type"],
                str(row["version"]),
                row["subject"],
                decided,
                row["meta"],
                row["data"],
            )
        )
        found = hashlib.sha256(bytes.fromhex(row["previous_hash"]) + text.encode()).hexdigest()
        if row["previous_hash"] != log.hash or found != row["hash"]:
            what = "the hash before it" if found == row["hash"] else "its own hash"
            place = (self._service, row["partition"], row["seq"])
            rule = f"event {position} of {self._service} does not agree with {what}"
            self._verdicts.violate("I22", rule, until=place, events=(place,))

    def author(self, row: Row, meta: Row, partner_id: str | None) -> None:
        """Check that a client's mutation names who acted, with which key, in which request."""
        place = (self._service, row["partition"], row["seq"])
        if not (meta.get("partner_id") and meta.get("key_id") and meta.get("request_id")):
            rule = f"event {place[2]} of {place[0]} partition {place[1]} has no complete author"
            self._verdicts.violate("I22", rule, until=place, events=(place,))
        elif partner_id is not None and meta["partner_id"] != partner_id:
            rule = f"{meta['partner_id']} changed {row['subject']}, which belongs to {partner_id}"
            self._verdicts.violate("I11", rule, until=place, events=(place,))

    def finish(self) -> None:
        """Count what was looked at."""
        for invariant in ("I13", "I18", "I22"):
            self._verdicts.look(invariant, self.events)


def content_digest(type: str, version: int | str, data: str) -> int:
    """Return what tells the contents of events apart."""
    return short_digest(f"{type} {version} {data}")


def check_heads(*, service: str, rows: list[Row], model: Model, verdicts: Verdicts) -> None:
    """A head row stands where the last event does: else a tail was cut, or events were added."""
    for head in rows:
        log = model.logs.get((service, head["partition"]), LogState())
        place = (service, head["partition"], log.seq)
        verdicts.look("I13")
        if head["seq"] != log.seq:
            rule = (
                f"the head of {service} partition {place[1]} is at {head['seq']}, its log ends at"
                f" {log.seq}"
            )
            verdicts.violate("I13", rule, until=place, events=(place,))
        elif head["hash"] != log.hash:
            rule = (
                f"the head of {service} partition {place[1]} has another hash than its last event"
            )
            verdicts.violate("I22", rule, until=place, events=(place,))
        if head["epoch"] < log.epoch:
            rule = f"the head of {service} partition {place[1]} has an older epoch than its events"
            verdicts.violate("I18", rule, until=place, events=(place,))


def check_anchors_left(*, model: Model, verdicts: Verdicts) -> None:
    """Every anchored event was met; what is left of the anchors was cut away."""
    for place in sorted(model.anchors):
        rule = f"event {place[2]} of {place[0]} partition {place[1]} was anchored and is gone"
        verdicts.violate("I22", rule, until=place)

"""Publication: what event topics hold is what the ledgers have, whole within retention.

Eight bytes for each event are kept in memory, keyed hashes of what its record should say.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from array import array
from dataclasses import dataclass, field
from typing import Any

from ota_verify.chain import Event
from ota_verify.context import Context, instant
from ota_verify.files import EVENT_TOPICS, Row

_META = ("correlation_id", "causation_id", "partner_id", "key_id", "request_id", "traceparent")
_HEADERS = (
    *("ce_correlationid", "ce_causationid", "ce_partnerid", "ce_keyid", "ce_requestid"),
    "traceparent",
)
SIGNAL = "ota.reservation.answer_requested"


@dataclass(slots=True)
class _Log:
    """One partition: a hash for each event, and which of them were seen in the topic."""

    hashes: array[int] = field(default_factory=lambda: array("Q"))
    seen: bytearray = field(default_factory=bytearray)
    first_seen: int = 0


class Publication:
    """Compares topics with logs; events first, then records."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._key = secrets.token_bytes(32)
        self._logs: dict[tuple[str, int], _Log] = {}
        self.records = 0
        self.foreign = 0

    def event(self, event: Event) -> None:
        """Remember what an event's record should say; events come in order."""
        log = self._logs.setdefault((event.service, event.partition), _Log())
        meta = event.meta
        said: list[Any] = [event.id, event.name, event.raw_data, event.decided_at]
        said += [meta.get(name) for name in _META]
        said += [meta.get("fingerprint"), _number(meta.get("reply_to"))]
        missing = event.seq - 1 - len(log.hashes)
        if missing > 0:  # the chain's check has told of it
            log.hashes.extend([0] * min(missing, 1_000_000))
        if event.seq - 1 == len(log.hashes):
            log.hashes.append(self._hash(said))

    def record(self, service: str, row: Row) -> None:
        """Compare a record of a service's event topic."""
        headers = dict(row["headers"])
        self.records += 1
        place = headers.get("ce_position")
        if place is None or "value" not in row:
            self.foreign += headers.get("ce_type") != SIGNAL
            return
        try:
            _, partition, seq = map(int, place.split("-"))
            at = instant(headers["ce_time"])
        except (ValueError, KeyError):
            self.foreign += 1
            return
        said = [place, headers.get("ce_type"), row["value"], at]
        said += [headers.get(name) for name in _HEADERS]
        said += [headers.get("ce_fingerprint"), headers.get("ce_replyto")]
        log = self._logs.setdefault((service, partition), _Log())
        if seq > len(log.hashes):
            if seq > self._context.last_known_seq(service, partition):
                self._wrong(service, partition, seq, "was published and is not in the log")
            return
        if partition != row["partition"] or log.hashes[seq - 1] != self._hash(said):
            self._wrong(service, partition, seq, "was published with another content")
        if not log.seen:
            log.seen = bytearray(len(log.hashes))
        log.seen[seq - 1] = 1
        log.first_seen = min(log.first_seen or seq, seq)

    def finish(self) -> None:
        """Find what was not published, from the oldest record that is left on."""
        for (service, partition), log in self._logs.items():
            if not log.seen:
                if log.hashes:
                    self._context.findings.note(
                        f"{EVENT_TOPICS[service]} {partition}: no record is left to compare"
                    )
                continue
            gap = log.seen.find(0, log.first_seen - 1)
            if gap >= 0:
                missing = log.seen.count(0, log.first_seen - 1)
                text = f"{missing} events were not published, this one first"
                self._wrong(service, partition, gap + 1, text)
        if self.foreign:
            self._context.findings.note(f"{self.foreign} records in event topics are none of ours")

    def _wrong(self, service: str, partition: int, seq: int, text: str) -> None:
        topic = EVENT_TOPICS[service]
        self._context.findings.add("topics", topic, text, partition=partition, seq=seq)

    def _hash(self, said: list[Any]) -> int:
        text = json.dumps(said).encode()
        return int.from_bytes(hashlib.blake2b(text, key=self._key, digest_size=8).digest(), "big")


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)

"""What pins a log to what it was: anchors that were signed, receipts that partners kept."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ota_verify.chain import Event, Tail
from ota_verify.files import DECIDING, Row
from ota_verify.findings import Findings

_RECEIPT = struct.Struct(">BBHIQ32s16s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a log had at a place: an event's hash. *check* is anchors or receipts."""

    check: str
    service: str
    partition: int
    generation: int
    seq: int
    hash: str
    origin: str


@dataclass(slots=True)
class Pins:
    """All pins, compared with the logs as these are read.

    *grew_to* says how long a log was when everything had been read: what was pinned behind
    the exported end, and no further than that, came while the export was made.
    """

    findings: Findings
    keys: Mapping[str, bytes]
    grew_to: Callable[[str, int], int]
    restored: frozenset[int] = frozenset()
    count: int = 0
    _open: dict[tuple[str, int, int], list[Pin]] = field(default_factory=dict)

    def anchor(self, row: Row, origin: str) -> None:
        """Take in an anchor, if its signature holds."""
        fault = signature_fault(row, self.keys)
        if fault is not None:
            self.findings.add(
                "anchors",
                row["service"],
                f"{fault} ({origin})",
                partition=row["partition"],
                seq=row["seq"],
            )
            return
        names = ("service", "partition", "generation", "seq", "hash")
        self._pin(Pin(check="anchors", origin=origin, **{name: row[name] for name in names}))

    def receipt(self, text: str) -> None:
        """Take in the value of an ``OTA-Receipt``.

        Its seal is known to gateways only: a receipt that accuses us falsely is told apart
        by ``GET /api/ota/receipts/{receipt}``.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            version, source, partition, generation, seq, hash, _ = _RECEIPT.unpack(raw)
            service = DECIDING[source]
        except (ValueError, struct.error, IndexError):
            self.findings.add("receipts", "receipts", f"{text[:100]!r} is no receipt")
            return
        if version != 1:
            self.findings.add("receipts", "receipts", f"{text[:100]!r} is of version {version}")
            return
        self._pin(
            Pin(
                check="receipts",
                service=service,
                partition=partition,
                generation=generation,
                seq=seq,
                hash=hash.hex(),
                origin="a partner's receipt",
            )
        )

    def _pin(self, pin: Pin) -> None:
        self.count += 1
        self._open.setdefault((pin.service, pin.partition, pin.seq), []).append(pin)

    def event(self, event: Event) -> None:
        """Compare an event with the pins at its place."""
        for pin in self._open.pop((event.service, event.partition, event.seq), ()):
            if pin.generation in self.restored and event.generation > pin.generation:
                continue
            # After a restore a head is at its last event in the next generation already.
            if pin.hash != event.hash or pin.generation < event.generation:
                self._differs(pin, "is not the event that it was")

    def finish(self, tails: Mapping[str, Mapping[int, Tail]]) -> None:
        """Find the pins behind the ends of the logs."""
        for pins in self._open.values():
            for pin in pins:
                tail = tails.get(pin.service, {}).get(pin.partition, Tail())
                if pin.generation in self.restored and tail.generation > pin.generation:
                    continue
                if tail.seq < pin.seq <= self.grew_to(pin.service, pin.partition):
                    continue
                if tail.seq >= pin.seq:
                    self._differs(pin, "is not there any more")
                else:
                    self._differs(pin, f"is gone: the log ends at {tail.seq}")

    def _differs(self, pin: Pin, text: str) -> None:
        self.findings.add(
            pin.check,
            pin.service,
            f"{text} ({pin.origin})",
            partition=pin.partition,
            seq=pin.seq,
        )


def signed_text(row: Row) -> bytes:
    """Return what an anchor's signature is over."""
    place = f"{row['generation']}-{row['partition']}-{row['seq']}"
    return "\n".join(
        ("ota-anchor-v1", row["service"], place, row["hash"], row["anchored_at"])
    ).encode()


def signature_fault(row: Row, keys: Mapping[str, bytes]) -> str | None:
    """Say what is wrong with an anchor's signature, None if nothing."""
    public = keys.get(row["key_id"])
    if public is None:
        return f"is signed with the unknown key {row['key_id']}"
    try:
        signature = base64.urlsafe_b64decode(row["signature"] + "==")
        if base64.urlsafe_b64encode(signature).rstrip(b"=").decode() != row["signature"]:
            return "has a signature in another spelling"
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_text(row))
    except (InvalidSignature, ValueError, binascii.Error, TypeError):
        return "has a signature that does not hold"
    return None


def compare_anchors(
    stored: Iterable[Row],
    published: Iterable[Row],
    findings: Findings,
) -> None:
    """Check that the tables and the topic have the same anchors, as far back as the topic goes.

    Tables are read after the topic, and an anchor is stored before it is published.
    """
    table = {_identity(row): row for row in stored}
    topic = {_identity(row): row for row in published}
    first: dict[tuple[str, int], str] = {}
    newest: dict[tuple[str, int], int] = {}
    for row in topic.values():
        at = (row["service"], row["partition"])
        first[at] = min(first.get(at, row["anchored_at"]), row["anchored_at"])
        newest[at] = max(newest.get(at, 0), row["seq"])
    for identity in sorted(topic.keys() - table.keys()):
        row = topic[identity]
        _missing(row, "was published and is not in the table", findings)
    for identity in sorted(table.keys() - topic.keys()):
        row = table[identity]
        at = (row["service"], row["partition"])
        # What is older than the topic, or newer and still on its way, is no fault.
        if first.get(at, "~") < row["anchored_at"] and row["seq"] < newest[at]:
            _missing(row, "is in the table and was not published", findings)


def _identity(row: Row) -> tuple[str, ...]:
    names = ("service", "partition", "generation", "seq")
    signed = ("hash", "anchored_at", "key_id", "signature")
    return tuple(str(row[name]) for name in (*names, *signed))


def _missing(row: Row, text: str, findings: Findings) -> None:
    findings.add(
        "anchors", row["service"], f"an anchor {text}", partition=row["partition"], seq=row["seq"]
    )

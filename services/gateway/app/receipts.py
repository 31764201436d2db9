"""Receipts: what a partner keeps as evidence of what was recorded for it, and their check.

A receipt is the position and the hash of the event that a request led to (ADR 20). It can be
read by anybody, so that it binds us, and is sealed for its partner, so that nobody else can
ask about it and none can be made up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Protocol

import structlog

from libs.events.envelope import Position
from libs.events.hashing import anchor_text, hashed_text, hashed_value, parse_evidence
from libs.events.requests import Reply
from libs.kernel.values import dataclass
from services.gateway.app.call import Call
from services.gateway.app.positions import SOURCES
from services.gateway.app.rendering import instant
from services.gateway.domain.records import RecordedAnchor, RecordedEvent
from services.gateway.domain.refusal import Refusal

log = structlog.get_logger()

POLL_S = 0.05
RECEIPT_LENGTH_MAX = 100
_VERSION = 1
_SEAL_BYTES = 16
# Version, source, partition, generation, number, hash.
_BODY = struct.Struct(">BBHIQ32s")
_NUMBERS = {source: number for number, source in enumerate(SOURCES)}

RECEIPT_NOT_FOUND = Refusal(word="NOT_FOUND", detail="This is no receipt that you were given.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An event of a service: where it stands, and its hash."""

    source: str
    position: Position
    hash: bytes


class EventRecords(Protocol):
    """The deciding services' logs, through their read views."""

    async def event(self, source: str, *, partition: int, seq: int) -> RecordedEvent | None:
        """Return what stands at a place now, None if nothing; raises StoreUnavailable."""
        ...


class ReceiptSeal:
    """Writes and opens receipts; all gateways have the same *key*."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_reply(self, reply: Reply, *, partner_id: str) -> str | None:
        """Return the receipt of an answer, None if it came of no event."""
        if reply.evidence is None:
            return None
        position, hash = parse_evidence(reply.evidence)
        body = _BODY.pack(
            _VERSION,
            _NUMBERS[reply.source],
            position.partition,
            position.generation,
            position.seq,
            hash,
        )
        return urlsafe_b64encode(body + self._seal(body, partner_id)).rstrip(b"=").decode()

    def open(self, text: str, *, partner_id: str) -> Receipt | None:
        """Return what a receipt says, None unless it is *partner_id*'s, exactly as given."""
        if len(text) > RECEIPT_LENGTH_MAX:
            return None
        try:
            raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        body = raw[: _BODY.size]
        expected = body + self._seal(body, partner_id)
        if len(body) != _BODY.size or urlsafe_b64encode(expected).rstrip(b"=") != text.encode():
            return None
        _, source, partition, generation, seq, hash = _BODY.unpack(body)
        return Receipt(
            source=SOURCES[source], position=Position(generation, partition, seq), hash=hash
        )

    def _seal(self, body: bytes, partner_id: str) -> bytes:
        # The body has one length, so nothing can move over into the partner's id.
        return hashlib.blake2b(
            body + partner_id.encode(), key=self._key, digest_size=_SEAL_BYTES, person=b"receipt"
        ).digest()


class Receipts:
    """Compares receipts with what is recorded now."""

    def __init__(self, *, seal: ReceiptSeal, records: EventRecords) -> None:
        self._seal = seal
        self._records = records

    async def check(self, call: Call, text: str) -> bytes | Refusal:
        """Return what became of the event that a receipt names; raises StoreUnavailable."""
        receipt = self._seal.open(text, partner_id=call.caller.partner_id)
        if receipt is None:
            return RECEIPT_NOT_FOUND
        event = await self._find(receipt, call)
        status = _status(receipt, event)
        if status != "recorded":
            log.critical(
                "gateway.receipt.broken",
                state=status,
                source=receipt.source,
                position=receipt.position.event_id(),
                request_id=call.request_id,
                trace_id=call.traceparent[3:35],
            )
        return json.dumps(_rendered(text, receipt, status, event), separators=(",", ":")).encode()

    async def _find(self, receipt: Receipt, call: Call) -> RecordedEvent | None:
        """Look for the event; a view that is behind gets the time that reads give it."""
        loop = asyncio.get_running_loop()
        place = receipt.position
        while True:
            event = await self._records.event(
                receipt.source, partition=place.partition, seq=place.seq
            )
            if event is not None or loop.time() + POLL_S > call.view_deadline:
                return event
            await asyncio.sleep(POLL_S)


def _status(receipt: Receipt, event: RecordedEvent | None) -> str:
    if event is None or event.position.generation != receipt.position.generation:
        return "missing"
    content = _hashed(receipt.source, event)
    whole = hashed_value(event.previous_hash, content) == event.hash
    return "recorded" if whole and event.hash == receipt.hash else "altered"


def _hashed(source: str, event: RecordedEvent) -> str:
    return hashed_text(
        source=source,
        position=event.position,
        type=event.type,
        version=event.version,
        subject=event.subject,
        decided_at=event.decided_at,
        meta=event.meta,
        data=event.data,
    )


def _rendered(
    text: str, receipt: Receipt, status: str, event: RecordedEvent | None
) -> Mapping[str, object]:
    found: dict[str, object] = {
        "receipt": text,
        "status": status,
        "service": receipt.source,
        "position": receipt.position.event_id(),
        "hash": receipt.hash.hex(),
    }
    if event is None or status != "recorded":
        return found
    anchor = event.anchor
    return found | {
        "event_type": event.type,
        "event_version": event.version,
        "subject": event.subject,
        "decided_at": instant(event.decided_at),
        "previous_hash": event.previous_hash.hex(),
        "hashed": _hashed(receipt.source, event),
        "anchored": None if anchor is None else _rendered_anchor(receipt, anchor),
    }


def _rendered_anchor(receipt: Receipt, anchor: RecordedAnchor) -> Mapping[str, object]:
    position = Position(anchor.generation, receipt.position.partition, anchor.seq)
    return {
        "position": position.event_id(),
        "seq": anchor.seq,
        "hash": anchor.hash.hex(),
        "anchored_at": instant(anchor.anchored_at),
        "key_id": anchor.key_id,
        "public_key": None if anchor.public_key is None else anchor.public_key.hex(),
        "signature": urlsafe_b64encode(anchor.signature).rstrip(b"=").decode(),
        "signed": anchor_text(
            service=receipt.source,
            position=position,
            hash=anchor.hash,
            anchored_at=anchor.anchored_at,
        ),
    }

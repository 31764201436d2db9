"""Anchors: heads of partitions as they were, signed, so that a rewritten log shows.

Who can change the tables can also compute a whole new hash chain; what they cannot do is
sign another head for a position that was anchored, nor take back what the topic and
partners already have. Heads are taken from the loops' memory, not from the tables: what
was changed in the database behind a running service is never signed.

Works beside the loops and costs them nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.events import codec
from libs.events.contracts.platform import HeadAnchored
from libs.events.envelope import Envelope, Position
from libs.events.hashing import anchor_text
from libs.events.ports import Head, Outgoing, Publisher
from libs.events.topics import ANCHORS

log = structlog.get_logger()

POLL_S = 1.0
AGAIN = 10
"""So many stored anchors of a partition are published again by a new owner."""
KEY_ID_LENGTH = 12


class AnchorSigner:
    """Signs heads with one Ed25519 key, made from a secret seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(self.public_key).hexdigest()[:KEY_ID_LENGTH]

    def sign(self, head: Head, *, service: str, anchored_at: datetime) -> HeadAnchored:
        """Return the anchor of a head."""
        text = anchor_text(
            service=service, position=head.position, hash=head.hash, anchored_at=anchored_at
        )
        return HeadAnchored(
            service=service,
            partition=head.partition,
            generation=head.generation,
            seq=head.seq,
            hash=head.hash.hex(),
            anchored_at=anchored_at,
            key_id=self.key_id,
            signature=base64.urlsafe_b64encode(self._key.sign(text.encode())).rstrip(b"=").decode(),
        )


class AnchorTable(Protocol):
    """The service's own anchors, which are only ever added to."""

    async def keep_key(self, *, key_id: str, public_key: bytes) -> None:
        """Store a public key, unless it is there."""
        ...

    async def keep(self, anchor: HeadAnchored) -> HeadAnchored:
        """Store an anchor; return it, or the one that its head has already."""
        ...

    async def latest(self, *, partition: int, limit: int) -> Sequence[HeadAnchored]:
        """Return the anchors of a partition that were stored last, in order."""
        ...


class Anchors:
    """Anchors the heads of a service's partitions when they have moved."""

    def __init__(
        self,
        *,
        service: str,
        signer: AnchorSigner,
        table: AnchorTable,
        publisher: Publisher,
        heads: Callable[[], Iterable[Head]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        interval_s: float,
        every_events: int,
    ) -> None:
        """*heads* gives those of the partitions that are owned now.

        One is anchored *interval_s* seconds or *every_events* events after its last anchor,
        whichever comes first, and when it is seen for the first time.
        """
        self._service = service
        self._signer = signer
        self._table = table
        self._publisher = publisher
        self._heads = heads
        self._now = now
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._every_events = every_events
        self._last: dict[int, tuple[Position, float]] = {}
        self._epochs: dict[int, int] = {}
        self._unsent: dict[tuple[int, int, int], HeadAnchored] = {}

    async def run(self) -> None:
        """Anchor what is due, each second, until cancelled."""
        await self._table.keep_key(key_id=self._signer.key_id, public_key=self._signer.public_key)
        while True:
            await self.anchor_due()
            await asyncio.sleep(POLL_S)

    async def anchor_due(self) -> None:
        """Anchor the heads that are due now: store each, then publish what is stored."""
        for head in self._heads():
            if self._epochs.get(head.partition) != head.epoch:
                # Whoever was the owner before may have died with some that were not published.
                for each in await self._table.latest(partition=head.partition, limit=AGAIN):
                    self._to_send(each)
                self._epochs[head.partition] = head.epoch
            if head.seq == 0 or not self._due(head):
                continue
            made = self._signer.sign(head, service=self._service, anchored_at=self._now())
            self._to_send(await self._table.keep(made))
            self._last[head.partition] = (head.position, self._monotonic())
        for place, anchor in list(self._unsent.items()):
            try:
                for acknowledged in await self._publisher.send([self._record(anchor)]):
                    await acknowledged
            except Exception as error:  # the driver's own errors: all mean "not published"
                log.warning("anchors.not_sent", partition=anchor.partition, reason=repr(error))
                break
            del self._unsent[place]

    def _to_send(self, anchor: HeadAnchored) -> None:
        self._unsent[(anchor.partition, anchor.generation, anchor.seq)] = anchor

    def _due(self, head: Head) -> bool:
        last = self._last.get(head.partition)
        if last is None:
            return True
        position, at = last
        if position == head.position:
            return False
        moved = head.seq - position.seq
        return moved >= self._every_events or self._monotonic() - at >= self._interval_s

    def _record(self, anchor: HeadAnchored) -> Outgoing:
        place = f"{anchor.generation}-{anchor.partition}-{anchor.seq}"
        id = f"anchor:{self._service}-{place}"
        headers, value = codec.encode(
            Envelope(
                id=id,
                source=self._service,
                time=anchor.anchored_at,
                data=anchor,
                correlation_id=id,
                causation_id=id,
            )
        )
        key = f"{self._service}-{anchor.partition}".encode()
        return Outgoing(topic=ANCHORS.name, partition=0, key=key, headers=headers, value=value)

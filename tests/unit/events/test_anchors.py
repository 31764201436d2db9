"""When heads are anchored, what is signed, and that stored and published anchors are the same."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.events import codec
from libs.events.anchors import Anchors, AnchorSigner
from libs.events.contracts.platform import HeadAnchored
from libs.events.envelope import Position
from libs.events.hashing import anchor_text
from libs.events.ports import Head, NotSent, Outgoing

NOW = datetime(2026, 3, 2, 4, 5, 6, 789012, tzinfo=UTC)
HEAD = Head(partition=2, epoch=5, generation=1, seq=10, decided_at=NOW, hash=b"h" * 32, inputs={})


class Table:
    """Anchors in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int, int], HeadAnchored] = {}

    async def keep_key(self, *, key_id: str, public_key: bytes) -> None:
        """See `AnchorTable`."""

    async def keep(self, anchor: HeadAnchored) -> HeadAnchored:
        """See `AnchorTable`."""
        return self.rows.setdefault((anchor.partition, anchor.generation, anchor.seq), anchor)

    async def latest(self, *, partition: int, limit: int) -> list[HeadAnchored]:
        """See `AnchorTable`."""
        return [row for place, row in sorted(self.rows.items()) if place[0] == partition][-limit:]


class Publisher:
    """Keeps what was sent; sends nothing while *away*."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[HeadAnchored] = []

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See `libs.events.ports.Publisher`."""
        if self.away:
            raise NotSent("away")
        for record in records:
            assert "ota.platform.anchors.v1" == record.topic
            anchor = codec.decode(record.headers, record.value).data
            assert isinstance(anchor, HeadAnchored)
            self.sent.append(anchor)
        return ()

    async def last_event(self, topic: str, partition: int) -> Position | None:
        """See `libs.events.ports.Publisher`."""
        return None


class Service:
    """A service with one partition, on a clock that stands still."""

    def __init__(self, *, table: Table | None = None) -> None:
        self.table, self.publisher = table or Table(), Publisher()
        self.signer = AnchorSigner(b"s" * 32)
        self.head, self.seconds, self.epoch = HEAD, 0.0, HEAD.epoch
        self.anchors = Anchors(
            service="inventory",
            signer=self.signer,
            table=self.table,
            publisher=self.publisher,
            heads=lambda: [self.head],
            now=lambda: NOW + timedelta(seconds=self.seconds),
            monotonic=lambda: self.seconds,
            interval_s=60,
            every_events=1000,
        )

    async def at(self, *, seq: int, seconds: float) -> list[int]:
        """Let the head be at *seq*; return the numbers of all anchors that were published."""
        self.head, self.seconds = replace(HEAD, seq=seq, epoch=self.epoch), seconds
        await self.anchors.anchor_due()
        return [anchor.seq for anchor in self.publisher.sent]


async def test_a_head_is_anchored_when_it_has_moved_for_long_or_far() -> None:
    """At first sight; then after 60 s or 1,000 events, and not at all while it stands."""
    service = Service()
    assert [10] == await service.at(seq=10, seconds=0)
    assert [10] == await service.at(seq=10, seconds=1000)
    assert [10] == await service.at(seq=11, seconds=59)
    assert [10, 12] == await service.at(seq=12, seconds=60)
    assert [10, 12] == await service.at(seq=1011, seconds=61)
    assert [10, 12, 1012] == await service.at(seq=1012, seconds=61)
    assert [10, 12, 1012] == [seq for _, _, seq in service.table.rows]


async def test_an_empty_log_is_not_anchored() -> None:
    """There is nothing to sign."""
    assert [] == await Service().at(seq=0, seconds=1000)


async def test_the_signature_covers_everything_that_an_anchor_says() -> None:
    """Verified with the public key; any other text is refused."""
    service = Service()
    await service.at(seq=10, seconds=0)
    (anchor,) = service.publisher.sent
    key = Ed25519PublicKey.from_public_bytes(service.signer.public_key)
    signature = base64.urlsafe_b64decode(anchor.signature + "==")
    said = {
        "service": "inventory",
        "position": Position(1, 2, 10),
        "hash": b"h" * 32,
        "anchored_at": NOW,
    }
    key.verify(signature, anchor_text(**said).encode())  # type: ignore[arg-type]
    others = {
        "service": "fulfillment",
        "position": Position(1, 2, 11),
        "hash": b"g" * 32,
        "anchored_at": NOW + timedelta(microseconds=1),
    }
    for name, value in others.items():
        with pytest.raises(InvalidSignature):
            key.verify(signature, anchor_text(**(said | {name: value})).encode())  # type: ignore[arg-type]


async def test_what_could_not_be_published_is_published_later_as_it_was_stored() -> None:
    """One anchor for a head, ever: also when another process stored it."""
    service = Service()
    service.publisher.away = True
    assert [] == await service.at(seq=10, seconds=0)
    service.publisher.away = False
    assert [10] == await service.at(seq=10, seconds=1)
    restarted = Service(table=service.table)
    assert [10] == await restarted.at(seq=10, seconds=5)
    assert service.publisher.sent == restarted.publisher.sent


async def test_nothing_that_was_stored_stays_unpublished() -> None:
    """The head has moved on meanwhile, and its owner may have died before it could publish."""
    service = Service()
    service.publisher.away = True
    assert [] == await service.at(seq=10, seconds=0)
    assert [] == await service.at(seq=20, seconds=60)
    service.publisher.away = False
    assert [10, 20] == await service.at(seq=21, seconds=61)
    service.publisher.away = True
    await service.at(seq=30, seconds=200)
    successor = Service(table=service.table)
    assert [10, 20, 30, 31] == await successor.at(seq=31, seconds=201)


async def test_who_owns_a_partition_again_sends_what_the_owner_between_did_not() -> None:
    """What it anchored itself before tells nothing of that."""
    service = Service()
    assert [10] == await service.at(seq=10, seconds=0)
    between = Service(table=service.table)
    between.publisher.away = True
    await between.at(seq=20, seconds=1)
    service.epoch += 2
    assert [10, 10, 20] == await service.at(seq=21, seconds=2)
    assert [10, 10, 20] == await service.at(seq=22, seconds=3)


async def test_an_answer_that_never_comes_is_no_publication() -> None:
    """Whatever the driver raises: the anchor is sent again."""
    service = Service()

    async def unanswered(records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        raise ConnectionError

    send, service.publisher.send = service.publisher.send, unanswered  # type: ignore[method-assign]
    assert [] == await service.at(seq=10, seconds=0)
    service.publisher.send = send  # type: ignore[method-assign]
    assert [10] == await service.at(seq=10, seconds=1)

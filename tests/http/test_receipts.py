"""Receipts: given with what was made, the same for a repeat, checked against what is recorded."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.events.envelope import Position
from libs.events.hashing import anchor_text
from services.gateway.domain.records import RecordedAnchor, RecordedEvent
from services.gateway.http import edge
from tests.http.world import PROD_KEY, TEST_KEY, Answered, World

KEYED = {"Idempotency-Key": "receipt-1"}


async def receipt_of(world: World, **rest: object) -> str:
    """Return the receipt of a hold."""
    answered = await world.reserve(2, **rest)
    return answered.headers["OTA-Receipt"]


async def check(world: World, receipt: str, *, key: str = TEST_KEY) -> Answered:
    """Ask what became of a receipt."""
    return await world.call("GET", f"/receipts/{receipt}", key=key)


def kept(world: World) -> tuple[tuple[str, int, int], RecordedEvent]:
    """Return the only event that is recorded, with its place."""
    ((place, event),) = world.market.events.items()
    return place, event


async def test_what_was_made_has_a_receipt_that_names_its_event(world: World) -> None:
    """Anybody can read position and hash in it: it binds us without our help."""
    raw = base64.urlsafe_b64decode(await receipt_of(world) + "==")
    (_, partition, seq), event = kept(world)
    expected = bytes([1, 0]) + partition.to_bytes(2) + (1).to_bytes(4) + seq.to_bytes(8)
    assert (expected, event.hash, 64) == (raw[:16], raw[16:48], len(raw))


async def test_an_order_has_one_too(world: World) -> None:
    """It is the order's event, in the service that made it."""
    answered = await world.activate(await world.held())
    found = (await check(world, answered.headers["OTA-Receipt"])).json
    assert ("recorded", "fulfillment") == (found["status"], found["service"])


async def test_a_repeat_gets_the_same_receipt(world: World) -> None:
    """To the last character."""
    first, again = [await world.reserve(2, headers=KEYED) for _ in range(2)]
    assert "true" == again.headers["Idempotent-Replayed"]
    assert first.headers["OTA-Receipt"] == again.headers["OTA-Receipt"]


async def test_what_changed_nothing_has_none(world: World) -> None:
    """Refusals and reads."""
    refused = await world.reserve(100, product_id=101)
    read = await world.call("GET", "/reservations")
    for answered in (refused, read):
        assert "OTA-Receipt" not in answered.headers


async def test_what_is_recorded_can_be_recomputed(world: World) -> None:
    """The answer has all that the hash was made of."""
    found = (await check(world, await receipt_of(world))).json
    content = bytes.fromhex(found["previous_hash"]) + found["hashed"].encode()
    assert ("recorded", None) == (found["status"], found["anchored"])
    assert found["hash"] == hashlib.sha256(content).hexdigest()
    assert found["position"] in found["hashed"].splitlines()
    assert found["subject"].startswith("res_")


async def test_an_anchor_can_be_verified_with_its_public_key_alone(world: World) -> None:
    """The signed text names the head."""
    receipt = await receipt_of(world)
    place, event = kept(world)
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    position = Position(1, place[1], 40)
    at = world.market.now + timedelta(seconds=30)
    text = anchor_text(service="inventory", position=position, hash=b"h" * 32, anchored_at=at)
    anchor = RecordedAnchor(
        generation=1,
        seq=40,
        hash=b"h" * 32,
        anchored_at=at,
        key_id="0123456789ab",
        signature=key.sign(text.encode()),
        public_key=key.public_key().public_bytes_raw(),
    )
    world.market.events[place] = replace(event, anchor=anchor)
    found = (await check(world, receipt)).json["anchored"]
    signature = base64.urlsafe_b64decode(found["signature"] + "==")
    key.public_key().verify(signature, found["signed"].encode())
    assert [found["position"], found["hash"]] == found["signed"].splitlines()[2:4]


async def test_an_altered_event_is_told(world: World) -> None:
    """Whether its hash was left alone or made anew."""
    receipt = await receipt_of(world)
    place, event = kept(world)
    for edit in (replace(event, data="{}"), replace(event, hash=b"x" * 32)):
        world.market.events[place] = edit
        found = (await check(world, receipt)).json
        assert ("altered", False) == (found["status"], "hashed" in found)


async def test_a_missing_event_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted, or gone with a restore to an earlier time, whose generation is another."""
    monkeypatch.setattr(edge, "VIEW_WAIT_S", 0.1)
    receipt = await receipt_of(world)
    place, event = kept(world)
    later = replace(event.position, generation=2)
    for left in ({}, {place: replace(event, position=later)}):
        world.market.events = left
        assert "missing" == (await check(world, receipt)).json["status"]


async def test_nobody_else_can_ask(world: World) -> None:
    """Another partner's receipt is 404, like one that was made up or changed."""
    receipt = await receipt_of(world)
    raw = bytearray(base64.urlsafe_b64decode(receipt + "=="))
    raw[15] += 1
    moved = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    for text, key in (
        (receipt, PROD_KEY),
        (moved, TEST_KEY),
        (receipt[:-1], TEST_KEY),
        (receipt + "=", TEST_KEY),
        ("x" * 500, TEST_KEY),
        ("é", TEST_KEY),
    ):
        answered = await check(world, text, key=key)
        assert (404, "NOT_FOUND") == (answered.status, answered.json["code"]), text

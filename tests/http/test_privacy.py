"""Personal data leave the gateway sealed, or not at all (design, rule 10)."""

from __future__ import annotations

import asyncio

from libs.events.codec import encode
from libs.events.envelope import Envelope
from libs.events.requests import Request
from tests.http.world import World

CANARIES = {
    "name": "Canary Wan Ying",
    "email": "canary@example.com",
    "phone": "+852 5550 1234",
}


def on_the_wire(request: Request) -> bytes:
    """Return all bytes of a command's record."""
    headers, value = encode(
        Envelope(
            id=request.command_id,
            source="gateway",
            time=request.issued_at,
            data=request.data,
            correlation_id=request.command_id,
            causation_id=request.command_id,
            actor=request.actor,
            traceparent=request.traceparent,
            fingerprint=request.fingerprint,
            reply_to=0,
        )
    )
    return value + b"".join(raw for _, raw in headers)


async def test_nothing_personal_is_in_a_command(world: World) -> None:
    """Neither the customer nor any free text is readable in what goes to Kafka."""
    held = await world.held(fields={"customer_reference": "Canary reference"})
    await world.activate(
        held,
        fields={
            "customer_details": CANARIES,
            "payment_reference": "Canary payment",
            "special_requests": "Canary wish",
        },
        headers={"Idempotency-Key": "Canary-idempotency"},
    )
    wire = b"".join(map(on_the_wire, world.market.sent))
    assert 2 == len(world.market.sent)
    assert b"anary" not in wire
    assert b"5550" not in wire
    assert b"example.com" not in wire
    assert b"ota_test_key" not in wire


async def test_the_key_is_stored_before_the_command_is_sent(world: World) -> None:
    """Without the database nothing is sent, and the client is told so."""
    held = await world.held()
    world.tables.away = True
    answered = await world.activate(held)
    assert (503, "NOT_EXECUTED", 1) == (
        answered.status,
        answered.json["code"],
        len(world.market.sent),
    )


async def test_a_reserve_without_reference_needs_no_database(world: World) -> None:
    """The common path has nothing to seal."""
    world.tables.away = True
    assert 201 == (await world.reserve(1)).status


async def test_a_repeat_uses_the_stored_key(world: World) -> None:
    """One key row for one request, however often it is sent; it can open either ciphertext."""
    held = await world.held()
    for _ in range(3):
        await world.activate(held, headers={"Idempotency-Key": "k"})
    assert 1 == len(world.tables.keys)
    [order_id] = world.market.orders_by_id
    assert 200 == (await world.call("GET", f"/orders/{order_id}")).status


async def test_people_are_found_by_keyed_hashes(world: World) -> None:
    """Rows of one person have equal hashes, and none shows what was hashed."""
    for phone in ("+852 5550 1234", "(852) 5550-1234", "+852 5550 9999"):
        details = {**CANARIES, "email": CANARIES["email"].upper(), "phone": phone}
        await world.ordered(1, fields={"customer_details": details})
    added = world.tables.added
    assert 1 == len({key.email_hash for key in added})
    assert added[0].phone_hash == added[1].phone_hash != added[2].phone_hash
    assert not any("5550" in str(key) or "canary" in str(key).lower() for key in added)


async def test_activations_at_once_share_statements(world: World) -> None:
    """Many keys are stored with few round trips."""
    held = [await world.held(1) for _ in range(20)]
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(world.activate(each)) for each in held]
    assert [201] * 20 == [call.result().status for call in calls]
    assert 20 == len(world.tables.keys)
    assert world.tables.statements < 20

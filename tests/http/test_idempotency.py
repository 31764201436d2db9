"""Repeats: the same key and body have one effect and one answer."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict

from libs.events.requests import OutcomeUnknown
from services.gateway.http import edge
from tests.http.world import PROD_KEY, World

KEY = {"Idempotency-Key": "order-1"}


async def until_sent(world: World, commands: int) -> None:
    """Wait until so many commands have reached the deciding services."""
    async with asyncio.timeout(5):
        while len(world.market.sent) < commands:  # noqa: ASYNC110  # the market tells nobody
            await asyncio.sleep(0)


async def test_a_repeat_gets_the_same_bytes(world: World) -> None:
    """The first answer again, marked as such, however the key and the body are written."""
    first = await world.reserve(2, headers=KEY)
    again = await world.call(
        "POST",
        "/reserve",
        data=b'{ "quantity": 2,\n"product_id": 106 }',
        headers={"Idempotency-Key": '"order-1"', "Content-Type": "application/json"},
    )
    assert (201, 201) == (first.status, again.status)
    assert first.raw == again.raw
    assert "Idempotent-Replayed" not in first.headers
    assert "true" == again.headers["Idempotent-Replayed"]
    assert first.headers["Location"] == again.headers["Location"]
    assert 2 == world.market.pools_by_no[1].held


async def test_an_activation_is_repeated_byte_for_byte(world: World) -> None:
    """Order, tickets and tokens are those of the first time."""
    held = await world.held()
    first = await world.activate(held, headers=KEY)
    again = await world.activate(held, headers=KEY)
    tokens = await world.activate(held, "?qr=token", headers=KEY)
    assert first.raw == again.raw
    assert "true" == again.headers["Idempotent-Replayed"]
    assert [ticket["qr_token"] for ticket in first.json["tickets"]] == [
        ticket["qr_token"] for ticket in tokens.json["tickets"]
    ]
    assert 1 == len(world.market.orders_by_id)


async def test_recorded_refusals_are_repeated(world: World) -> None:
    """A key that was told SOLD_OUT hears it again, also when there are units."""
    await world.held(100)
    await world.held(99)
    first = await world.reserve(2, headers=KEY)
    world.market.pools_by_no[1].held = 0
    again = await world.reserve(2, headers=KEY)
    assert (409, 1, 409, 1) == (
        first.status,
        first.json["available"],
        again.status,
        again.json["available"],
    )
    assert first.raw == again.raw
    assert "true" == again.headers["Idempotent-Replayed"]


async def test_a_cancellation_is_repeated(world: World) -> None:
    """A repeated DELETE is 204 and marked."""
    held = await world.held()
    answers = [await world.call("DELETE", f"/reservations/{held}", headers=KEY) for _ in range(2)]
    assert [(204, None), (204, "true")] == [
        (answered.status, answered.headers.get("Idempotent-Replayed")) for answered in answers
    ]


async def test_another_body_under_the_key_is_422(world: World) -> None:
    """A key belongs to one request; the second one has no effect."""
    await world.reserve(2, headers=KEY)
    answered = await world.reserve(3, headers=KEY)
    assert (422, "IDEMPOTENCY_KEY_REUSED") == (answered.status, answered.json["code"])
    assert 2 == world.market.pools_by_no[1].held


async def test_partners_and_paths_have_keys_of_their_own(world: World) -> None:
    """The scope of a key is partner, method and path."""
    held = [await world.held(headers=KEY), await world.held(key=PROD_KEY, headers=KEY)]
    assert 2 == len(set(held))
    assert 201 == (await world.activate(held[0], headers=KEY)).status


async def test_without_a_key_one_is_made_and_returned(world: World) -> None:
    """With the key that was returned, a retry is a repeat."""
    first = await world.reserve(2)
    made = first.headers["Idempotency-Key"]
    again = await world.reserve(2, headers={"Idempotency-Key": made})
    other = await world.reserve(2)
    assert first.raw == again.raw
    assert first.json["reservation_id"] != other.json["reservation_id"]


@pytest.mark.parametrize("key", ["x" * 256, "a b", '"', '"a', '""', '"a"b"', "schlüssel"])
async def test_a_bad_key_is_422(world: World, key: str) -> None:
    """A key has 1 to 255 visible characters."""
    answered = await world.reserve(1, headers={"Idempotency-Key": key})
    assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])


async def test_two_keys_at_once_are_422(world: World) -> None:
    """Nobody could tell which of them counted."""
    headers = CIMultiDict([("Idempotency-Key", "one"), ("Idempotency-Key", "two")])
    answered = await world.reserve(1, headers=headers)
    assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])
    assert [] == world.market.sent


async def test_a_repeat_joins_a_running_request(world: World) -> None:
    """Both get the one answer, and only one command leaves."""
    world.market.gate = asyncio.Event()

    async def release() -> None:
        await until_sent(world, 1)
        assert world.market.gate is not None
        world.market.gate.set()

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(world.reserve(2, headers=KEY)) for _ in range(3)]
        group.create_task(release())
    assert 1 == len({call.result().raw for call in calls})
    assert 1 == len(world.market.sent)
    marks = [call.result().headers.get("Idempotent-Replayed") for call in calls]
    assert [None, "true", "true"] == sorted(marks, key=str)


async def test_another_body_waits_for_the_running_request(world: World) -> None:
    """A key that is in use by another body is refused once the first is decided."""
    world.market.gate = asyncio.Event()

    async def release() -> None:
        await until_sent(world, 1)
        assert world.market.gate is not None
        world.market.gate.set()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.reserve(2, headers=KEY))
        await until_sent(world, 1)
        second = group.create_task(world.reserve(3, headers=KEY))
        group.create_task(release())
    assert (201, 422) == (first.result().status, second.result().status)
    assert "IDEMPOTENCY_KEY_REUSED" == second.result().json["code"]


async def test_what_is_still_running_at_the_deadline_is_409(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat of what is unknown itself is told that the first is in progress."""
    monkeypatch.setattr(edge, "ANSWER_WAIT_S", 0.2)
    world.market.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.reserve(2, headers=KEY))
        await until_sent(world, 1)
        repeats = [
            group.create_task(world.reserve(2, headers=KEY)),
            group.create_task(world.reserve(3, headers=KEY)),
        ]
    assert 504 == first.result().status
    assert [(409, "IDEMPOTENCY_IN_PROGRESS", "1")] * 2 == [
        (answered.status, answered.json["code"], answered.headers["Retry-After"])
        for answered in (repeat.result() for repeat in repeats)
    ]


async def test_an_unknown_outcome_is_504_with_the_key(world: World) -> None:
    """The client learns which key to repeat with, and does learn the outcome then."""
    world.market.failure = OutcomeUnknown("no answer")
    unknown = await world.reserve(2)
    assert (504, "OUTCOME_UNKNOWN", "1") == (
        unknown.status,
        unknown.json["code"],
        unknown.headers["Retry-After"],
    )
    world.market.failure = None
    again = await world.reserve(2, headers={"Idempotency-Key": unknown.headers["Idempotency-Key"]})
    assert 201 == again.status


async def test_a_repeat_is_answered_after_the_product_was_withdrawn(world: World) -> None:
    """A hold that was made is shown to its repeat also when a first request would be refused."""
    first = await world.reserve(2, headers=KEY, fields={"visit_date": "2026-01-05"})
    world.later(days=2)
    again = await world.reserve(2, headers=KEY, fields={"visit_date": "2026-01-05"})
    assert first.raw == again.raw
    assert 422 == (await world.reserve(2, fields={"visit_date": "2026-01-05"})).status


async def test_an_activation_is_repeated_after_the_visit(world: World) -> None:
    """The first answer is given again when the visit date has passed; a date before it never."""
    held = await world.held()
    visit = {"visit_date": "2026-01-05"}
    first = await world.activate(held, headers=KEY, fields=visit)
    world.later(days=2)
    again = await world.activate(held, headers=KEY, fields=visit)
    assert first.raw == again.raw
    assert 422 == (await world.activate(held, fields={"visit_date": "2026-01-04"})).status

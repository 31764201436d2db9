"""A gateway that is killed in the middle of a call: the retry learns what happened, once."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from libs.events.topics import INVENTORY_COMMANDS, RESERVATION_COMMANDS, Topic
from tests.support import topics
from tests.support.agency import Agency, Answer
from tests.support.deciders import Deciders
from tests.support.ledger import Books
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PRODUCT = 107
POOL_NO = 2
PARTITION = 1
QUANTITY = 2
CUSTOMER = {"name": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000"}

Call = Callable[[Agency], Awaitable[Answer]]


async def reserve(agency: Agency) -> Call:
    """Return a call that reserves."""
    key = uuid.uuid4().hex
    return lambda who: who.reserve(PRODUCT, QUANTITY, key=key)


async def activate(agency: Agency) -> Call:
    """Return a call that activates a hold."""
    id, key = await held(agency), uuid.uuid4().hex
    body = {"customer_details": CUSTOMER, "payment_reference": "PAY"}
    return lambda who: who.call("POST", f"/reservations/{id}/activate", body, key=key)


async def cancel(agency: Agency) -> Call:
    """Return a call that cancels a hold."""
    id, key = await held(agency), uuid.uuid4().hex
    return lambda who: who.call("DELETE", f"/reservations/{id}", key=key)


async def held(agency: Agency) -> str:
    """Hold units and return the reservation's id."""
    return str((await agency.reserve(PRODUCT, QUANTITY)).json["reservation_id"])


CALLS = {"reserve": reserve, "activate": activate, "cancel": cancel}
# The status, and what the pool has held and sold more than before the call.
EFFECTS = {
    "reserve": (201, QUANTITY, 0),
    "activate": (201, -QUANTITY, QUANTITY),
    "cancel": (204, -QUANTITY, 0),
}
DECIDERS: dict[str, tuple[str, Topic]] = {
    "reserve": ("inventory", INVENTORY_COMMANDS),
    "activate": ("reservation", RESERVATION_COMMANDS),
    "cancel": ("reservation", RESERVATION_COMMANDS),
}


def figures(books: Books) -> tuple[int, int]:
    """Return what the pool has held and sold."""
    pool = next(row for row in books.rows["pool"] if row["pool_no"] == POOL_NO)
    return pool["held"], pool["sold"]


def said(answer: Answer) -> tuple[int, Any]:
    """Return what a repeat has to say again."""
    return answer.status, answer.json if answer.body else None


async def no_answer(call: Awaitable[Answer]) -> None:
    """Wait until a call has ended without an answer, since nobody is there to give one."""
    with pytest.raises(aiohttp.ClientError):
        await call


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("step", ["accepted", "answered"])
async def test_another_gateway_answers_the_retry(
    agency: Agency, deciders: Deciders, step: str, call: str
) -> None:
    """A gateway dies before or after the decision; a second one answers the same key, once."""
    status, held_more, sold_more = EFFECTS[call]
    doomed = deciders.stack.service(
        "gateway", env={"OTA_KILL_AT": f"gateway.{step}", "OTA_GATEWAY_INSTANCE": "1"}
    )
    doomed.start()
    command = await CALLS[call](agency)
    before = figures(await deciders.audit())
    await asyncio.to_thread(doomed.wait_ready)
    await no_answer(command(agency.through(doomed.url)))
    assert -signal.SIGKILL == await asyncio.to_thread(doomed.wait_exit)
    answer = await command(agency)
    assert (status, step == "answered") == (answer.status, answer.replayed)
    assert said(answer) == said(await command(agency))
    after = figures(await deciders.audit())
    assert (held_more, sold_more) == (after[0] - before[0], after[1] - before[1])


@pytest.mark.parametrize("call", CALLS)
async def test_the_restarted_gateway_answers_the_retry(
    agency: Agency, deciders: Deciders, call: str
) -> None:
    """The gateway dies while its command is on the way; restarted, it answers the same key."""
    status, held_more, sold_more = EFFECTS[call]
    command = await CALLS[call](agency)
    before = figures(await deciders.audit())
    service, topic = DECIDERS[call]
    sent = await commands_in(deciders, topic)
    deciders.processes[service].pause()
    async with asyncio.TaskGroup() as group:
        lost = group.create_task(no_answer(command(agency)))
        await eventually(lambda: has_more(deciders, topic, sent))
        await asyncio.to_thread(deciders.kill, "gateway")
        deciders.processes[service].resume()
        await lost
    await deciders.restart("gateway")
    answer = await command(agency)
    assert status == answer.status
    assert said(answer) == said(await command(agency))
    after = figures(await deciders.audit())
    assert (held_more, sold_more) == (after[0] - before[0], after[1] - before[1])


async def commands_in(deciders: Deciders, topic: Topic) -> int:
    """Return how many commands the pool's partition of a topic has."""
    bootstrap = deciders.stack.broker.bootstrap
    return len(await topics.read_all(bootstrap=bootstrap, topic=topic, partition=PARTITION))


async def has_more(deciders: Deciders, topic: Topic, number: int) -> bool:
    """Say whether the pool's partition has more than so many commands."""
    return await commands_in(deciders, topic) > number

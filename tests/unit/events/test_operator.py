"""Operators' commands go again, under the same id, until they are answered."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from libs.events.contracts.inventory import LedgerChanged
from libs.events.envelope import Position
from libs.events.kafka import operator
from libs.events.kafka.operator import OperatorCommands, Unanswered, operator_request
from libs.events.requests import NotExecuted, OutcomeUnknown, Reply, Request
from libs.events.topics import INVENTORY_COMMANDS
from tests.support import examples

REPLY = Reply(
    answer=LedgerChanged(pool_no=1), replayed=False, source="inventory", position=Position(1, 0, 1)
)
REQUEST = operator_request(
    INVENTORY_COMMANDS,
    partition=2,
    command_id=examples.PLACE_ID,
    identity="one",
    data=examples.STOP_SALES,
    name="ada",
)


class Client:
    """A command client that fails so and so often before it answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sent: list[Request] = []

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See `libs.events.requests.CommandClient`."""
        self.sent.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return REPLY


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are none."""
    monkeypatch.setattr(operator, "ANSWER_TIMEOUT_S", 0.0)


def commands(client: Client) -> OperatorCommands:
    """Return the sender on a client."""
    return OperatorCommands(cast(Any, client))


async def test_a_command_goes_again_until_it_is_answered() -> None:
    """With the same id, and issued anew each time, so that it is not dropped as stale."""
    client = Client(OutcomeUnknown(), NotExecuted(), OutcomeUnknown())
    assert REPLY == await commands(client).insist(REQUEST)
    assert {examples.PLACE_ID} == {request.command_id for request in client.sent}
    issued = [request.issued_at for request in client.sent]
    assert sorted(issued) == issued
    assert issued[0] >= REQUEST.issued_at
    assert 4 == len(set(issued))


async def test_without_an_answer_it_ends() -> None:
    """Nobody waits for ever."""
    client = Client(*(OutcomeUnknown() for _ in range(operator.TRIES)))
    with pytest.raises(Unanswered):
        await commands(client).insist(REQUEST)
    assert operator.TRIES == len(client.sent)


async def test_waiting_is_told_and_not_at_every_try() -> None:
    """Else hundreds of holds that wait together would fill the screen."""
    sender = commands(Client(*(OutcomeUnknown() for _ in range(20))))
    with capture_logs() as logs:
        await sender.insist(REQUEST)
        await sender.insist(REQUEST)
    assert [("operator.waiting", 1)] == [(line["event"], line["attempt"]) for line in logs]


def test_an_operator_is_named_where_a_partner_is_otherwise() -> None:
    """In the reply partition of operators, which no gateway uses."""
    assert ("operator", "ada", examples.PLACE_ID) == (
        REQUEST.actor.partner_id,
        REQUEST.actor.key_id,
        REQUEST.actor.request_id,
    )
    assert (INVENTORY_COMMANDS.name, 2, "one") == (
        REQUEST.topic,
        REQUEST.partition,
        REQUEST.fingerprint,
    )
    assert 7 == operator.OPERATOR_INSTANCE

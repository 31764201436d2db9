"""Commands of operators: sent like a partner's, answered on a reply partition of their own.

A command goes again, under the same id, until it is answered: what was recorded the first
time is then the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from aiokafka.errors import KafkaError

from libs.events.envelope import Actor
from libs.events.kafka.requests import KafkaCommandClient
from libs.events.requests import NotExecuted, OutcomeUnknown, Reply, Request
from libs.events.topics import GATEWAY_REPLIES, Topic

log = structlog.get_logger()

OPERATOR_INSTANCE = GATEWAY_REPLIES.partitions - 1
"""The reply partition of operators' commands; no gateway uses it."""
OPERATOR = "operator"
"""Stands in events where a partner's id stands otherwise."""
TRIES = 30
ANSWER_TIMEOUT_S = 2.0
TOLD_EVERY_S = 10.0


class Unanswered(Exception):
    """No answer came in about a minute; whether anything happened is unknown."""


class BrokerAway(Exception):
    """The broker could not be reached, or the connection was lost for good."""


class _Silent:
    """A watch for a process without metrics."""

    def unmatched(self) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""

    def round_sent(self, commands: int) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""


class OperatorCommands:
    """Sends commands until they are answered; get one from `operator_commands`."""

    def __init__(self, client: KafkaCommandClient) -> None:
        self._client = client
        self._told_at = -TOLD_EVERY_S

    async def insist(self, request: Request) -> Reply:
        """Return the answer to *request*; raises Unanswered."""
        for attempt in range(TRIES):
            fresh = replace(request, issued_at=datetime.now(UTC))
            try:
                return await self._client.submit(fresh, timeout_s=ANSWER_TIMEOUT_S)
            except (NotExecuted, OutcomeUnknown) as error:
                self._tell(attempt + 1)
                if isinstance(error, NotExecuted):
                    await asyncio.sleep(ANSWER_TIMEOUT_S / 4)
        raise Unanswered(request.command_id)

    def _tell(self, attempt: int) -> None:
        """Log that an answer is awaited, but not for each of the many that may wait at once."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            log.info("operator.waiting", attempt=attempt, attempts_max=TRIES)


@asynccontextmanager
async def operator_commands(*, bootstrap: str) -> AsyncIterator[OperatorCommands]:
    """Give a connected sender; raises BrokerAway.

    What the body raises comes out as it is, not in a group.
    """
    client = KafkaCommandClient(
        bootstrap=bootstrap,
        instance=OPERATOR_INSTANCE,
        watch=_Silent(),
        on_availability=lambda _: None,
    )
    failure: Exception | None = None
    try:
        await client.start()
    except KafkaError as error:
        await client.stop()
        raise BrokerAway(str(error)) from error
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(client.run_replies()),
                group.create_task(client.run_rounds()),
            ]
            try:
                yield OperatorCommands(client)
            except Exception as error:
                failure = error
            for task in running:
                task.cancel()
    except ExceptionGroup as group_failure:
        if group_failure.split(KafkaError)[1] is not None:
            raise
        raise BrokerAway("the connection was lost") from group_failure
    finally:
        await client.stop()
    if failure is not None:
        raise failure


def operator_request(
    topic: Topic, *, partition: int, command_id: str, identity: str, data: object, name: str
) -> Request:
    """Return an operator's command; *identity* says what makes a repeat the same one.

    *name* is who acts, and stands in the events where a key's id stands otherwise.
    """
    return Request(
        topic=topic.name,
        partition=partition,
        command_id=command_id,
        fingerprint=identity,
        data=data,
        actor=Actor(partner_id=OPERATOR, key_id=name, request_id=command_id),
        traceparent=None,
        issued_at=datetime.now(UTC),
    )

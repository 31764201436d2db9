"""Sends commands and takes in what their answers tell; repeats wait for the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from libs.events.contracts.gateway import KeyReused
from libs.events.envelope import Actor
from libs.events.requests import CommandClient, NotExecuted, OutcomeUnknown, Reply, Request
from libs.events.topics import Topic
from services.gateway.app.availability import Availability
from services.gateway.app.call import Write
from services.gateway.app.positions import AnsweredPositions
from services.gateway.domain.refusal import Refusal

KEY_REUSED = Refusal(
    word="IDEMPOTENCY_KEY_REUSED",
    detail="The Idempotency-Key was used before on this path with another body.",
)
IN_PROGRESS = Refusal(
    word="IDEMPOTENCY_IN_PROGRESS",
    detail="The first request with this Idempotency-Key is still running.",
    retry_after_s=1,
)


@dataclass(slots=True, eq=False)
class _Running:
    """A command that is on its way; *ended* is made by whoever has to wait for its end."""

    fingerprint: str
    askers: int = 0
    ended: asyncio.Event | None = None


class Commands:
    """The one way to the deciding services."""

    def __init__(
        self,
        *,
        client: CommandClient,
        availability: Availability,
        positions: AnsweredPositions,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._availability = availability
        self._positions = positions
        self._now = now
        self._running: dict[str, _Running] = {}

    def check(self, write: Write, *, topic: Topic, partition: int) -> None:
        """Raise NotExecuted if the command of *write* would not be sent, before it is made."""
        if write.command_id not in self._running:
            self._client.check(topic=topic.name, partition=partition)

    async def submit(
        self, write: Write, *, topic: Topic, partition: int, data: object
    ) -> Reply | Refusal:
        """Send *data* as the command of *write* and return its answer.

        Refused is a key that belongs to another request, and a repeat whose first is
        still unknown at the deadline. Raises NotExecuted and OutcomeUnknown.
        """
        waited = write.command_id in self._running
        running = await self._turn(write)
        if running is None:
            return IN_PROGRESS
        joined = running.askers > 0
        running.askers += 1
        try:
            reply = await self._client.submit(
                self._request(write, topic=topic, partition=partition, data=data),
                timeout_s=self._left_s(write),
            )
        except OutcomeUnknown:
            if waited:
                return IN_PROGRESS
            raise
        finally:
            running.askers -= 1
            if not running.askers:
                del self._running[write.command_id]
                if running.ended is not None:
                    running.ended.set()
        if joined:
            reply = replace(reply, replayed=True)
        self._note(write, reply)
        return KEY_REUSED if isinstance(reply.answer, KeyReused) else reply

    async def _turn(self, write: Write) -> _Running | None:
        """Wait for a running request of the same key and another body; None at the deadline."""
        running = self._running.get(write.command_id)
        while running is not None and running.fingerprint != write.fingerprint:
            running.ended = running.ended or asyncio.Event()
            try:
                async with asyncio.timeout_at(write.call.deadline):
                    await running.ended.wait()
                    await asyncio.sleep(0)  # the deadline may be over as well: it comes first
            except TimeoutError:
                return None
            running = self._running.get(write.command_id)
        if running is None:
            running = self._running[write.command_id] = _Running(write.fingerprint)
        return running

    def _request(self, write: Write, *, topic: Topic, partition: int, data: object) -> Request:
        call = write.call
        return Request(
            topic=topic.name,
            partition=partition,
            command_id=write.command_id,
            fingerprint=write.fingerprint,
            data=data,
            actor=Actor(
                partner_id=call.caller.partner_id,
                key_id=call.caller.key_id,
                request_id=call.request_id,
            ),
            traceparent=call.traceparent,
            issued_at=self._now(),
        )

    def _left_s(self, write: Write) -> float:
        left_s = write.call.deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise NotExecuted("no time was left to send the command")
        return left_s

    def _note(self, write: Write, reply: Reply) -> None:
        """Let later reads show what this answer says."""
        if reply.figures is not None:
            self._availability.take(reply.figures)
        elif reply.source == "inventory":
            self._availability.owe(reply.position)
        self._positions.note(partner_id=write.call.caller.partner_id, reply=reply)

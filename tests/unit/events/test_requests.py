"""The gateway's sender, on a broker that the test speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaTimeoutError

from libs.events import codec
from libs.events.contracts.inventory import HoldRefused
from libs.events.envelope import Envelope, Position
from libs.events.kafka import lane, requests
from libs.events.kafka.requests import KafkaCommandClient
from libs.events.ports import Outgoing
from libs.events.requests import NotExecuted, OutcomeUnknown, Overloaded, Reply, Request
from libs.events.topics import GATEWAY_REPLIES, INVENTORY_COMMANDS
from tests.support.client import Unwatched
from tests.support.examples import ACTOR, PLACE_HOLD

IN_TIME_S = 5.0
TOO_LATE_S = 0.02
TOPIC = INVENTORY_COMMANDS.name


@dataclass(slots=True)
class Wire:
    """What the sender has sent; while it *answers*, each command has its answer at once."""

    client: KafkaCommandClient
    answers: bool = True
    clock_ms: int = 0
    failure: Exception | None = None
    sent: list[Envelope] = field(default_factory=list)

    async def send(
        self, producer: object, records: Sequence[Outgoing]
    ) -> list[asyncio.Future[object]]:
        """See `libs.events.kafka.publisher.send_in_batches`."""
        commands = [codec.decode(record.headers, record.value) for record in records]
        self.sent += commands
        if self.failure is not None:
            raise self.failure
        for command in commands:
            if self.answers:
                self.answer(command)
        acknowledged: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(topic=TOPIC, partition=0, timestamp=0))
        return [acknowledged]

    def answer(self, command: Envelope) -> None:
        """Let an answer arrive."""
        envelope = command.follow(
            id=f"answer:{command.id}",
            source="inventory",
            time=command.time,
            data=HoldRefused(reason="sold_out", available=0),
            position=Position(1, 0, 1),
        )
        headers, value = codec.encode(envelope)
        record = SimpleNamespace(headers=headers, value=value, offset=0, timestamp=self.clock_ms)
        self.client._take(GATEWAY_REPLIES.name, cast("ConsumerRecord", record))


@asynccontextmanager
async def sender(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    """Give a sender whose rounds are running."""

    def nobody(**_: Any) -> None:
        return None

    monkeypatch.setattr(requests, "producer", nobody)
    monkeypatch.setattr(requests, "consumer", nobody)
    client = KafkaCommandClient(
        bootstrap="", instance=0, watch=Unwatched(), on_availability=lambda _: None
    )
    made = Wire(client)
    monkeypatch.setattr(requests, "send_in_batches", made.send)
    async with asyncio.TaskGroup() as group:
        rounds = group.create_task(client.run_rounds())
        yield made
        rounds.cancel()


def command(number: int, *, partition: int = 0) -> Request:
    """Return a command of its own."""
    return Request(
        topic=TOPIC,
        partition=partition,
        command_id=f"command-{number}",
        fingerprint="same",
        data=PLACE_HOLD,
        actor=ACTOR,
        traceparent=None,
        issued_at=datetime.now(UTC),
    )


async def fill(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[Reply]:
    """Let one command wait for its answer on partition 0, where no more have room."""
    monkeypatch.setattr(lane, "UNANSWERED_MAX", 1)
    wire.answers = False
    waiting = asyncio.get_running_loop().create_task(
        wire.client.submit(command(0), timeout_s=IN_TIME_S)
    )
    async with asyncio.timeout(IN_TIME_S):
        while not wire.sent:  # noqa: ASYNC110  # the wire tells nobody
            await asyncio.sleep(0)
    return waiting


async def test_what_is_refused_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told that nothing was done can rely on it; other partitions do not suffer."""
    async with sender(monkeypatch) as wire:
        waiting = await fill(wire, monkeypatch)
        with pytest.raises(Overloaded):
            await wire.client.submit(command(1), timeout_s=IN_TIME_S)
        with pytest.raises(Overloaded):
            wire.client.check(topic=TOPIC, partition=0)
        wire.answers = True
        wire.client.check(topic=TOPIC, partition=1)
        await wire.client.submit(command(2, partition=1), timeout_s=IN_TIME_S)
        wire.answer(wire.sent[0])
        await waiting
        await wire.client.submit(command(3), timeout_s=IN_TIME_S)
        assert ["command-0", "command-2", "command-3"] == [each.id for each in wire.sent]


async def test_a_repeat_joins_although_nothing_new_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It puts nothing more into the queue."""
    async with sender(monkeypatch) as wire:
        waiting = await fill(wire, monkeypatch)
        async with asyncio.TaskGroup() as group:
            repeat = group.create_task(wire.client.submit(command(0), timeout_s=IN_TIME_S))
            await asyncio.sleep(0)
            wire.answer(wire.sent[0])
        assert repeat.result() == await waiting
        assert 1 == len(wire.sent)


async def test_who_gives_up_leaves_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unanswered commands do not fill a lane for ever."""
    async with sender(monkeypatch) as wire:
        wire.answers = False
        for number in range(3):
            with pytest.raises(OutcomeUnknown):
                await wire.client.submit(command(number), timeout_s=TOO_LATE_S)
        wire.answers = True
        await wire.client.submit(command(4), timeout_s=IN_TIME_S)
        assert {0} == {each.unanswered for each in wire.client._lanes.values()}


async def test_a_command_counts_once_however_often_it_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new owner sends the last answers again."""
    async with sender(monkeypatch) as wire:
        await wire.client.submit(command(0), timeout_s=IN_TIME_S)
        wire.answer(wire.sent[0])
        assert {0} == {each.unanswered for each in wire.client._lanes.values()}


async def test_commands_go_on_after_a_send_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that was silent for seconds fails a send, whose acknowledgement never comes."""
    async with sender(monkeypatch) as wire:
        monkeypatch.setattr(requests, "UNACKNOWLEDGED_S_MAX", 0.0)
        wire.failure = KafkaTimeoutError()
        with pytest.raises(OutcomeUnknown):
            await wire.client.submit(command(0), timeout_s=TOO_LATE_S)
        wire.failure = None
        async with asyncio.timeout(IN_TIME_S):
            while True:
                with suppress(NotExecuted):
                    await wire.client.submit(command(1), timeout_s=IN_TIME_S)
                    break
                await asyncio.sleep(0.01)


async def test_the_age_of_the_queue_is_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is late itself does not think that a partition is slow."""
    async with sender(monkeypatch) as wire:
        waiting = await fill(wire, monkeypatch)
        monkeypatch.setattr(lane, "UNANSWERED_MAX", 100)
        [of_partition] = wire.client._lanes.values()
        learnt = []
        monkeypatch.setattr(
            lane.Lane, "answered", lambda self, now, *, took, ahead: learnt.append((took, ahead))
        )
        await asyncio.sleep(0)
        wire.clock_ms = 700
        wire.answer(wire.sent[0])
        await waiting
        assert of_partition.unanswered
        assert [(0.7, 1)] == learnt

"""A simulated process's ports: the twins, with the faults that its fate has in store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from libs.events.envelope import Envelope
from libs.events.memory.broker import MemoryFeed, MemoryPublisher
from libs.events.memory.log import MemoryLog
from libs.events.ports import (
    AnswerRow,
    Head,
    InputPosition,
    NotSent,
    Outgoing,
    Received,
    Tail,
    Write,
)
from libs.kernel.state import State

if TYPE_CHECKING:
    from simulation.process import Process


class OwnedLog(MemoryLog):
    """A log that knows its process."""

    def __init__(self, process: Process) -> None:
        super().__init__(database=process.database, partition=process.partition)
        self.process = process


class SimulatedLog:
    """See `libs.events.ports.Log`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._log = OwnedLog(process)

    async def own(self) -> Head:
        """See the port."""
        await self._process.pass_port()
        head = await self._log.own()
        await self._process.pass_port()
        self._process.observer.owned(self._process, head)
        return head

    async def load(self, state: State) -> None:
        """See the port."""
        await self._process.pass_port()
        await self._log.load(state)

    async def write(self, write: Write) -> datetime:
        """See the port."""
        process = self._process
        if process.meets("stop before write"):
            process.stop()
        await process.pass_port()
        if process.meets("write not applied"):
            raise ConnectionError("the database went away before the statement")
        before = process.database.heads[process.partition]
        at = await self._log.write(write)
        process.observer.written(process, write, before)
        if process.meets("write unanswered"):
            raise ConnectionError("the database went away after the statement")
        if process.meets("stop after write"):
            process.stop()
            await process.pass_port()
        return at

    async def recorded(self, command_ids: Sequence[str]) -> Sequence[AnswerRow]:
        """See the port."""
        await self._process.pass_port()
        return await self._log.recorded(command_ids)

    async def recent_answers(self, *, since: datetime) -> Sequence[AnswerRow]:
        """See the port."""
        await self._process.pass_port()
        return await self._log.recent_answers(since=since)

    async def events_after(self, *, seq: int, limit: int) -> Sequence[Envelope]:
        """See the port."""
        await self._process.pass_port()
        self._process.observer.count("relay rewinds")
        return await self._log.events_after(seq=seq, limit=limit)

    async def published(self) -> int:
        """See the port."""
        await self._process.pass_port()
        return await self._log.published()

    async def mark_published(self, seq: int) -> None:
        """See the port."""
        await self._process.pass_port()
        await self._log.mark_published(seq)

    async def lost(self) -> None:
        """A paused process learns it by its next write at the latest: the harder case."""
        await self._log.lost()

    async def asked(self) -> None:
        """See the port."""
        await self._process.asked.wait()

    async def close(self) -> None:
        """See the port."""
        if self._process.alive:
            await self._log.close()


class SimulatedFeed:
    """See `libs.events.ports.Feed`; records arrive when the schedule grants them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        behaviour = process.behaviour
        command_input = behaviour.command_input
        self._events = [topic.name for topic in behaviour.event_inputs]
        self._command = command_input.name if command_input else None
        self._topics = (*self._events, *([self._command] if self._command else []))
        self._feed = MemoryFeed(
            broker=process.broker,
            partition=process.partition,
            event_topics=self._events,
            command_topic=self._command,
        )
        self._granted: dict[str, int] = {}
        self._arrived: asyncio.Future[None] | None = None
        self._open = False

    async def open(self, inputs: Mapping[str, InputPosition]) -> Mapping[str, int]:
        """See the port."""
        process = self._process
        await process.pass_port()
        if process.broker.down:
            raise ConnectionError("the broker is away")
        self._granted.clear()
        waiting = await self._feed.open(inputs)
        self._open = True
        process.observer.opened(process, inputs)
        return waiting

    def grant(self, *, events: int, commands: int) -> None:
        """Let so many records arrive, if they are there."""
        for topic in self._events:
            self._granted[topic] = events
        if self._command is not None:
            self._granted[self._command] = commands
        self.look()

    def look(self) -> None:
        """Wake the loop if something has arrived for it."""
        if self._arrived is not None and not self._arrived.done() and self._waiting():
            self._arrived.set_result(None)

    def next_offset(self, topic: str) -> int:
        """Return the offset that is read next."""
        return self._feed.next_offset(topic)

    def _waiting(self) -> bool:
        broker, partition = self._process.broker, self._process.partition
        if broker.down:
            return False
        for topic in self._topics:
            there = len(broker.log(topic, partition)) - self._feed.next_offset(topic)
            if there < 0 or (there and (self._process.free or self._granted.get(topic, 0))):
                return True
        return False

    async def take(self, *, timeout_s: float) -> list[Received]:
        """See the port."""
        await self._process.pass_port()
        if not self._open:
            return []
        if not self._waiting():
            loop = self._process.scheduler
            self._arrived = arrived = loop.create_future()
            timer = loop.call_later(timeout_s, _set, arrived)
            try:
                await arrived
            finally:
                timer.cancel()
                self._arrived = None
            await self._process.pass_port()
            if not (self._open and self._waiting()):
                return []
        taken = self._feed.drain(None if self._process.free else self._granted)
        self._granted.clear()
        return taken

    def close(self) -> None:
        """See the port; whoever waits for records goes on without."""
        self._open = False
        self._feed.close()
        if self._arrived is not None:
            _set(self._arrived)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SimulatedPublisher:
    """See `libs.events.ports.Publisher`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._publisher = MemoryPublisher(process.broker)

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """See the port."""
        process = self._process
        if process.meets("stop before send"):
            process.stop()
        await process.pass_port()
        process.observer.publishing(process, records)
        if process.meets("die before send"):
            process.die()
        if process.meets("not sent"):
            raise NotSent("the broker took nothing")
        if process.meets("die in send"):
            await self._publisher.send(records[: process.parts % (len(records) + 1)])
            process.die()
        if process.meets("sent in part"):
            part = records[: process.parts % len(records)]
            return [*await self._publisher.send(part), _Failed()]
        acknowledged = await self._publisher.send(records)
        if process.meets("unacknowledged"):
            return [*acknowledged[:-1], _Failed()]
        if process.meets("sent twice"):
            await self._publisher.send(records)
        return acknowledged

    async def tail(self, topic: str, partition: int) -> Tail:
        """See the port."""
        await self._process.pass_port()
        if self._process.broker.down:
            raise ConnectionError("the broker is away")
        return await self._publisher.tail(topic, partition)


class _Failed:
    """An acknowledgement that never came."""

    def __await__(self):  # type: ignore[no-untyped-def]
        raise ConnectionError("the broker did not acknowledge")
        yield

"""The outbox: the event log itself is it, this is its cursor and recovery.

The writer hands events to the broker right after its commit. Here acknowledgements
are awaited in order, and what a crash or a lost broker left unpublished is read
from the log and published again (design, rule 4). Repeats are absorbed downstream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Sequence

import structlog

from libs.events import codec
from libs.events.envelope import Envelope
from libs.events.ports import Halted, Head, Log, Outgoing, Publisher

log = structlog.get_logger()

PAGE = 500
MARK_INTERVAL_S = 1.0
RETRY_S_MAX = 5.0
REPUBLISH_MAX = 10_000
"""After a broker lost everything only so many are sent again: readers fill older gaps."""


class Outbox:
    """The published position of one partition."""

    def __init__(self, *, log: Log, publisher: Publisher, topic: str, partition: int) -> None:
        self._log = log
        self._publisher = publisher
        self._topic = topic
        self._partition = partition
        self._in_flight: deque[tuple[int, int, Sequence[Awaitable[object]]]] = deque()
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()
        self._end_offset = 0
        self._published = 0
        self._marked = 0
        self._head_seq = 0

    @property
    def pending(self) -> int:
        """Events that are recorded but not yet acknowledged by the broker."""
        return self._head_seq - self._published

    async def open(self, head: Head) -> None:
        """Publish what was recorded but not published, or what the broker has lost since.

        Raises Halted where the broker knows a future that the log does not have.
        """
        self._in_flight.clear()
        self._ending.clear()
        self._head_seq = head.seq
        if head.seq == 0:
            self._published = self._marked = 0
            return
        self._published = self._marked = await self._log.published()
        at_broker = await self._look()
        if at_broker > head.seq:
            raise Halted(
                f"{self._topic} partition {self._partition} has event {at_broker}, the log ends at"
                f" {head.seq}: the database was restored, the topics were not made anew"
            )
        self._marked = min(self._marked, self._published)
        if self._published < head.seq:
            await self._publish_again()

    async def _look(self) -> int:
        """Take as published only what the broker still holds; return its last event's number."""
        tail = await self._publisher.tail(self._topic, self._partition)
        at_broker = tail.last.seq if tail.last is not None else 0
        self._end_offset = tail.end_offset
        self._published = max(min(self._published, at_broker), self._head_seq - REPUBLISH_MAX)
        return at_broker

    def sent(self, last_seq: int, acknowledged: Sequence[Awaitable[object]]) -> None:
        """Take note of events up to *last_seq* that are on their way."""
        self._in_flight.append((last_seq, last_seq - self._head_seq, acknowledged))
        self._head_seq = last_seq
        self._wake.set()

    def end(self) -> None:
        """Let `run` return as soon as everything is acknowledged."""
        self._ending.set()
        self._wake.set()

    async def run(self) -> None:
        """Await acknowledgements and keep the published mark, until cancelled or `end`."""
        while self._in_flight or not self._ending.is_set():
            await self._wake.wait()
            self._wake.clear()
            failed = False
            while self._in_flight:
                last_seq, events, acknowledged = self._in_flight.popleft()
                failed = failed or not acknowledged
                try:
                    failed = await self._shorter(acknowledged, events) or failed
                except Exception as error:  # the driver's own errors: all mean "not published"
                    log.warning("outbox.send_failed", topic=self._topic, reason=repr(error))
                    failed = True
                if not failed:
                    self._published = last_seq
            if failed:
                await self._retry()
            if self._published > self._marked:
                self._marked = self._published
                await self._log.mark_published(self._published)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(MARK_INTERVAL_S):
                        await self._ending.wait()

    async def _shorter(self, acknowledged: Sequence[Awaitable[object]], events: int) -> bool:
        """Await the places of a batch of *events*; say whether earlier ones stood there before.

        Then the broker came back with less than it had acknowledged, and whoever has no need
        to read there noticed nothing.
        """
        places = [await one for one in acknowledged]
        offsets = [place.offset for place in places if getattr(place, "topic", "") == self._topic]  # type: ignore[attr-defined]
        if not offsets:
            return False
        before, self._end_offset = self._end_offset, min(offsets) + events
        if min(offsets) < before:
            log.error("outbox.tail_lost", topic=self._topic, partition=self._partition)
            return True
        return False

    async def _retry(self) -> None:
        delay_s = 0.1
        while True:
            try:
                await self._look()
                await self._publish_again()
                return
            except Exception as error:
                log.warning("outbox.retry_failed", topic=self._topic, reason=repr(error))
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _publish_again(self) -> None:
        """Publish the log from the published position to its head, page by page."""
        while self._published < self._head_seq:
            page = await self._log.events_after(seq=self._published, limit=PAGE)
            if not page:
                return
            acknowledged = await self._publisher.send([self._record(event) for event in page])
            if await self._shorter(acknowledged, len(page)):
                await self._look()
                continue
            last = page[-1].position
            assert last is not None
            self._published = last.seq
            log.info("outbox.published_again", topic=self._topic, seq=last.seq, events=len(page))

    def _record(self, event: Envelope) -> Outgoing:
        headers, value = codec.encode(event)
        return Outgoing(
            topic=self._topic,
            partition=self._partition,
            key=str(getattr(event.data, "pool_no", "")).encode(),
            headers=headers,
            value=value,
        )

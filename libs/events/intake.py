"""From records to messages: each position once, gaps filled, stale commands dropped.

Deliberately without deciding: what comes out of here is what the loop decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import structlog

from libs.events import codec
from libs.events.behaviour import Behaviour
from libs.events.contracts.reservation import ExpireReservation
from libs.events.envelope import Envelope, Position
from libs.events.messages import COMMANDS, MESSAGES
from libs.events.ports import GapReader, Halted, Head, InputPosition, Outgoing, Publisher, Received
from libs.events.registry import Unreadable
from libs.events.topics import BY_NAME, DEAD_LETTERS, Topic

log = structlog.get_logger()

COMMAND_AGE_MAX = timedelta(seconds=2.5)
"""Older commands are dropped: their asker has been told 504 (design, rule 9)."""
GAP_PAGE = 500
SOURCE_CHECK_S = 2.0

_REQUEST_SHAPES = frozenset(message.shape for message in COMMANDS) - {ExpireReservation}


class IntakeWatch(Protocol):
    """What the intake tells its operators."""

    def dropped_stale(self) -> None:
        """Count a command that was too old."""
        ...

    def parked(self, topic: str) -> None:
        """Count a dead letter."""
        ...

    def filled_gap(self, events: int) -> None:
        """Count events read from their owner because Kafka had not delivered them."""
        ...


def is_request(message: Envelope) -> bool:
    """Whether a message is somebody's command, which may be parked, unlike an event.

    What time itself commands is ours: if that can't be decided, something is broken.
    """
    return type(message.data) in _REQUEST_SHAPES


class Intake:
    """The input side of one partition; *positions* is what a write makes durable."""

    def __init__(
        self,
        *,
        partition: int,
        behaviour: Behaviour,
        gaps: GapReader,
        publisher: Publisher,
        watch: IntakeWatch,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        throttle: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """*throttle* is awaited with the number of commands that are about to be decided."""
        self._partition = partition
        self._behaviour = behaviour
        self._gaps = gaps
        self._publisher = publisher
        self._watch = watch
        self._now = now
        self._monotonic = monotonic
        self._throttle = throttle
        self._owner_seqs: dict[str, int] = {}
        self._checked_at = 0.0
        self._unsaved_since: float | None = None
        self._generation = 0
        self.positions: dict[str, InputPosition] = {}

    def start(self, head: Head) -> None:
        """Continue from a head's positions."""
        self.positions = dict(head.inputs)
        self._owner_seqs.clear()
        self._checked_at = self._monotonic()
        self._unsaved_since = None
        self._generation = head.generation

    def at(self, topic: str) -> InputPosition:
        """Return how far a topic has been taken."""
        return self.positions.get(topic) or InputPosition()

    def unsaved_s(self) -> float:
        """Return for how long positions have been ahead of what is durable; 0 if they are not."""
        return 0.0 if self._unsaved_since is None else self._monotonic() - self._unsaved_since

    def saved(self) -> None:
        """Take note that the positions are durable."""
        self._unsaved_since = None

    def _move(self, topic: str, position: InputPosition) -> None:
        self.positions[topic] = position
        if self._unsaved_since is None:
            self._unsaved_since = self._monotonic()

    def _counted(self, position: Position) -> int:
        """Return the generation that a place counts in: after a restore, all places count anew."""
        return max(position.generation, self._generation)

    async def admit(self, received: Sequence[Received]) -> list[Envelope]:
        """Return the messages to decide; raises Halted for another service's unreadable event."""
        messages: list[Envelope] = []
        for name, records in groupby(received, key=attrgetter("topic")):
            messages += await self._admit(BY_NAME[name], list(records))
        if self._throttle is not None:
            await self._throttle(sum(map(is_request, messages)))
        return messages

    async def _admit(self, topic: Topic, received: Sequence[Received]) -> list[Envelope]:
        """Admit what has come in one topic; its position moves once, at the end."""
        messages: list[Envelope] = []
        events = topic.poison == "halt"  # only these have positions of ours
        before = self.at(topic.name)
        generation, seq = before.generation, before.seq
        for record in received:
            try:
                message = self._read(record, parks=not events)
            except Unreadable as error:
                if events:
                    raise Halted(
                        f"{topic.name} offset {record.offset}: {error}",
                        about=codec.ids_of(record.headers),
                    ) from error
                await self.park(topic.name, record.headers, record.value, str(error))
                continue
            if events and (position := message.position) is not None:
                if position.seq <= seq:
                    continue
                if position.seq > seq + 1:
                    missing = await self._fetch(topic.name, after=seq, until=position.seq)
                    messages += self._interesting(missing)
                generation, seq = self._counted(position), position.seq
            if isinstance(message.data, codec.Uninteresting):
                continue
            if is_request(message) and self._stale(message, record.appended_at):
                self._watch.dropped_stale()
                continue
            messages.append(message)
        after = InputPosition(
            log_epoch=record.log_epoch,
            offset=record.offset,
            record_id=codec.record_id(record.headers),
            generation=generation,
            seq=seq,
        )
        self._move(topic.name, after)
        return messages

    def _read(self, record: Received, *, parks: bool) -> Envelope:
        message = codec.decode(record.headers, record.value, interests=self._behaviour.interests)
        if parks and isinstance(message.data, codec.Uninteresting):
            raise Unreadable(f"{message.data.name} is no command that is decided here")
        return message

    def _stale(self, message: Envelope, appended_at: datetime) -> bool:
        return self._now() - min(message.time, appended_at) > COMMAND_AGE_MAX

    async def _fetch(self, topic: str, *, after: int, until: int) -> list[Envelope]:
        """Return the events of *topic* between two positions, from their owner."""
        fetched: list[Envelope] = []
        while after + 1 < until:
            limit = min(GAP_PAGE, until - after - 1)
            page = await self._gaps.fetch(topic, self._partition, after_seq=after, limit=limit)
            if not page:
                raise Halted(f"{topic}: events {after + 1}..{until - 1} are nowhere to be found")
            fetched += page
            after = _position(page[-1]).seq
            self._watch.filled_gap(len(page))
        return fetched

    def _interesting(self, events: Sequence[Envelope]) -> list[Envelope]:
        interests = self._behaviour.interests
        return [each for each in events if MESSAGES.message_of(each.data).name in interests]

    async def check_sources(self) -> list[Envelope]:
        """Now and then ask the owners of our inputs whether Kafka has kept something from us.

        Returns what they had recorded at the time of the last question and we have not got.
        """
        if self._monotonic() - self._checked_at < SOURCE_CHECK_S:
            return []
        self._checked_at = self._monotonic()
        missing: list[Envelope] = []
        for topic in self._behaviour.event_inputs:
            seen = self._owner_seqs.get(topic.name, 0)
            before = self.at(topic.name)
            if before.seq < seen:
                fetched = await self._fetch(topic.name, after=before.seq, until=seen + 1)
                last = _position(fetched[-1])
                self._move(
                    topic.name, replace(before, generation=self._counted(last), seq=last.seq)
                )
                missing += self._interesting(fetched)
            self._owner_seqs[topic.name] = await self._gaps.head(topic.name, self._partition)
        return missing

    async def park(
        self, topic: str, headers: Sequence[tuple[str, bytes]], value: bytes | None, reason: str
    ) -> None:
        """Put a record into the dead letters as it came; only then may its position move."""
        why = [
            ("x-dlq-reason", reason.encode()),
            ("x-dlq-topic", topic.encode()),
            ("x-dlq-partition", b"%d" % self._partition),
        ]
        record = Outgoing(
            topic=DEAD_LETTERS.name,
            partition=0,
            key=topic.encode(),
            headers=[*headers, *why],
            value=value or b"",
        )
        for acknowledged in await self._publisher.send([record]):
            await acknowledged
        self._watch.parked(topic)
        log.error(
            "message.parked",
            topic=topic,
            partition=self._partition,
            reason=reason,
            **codec.ids_of(headers),
        )


def _position(event: Envelope) -> Position:
    assert event.position is not None, "stored events have positions"
    return event.position

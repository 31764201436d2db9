"""The loop that every deciding service runs, one for each partition it owns.

Own the partition, take what has arrived, decide in memory, write once, publish,
answer. Anything unexpected ends the run; the next run starts from what is durable
(crash-only): there is no other recovery path.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from libs.events import codec
from libs.events.behaviour import Behaviour
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.reservation import AnswerRequested, CompletedDownstream
from libs.events.envelope import Envelope, Position
from libs.events.hashing import chain_hash
from libs.events.messages import COMMANDS, MESSAGES
from libs.events.outbox import Outbox
from libs.events.ports import (
    AnswerRow,
    EventRow,
    Feed,
    GapReader,
    Halted,
    Head,
    InputPosition,
    Log,
    NotSent,
    Outgoing,
    Publisher,
    Received,
    Repeated,
    Write,
)
from libs.events.registry import Unreadable
from libs.events.stored import meta_of
from libs.events.topics import BY_NAME, DEAD_LETTERS, GATEWAY_REPLIES
from libs.kernel.state import State

log = structlog.get_logger()

COMMAND_AGE_MAX = timedelta(seconds=2.5)
"""Older commands are dropped: their asker has been told 504 (design, rule 9)."""
RESEND_WINDOW = timedelta(seconds=2)
"""A new owner answers again what was recorded this long before (design, rule 7)."""
DUE_MAX = 500
RECENT_ANSWERS_MAX = 20_000
GAP_PAGE = 500
IDLE_S = 0.5
POSITION_DELAY_S = 0.1
"""Progress without effects is written at most this much later, to spare a write a tick."""
SOURCE_CHECK_S = 2.0

_COMMAND_SHAPES = frozenset(message.shape for message in COMMANDS)


class Clock(Protocol):
    """The decision clock; see `libs.runtime.clock.DatabaseClock`."""

    @property
    def jumped(self) -> bool:
        """Whether the database's clock has jumped; expiry then pauses (design, rule 6)."""
        ...

    def now(self) -> datetime:
        """Return the estimated time at the database server."""
        ...


class Watch(Protocol):
    """What the loop tells its operators; see `libs.runtime.metrics`."""

    def decided(self, *, events: Sequence[str], answers: Sequence[str]) -> None:
        """Count a committed batch."""
        ...

    def wrote(self, duration_s: float) -> None:
        """Observe the duration of a write."""
        ...

    def dropped_stale(self) -> None:
        """Count a command that was too old."""
        ...

    def replayed(self) -> None:
        """Count a recorded answer that was given again."""
        ...

    def parked(self, topic: str) -> None:
        """Count a dead letter."""
        ...

    def filled_gap(self, events: int) -> None:
        """Count events read from their owner because Kafka had not delivered them."""
        ...


@dataclass(slots=True)
class _Stage:
    """A batch being decided."""

    head: Head
    rows: list[EventRow] = field(default_factory=list)
    events: list[tuple[Envelope, bytes]] = field(default_factory=list)
    answers: dict[str, AnswerRow] = field(default_factory=dict)
    replies: list[tuple[Envelope, object, bool]] = field(default_factory=list)
    signals: list[tuple[Envelope, AnswerRequested, bool]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether deciding has led to nothing at all."""
        return not (self.rows or self.answers or self.replies or self.signals)


class Undecidable(Exception):
    """Deciding one message raised; carries the message."""

    def __init__(self, message: Envelope, cause: Exception) -> None:
        super().__init__(f"{type(message.data).__name__} {message.id}: {cause!r}")
        self.message = message


class PartitionLoop:
    """Runs one partition of one service until it is cancelled or something breaks."""

    def __init__(
        self,
        *,
        partition: int,
        behaviour: Behaviour,
        log: Log,
        feed: Feed,
        publisher: Publisher,
        gaps: GapReader,
        clock: Clock,
        watch: Watch,
        step: Callable[[str], None],
        monotonic: Callable[[], float],
        owned: Callable[[], None],
    ) -> None:
        self._partition = partition
        self._behaviour = behaviour
        self._log = log
        self._feed = feed
        self._publisher = publisher
        self._gaps = gaps
        self._clock = clock
        self._watch = watch
        self._step = step
        self._monotonic = monotonic
        self._owned = owned
        self._recent: OrderedDict[str, AnswerRow] = OrderedDict()
        self._ends: Mapping[str, int] = {}
        self._inputs: dict[str, InputPosition] = {}
        self._heads_seen: dict[str, int] = {}
        self._outbox = Outbox(
            log=log, publisher=publisher, topic=behaviour.events_out.name, partition=partition
        )
        self.state = State(partition=partition)
        self.head: Head | None = None

    @property
    def outbox_pending(self) -> int:
        """Events that are recorded but not yet acknowledged by the broker."""
        return self._outbox.pending

    async def run(self) -> None:
        """Own the partition and serve it; returns only by exception."""
        try:
            await self._take_over()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outbox.run(), name=f"outbox-{self._partition}")
                group.create_task(self._serve(), name=f"loop-{self._partition}")
        finally:
            self._feed.close()
            await self._log.close()

    async def _take_over(self) -> None:
        head = await self._log.own()
        self.state = State(partition=self._partition)
        await self._log.load(self.state)
        await self._behaviour.start(self.state, head)
        self._inputs = dict(head.inputs)
        self._ends = await self._feed.open(head.inputs)
        await self._outbox.open(head)
        await self._resend(head)
        self._checked_at = self._unsaved_since = self._monotonic()
        self._unsaved = False
        self.head = head
        self._behaviour.committed(self.state, (), head)
        self._owned()
        log.info(
            "partition.owned",
            service=self._behaviour.source,
            partition=self._partition,
            epoch=head.epoch,
            seq=head.seq,
        )

    async def _resend(self, head: Head) -> None:
        """Answer again what the owner before us may have died before answering."""
        since = self._clock.now() - RESEND_WINDOW
        stage = _Stage(head=head)
        for row in await self._log.recent_answers(since=since):
            self._remember(row)
            if row.reply_to is not None:
                asker = _asker(row, head)
                self._answer_again(stage, asker, row, replayed=False)
        await self._publish(stage, head)

    async def _serve(self) -> None:
        while True:
            received = await self._feed.take(timeout_s=self._patience_s())
            messages = await self._admit(received)
            await self._check_sources(messages)
            now = self._now()
            messages += self._due(now)
            await self._process(messages, now)

    def _patience_s(self) -> float:
        """How long the feed may be waited for: until the next deadline, at most IDLE_S."""
        patience = POSITION_DELAY_S if self._unsaved else IDLE_S
        due = self._behaviour.next_due()
        if due is not None and not self._clock.jumped and not self._ends:
            patience = min(patience, (due - self._clock.now()).total_seconds())
        return max(patience, 0.0)

    def _now(self) -> datetime:
        assert self.head is not None
        return max(self._clock.now(), self.head.decided_at)

    def _due(self, now: datetime) -> list[Envelope]:
        """Return what time itself asks for, once the commands that waited for us are decided."""
        if self._clock.jumped or any(
            self._input(topic).offset < end - 1 for topic, end in self._ends.items()
        ):
            return []
        self._ends = {}
        made = []
        for command in self._behaviour.due(self.state, now, DUE_MAX):
            id = f"due:{getattr(command, 'reservation_id', '')}"
            made.append(
                Envelope(
                    id=id,
                    source=self._behaviour.source,
                    time=now,
                    data=command,
                    correlation_id=id,
                    causation_id=id,
                )
            )
        return made

    # Taking in

    def _input(self, topic: str) -> InputPosition:
        return self._inputs.get(topic) or InputPosition()

    async def _admit(self, received: Sequence[Received]) -> list[Envelope]:
        """Turn records into messages: each position once, gaps filled, stale commands dropped."""
        messages: list[Envelope] = []
        for record in received:
            topic = BY_NAME[record.topic]
            message = None
            try:
                message = codec.decode(
                    record.headers, record.value, interests=self._behaviour.interests
                )
            except Unreadable as error:
                if topic.poison != "park":
                    raise Halted(f"{record.topic} offset {record.offset}: {error}") from error
                await self._park(record.topic, record.headers, record.value, str(error))
            before = self._input(record.topic)
            after = replace(
                before,
                log_epoch=record.log_epoch,
                offset=record.offset,
                record_id=codec.record_id(record.headers),
            )
            at = message.position if message is not None else None
            if at is not None and at.seq <= before.seq:
                message = None
            elif at is not None:
                messages += await self._fill(record.topic, at.seq)
                after = replace(after, generation=at.generation, seq=at.seq)
            self._inputs[record.topic] = after
            self._note_progress()
            if message is None or isinstance(message.data, codec.Uninteresting):
                continue
            if type(message.data) in _COMMAND_SHAPES and self._stale(message, record.appended_at):
                self._watch.dropped_stale()
                continue
            messages.append(message)
        return messages

    def _note_progress(self) -> None:
        if not self._unsaved:
            self._unsaved, self._unsaved_since = True, self._monotonic()

    def _stale(self, message: Envelope, appended_at: datetime) -> bool:
        return self._clock.now() - min(message.time, appended_at) > COMMAND_AGE_MAX

    async def _fill(self, topic: str, seq: int) -> list[Envelope]:
        """Return the events between the last one taken from *topic* and *seq*."""
        before = self._input(topic)
        filled: list[Envelope] = []
        while before.seq + 1 < seq:
            page = await self._gaps.fetch(
                topic,
                self._partition,
                after_seq=before.seq,
                limit=min(GAP_PAGE, seq - before.seq - 1),
            )
            if not page:
                raise Halted(f"{topic}: events {before.seq + 1}..{seq - 1} are nowhere to be found")
            for event in page:
                assert event.position is not None
                before = replace(
                    before, generation=event.position.generation, seq=event.position.seq
                )
                if MESSAGES.message_of(event.data).name in self._behaviour.interests:
                    filled.append(event)
            self._watch.filled_gap(len(page))
        self._inputs[topic] = before
        return filled

    async def _check_sources(self, messages: list[Envelope]) -> None:
        """Now and then ask the owners of our inputs whether Kafka has kept something from us."""
        if self._monotonic() - self._checked_at < SOURCE_CHECK_S:
            return
        self._checked_at = self._monotonic()
        for topic in self._behaviour.event_inputs:
            seen = self._heads_seen.get(topic.name, 0)
            if self._input(topic.name).seq < seen:
                messages += await self._fill(topic.name, seen + 1)
                self._note_progress()
            self._heads_seen[topic.name] = await self._gaps.head(topic.name, self._partition)

    async def _park(
        self, topic: str, headers: codec.Headers, value: bytes | None, reason: str
    ) -> None:
        """Put a record into the dead letters as it came; only then may its position move."""
        why = [("x-dlq-reason", reason.encode()), ("x-dlq-topic", topic.encode())]
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
        log.error("message.parked", topic=topic, partition=self._partition, reason=reason)

    # Deciding and writing

    async def _process(self, messages: list[Envelope], now: datetime) -> None:
        self.state.release()
        if messages:
            messages[:0] = await self._behaviour.prepare(self.state, messages)
            await self._recall([m for m in messages if isinstance(m.data, AnswerRequested)])
        stage = await self._decide(messages, now)
        while not await self._try_write(stage, now):
            if not await self._recall(messages):
                raise Halted("a unique key was hit, but nothing of the batch is recorded")
            stage = await self._decide(messages, now)

    async def _decide(self, messages: list[Envelope], now: datetime) -> _Stage:
        """Decide all messages against the stage; what can't be decided is parked and left out."""
        assert self.head is not None
        while True:
            self.state.rollback()
            stage = _Stage(head=self.head)
            try:
                for message in messages:
                    self._decide_one(stage, message, now)
            except Undecidable as error:
                if not _is_request(error.message):
                    raise Halted(str(error)) from error
                headers, value = codec.encode(error.message)
                await self._park(_topic_of(error.message), headers, value, str(error))
                messages.remove(error.message)
                continue
            return stage

    def _decide_one(self, stage: _Stage, message: Envelope, now: datetime) -> None:
        asked = _asked(message)
        row = stage.answers.get(asked) or self._recent.get(asked)
        requested = isinstance(message.data, AnswerRequested)
        if row is not None and message.position is None:
            replayed = message.replayed if requested else True
            self._answer_again(stage, message, row, replayed=replayed)
            return
        if requested:
            return  # nothing is known here: its asker learns by trying again
        try:
            decision = self._behaviour.decide(self.state, message, now)
            for event in decision.events:
                self._append(stage, message, event, now)
        except Exception as error:
            raise Undecidable(message, error) from error
        if decision.answer is None:
            return
        if decision.recorded:
            stage.answers[asked] = _row(asked, message, decision.answer)
        if isinstance(decision.answer, CompletedDownstream):
            if decision.answer.command_id != asked:
                signal = AnswerRequested(command_id=decision.answer.command_id)
                stage.signals.append((message, signal, False))
        elif message.reply_to is not None:
            stage.replies.append((message, decision.answer, False))

    def _append(self, stage: _Stage, message: Envelope, event: object, now: datetime) -> None:
        seq = stage.head.seq + 1
        position = Position(stage.head.generation, self._partition, seq)
        self._behaviour.evolve(self.state, event, position, now)
        entry = MESSAGES.message_of(event)
        body = MESSAGES.write(event)
        envelope = message.follow(
            id=position.event_id(),
            source=self._behaviour.source,
            time=now,
            data=event,
            position=position,
        )
        meta, data, subject = meta_of(envelope), body.decode(), _subject(event)
        hash = chain_hash(
            previous=stage.head.hash,
            source=envelope.source,
            position=position,
            type=entry.name,
            version=entry.version,
            subject=subject,
            decided_at=now,
            meta=meta,
            data=data,
        )
        stage.rows.append(
            EventRow(
                seq=seq,
                type=entry.name,
                version=entry.version,
                subject=subject,
                meta=meta,
                data=data,
                previous_hash=stage.head.hash,
                hash=hash,
            )
        )
        stage.events.append((envelope, body))
        stage.head = replace(stage.head, seq=seq, hash=hash, decided_at=now)

    def _answer_again(
        self, stage: _Stage, message: Envelope, row: AnswerRow, *, replayed: bool
    ) -> None:
        """Give a recorded answer to whoever asks now; refuse a key that was for another request."""
        if message.reply_to is None:
            return
        if replayed:
            self._watch.replayed()
        if message.fingerprint != row.fingerprint and not isinstance(message.data, AnswerRequested):
            stage.replies.append((message, KeyReused(command_id=row.command_id), False))
            return
        answer = MESSAGES.read(name=row.type, version=row.version, body=row.answer)
        if isinstance(answer, CompletedDownstream):
            signal = AnswerRequested(command_id=answer.command_id)
            stage.signals.append((message, signal, replayed))
        else:
            stage.replies.append((message, answer, replayed))

    async def _try_write(self, stage: _Stage, now: datetime) -> bool:
        """Write the batch, publish, answer; False when something in it was recorded before."""
        assert self.head is not None
        changed = bool(stage.rows or stage.answers)
        overdue = self._monotonic() - self._unsaved_since >= POSITION_DELAY_S
        if changed or (self._unsaved and overdue):
            after = replace(stage.head, decided_at=now, inputs=dict(self._inputs))
            changes = self.state.staged()
            write = Write(
                before=self.head,
                after=after,
                events=stage.rows,
                answers=list(stage.answers.values()),
                changes=changes,
            )
            if changed:
                self._step(f"{self._behaviour.source}.decided")
            started = self._monotonic()
            try:
                await self._log.write(write)
            except Repeated:
                return False
            self._watch.wrote(self._monotonic() - started)
            if changed:
                self._step(f"{self._behaviour.source}.written")
            self.state.commit()
            self.head = after
            self._unsaved = False
            for row in stage.answers.values():
                self._remember(row)
            self._behaviour.committed(self.state, changes, after)
        if not stage.empty:
            self._watch.decided(
                events=[row.type for row in stage.rows],
                answers=[type(answer).__name__ for _, answer, _ in stage.replies],
            )
            await self._publish(stage, self.head)
        if changed:
            self._step(f"{self._behaviour.source}.published")
        return True

    async def _recall(self, messages: Sequence[Envelope]) -> bool:
        """Learn which of the messages had been recorded before; say whether any was news."""
        asked = {_asked(message) for message in messages} - self._recent.keys()
        rows = await self._log.recorded(sorted(asked)) if asked else ()
        for row in rows:
            self._remember(row)
        return bool(rows)

    def _remember(self, row: AnswerRow) -> None:
        self._recent[row.command_id] = row
        while len(self._recent) > RECENT_ANSWERS_MAX:
            self._recent.popitem(last=False)

    # Publishing

    async def _publish(self, stage: _Stage, head: Head) -> None:
        """Send answers first, since somebody waits, then events and signals in log order."""
        if stage.replies:
            replies = [self._reply(head, *reply) for reply in stage.replies]
            with contextlib.suppress(NotSent):  # the asker learns by trying again
                await self._publisher.send(replies)
        records = []
        for envelope, body in stage.events:
            headers, value = codec.encode(envelope, body=body)
            records.append(self._out(_key(envelope.data), headers, value))
        for message, signal, replayed in stage.signals:
            envelope = message.follow(
                id=f"signal:{message.id}",
                source=self._behaviour.source,
                time=head.decided_at,
                data=signal,
                replayed=replayed,
            )
            records.append(self._out(b"", *codec.encode(envelope)))
        if not records:
            return
        try:
            acknowledged = await self._publisher.send(records)
        except NotSent as error:
            log.warning("events.not_sent", partition=self._partition, error=str(error))
            acknowledged = ()
        if stage.rows:
            self._outbox.sent(stage.rows[-1].seq, acknowledged)

    def _out(self, key: bytes, headers: codec.Headers, value: bytes) -> Outgoing:
        return Outgoing(
            topic=self._behaviour.events_out.name,
            partition=self._partition,
            key=key,
            headers=headers,
            value=value,
        )

    def _reply(self, head: Head, message: Envelope, answer: object, replayed: bool) -> Outgoing:
        assert message.reply_to is not None
        envelope = message.follow(
            id=f"answer:{message.id}",
            source=self._behaviour.source,
            time=head.decided_at,
            data=answer,
            position=head.position,
            replayed=replayed or message.replayed,
        )
        figures = self._behaviour.figures(self.state, message, head)
        headers, value = codec.encode(envelope, figures=figures)
        return Outgoing(
            topic=GATEWAY_REPLIES.name,
            partition=message.reply_to,
            key=message.correlation_id.encode(),
            headers=headers,
            value=value,
        )


def _is_request(message: Envelope) -> bool:
    """Whether a message is somebody's command, which may be parked, unlike an event."""
    return type(message.data) in _COMMAND_SHAPES and message.reply_to is not None


def _asked(message: Envelope) -> str:
    """Return the id under which the answer to a message is recorded."""
    if isinstance(message.data, AnswerRequested):
        return message.data.command_id
    return message.correlation_id


def _row(command_id: str, message: Envelope, answer: object) -> AnswerRow:
    entry = MESSAGES.message_of(answer)
    return AnswerRow(
        command_id=command_id,
        fingerprint=message.fingerprint or "",
        type=entry.name,
        version=entry.version,
        answer=MESSAGES.write(answer).decode(),
        reply_to=message.reply_to,
    )


def _asker(row: AnswerRow, head: Head) -> Envelope:
    """Return an envelope that stands for whoever asked for a recorded answer."""
    return Envelope(
        id=row.command_id,
        source="",
        time=head.decided_at,
        data=None,
        correlation_id=row.command_id,
        causation_id=row.command_id,
        fingerprint=row.fingerprint,
        reply_to=row.reply_to,
    )


def _subject(event: object) -> str:
    """Return what an event is about: its reservation, else its pool, else the catalogue."""
    reservation_id = getattr(event, "reservation_id", None)
    if reservation_id is not None:
        return str(reservation_id)
    pool_no = getattr(event, "pool_no", None)
    return f"pool-{pool_no}" if pool_no is not None else "catalogue"


def _key(event: object) -> bytes:
    return str(getattr(event, "pool_no", "")).encode()


def _topic_of(message: Envelope) -> str:
    name = MESSAGES.message_of(message.data).name
    return f"{name.rsplit('.', 1)[0]}.commands.v1"

"""The loop that every deciding service runs, one for each partition it owns.

Own the partition, take what has arrived, decide in memory, write once, publish,
answer. Anything unexpected ends the run; the next run starts from what is durable
(crash-only): there is no other recovery path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from libs.events import codec
from libs.events.behaviour import Behaviour
from libs.events.contracts.reservation import AnswerRequested
from libs.events.dispatch import Dispatch
from libs.events.envelope import Envelope
from libs.events.intake import Intake, IntakeWatch, is_request
from libs.events.messages import MESSAGES
from libs.events.outbox import Outbox
from libs.events.ports import (
    Feed,
    Fenced,
    GapReader,
    Halted,
    Head,
    Log,
    Publisher,
    Repeated,
    Write,
)
from libs.events.stage import RecentAnswers, Stage, Undecidable, asked_id, asker_of
from libs.kernel.state import State

log = structlog.get_logger()

RESEND_WINDOW = timedelta(seconds=2)
"""A new owner answers again what was recorded this long before (design, rule 7)."""
DUE_MAX = 500
IDLE_S = 0.5
HAND_OVER_S = 1.0
"""So long the last batch's records may take to be acknowledged before others take the partition."""
POSITION_DELAY_S = 0.1
"""Progress without effects is written at most this much later, to spare a write a tick."""


class Clock(Protocol):
    """The decision clock; see `libs.runtime.clock.DatabaseClock`."""

    @property
    def jumped(self) -> bool:
        """Whether the database's clock has jumped; expiry then pauses (design, rule 6)."""
        ...

    def now(self) -> datetime:
        """Return the estimated time at the database server."""
        ...

    def latest(self) -> datetime:
        """Return that time as it was last seen: after a jump, unlike `now`, from beyond it."""
        ...


class Watch(IntakeWatch, Protocol):
    """What the loop tells its operators; see `libs.events.host`."""

    def decided(
        self, *, events: Sequence[str], answers: Sequence[str], projected: int, replayed: int
    ) -> None:
        """Count a committed batch: its events and answers by type, entities, repeated answers."""
        ...

    def wrote(self, duration_s: float) -> None:
        """Observe the duration of a write."""
        ...


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
        throttle: Callable[[int], Awaitable[None]] | None = None,
        traced: Callable[[Sequence[Envelope], float], None] | None = None,
    ) -> None:
        """*step* is told the named steps of a batch, *owned* when the partition is served.

        *throttle* is a test's; see `Intake`. *traced* gets each batch that is committed, and
        how long it took.
        """
        self._partition = partition
        self._behaviour = behaviour
        self._log = log
        self._feed = feed
        self._clock = clock
        self._watch = watch
        self._step = step
        self._monotonic = monotonic
        self._owned = owned
        self._traced = traced
        self._recent = RecentAnswers()
        self._waiting: Mapping[str, int] = {}
        self._intake = Intake(
            partition=partition,
            behaviour=behaviour,
            gaps=gaps,
            publisher=publisher,
            watch=watch,
            now=clock.latest,
            monotonic=monotonic,
            throttle=throttle,
        )
        self._outbox = Outbox(
            log=log, publisher=publisher, topic=behaviour.events_out.name, partition=partition
        )
        self._dispatch = Dispatch(
            behaviour=behaviour, publisher=publisher, outbox=self._outbox, partition=partition
        )
        self.state = State(partition=partition)
        self._head: Head | None = None
        self._leaving = False

    @property
    def head(self) -> Head:
        """What is durable; only while the partition is owned."""
        assert self._head is not None, "the partition is not owned yet"
        return self._head

    @property
    def outbox_pending(self) -> int:
        """Events that are recorded but not yet acknowledged by the broker."""
        return self._outbox.pending

    async def run(self) -> None:
        """Own the partition and serve it; returns once it was asked for and is handed over."""
        try:
            await self.take_over()
            async with asyncio.TaskGroup() as group:
                published = group.create_task(self._outbox.run(), name=f"outbox-{self._partition}")
                keeping = group.create_task(self._keep(), name=f"ownership-{self._partition}")
                asked = group.create_task(self._hand_over(), name=f"hand-over-{self._partition}")
                await self._serve()
                self._outbox.end()
                await asyncio.wait({published}, timeout=HAND_OVER_S)
                for task in (published, keeping, asked):
                    task.cancel()
        finally:
            self._feed.close()
            await self._log.close()

    async def _keep(self) -> None:
        """Stop once the partition is not ours any more, also when nothing is to be written."""
        await self._log.lost()
        raise Fenced(f"partition {self._partition} was taken from us")

    async def _hand_over(self) -> None:
        """Let the batch under way be the last one, once another process is to have the rest."""
        await self._log.asked()
        self._leaving = True
        self._feed.close()

    async def take_over(self) -> None:
        """Own the partition and load what is durable; `run` does it, a simulation too."""
        head = await self._log.own()
        began = self._monotonic()
        self.state = State(partition=self._partition)
        await self._log.load(self.state)
        await self._behaviour.start(self.state, head)
        self._intake.start(head)
        self._waiting = await self._feed.open(head.inputs)
        await self._outbox.open(head)
        self._head = head
        await self._resend(head)
        self._behaviour.committed(self.state, (), (), head)
        self._owned()
        log.info(
            "partition.owned",
            partition=self._partition,
            epoch=head.epoch,
            seq=head.seq,
            took_ms=round((self._monotonic() - began) * 1000),
        )

    async def _resend(self, head: Head) -> None:
        """Answer again what the owner before us may have died before answering."""
        stage = self._stage()
        for row in await self._log.recent_answers(since=self._clock.now() - RESEND_WINDOW):
            self._recent.add(row)
            stage.answer_again(asker_of(row, head), row, replayed=False)
        await self._dispatch.publish(stage, head)

    async def _serve(self) -> None:
        while not self._leaving:
            await self.tick(patience_s=self._patience_s())

    async def tick(self, *, patience_s: float) -> None:
        """Take what arrives within *patience_s*, decide it with what is due, write and publish."""
        received = await self._feed.take(timeout_s=patience_s)
        messages = await self._intake.admit(received)
        messages += await self._intake.check_sources()
        now = max(self._clock.now(), self.head.decided_at)
        messages += self._due(now)
        await self._process(messages, now)

    def _patience_s(self) -> float:
        """How long the feed may be waited for: until the next deadline, at most IDLE_S."""
        patience = POSITION_DELAY_S if self._intake.unsaved_s() else IDLE_S
        due = self._behaviour.next_due()
        if due is not None and not self._clock.jumped and not self._waiting:
            patience = min(patience, (due - self._clock.now()).total_seconds())
        return max(patience, 0.0)

    def _due(self, now: datetime) -> list[Envelope]:
        """Return what time itself asks for, once the commands that waited for us are decided."""
        if any(self._intake.at(topic).offset < end - 1 for topic, end in self._waiting.items()):
            return []
        self._waiting = {}
        if self._clock.jumped:
            return []
        commands = self._behaviour.due(self.state, now, DUE_MAX)
        return [self._from_time(command, now) for command in commands]

    def _from_time(self, command: object, now: datetime) -> Envelope:
        id = f"due:{getattr(command, 'reservation_id', '')}"
        return Envelope(
            id=id,
            source=self._behaviour.source,
            time=now,
            data=command,
            correlation_id=id,
            causation_id=id,
        )

    async def _process(self, messages: list[Envelope], now: datetime) -> None:
        began = self._monotonic()
        self.state.release()
        if messages:
            messages[:0] = await self._behaviour.prepare(self.state, messages)
            await self._recall([m for m in messages if isinstance(m.data, AnswerRequested)])
        stage = await self._decide(messages, now)
        while await self._recall([r.message for r in stage.replies if r.unrecorded]):
            stage = await self._decide(messages, now)
        while not await self._write(stage, now):
            if not await self._recall(messages):
                raise Halted("a unique key was hit, but nothing of the batch is recorded")
            stage = await self._decide(messages, now)
        if not stage.empty:
            self._watch.decided(
                events=[row.type for row in stage.rows],
                answers=[type(planned.answer).__name__ for planned in stage.replies],
                projected=stage.projected,
                replayed=stage.replayed,
            )
            await self._dispatch.publish(stage, self.head)
        if self._traced is not None:
            self._traced(messages, self._monotonic() - began)
        if stage.changes:
            self._step(f"{self._behaviour.source}.published")

    def _stage(self) -> Stage:
        return Stage(
            behaviour=self._behaviour, state=self.state, recent=self._recent, before=self.head
        )

    async def _decide(self, messages: list[Envelope], now: datetime) -> Stage:
        """Decide all messages; what can't be decided is parked, left out, and all is done anew."""
        while True:
            self.state.rollback()
            stage = self._stage()
            try:
                stage.decide_all(messages, now)
            except Undecidable as error:
                poison = error.message
                headers, value = codec.encode(poison)
                if not is_request(poison):
                    raise Halted(str(error), about=codec.ids_of(headers)) from error
                await self._intake.park(_topic_of(poison), headers, value, str(error))
                messages.remove(poison)
                continue
            return stage

    async def _write(self, stage: Stage, now: datetime) -> bool:
        """Write what the stage holds; False when something in it was recorded before."""
        delay_s = 0.0 if self._leaving else POSITION_DELAY_S
        if not stage.changes and self._intake.unsaved_s() <= delay_s:
            return True
        after = replace(
            self.head,
            seq=stage.seq,
            hash=stage.hash,
            decided_at=now,
            inputs=dict(self._intake.positions),
        )
        changes = self.state.staged()
        write = Write(
            before=self.head,
            after=after,
            events=stage.rows,
            answers=list(stage.answers.values()),
            changes=changes,
        )
        if stage.changes:
            self._step(f"{self._behaviour.source}.decided")
        started = self._monotonic()
        try:
            await self._log.write(write)
        except Repeated:
            return False
        if stage.changes:
            self._step(f"{self._behaviour.source}.written")
        self._watch.wrote(self._monotonic() - started)
        self.state.commit()
        self._head = after
        self._intake.saved()
        for row in write.answers:
            self._recent.add(row)
        events = [envelope.data for envelope, _ in stage.events]
        self._behaviour.committed(self.state, changes, events, after)
        return True

    async def _recall(self, messages: Sequence[Envelope]) -> bool:
        """Learn which of the messages had been recorded before; say whether any was news."""
        asked = {asked_id(message) for message in messages}
        unknown = sorted(id for id in asked if self._recent.get(id) is None)
        rows = await self._log.recorded(unknown) if unknown else ()
        for row in rows:
            self._recent.add(row)
        return bool(rows)


def _topic_of(message: Envelope) -> str:
    name = MESSAGES.message_of(message.data).name
    return f"{name.rsplit('.', 1)[0]}.commands.v1"

"""One batch being decided: events, answers and signals, none of them true before the write."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime

from libs.events.behaviour import Behaviour
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.reservation import AnswerRequested, CompletedDownstream
from libs.events.envelope import Envelope, Position
from libs.events.hashing import chain_hash, evidence_of
from libs.events.messages import MESSAGES
from libs.events.ports import AnswerRow, EventRow, Head
from libs.events.stored import meta_of
from libs.kernel.state import State
from libs.kernel.values import dataclass

RECENT_ANSWERS_MAX = 20_000


class Undecidable(Exception):
    """Deciding one message raised; carries the message."""

    def __init__(self, message: Envelope, cause: Exception) -> None:
        super().__init__(f"{type(message.data).__name__} {message.id}: {cause!r}")
        self.message = message


@dataclass(frozen=True, slots=True)
class PlannedReply:
    """An answer to whoever sent *message*.

    *unrecorded* ones were decided and leave no record: before they are given, it must be
    sure that the command had not been recorded earlier with another answer. *evidence* names
    the event that the command led to, *body* is the answer as it was written down, if it was.
    """

    message: Envelope
    answer: object
    replayed: bool
    unrecorded: bool = False
    evidence: str | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class PlannedSignal:
    """A request to the service that completes the answer to *message*."""

    message: Envelope
    signal: AnswerRequested
    replayed: bool


class RecentAnswers:
    """Recorded answers that are at hand without a query; the oldest make room."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, AnswerRow] = OrderedDict()

    def get(self, command_id: str) -> AnswerRow | None:
        """Return the answer recorded under an id, None if it is not at hand."""
        return self._rows.get(command_id)

    def add(self, row: AnswerRow) -> None:
        """Keep a recorded answer."""
        self._rows[row.command_id] = row
        while len(self._rows) > RECENT_ANSWERS_MAX:
            self._rows.popitem(last=False)


@dataclass(slots=True)
class Stage:
    """Decides messages one after another; *seq* and *hash* move with every event."""

    behaviour: Behaviour
    state: State
    recent: RecentAnswers
    before: Head
    seq: int = field(init=False)
    hash: bytes = field(init=False)
    rows: list[EventRow] = field(default_factory=list)
    events: list[tuple[Envelope, bytes]] = field(default_factory=list)
    answers: dict[str, AnswerRow] = field(default_factory=dict)
    replies: list[PlannedReply] = field(default_factory=list)
    signals: list[PlannedSignal] = field(default_factory=list)
    projected: int = 0

    def __post_init__(self) -> None:
        """Start above what is durable."""
        self.seq, self.hash = self.before.seq, self.before.hash

    @property
    def changes(self) -> bool:
        """Whether there is something to write."""
        return bool(self.rows or self.answers or self.projected)

    @property
    def empty(self) -> bool:
        """Whether deciding has led to nothing at all."""
        return not (self.changes or self.replies or self.signals)

    @property
    def replayed(self) -> int:
        """How many answers are given again."""
        return sum(reply.replayed for reply in self.replies) + sum(
            signal.replayed for signal in self.signals
        )

    def decide_all(self, messages: Sequence[Envelope], now: datetime) -> None:
        """Decide in order; raises Undecidable."""
        for message in messages:
            self._decide(message, now)

    def _decide(self, message: Envelope, now: datetime) -> None:
        asked = asked_id(message)
        row = self.answers.get(asked) or self.recent.get(asked)
        requested = isinstance(message.data, AnswerRequested)
        if row is not None and message.position is None:
            self.answer_again(message, row, replayed=message.replayed if requested else True)
            return
        if requested:
            return  # nothing is known here: its asker learns by trying again
        try:
            decision = self.behaviour.decide(self.state, message, now)
            evidence = None
            for event in decision.events:
                evidence = self._append(message, event, now)
            for entity in decision.projected:
                self.state.put(entity)
                self.projected += 1
        except Exception as error:
            raise Undecidable(message, error) from error
        answer = decision.answer
        if answer is None:
            return
        body = MESSAGES.write(answer) if decision.recorded else None
        if body is not None:
            self.answers[asked] = _row(asked, message, answer, body, evidence)
        if isinstance(answer, CompletedDownstream):
            if answer.command_id != asked:
                signal = AnswerRequested(command_id=answer.command_id)
                self.signals.append(PlannedSignal(message, signal, replayed=False))
        elif message.reply_to is not None:
            self.replies.append(
                PlannedReply(
                    message,
                    answer,
                    replayed=False,
                    unrecorded=body is None,
                    evidence=evidence,
                    body=body,
                )
            )

    def answer_again(self, message: Envelope, row: AnswerRow, *, replayed: bool) -> None:
        """Give a recorded answer to whoever asks now; refuse a key that was for another request."""
        if message.reply_to is None:
            return
        if message.fingerprint != row.fingerprint and not isinstance(message.data, AnswerRequested):
            reused = KeyReused(command_id=row.command_id)
            self.replies.append(PlannedReply(message, reused, replayed=False))
            return
        answer = MESSAGES.read(name=row.type, version=row.version, body=row.answer)
        if isinstance(answer, CompletedDownstream):
            signal = AnswerRequested(command_id=answer.command_id)
            self.signals.append(PlannedSignal(message, signal, replayed=replayed))
        else:
            self.replies.append(
                PlannedReply(message, answer, replayed=replayed, evidence=row.evidence)
            )

    def _append(self, message: Envelope, event: object, now: datetime) -> str:
        """Stage an event; return the evidence of it."""
        source, previous = self.behaviour.source, self.hash
        position = Position(self.before.generation, self.before.partition, self.seq + 1)
        self.behaviour.evolve(self.state, event, position, now)
        entry = MESSAGES.message_of(event)
        body = MESSAGES.write(event)
        envelope = message.follow(
            id=position.event_id(), source=source, time=now, data=event, position=position
        )
        meta = meta_of(envelope, epoch=self.before.epoch)
        data, subject = body.decode(), _subject(event)
        self.hash = chain_hash(
            previous=previous,
            source=source,
            position=position,
            type=entry.name,
            version=entry.version,
            subject=subject,
            decided_at=now,
            meta=meta,
            data=data,
        )
        self.rows.append(
            EventRow(
                seq=position.seq,
                type=entry.name,
                version=entry.version,
                subject=subject,
                meta=meta,
                data=data,
                previous_hash=previous,
                hash=self.hash,
            )
        )
        self.events.append((envelope, body))
        self.seq = position.seq
        return evidence_of(position, self.hash)


def asked_id(message: Envelope) -> str:
    """Return the id under which the answer to a message is recorded."""
    if isinstance(message.data, AnswerRequested):
        return message.data.command_id
    return message.correlation_id


def asker_of(row: AnswerRow, head: Head) -> Envelope:
    """Return an envelope that stands for whoever first asked for a recorded answer."""
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


def _row(
    command_id: str, message: Envelope, answer: object, body: bytes, evidence: str | None
) -> AnswerRow:
    entry = MESSAGES.message_of(answer)
    return AnswerRow(
        command_id=command_id,
        fingerprint=message.fingerprint or "",
        type=entry.name,
        version=entry.version,
        answer=body.decode(),
        reply_to=message.reply_to,
        evidence=evidence,
    )


def _subject(event: object) -> str:
    """Return what an event is about: its reservation, else its pool, else the catalogue."""
    reservation_id = getattr(event, "reservation_id", None)
    if reservation_id is not None:
        return str(reservation_id)
    pool_no = getattr(event, "pool_no", None)
    return f"pool-{pool_no}" if pool_no is not None else "catalogue"

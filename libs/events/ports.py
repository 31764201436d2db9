"""What the loop needs from outside: a log, a feed, a publisher, a reader of gaps.

Values and Protocols only. `libs.events.postgres` and `libs.events.kafka` are the
real ones, `libs.events.memory` is the twin that passes the same behaviour suite.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from libs.events.codec import Headers
from libs.events.envelope import Envelope, Position
from libs.kernel.catalogue import Product
from libs.kernel.state import Change, State
from libs.kernel.values import dataclass


class Catalogues(Protocol):
    """Catalogue versions, kept once they were read: they never change."""

    async def read(self, version: int) -> None:
        """Make sure that a version is at hand; raises LookupError if it does not exist."""
        ...

    def product(self, product_id: int, version: int) -> Product:
        """Return a product as it is in a version that was read; raises LookupError."""
        ...


class Fenced(Exception):
    """A newer owner exists, or the head is not where this writer believed: stop, own again."""


class Repeated(Exception):
    """The write hit a unique key: something in the batch had been recorded before."""


class FeedLost(Exception):
    """The feed's position no longer exists at the broker: open the feed again."""


class NotSent(Exception):
    """The broker took nothing in time; what was to be sent may or may not be there."""


class Halted(Exception):
    """An event of another service can't be read or applied: never skip it, alarm.

    *about* are the ids by which a log line names what it was.
    """

    def __init__(self, reason: str, *, about: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.about = dict(about or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPosition:
    """How far an input log has been taken.

    *offset* is the last processed record's (-1: none), *record_id* its id, by which
    a lost tail is noticed; *generation* and *seq* are its source's position.
    """

    log_epoch: int = 0
    offset: int = -1
    record_id: str = ""
    generation: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A partition's head: the fencing epoch, and how far log and inputs are."""

    partition: int
    epoch: int
    generation: int
    seq: int
    decided_at: datetime
    hash: bytes
    inputs: Mapping[str, InputPosition]

    @property
    def position(self) -> Position:
        """The position of the last event."""
        return Position(self.generation, self.partition, self.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as it is stored; *hash* covers the row and the hash of the one before."""

    seq: int
    type: str
    version: int
    subject: str
    meta: str
    data: str
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """A recorded answer; *reply_to* is where the first asker waits.

    *evidence* names the event that the command led to, see `libs.events.hashing`.
    """

    command_id: str
    fingerprint: str
    type: str
    version: int
    answer: str
    reply_to: int | None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One batch's effects, all or nothing, on condition of *before*'s epoch and seq."""

    before: Head
    after: Head
    events: Sequence[EventRow]
    answers: Sequence[AnswerRow]
    changes: Sequence[Change]


class Log(Protocol):
    """The durable side of one partition of one service."""

    async def own(self) -> Head:
        """Wait until this partition is ours, raise its epoch and return its head."""
        ...

    async def load(self, state: State) -> None:
        """Load the entities that are kept in memory; raises Fenced if there is a newer owner."""
        ...

    async def write(self, write: Write) -> datetime:
        """Write a batch and return the database's clock.

        Raises Fenced when the head has moved, Repeated on a unique key; after any
        other exception the outcome is unknown and the partition must be owned again.
        """
        ...

    async def recorded(self, command_ids: Sequence[str]) -> Sequence[AnswerRow]:
        """Return the recorded answers among those ids."""
        ...

    async def recent_answers(self, *, since: datetime) -> Sequence[AnswerRow]:
        """Return this partition's answers that were recorded at or after *since*."""
        ...

    async def events_after(self, *, seq: int, limit: int) -> Sequence[Envelope]:
        """Return recorded events after *seq*, in order."""
        ...

    async def published(self) -> int:
        """Return the seq up to which events are known to be published."""
        ...

    async def mark_published(self, seq: int) -> None:
        """Remember that events up to *seq* are published; never moves back."""
        ...

    async def lost(self) -> None:
        """Return when the partition has been taken from us, which an idle owner would not see."""
        ...

    async def asked(self) -> None:
        """Return when another process is to have the partition: end the batch and `close`."""
        ...

    async def close(self) -> None:
        """Give the partition up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A record as it came; *appended_at* is the broker's time."""

    topic: str
    log_epoch: int
    offset: int
    appended_at: datetime
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None


class Feed(Protocol):
    """The input logs of one partition."""

    async def open(self, inputs: Mapping[str, InputPosition]) -> Mapping[str, int]:
        """Continue after *inputs*; return each topic's next offset as of now.

        Verifies that the last processed record is still there; where the broker has
        lost its tail, it goes back by time and raises the log epoch.
        """
        ...

    async def take(self, *, timeout_s: float) -> list[Received]:
        """Return what has arrived, bounded, events before commands; empty after *timeout_s*.

        Also empty, at once, after `close`. Raises FeedLost.
        """
        ...

    def close(self) -> None:
        """Stop fetching this partition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record to publish."""

    topic: str
    partition: int
    key: bytes
    headers: Headers
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a topic: its next offset, and the event up to which none is missing there."""

    end_offset: int
    last: Position | None


class Publisher(Protocol):
    """Hands records to the broker."""

    async def send(self, records: Sequence[Outgoing]) -> Sequence[Awaitable[object]]:
        """Enqueue *records* in order; each returned awaitable ends when its record is acknowledged.

        Waits only for room in the producer's buffer; raises NotSent when none comes in time.
        An acknowledgement says where the first of its records stands: its ``topic`` and ``offset``.
        """
        ...

    async def tail(self, topic: str, partition: int) -> Tail:
        """Look what the broker holds at the end of a topic of events."""
        ...


class GapReader(Protocol):
    """Reads other services' events from their read views, past what Kafka delivered."""

    async def head(self, topic: str, partition: int) -> int:
        """Return the seq of the owner's head, or 0 while the owner can't be asked."""
        ...

    async def fetch(
        self, topic: str, partition: int, *, after_seq: int, limit: int
    ) -> Sequence[Envelope]:
        """Return the owner's events after *after_seq*, in order."""
        ...

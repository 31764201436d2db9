"""The port through which a command is sent and its answer awaited.

Deliberately without a driver: `libs.events.kafka.requests` speaks to the broker,
`libs.events.memory` to the twin.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Actor, Position
from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command on its way to *topic* and *partition*; *issued_at* is the gateway's clock."""

    topic: str
    partition: int
    command_id: str
    fingerprint: str
    data: object
    actor: Actor
    traceparent: str | None
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it came back.

    *position* is where the answering service's log stood: ``source`` names the
    service (``inventory``, ``reservation``, ``fulfillment``). *figures* are those
    of the pool, when inventory answered. *evidence* names the event that the command led to
    (`libs.events.hashing.parse_evidence`).
    """

    answer: object
    replayed: bool
    source: str
    position: Position
    figures: PoolFigures | None = None
    evidence: str | None = None


class NotExecuted(Exception):
    """The command was never handed to the broker; the caller may retry freely."""


class Overloaded(NotExecuted):
    """Nothing was sent: a new command to this partition would not be answered soon."""


class OutcomeUnknown(Exception):
    """No answer in time; the caller learns the outcome by a retry with the same key."""


class CommandClient(Protocol):
    """Sends commands; a repeat that is already on its way here joins the first."""

    def check(self, *, topic: str, partition: int) -> None:
        """Raise what `submit` would raise now for a new command, before work is put into one."""
        ...

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """Send *request* and return its reply.

        Raises NotExecuted (Overloaded) when nothing was sent, OutcomeUnknown when no
        answer came within *timeout_s* seconds.
        """
        ...

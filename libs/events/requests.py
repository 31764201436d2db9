"""The port through which a command is sent and its answer awaited.

Deliberately without a driver: `libs.events.kafka.requests` speaks to the broker,
`libs.events.memory` to the twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from libs.events import codec
from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Actor, Position
from libs.events.messages import MESSAGES
from libs.events.registry import Unreadable
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


def read_reply(
    headers: Sequence[tuple[str, bytes]], value: bytes | None
) -> tuple[tuple[str, str], Reply | None]:
    """Return whose answer a record is (command id, fingerprint), and the answer.

    There is none without a position: answers have one. Reads what a gateway needs and no more.
    Raises Unreadable; never anything else, whatever the bytes.
    """
    try:
        found = dict(headers)
        whose = (found["ce_correlationid"].decode(), found.get("ce_fingerprint", b"").decode())
        answer = MESSAGES.read(
            name=found["ce_type"].decode(), version=int(found["ce_dataversion"]), body=value or b""
        )
        position = found.get("ce_position")
        if position is None:
            return whose, None
        evidence = found.get("ce_evidence")
        return whose, Reply(
            answer=answer,
            replayed="ce_replayed" in found,
            source=codec.source_of(found),
            position=codec.parse_position(position.decode()),
            figures=codec.figures_of(found),
            evidence=evidence.decode() if evidence is not None else None,
        )
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise Unreadable(f"no answer of ours: {type(error).__name__} {error}") from error


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

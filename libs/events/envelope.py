"""The envelope: who, when and why, around one message's data.

An author fills in little; recording adds the position. Envelopes of reactions
are made by `follow` only, so that correlation, causation, actor and trace can't
get lost on the way.
"""

from __future__ import annotations

from datetime import datetime

from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acted: the partner, its key's id and the request; never a key, name or address."""

    partner_id: str
    key_id: str
    request_id: str


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event stands: restore generation, partition, gapless sequence in it."""

    generation: int
    partition: int
    seq: int

    def event_id(self) -> str:
        """Return the id of the event at this position; unique within its source."""
        return f"{self.generation}-{self.partition}-{self.seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message with its CloudEvents attributes.

    - *id*, *source*, *time*: CloudEvents; a command's id is its command id, an
      event's its position, *time* is issue time or decision time.
    - *correlation_id*: the command that started it all; *causation_id*: the
      message that led to this one.
    - *fingerprint*: keyed hash of what the client sent, on commands and answers.
    - *reply_to*: the reply partition of the gateway that waits, None if nobody does.
    - *position*: set for recorded events only.
    - *replayed*: on answers, whether they had been recorded before.
    """

    id: str
    source: str
    time: datetime
    data: object
    correlation_id: str
    causation_id: str
    actor: Actor | None = None
    traceparent: str | None = None
    fingerprint: str | None = None
    reply_to: int | None = None
    position: Position | None = None
    replayed: bool = False

    def follow(
        self,
        *,
        id: str,
        source: str,
        time: datetime,
        data: object,
        position: Position | None = None,
        replayed: bool = False,
    ) -> Envelope:
        """Make the envelope of a reaction to this message."""
        return Envelope(
            id=id,
            source=source,
            time=time,
            data=data,
            correlation_id=self.correlation_id,
            causation_id=self.id,
            actor=self.actor,
            traceparent=self.traceparent,
            fingerprint=self.fingerprint,
            reply_to=self.reply_to,
            position=position,
            replayed=replayed,
        )

"""What a decision returns. A refusal is a value, never an exception."""

from __future__ import annotations

from libs.kernel.state import Entity
from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one message: events to append, and an answer for whoever asked.

    - *events*: what happened, in order; empty for a refusal or a repeat.
    - *projected*: entities that another service's event gives rise to here, and that are
      no news to anybody: stored with the batch, without an event of their own (ADR 17).
    - *answer*: goes to the asker after the write; None when nobody asked, or when
      a service downstream completes the answer.
    - *recorded*: whether the answer is kept under the command id, so that a repeat
      gets it again (contract, section 1: successes, and refusals of stock and state).
    """

    events: tuple[object, ...] = ()
    projected: tuple[Entity, ...] = ()
    answer: object | None = None
    recorded: bool = False


NOTHING = Decision()
"""Nothing happened and nobody is answered."""

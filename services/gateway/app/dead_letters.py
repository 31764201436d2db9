"""Giving a dead letter to its topic again: recorded first, then done, once unless asked again.

What console and ota-admin share. A letter's command keeps its id: if it was decided after all,
the recorded answer is found and nothing happens twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

REPLAY = "dead_letter_replayed"


class Letter(Protocol):
    """What has to be known of a dead letter."""

    @property
    def subject(self) -> str:
        """What names it in the record."""
        ...

    @property
    def topic(self) -> str:
        """Where it came from."""
        ...

    @property
    def fault(self) -> str | None:
        """Why it can't be replayed."""
        ...


class LetterBox(Protocol):
    """The dead letters."""

    async def find(self, offset: int) -> Letter | None:
        """Return a letter."""
        ...

    async def replay(self, offset: int, *, now: datetime) -> Letter | None:
        """Send it to its topic again."""
        ...


class ActionRecord(Protocol):
    """The record of what operators did."""

    async def note(
        self, by: str, action: str, subject: str, *, detail: str = "", address: str = ""
    ) -> None:
        """Record what is about to be done; raises StoreUnavailable."""
        ...

    async def done(self, action: str, subjects: Sequence[str]) -> Mapping[str, datetime]:
        """Return when this was last done to each subject; raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """Nothing was sent; *reason* is a sentence."""

    reason: str


async def replay_letter(
    offset: int,
    *,
    letters: LetterBox,
    record: ActionRecord,
    by: str,
    again: bool,
    now: datetime,
    address: str = "",
) -> Letter | NotReplayed:
    """Send a letter's command to its topic once more, in an operator's name.

    Raises StoreUnavailable, and what *letters* raises when the broker is away: whether the
    letter was sent is then unknown, and the record says that it may have been.
    """
    letter = await letters.find(offset)
    if letter is None:
        return NotReplayed(f"There is no dead letter {offset} (any more).")
    if letter.fault is not None:
        return NotReplayed(f"Letter {offset} can't be replayed: {letter.fault}.")
    if not again and letter.subject in await record.done(REPLAY, [letter.subject]):
        return NotReplayed(f"Letter {offset} was replayed before; nothing was sent now.")
    await record.note(by, REPLAY, letter.subject, detail=letter.topic, address=address)
    return await letters.replay(offset, now=now) or NotReplayed(f"Letter {offset} has just gone.")

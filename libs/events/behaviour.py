"""What a deciding service is, seen from the loop: its pure domain and the little around it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Envelope, Position
from libs.events.ports import Head
from libs.events.topics import Topic
from libs.kernel.outcome import Decision
from libs.kernel.state import Change, State


class Behaviour(Protocol):
    """One partition's worth of a service; the loop makes no other difference between them."""

    @property
    def source(self) -> str:
        """The service's name, as CloudEvents source and in event hashes."""
        ...

    @property
    def events_out(self) -> Topic:
        """Where its events are published."""
        ...

    @property
    def command_input(self) -> Topic | None:
        """Where its commands come from."""
        ...

    @property
    def event_inputs(self) -> Sequence[Topic]:
        """Whose events it reacts to."""
        ...

    @property
    def interests(self) -> Collection[str]:
        """Names of the messages it decides; others only move the input's position."""
        ...

    async def start(self, state: State, head: Head) -> None:
        """Prepare what is derived from the loaded state."""
        ...

    async def prepare(self, state: State, messages: Sequence[Envelope]) -> Sequence[Envelope]:
        """Load into *state* what deciding needs; return messages to decide before these."""
        ...

    def decide(self, state: State, message: Envelope, now: datetime) -> Decision:
        """Decide one message; pure. An exception means that it can't be decided at all."""
        ...

    def evolve(self, state: State, event: object, position: Position, decided_at: datetime) -> None:
        """Stage what an event changes; pure but for the stage."""
        ...

    def due(self, state: State, now: datetime, limit: int) -> Sequence[object]:
        """Return at most *limit* commands that time itself gives."""
        ...

    def next_due(self) -> datetime | None:
        """Return when `due` will next have something, None if nothing waits."""
        ...

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """Learn what a write has made true: changed entities and the events behind them."""
        ...

    def figures(self, state: State, message: Envelope, head: Head) -> PoolFigures | None:
        """Return the figures that go with an answer, if any."""
        ...

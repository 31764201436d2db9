"""Specifications of deciders: given these events, when this comes, then that is decided.

`given(LEDGER, *events).when(message).then(*events, answer=...)`. Deciders are the pure functions of
the three services behind one signature; the state is the real `libs.kernel.state.State`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Protocol, TypeVar

from libs.events.contracts.inventory import UnitsHeld
from libs.events.envelope import Position
from libs.kernel.catalogue import Catalogue, Product
from libs.kernel.outcome import Decision
from libs.kernel.state import Entity, State
from services.fulfillment.domain import decisions as order_decisions
from services.fulfillment.domain import order
from services.inventory.domain import decisions as ledger_decisions
from services.inventory.domain import ledger
from services.reservation.domain import decisions as hold_decisions
from services.reservation.domain import hold
from tests.support import examples
from tests.support.catalogues import product_in

E = TypeVar("E", bound=Entity)


class Decider(Protocol):
    """A service's pure part; *id* is the message's id and that of the command behind it."""

    def decide(self, state: State, message: Any, *, id: str, seq: int, now: datetime) -> Decision:
        """Decide *message*; *seq* is its own position, where it is an event."""
        ...

    def evolve(
        self, state: State, event: Any, *, id: str, position: Position, decided_at: datetime
    ) -> None:
        """Stage what *event* changes; *id* is that of the command behind it."""
        ...


class Ledger:
    """The inventory service."""

    def decide(self, state: State, message: Any, *, id: str, seq: int, now: datetime) -> Decision:
        """See `Decider`."""
        return ledger_decisions.decide(state, message, id, now)

    def evolve(
        self, state: State, event: Any, *, id: str, position: Position, decided_at: datetime
    ) -> None:
        """See `Decider`."""
        ledger.evolve(state, event, position, decided_at)


@dataclass(frozen=True)
class Holds:
    """The reservation service; a message that is a `UnitsHeld` opens a hold."""

    catalogue: Catalogue = examples.CATALOGUE
    opened_early: Collection[str] = ()

    def decide(self, state: State, message: Any, *, id: str, seq: int, now: datetime) -> Decision:
        """See `Decider`."""
        if isinstance(message, UnitsHeld):
            position = Position(1, state.partition, seq)
            return hold_decisions.open_hold(
                state,
                message,
                held_at=now,
                position=position,
                opened_early=self.opened_early,
            )
        return hold_decisions.decide(
            state,
            message,
            correlation_id=id,
            now=now,
            numbers=examples.NUMBERS,
            product=self._product,
        )

    def _product(self, product_id: int, version: int) -> Product:
        assert version == self.catalogue.version
        return product_in(self.catalogue, product_id)

    def evolve(
        self, state: State, event: Any, *, id: str, position: Position, decided_at: datetime
    ) -> None:
        """See `Decider`."""
        if isinstance(event, UnitsHeld):
            ledger_seq = examples.RESERVATION.ledger_seq
            state.put(hold.opened(event, held_at=decided_at, ledger_seq=ledger_seq))
        else:
            hold.evolve(state, event, id, decided_at)


def readable_token(
    *,
    ticket_code: str,
    product_id: int,
    visit_date: date | None,
    day_class: str,
    customer_type: str,
) -> str:
    """Stand for a signature by what is signed, in the place of `SignTicket`."""
    return f"{ticket_code}|{product_id}|{visit_date}|{day_class}|{customer_type}"


@dataclass(frozen=True)
class Orders:
    """The fulfillment service, which finds the product in the catalogue it was sold by."""

    catalogue: Catalogue = examples.CATALOGUE

    def decide(self, state: State, message: Any, *, id: str, seq: int, now: datetime) -> Decision:
        """See `Decider`."""
        return order_decisions.decide(
            state,
            message,
            product=product_in(self.catalogue, message.product_id),
            numbers=examples.NUMBERS,
            sign=readable_token,
            now=now,
        )

    def evolve(
        self, state: State, event: Any, *, id: str, position: Position, decided_at: datetime
    ) -> None:
        """See `Decider`."""
        order.evolve(state, event, decided_at)


LEDGER: Final = Ledger()
HOLDS: Final = Holds()
ORDERS: Final = Orders()


@dataclass
class Story:
    """A partition of a decider; *written* are the entities of its last write."""

    decider: Decider
    state: State
    seq: int = 0
    decisions: list[Decision] = field(default_factory=list)
    written: list[Entity] = field(default_factory=list)

    def happened(self, *events: object, at: datetime, id: str) -> None:
        """Apply events of one write."""
        for event in events:
            self.seq += 1
            position = Position(1, self.state.partition, self.seq)
            self.decider.evolve(self.state, event, id=id, position=position, decided_at=at)
        self.written = [change.entity for change in self.state.staged()]
        self.state.commit()

    def when(
        self,
        message: object,
        *,
        at: datetime = examples.NOW,
        id: str = "command-1",
        ended: Collection[Entity] = (),
    ) -> Story:
        """Decide *message* and write what comes of it.

        *ended* are stored entities that are not in memory any more and are loaded for this.
        """
        for entity in ended:
            self.state.load(entity)
        decision = self.decider.decide(self.state, message, id=id, seq=self.seq, now=at)
        self.decisions.append(decision)
        for projected in decision.projected:
            self.state.put(projected)
        self.happened(*decision.events, at=at, id=id)
        return self

    def then(self, *events: object, answer: object = None, recorded: bool = False) -> Story:
        """Check all of the last decision: its events, its answer, whether that is recorded."""
        assert Decision(events=events, answer=answer, recorded=recorded) == self.decisions[-1]
        return self

    def then_nothing(self) -> Story:
        """Check that nothing happened and nobody is answered."""
        return self.then()

    def in_last_write(self, kind: type[E]) -> list[E]:
        """Return the entities of a kind as the last write has left them."""
        return [entity for entity in self.written if isinstance(entity, kind)]

    def entity(self, kind: type[E], key: str | int) -> E:
        """Return an entity that is in memory."""
        found = self.state.get(kind, str(key))
        assert found is not None, f"no {kind.__name__} {key}"
        return found


def given(decider: Decider, *events: object, partition: int = examples.PARTITION) -> Story:
    """Begin with events that were written one after another, at the time of the example hold."""
    story = Story(decider, State(partition=partition))
    for event in events:
        story.happened(event, at=examples.HELD_AT, id="command-0")
    return story

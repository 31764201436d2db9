"""What a batch means for the fulfillment service."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.events.contracts.fulfillment import OrderCreated
from libs.events.contracts.inventory import PoolFigures
from libs.events.contracts.reservation import ReservationActivated
from libs.events.envelope import Envelope, Position
from libs.events.ports import Catalogues, Head
from libs.events.topics import FULFILLMENT_EVENTS, RESERVATION_EVENTS, Topic
from libs.kernel.ids import Numbers
from libs.kernel.outcome import Decision
from libs.kernel.state import Change, State
from services.fulfillment.domain import decisions, order
from services.fulfillment.domain.decisions import SignTicket


@dataclass(slots=True)
class FulfillmentBehaviour:
    """One partition of orders."""

    numbers: Numbers
    sign: SignTicket
    catalogues: Catalogues
    source: str = "fulfillment"
    events_out: Topic = FULFILLMENT_EVENTS
    command_input: Topic | None = None
    event_inputs: Sequence[Topic] = (RESERVATION_EVENTS,)
    interests: Collection[str] = frozenset(
        {"ota.reservation.reservation_activated", "ota.reservation.answer_requested"}
    )

    async def start(self, state: State, head: Head) -> None:
        """Count the numbers as the log's generation does."""
        self.numbers = self.numbers.of_generation(head.generation)

    async def prepare(self, state: State, messages: Sequence[Envelope]) -> Sequence[Envelope]:
        """Read the catalogue versions that the batch was sold in."""
        for message in messages:
            if isinstance(message.data, ReservationActivated):
                await self.catalogues.read(message.data.rule_version)
        return ()

    def decide(self, state: State, message: Envelope, now: datetime) -> Decision:
        """See `services.fulfillment.domain.decisions`."""
        activated = message.data
        assert isinstance(activated, ReservationActivated)
        return decisions.decide(
            state,
            activated,
            product=self.catalogues.product(activated.product_id, activated.rule_version),
            numbers=self.numbers,
            sign=self.sign,
            now=now,
        )

    def evolve(self, state: State, event: object, position: Position, decided_at: datetime) -> None:
        """See `services.fulfillment.domain.order`."""
        assert isinstance(event, OrderCreated)
        order.evolve(state, event, decided_at)

    def due(self, state: State, now: datetime, limit: int) -> Sequence[object]:
        """Time alone does nothing to orders."""
        return ()

    def next_due(self) -> datetime | None:
        """See `due`."""
        return None

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """Nothing is derived."""

    def figures(self, state: State, message: Envelope, head: Head) -> PoolFigures | None:
        """Figures are the ledger's."""
        return None

"""What a batch means for the reservation service."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

from libs.events.contracts.inventory import PoolFigures, UnitsHeld
from libs.events.contracts.reservation import (
    ActivateReservation,
    CancelReservation,
    ReservationExpired,
)
from libs.events.envelope import Envelope, Position
from libs.events.ports import Catalogues, Head
from libs.events.topics import INVENTORY_EVENTS, RESERVATION_COMMANDS, RESERVATION_EVENTS, Topic
from libs.kernel.ids import Numbers
from libs.kernel.outcome import Decision
from libs.kernel.state import Change, State
from services.reservation.domain import decisions, hold
from services.reservation.domain.deadlines import Deadlines
from services.reservation.domain.hold import Reservation


class HoldsLookup(Protocol):
    """Where reservations are found that are not in memory."""

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        """Return our own stored reservations among those ids."""
        ...

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        """Return the ledger's `UnitsHeld` for those of the ids that it knows."""
        ...

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        """Return our reservations that were opened from beyond a ledger position, with theirs."""
        ...


class HoldsWatch(Protocol):
    """What the service tells its operators; see `libs.runtime.metrics`."""

    def expired(self, delay_s: float) -> None:
        """Observe how late a hold was expired."""
        ...


@dataclass(slots=True)
class ReservationBehaviour:
    """One partition of holds."""

    numbers: Numbers
    lookup: HoldsLookup
    catalogues: Catalogues
    watch: HoldsWatch
    source: str = "reservation"
    events_out: Topic = RESERVATION_EVENTS
    command_input: Topic | None = RESERVATION_COMMANDS
    event_inputs: Sequence[Topic] = (INVENTORY_EVENTS,)
    interests: Collection[str] = frozenset(
        {
            "ota.inventory.units_held",
            "ota.reservation.activate_reservation",
            "ota.reservation.cancel_reservation",
        }
    )
    _state: State | None = None
    _deadlines: Deadlines = field(default_factory=Deadlines)
    _early: dict[str, int] = field(default_factory=dict)
    _correlation_id: str = ""

    async def start(self, state: State, head: Head) -> None:
        """Derive the deadlines, and which holds were opened before their ledger event came."""
        self._state = state
        self.numbers = self.numbers.of_generation(head.generation)
        self._deadlines = Deadlines(state.all(Reservation))
        taken = head.inputs.get(INVENTORY_EVENTS.name)
        seq = taken.seq if taken is not None else 0
        self._early = dict(await self.lookup.opened_after(head.partition, seq))

    async def prepare(self, state: State, messages: Sequence[Envelope]) -> Sequence[Envelope]:
        """Load reservations that commands name and memory has not got, one query for all.

        Read also the catalogue versions whose prices activations need.
        """
        opening: dict[str, int] = {}
        unknown: set[str] = set()
        versions: set[int] = set()
        for message in messages:
            data = message.data
            if isinstance(data, UnitsHeld) and data.reservation_id not in self._early:
                opening[data.reservation_id] = data.rule_version
            elif isinstance(data, ActivateReservation | CancelReservation):
                id = data.reservation_id
                if id in opening:
                    versions.add(opening[id])
                elif (known := state.get(Reservation, id)) is not None:
                    versions.add(known.rule_version)
                else:
                    unknown.add(id)
        early = await self._load(state, unknown) if unknown else ()
        for each in early:
            if isinstance(each.data, UnitsHeld):
                versions.add(each.data.rule_version)
        for version in versions:
            await self.catalogues.read(version)
        return early

    async def _load(self, state: State, unknown: set[str]) -> Sequence[Envelope]:
        for reservation in await self.lookup.ended(state.partition, sorted(unknown)):
            state.load(reservation)
            unknown.discard(reservation.reservation_id)
        return await self.lookup.held(state.partition, sorted(unknown)) if unknown else ()

    def decide(self, state: State, message: Envelope, now: datetime) -> Decision:
        """See `services.reservation.domain.decisions`."""
        self._correlation_id = message.correlation_id
        if isinstance(message.data, UnitsHeld):
            assert message.position is not None
            return decisions.open_hold(
                state,
                message.data,
                held_at=message.time,
                position=message.position,
                opened_early=self._early,
            )
        return decisions.decide(
            state,
            cast(Any, message.data),
            correlation_id=message.correlation_id,
            now=now,
            numbers=self.numbers,
            product=self.catalogues.product,
        )

    def evolve(self, state: State, event: object, position: Position, decided_at: datetime) -> None:
        """See `services.reservation.domain.hold`."""
        hold.evolve(state, cast(Any, event), self._correlation_id, decided_at)

    def due(self, state: State, now: datetime, limit: int) -> Sequence[object]:
        """Return the holds whose time has run out."""
        return self._deadlines.due(state, now, limit)

    def overdue(self, now: datetime, *, limit: int) -> int:
        """Return how many holds are past their deadline, counted up to *limit*."""
        return self._deadlines.overdue(self._state, now, limit=limit) if self._state else 0

    def open_holds(self) -> int:
        """Return how many holds are open."""
        return self._state.count(Reservation) if self._state is not None else 0

    def next_due(self) -> datetime | None:
        """Return the earliest deadline."""
        return self._deadlines.next_at()

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """Keep the deadlines, and what was opened early until its ledger event has come."""
        self._state = state
        taken = head.inputs.get(INVENTORY_EVENTS.name)
        seq = taken.seq if taken is not None else 0
        for change in changes:
            entity = change.entity
            if isinstance(entity, Reservation) and change.new:
                if entity.status == "active":
                    self._deadlines.add(entity)
                if entity.ledger_seq > seq:
                    self._early[entity.reservation_id] = entity.ledger_seq
        for event in events:
            if isinstance(event, ReservationExpired):
                self.watch.expired((head.decided_at - event.due_at).total_seconds())
        if self._early:
            self._early = {id: at for id, at in self._early.items() if at > seq}
        self._deadlines.tidy(state)

    def figures(self, state: State, message: Envelope, head: Head) -> PoolFigures | None:
        """Figures are the ledger's."""
        return None

"""What a batch means for the ledger: which messages it reads, which figures it reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

from libs.events.contracts.inventory import AvailabilityReported, LedgerConflictFound, PoolFigures
from libs.events.envelope import Envelope, Position
from libs.events.ports import Head
from libs.events.topics import INVENTORY_COMMANDS, INVENTORY_EVENTS, RESERVATION_EVENTS, Topic
from libs.kernel.ids import pool_no_of
from libs.kernel.outcome import Decision
from libs.kernel.state import Change, State
from services.inventory.domain import decisions, ledger
from services.inventory.domain.ledger import Hold, Pool, PublishedCatalogue


class StockWatch(Protocol):
    """What the ledger tells its operators; see `libs.runtime.metrics`."""

    def stock(self, pool: Pool) -> None:
        """Show a pool's figures."""
        ...

    def conflict(self, found: LedgerConflictFound) -> None:
        """Count a terminal event that could not be applied."""
        ...


@dataclass(slots=True)
class InventoryBehaviour:
    """One partition of the ledger."""

    watch: StockWatch
    source: str = "inventory"
    events_out: Topic = INVENTORY_EVENTS
    command_input: Topic | None = INVENTORY_COMMANDS
    event_inputs: Sequence[Topic] = (RESERVATION_EVENTS,)
    interests: Collection[str] = frozenset(
        {
            "ota.inventory.place_hold",
            "ota.inventory.set_allotment",
            "ota.inventory.stop_sales",
            "ota.inventory.resume_sales",
            "ota.inventory.cap_partner",
            "ota.inventory.publish_catalogue",
            "ota.reservation.reservation_activated",
            "ota.reservation.reservation_cancelled",
            "ota.reservation.reservation_expired",
            "ota.reservation.answer_requested",
        }
    )
    _state: State | None = None
    _head: Head | None = None
    _changed: set[int] = field(default_factory=set)

    async def start(self, state: State, head: Head) -> None:
        """Nothing is derived."""

    async def prepare(self, state: State, messages: Sequence[Envelope]) -> Sequence[Envelope]:
        """Everything that is decided about is in memory."""
        return ()

    def decide(self, state: State, message: Envelope, now: datetime) -> Decision:
        """See `services.inventory.domain.decisions`."""
        return decisions.decide(state, cast(Any, message.data), message.id, now)

    def evolve(self, state: State, event: object, position: Position, decided_at: datetime) -> None:
        """See `services.inventory.domain.ledger`."""
        ledger.evolve(state, cast(Any, event), position, decided_at)

    def due(self, state: State, now: datetime, limit: int) -> Sequence[object]:
        """Time alone moves nothing here: the reservation service keeps the deadlines."""
        return ()

    def next_due(self) -> datetime | None:
        """See `due`."""
        return None

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """Remember which pools' figures have to be reported."""
        first = self._state is not state
        self._state, self._head = state, head
        pools = [change.entity for change in changes if isinstance(change.entity, Pool)]
        for pool in state.all(Pool) if first else pools:
            self.watch.stock(pool)
            self._changed.add(pool.pool_no)
        for event in events:
            if isinstance(event, LedgerConflictFound):
                self.watch.conflict(event)

    def figures(self, state: State, message: Envelope, head: Head) -> PoolFigures | None:
        """Return the figures of the pool that an answer is about."""
        pool_no = getattr(message.data, "pool_no", None)
        if pool_no is None:
            pool_no = pool_no_of(getattr(message.data, "reservation_id", ""))
        pool = state.get(Pool, str(pool_no))
        return _figures(pool, head) if pool is not None else None

    def report(self, *, full: bool) -> AvailabilityReported | None:
        """Return the figures that changed since the last report, or all; None if there are none."""
        if self._state is None or self._head is None or not (full or self._changed):
            return None
        head = self._head
        pools = [p for p in self._state.all(Pool) if full or p.pool_no in self._changed]
        versions = [published.version for published in self._state.all(PublishedCatalogue)]
        self._changed.clear()
        return AvailabilityReported(
            generation=head.generation,
            partition=head.partition,
            seq=head.seq,
            catalogue_version=max(versions, default=0),
            full=full,
            pools=tuple(_figures(pool, head) for pool in pools),
        )

    def forget(self) -> None:
        """Report and show nothing more of a partition that is lost."""
        self._state = self._head = None
        self._changed.clear()

    def pools(self) -> Sequence[Pool]:
        """Return every pool of this partition as it is now."""
        return tuple(self._state.all(Pool)) if self._state is not None else ()

    def open_holds(self) -> int:
        """Return how many holds are open."""
        return self._state.count(Hold) if self._state is not None else 0


def _figures(pool: Pool, head: Head) -> PoolFigures:
    return PoolFigures(
        pool_no=pool.pool_no,
        product_id=pool.product_id,
        channel=pool.channel,
        allotted=pool.allotted,
        available=pool.available if pool.selling else 0,
        selling=pool.selling,
        generation=head.generation,
        partition=head.partition,
        seq=head.seq,
    )

"""The checker's own picture of the world: pools with all their versions, holds, orders.

What it keeps for good is a small record for each id; figures of pools are arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ota_checker.prices import Line, PriceBook, Prices
from ota_checker.verdicts import EventPlace

SERVICES = ("inventory", "reservation", "fulfillment")
SETTLED_S = 10
"""What was decided this long before the export must have arrived everywhere."""


class Pool:
    """The units of one product in one channel, with the figures after each of its events."""

    def __init__(self, *, number: int, product_id: int, channel: str, partition: int) -> None:
        self.number = number
        self.product_id = product_id
        self.channel = channel
        self.partition = partition
        self.allotted = self.held = self.sold = 0
        self.selling = True
        self.seqs = array("q")
        self.sent = array("q")
        """When a client can have caused a version at the earliest; 0 where it is not known."""
        self.available = array("q")
        self.capacity = array("q")
        self._by_figures: dict[tuple[int, int | None], array[int]] | None = None

    @property
    def shown(self) -> int:
        """What may be held now, as partners are told: nothing while it does not sell."""
        return self.allotted - self.held - self.sold if self.selling else 0

    def note(self, seq: int) -> None:
        """Keep the figures as a version of their own."""
        self.seqs.append(seq)
        self.sent.append(0)
        self.available.append(self.shown)
        self.capacity.append(self.allotted)

    def version_at(self, seq: int) -> int:
        """Return the index of the version that holds at a position of the ledger; -1: none."""
        return bisect_right(self.seqs, seq) - 1

    def settle_sent(self) -> None:
        """A version is no older than any before it."""
        newest = 0
        for index, sent in enumerate(self.sent):
            newest = self.sent[index] = max(newest, sent)

    def first_showing(self, *, available: int, capacity: int | None, since: int) -> int | None:
        """Return the first version since an index with these figures (None: any capacity)."""
        if self._by_figures is None:
            self._by_figures = {}
            for index, (left, of) in enumerate(zip(self.available, self.capacity, strict=True)):
                self._by_figures.setdefault((left, of), array("q")).append(index)
                self._by_figures.setdefault((left, None), array("q")).append(index)
        indices = self._by_figures.get((available, capacity))
        if indices is None:
            return None
        place = bisect_left(indices, since)
        return indices[place] if place < len(indices) else None


@dataclass(slots=True)
class Order:
    """The order that an activation became."""

    order_id: str
    place: EventPlace
    confirmation_code: str
    created_at: int
    visit_date: str | None
    total: int
    lines: tuple[Line, ...]
    quantity: int
    tickets_digest: int
    tickets_left: int
    """XOR over the tickets; the rows of the table must bring it to zero."""


@dataclass(slots=True)
class Hold:
    """A hold in the ledger, its life in the reservation service, and its order."""

    reservation_id: str
    place: EventPlace
    pool: Pool
    partner_id: str
    quantity: int
    held_at: int
    expires_at: int
    rule_version: int
    carried: Prices | None
    visit_date: str | None
    command_id: str
    fingerprint: str
    ledger_end: str | None = None
    ledger_end_place: EventPlace | None = None
    ledger_end_at: int = 0
    opened_place: EventPlace | None = None
    life_end: str | None = None
    life_end_place: EventPlace | None = None
    life_end_at: int = 0
    life_command_id: str = ""
    life_fingerprint: str = ""
    order_id: str | None = None
    sale: tuple[tuple[Line, ...], str | None, tuple[str, ...]] | None = None
    order: Order | None = None

    def places(self) -> tuple[EventPlace, ...]:
        """Return where its story is written."""
        order = self.order.place if self.order else None
        all_places = (
            self.place,
            self.opened_place,
            self.life_end_place,
            self.ledger_end_place,
            order,
        )
        return tuple(place for place in all_places if place is not None)


@dataclass(slots=True)
class CatalogueProduct:
    """A product as a catalogue version has it."""

    prices: Prices
    entitlements: object
    ticket_prefix: str


@dataclass(slots=True)
class LogState:
    """One partition of one service's log, as far as it was read."""

    seq: int = 0
    epoch: int = 0
    generation: int = 0
    decided_at: int = 0
    hash: str = "00" * 32
    contents: array[int] = field(default_factory=lambda: array("Q"))
    """A digest of each event, by sequence number from 1."""


@dataclass(slots=True)
class Model:
    """Everything that was replayed."""

    prices: PriceBook = field(default_factory=PriceBook)
    logs: dict[tuple[str, int], LogState] = field(default_factory=dict)
    pools: dict[int, Pool] = field(default_factory=dict)
    pool_of: dict[tuple[int, str], Pool] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    held_by: dict[str, Hold] = field(default_factory=dict)
    ended_by: dict[str, Hold] = field(default_factory=dict)
    orders: dict[str, Hold] = field(default_factory=dict)
    confirmations: dict[str, Hold] = field(default_factory=dict)
    tickets: dict[str, Hold] = field(default_factory=dict)
    catalogues: dict[int, dict[int, CatalogueProduct]] = field(default_factory=dict)
    caps: dict[tuple[int, str], int | None] = field(default_factory=dict)
    caps_seen: set[tuple[int, str, int]] = field(default_factory=set)
    open_units: dict[tuple[int, str], int] = field(default_factory=dict)
    administrative: dict[str, int] = field(default_factory=dict)
    """Command ids of operators' changes, with the time of the decision."""
    recorded: dict[str, int] = field(default_factory=dict)
    """Command ids of recorded answers, with the time of the decision."""
    answered: set[str] = field(default_factory=set)
    """Command ids that were answered and have left no trace in the logs."""
    anchors: dict[EventPlace, str] = field(default_factory=dict)
    """Hashes of anchored events that were not met yet."""
    exported_at: int = 0

    def traced_at(self, command_id: str) -> int | None:
        """Return when a command was decided, None if it has left no trace in the logs."""
        held, ended = self.held_by.get(command_id), self.ended_by.get(command_id)
        if command_id in self.recorded:
            return self.recorded[command_id]
        if held is not None:
            return held.held_at
        return ended.life_end_at if ended else self.administrative.get(command_id)

    def owner(self, id: str) -> Hold | None:
        """Return the hold that an id of any kind belongs to."""
        return (
            self.holds.get(id)
            or self.orders.get(id)
            or self.tickets.get(id)
            or self.confirmations.get(id)
        )

    def product_of(self, hold: Hold) -> CatalogueProduct | None:
        """Return what was sold, as the hold's catalogue version has it; None if it has not."""
        return self.catalogues.get(hold.rule_version, {}).get(hold.pool.product_id)

    def settled(self, at: int) -> bool:
        """Say whether something of that time must have arrived everywhere by the export."""
        return at + SETTLED_S * 1_000_000 < self.exported_at


class Windows:
    """Stretches of time in which something was broken, the time to recover included."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(stretches):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    def outside(self, start: int, end: int) -> int:
        """Return how much of a stretch lies outside all windows."""
        inside = 0
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            inside += max(0, min(end, self._ends[index]) - max(start, self._starts[index]))
            index += 1
        return end - start - inside


def percentile(values: Sequence[int], share: float) -> int:
    """Return the value below which *share* of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0

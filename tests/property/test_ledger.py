"""The ledger against a naive model, over any sequence of commands and ends of holds.

Messages come in batches as the loop decides them, some of them rolled back and decided again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.contracts.inventory import (
    CapPartner,
    LedgerConflictFound,
    PartnerCapSet,
    PlaceHold,
    PublishCatalogue,
    ResumeSales,
    SalesStopped,
    SetAllotment,
    StopSales,
    UnitsHeld,
    UnitsReleased,
    UnitsSold,
)
from libs.events.contracts.reservation import (
    ReservationActivated,
    ReservationCancelled,
    ReservationExpired,
)
from libs.events.envelope import Position
from libs.kernel.outcome import Decision
from libs.kernel.state import State
from services.inventory.domain import ledger
from services.inventory.domain.audit import violations
from services.inventory.domain.decisions import LedgerCommand, TerminalEvent, decide
from services.inventory.domain.ledger import (
    Hold,
    LedgerEvent,
    PartnerCap,
    Pool,
    PublishedCatalogue,
    cap_name,
)
from tests.property.ledger_model import Model, outcome
from tests.support import examples

repeatable = settings(derandomize=True, deadline=None, max_examples=150)

POOLS = (1, 2, 3)
UNKNOWN_POOL = 9
PARTNERS = ("partner_a", "partner_b")
ENDS: tuple[TerminalEvent, ...] = (
    examples.RESERVATION_ACTIVATED,
    examples.RESERVATION_CANCELLED,
    examples.RESERVATION_EXPIRED,
)
END_TYPES = (ReservationActivated, ReservationCancelled, ReservationExpired)
Message = LedgerCommand | TerminalEvent


# Messages


known_pools = st.sampled_from(POOLS)
any_pools = st.sampled_from((*POOLS, UNKNOWN_POOL))
holds = st.integers(0, 11).map(lambda number: f"res_{number}")


@st.composite
def ends(draw: st.DrawFn) -> TerminalEvent:
    """The end of a hold, which may not agree with it; see `Batch`."""
    return replace(
        draw(st.sampled_from(ENDS)),
        reservation_id=draw(holds),
        pool_no=draw(any_pools),
        quantity=draw(st.integers(1, 12)),
    )


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        PlaceHold,
        reservation_id=holds,
        pool_no=any_pools,
        partner_id=st.sampled_from(PARTNERS),
        quantity=st.integers(1, 12),
        rule_version=st.just(examples.CATALOGUE.version),
        hold_s=st.none() | st.integers(1, 10**6),
        expires_at=st.none()
        | st.integers(-5, 60).map(lambda seconds: examples.NOW + timedelta(seconds=seconds)),
    ),
    ends(),
    ends(),
    st.builds(
        SetAllotment,
        pool_no=known_pools,
        product_id=known_pools,
        channel=st.just("ota"),
        units=st.integers(0, 40),
    ),
    st.builds(StopSales, pool_no=any_pools, reason=st.just("weather")),
    st.builds(ResumeSales, pool_no=any_pools),
    st.builds(
        CapPartner,
        pool_no=any_pools,
        partner_id=st.sampled_from(PARTNERS),
        units=st.none() | st.integers(0, 24),
    ),
    st.builds(
        PublishCatalogue,
        catalogue=st.builds(
            replace,
            st.just(examples.CATALOGUE),
            version=st.integers(1, 4),
            addons=st.sampled_from(((), examples.CATALOGUE.addons)),
        ),
    ),
)


@dataclass(frozen=True)
class Batch:
    """Messages of one write; *retried* is decided, rolled back and decided again.

    The ends of holds are made to agree with their holds in the fields named by *mended*.
    """

    messages: list[Message]
    retried: bool
    mended: tuple[str, ...]


ALL_MENDED = ("pool_no", "quantity")
batches = st.lists(
    st.builds(
        Batch,
        messages=st.lists(messages, max_size=8),
        retried=st.booleans(),
        # Mostly, or sales would be stopped by conflicts all the time.
        mended=st.sampled_from((*[ALL_MENDED] * 5, ("pool_no",), ("quantity",), ())),
    ),
    max_size=12,
)


# The ledger


@dataclass
class Book:
    """The real thing with its log, and the model beside it."""

    state: State = field(default_factory=lambda: State(partition=0))
    model: Model = field(default_factory=Model)
    log: list[tuple[LedgerEvent, Position, datetime]] = field(default_factory=list)
    now: datetime = examples.NOW

    def __post_init__(self) -> None:
        for pool_no in POOLS:
            self.step(SetAllotment(pool_no=pool_no, product_id=pool_no, channel="ota", units=20))
        self.state.commit()

    def pools(self) -> dict[int, Pool]:
        """Return the pools as of now, staged changes included."""
        found = (self.state.get(Pool, str(pool_no)) for pool_no in POOLS)
        return {pool.pool_no: pool for pool in found if pool is not None}

    def holds(self) -> list[Hold]:
        """Return the holds in memory as of now, staged changes included."""
        found = (self.state.get(Hold, id) for id in self.model.holds)
        return [hold for hold in found if hold is not None]

    def caps(self) -> list[PartnerCap]:
        """Return the caps in memory as of now, staged changes included, lifted ones too."""
        names = (cap_name(pool_no, partner) for pool_no in POOLS for partner in PARTNERS)
        found = (self.state.get(PartnerCap, name) for name in names)
        return [cap for cap in found if cap is not None]

    def _mend(self, message: Message, fields: tuple[str, ...]) -> Message:
        """Let the end of a hold agree with its hold, as that of another service would."""
        hold = self.model.holds.get(getattr(message, "reservation_id", ""))
        if hold is None or not isinstance(message, END_TYPES):
            return message
        return replace(message, **{name: getattr(hold, name) for name in fields})

    def _comes(self, message: Message, *, fitting: bool) -> bool:
        """Say whether the loop would let the message through.

        The command of a hold that has ended is answered from its record, before any decision.
        """
        hold = self.model.holds.get(getattr(message, "reservation_id", ""))
        held = hold is not None and hold.status == "held"
        if isinstance(message, PlaceHold):
            return hold is None or held
        return held or not fitting or not isinstance(message, END_TYPES)

    def write(self, batch: Batch) -> None:
        """Decide a batch, check every step, and commit."""
        chosen: list[Message] = []
        length, at = len(self.log), self.now
        for drawn in batch.messages:
            message = self._mend(drawn, batch.mended)
            if self._comes(message, fitting=batch.mended == ALL_MENDED):
                chosen.append(message)
                self.step(message)
        if batch.retried:
            self._decide_again(chosen, length, at)
        self.state.commit()

    def step(self, message: Message) -> None:
        """Decide one message, compare with the model, evolve, and look at everything."""
        self.now += timedelta(seconds=1)
        before = self.pools()
        decision = decide(self.state, message, "message-1", self.now)
        expected = self.model.expect(message, self.now)
        assert expected == outcome(decision)
        for event in self._events(decision):
            position = Position(1, 0, len(self.log) + 1)
            ledger.evolve(self.state, event, position, self.now)
            self.log.append((event, position, self.now))
            assert [] == violations(self.pools().values(), self.holds(), self.caps())
        self._compare()
        self._only_its_own_pool(message, before)
        self._nothing_new(message)

    def _compare(self) -> None:
        for pool_no, pool in self.pools().items():
            model = self.model
            assert (
                model.allotted[pool_no],
                model.units(pool_no, "held"),
                model.units(pool_no, "sold"),
                model.available(pool_no),
                pool_no not in model.stopped,
            ) == (pool.allotted, pool.held, pool.sold, pool.available, pool.selling)
        capped = [cap for cap in self.caps() if cap.units is not None]
        assert self.model.caps == {(cap.pool_no, cap.partner_id): cap.units for cap in capped}
        for cap in capped:
            assert self.model.open_units(cap.pool_no, cap.partner_id) == cap.held

    def _only_its_own_pool(self, message: Message, before: dict[int, Pool]) -> None:
        own = getattr(message, "pool_no", None)
        others = {number: pool for number, pool in self.pools().items() if number != own}
        assert others == {number: pool for number, pool in before.items() if number != own}

    def _nothing_new(self, message: Message) -> None:
        """The same message again moves no unit, and if it is a command, nothing at all."""
        again = decide(self.state, message, "message-1", self.now)
        allowed = (LedgerConflictFound, SalesStopped) if isinstance(message, END_TYPES) else ()
        assert all(isinstance(event, allowed) for event in again.events)

    def _decide_again(self, chosen: list[Message], length: int, at: datetime) -> None:
        """Roll the batch back; deciding it again has to lead to the very same events."""
        first = self.log[length:]
        self.state.rollback()
        del self.log[length:]
        for message in chosen:
            at += timedelta(seconds=1)
            for event in self._events(decide(self.state, message, "message-1", at)):
                position = Position(1, 0, len(self.log) + 1)
                ledger.evolve(self.state, event, position, at)
                self.log.append((event, position, at))
        assert first == self.log[length:]
        self._compare()

    @staticmethod
    def _events(decision: Decision) -> Iterator[LedgerEvent]:
        for event in decision.events:
            assert isinstance(event, LedgerEvent)
            yield event


def kept_in(state: State) -> list[object]:
    """Return everything that is kept in memory, in a fixed order."""
    kept = [
        *state.all(Pool),
        *state.all(Hold),
        *state.all(PartnerCap),
        *state.all(PublishedCatalogue),
    ]
    return sorted(kept, key=repr)


def told(history: list[Batch]) -> Book:
    """Return the ledger after a history; every step of it was checked."""
    book = Book()
    for batch in history:
        book.write(batch)
    return book


@repeatable
@given(history=batches)
def test_the_ledger_does_what_the_model_expects(history: list[Batch]) -> None:
    """Never oversold, always conserved, pools apart, repeats without effect: at every prefix."""
    book = told(history)
    assert set(book.model.catalogues) == {
        published.version for published in book.state.all(PublishedCatalogue)
    }


@repeatable
@given(history=batches)
def test_units_are_released_or_sold_once(history: list[Batch]) -> None:
    """Each hold's units leave it at most once, and all figures are sums over the log."""
    book = told(history)
    events = [event for event, _, _ in book.log]
    closed = [e.reservation_id for e in events if isinstance(e, UnitsSold | UnitsReleased)]
    assert len(set(closed)) == len(closed)
    held_at_first = {e.reservation_id: e.quantity for e in events if isinstance(e, UnitsHeld)}
    for pool in book.pools().values():
        mine = [e for e in events if getattr(e, "pool_no", None) == pool.pool_no]
        held = sum(e.quantity for e in mine if isinstance(e, UnitsHeld))
        sold = sum(e.quantity for e in mine if isinstance(e, UnitsSold))
        released = sum(e.quantity for e in mine if isinstance(e, UnitsReleased))
        assert (pool.held, pool.sold) == (held - sold - released, sold)
    for event in events:
        if isinstance(event, UnitsSold | UnitsReleased):
            assert held_at_first[event.reservation_id] == event.quantity


@repeatable
@given(history=batches)
def test_no_hold_is_accepted_above_a_cap(history: list[Batch]) -> None:
    """By the log alone: what a partner held at first, each hold and each end of one added up."""
    book = told(history)
    caps: dict[tuple[int, str], int | None] = {}
    holds: dict[str, UnitsHeld] = {}
    for event, _, _ in book.log:
        if isinstance(event, PartnerCapSet):
            at = (event.pool_no, event.partner_id)
            assert open_units(holds, at) == event.held
            caps[at] = event.units
        elif isinstance(event, UnitsHeld):
            holds[event.reservation_id] = event
            at = (event.pool_no, event.partner_id)
            assert caps.get(at) is None or open_units(holds, at) <= (caps[at] or 0)
        elif isinstance(event, UnitsSold | UnitsReleased):
            del holds[event.reservation_id]


def open_units(holds: Mapping[str, UnitsHeld], at: tuple[int, str]) -> int:
    """Return the units of a partner's open holds in a pool."""
    return sum(h.quantity for h in holds.values() if (h.pool_no, h.partner_id) == at)


def test_a_history_without_the_count_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a ledger that does not count a capped partner's holds fails the check."""
    monkeypatch.setattr(ledger, "_count", lambda *_: None)
    hold = replace(examples.PLACE_HOLD, pool_no=1, partner_id="partner_a", expires_at=None)
    cap = CapPartner(pool_no=1, partner_id="partner_a", units=5)
    with pytest.raises(AssertionError):
        told([Batch(messages=[cap, hold], retried=False, mended=())])


@repeatable
@given(history=batches)
def test_the_log_alone_gives_the_same_state(history: list[Batch]) -> None:
    """Replayed from its beginning, in one go, it leads to the very same entities."""
    book = told(history)
    replayed = State(partition=0)
    for event, position, decided_at in book.log:
        ledger.evolve(replayed, event, position, decided_at)
    replayed.commit()
    assert kept_in(book.state) == kept_in(replayed)

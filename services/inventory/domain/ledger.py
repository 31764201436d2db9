"""What is true in the ledger, and how events change it.

A pool's figures move only by events; available is what is allotted and neither held
nor sold. Entities are also rows (ADR 5): a field is a column.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Literal

from libs.events.contracts.inventory import (
    AllotmentSet,
    CataloguePublished,
    LedgerConflictFound,
    PartnerCapSet,
    SalesResumed,
    SalesStopped,
    Sealed,
    UnitsHeld,
    UnitsReleased,
    UnitsSold,
)
from libs.events.envelope import Position
from libs.kernel.catalogue import Catalogue
from libs.kernel.state import State
from libs.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The units of one product in one channel."""

    pool_no: int
    product_id: int
    channel: str
    allotted: int
    held: int
    sold: int
    selling: bool

    @property
    def key(self) -> str:
        """The pool's number."""
        return str(self.pool_no)

    @property
    def kept(self) -> bool:
        """Pools stay in memory."""
        return True

    @property
    def available(self) -> int:
        """Units that can be held now."""
        return self.allotted - self.held - self.sold


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold as the ledger sees it: the second guard against moving its units twice."""

    reservation_id: str
    pool_no: int
    product_id: int
    channel: str
    partner_id: str
    quantity: int
    status: Literal["held", "sold", "released"]
    held_at: datetime
    expires_at: datetime
    rule_version: int
    visit_date: date | None
    customer_reference: Sealed | None
    customer_reference_hash: str | None
    seq: int

    @property
    def key(self) -> str:
        """The reservation's id."""
        return self.reservation_id

    @property
    def kept(self) -> bool:
        """Closed holds leave memory."""
        return self.status == "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerCap:
    """How many units of a pool a partner may hold at once; *name* is `cap_name`.

    *held* counts the partner's open holds while there is a cap; *units* None is a
    lifted one, which counts nothing.
    """

    name: str
    pool_no: int
    partner_id: str
    units: int | None
    held: int

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def kept(self) -> bool:
        """The few caps stay in memory, lifted ones too: a row is never made twice."""
        return True


def cap_name(pool_no: int, partner_id: str) -> str:
    """Return the name under which a partner's cap in a pool is known."""
    return f"{pool_no}/{partner_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCatalogue:
    """A catalogue version that was made current."""

    version: int
    document: Catalogue
    published_at: datetime

    @property
    def key(self) -> str:
        """The version."""
        return str(self.version)

    @property
    def kept(self) -> bool:
        """The few versions stay in memory."""
        return True


LedgerEvent = (
    UnitsHeld
    | UnitsSold
    | UnitsReleased
    | AllotmentSet
    | SalesStopped
    | SalesResumed
    | PartnerCapSet
    | LedgerConflictFound
    | CataloguePublished
)


def evolve(state: State, event: LedgerEvent, position: Position, decided_at: datetime) -> None:
    """Stage what an event changes."""
    match event:
        case UnitsHeld():
            pool = _pool(state, event.pool_no)
            state.put(replace(pool, held=pool.held + event.quantity))
            state.put(_hold(event, position, decided_at))
            _count(state, event, event.quantity)
        case UnitsSold():
            pool, hold = _pool(state, event.pool_no), _open(state, event.reservation_id)
            held, sold = pool.held - hold.quantity, pool.sold + hold.quantity
            state.put(replace(pool, held=held, sold=sold))
            state.put(replace(hold, status="sold"))
            _count(state, hold, -hold.quantity)
        case UnitsReleased():
            pool, hold = _pool(state, event.pool_no), _open(state, event.reservation_id)
            state.put(replace(pool, held=pool.held - hold.quantity))
            state.put(replace(hold, status="released"))
            _count(state, hold, -hold.quantity)
        case AllotmentSet():
            known = state.get(Pool, str(event.pool_no))
            state.put(replace(known, allotted=event.units) if known else _new_pool(event))
        case SalesStopped():
            state.put(replace(_pool(state, event.pool_no), selling=False))
        case SalesResumed():
            state.put(replace(_pool(state, event.pool_no), selling=True))
        case PartnerCapSet():
            state.put(_cap(event))
        case CataloguePublished():
            catalogue = event.catalogue
            state.put(
                PublishedCatalogue(
                    version=catalogue.version, document=catalogue, published_at=decided_at
                )
            )
        case LedgerConflictFound():
            pass


def _cap(event: PartnerCapSet) -> PartnerCap:
    return PartnerCap(
        name=cap_name(event.pool_no, event.partner_id),
        pool_no=event.pool_no,
        partner_id=event.partner_id,
        units=event.units,
        held=event.held if event.units is not None else 0,
    )


def _count(state: State, hold: UnitsHeld | Hold, units: int) -> None:
    """Add *units* to what a capped partner holds of a pool; others are not counted."""
    cap = state.get(PartnerCap, cap_name(hold.pool_no, hold.partner_id))
    if cap is not None and cap.units is not None:
        state.put(replace(cap, held=cap.held + units))


def _pool(state: State, pool_no: int) -> Pool:
    pool = state.get(Pool, str(pool_no))
    assert pool is not None, f"pool {pool_no} is decided about before it exists"
    return pool


def _open(state: State, reservation_id: str) -> Hold:
    hold = state.get(Hold, reservation_id)
    assert hold is not None, f"{reservation_id} is closed without being held"
    assert hold.status == "held", f"{reservation_id} is closed twice"
    return hold


def _new_pool(event: AllotmentSet) -> Pool:
    return Pool(
        pool_no=event.pool_no,
        product_id=event.product_id,
        channel=event.channel,
        allotted=event.units,
        held=0,
        sold=0,
        selling=True,
    )


def _hold(event: UnitsHeld, position: Position, decided_at: datetime) -> Hold:
    return Hold(
        reservation_id=event.reservation_id,
        pool_no=event.pool_no,
        product_id=event.product_id,
        channel=event.channel,
        partner_id=event.partner_id,
        quantity=event.quantity,
        status="held",
        held_at=decided_at,
        expires_at=event.expires_at,
        rule_version=event.rule_version,
        visit_date=event.visit_date,
        customer_reference=event.customer_reference,
        customer_reference_hash=event.customer_reference_hash,
        seq=position.seq,
    )

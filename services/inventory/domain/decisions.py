"""What may happen in the ledger. Refusals are answers and never grow the log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from libs.events.contracts.inventory import (
    AllotmentSet,
    CapPartner,
    CataloguePublished,
    HoldPlaced,
    HoldRefused,
    HoldReleased,
    LedgerChanged,
    LedgerChangeRefused,
    LedgerConflictFound,
    PartnerCapSet,
    PlaceHold,
    PublishCatalogue,
    ReleaseReason,
    ResumeSales,
    SalesResumed,
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
from libs.kernel.outcome import Decision
from libs.kernel.state import State
from services.inventory.domain.ledger import (
    Hold,
    PartnerCap,
    Pool,
    PublishedCatalogue,
    cap_name,
)

HOLD_DEFAULT = timedelta(hours=24)
HOLD_MAX = timedelta(hours=48)
QUANTITY_MAX = 100

LedgerCommand = PlaceHold | SetAllotment | StopSales | ResumeSales | CapPartner | PublishCatalogue
TerminalEvent = ReservationActivated | ReservationCancelled | ReservationExpired


def decide(
    state: State, message: LedgerCommand | TerminalEvent, message_id: str, now: datetime
) -> Decision:
    """Decide one command, or what another service's terminal event means for the units."""
    match message:
        case PlaceHold():
            return _place(state, message, now)
        case ReservationActivated() | ReservationCancelled() | ReservationExpired():
            return _close(state, message, message_id)
        case SetAllotment():
            return _allot(state, message)
        case StopSales() | ResumeSales():
            return _switch(state, message)
        case CapPartner():
            return _set_cap(state, message)
        case PublishCatalogue():
            return _publish(state, message)
        case _:
            assert_never(message)


def _place(state: State, command: PlaceHold, now: datetime) -> Decision:
    """Refuse in this order: quantity (a defect upstream), pool, deadline, sales, stock, cap."""
    if not 1 <= command.quantity <= QUANTITY_MAX:
        raise ValueError(f"quantity {command.quantity} is outside 1..{QUANTITY_MAX}")
    known = state.get(Hold, command.reservation_id)
    if known is not None:
        # A repeat is answered from its record; this guard holds even without one.
        return Decision(answer=_placed(known, known.held_at), recorded=True)
    pool = state.get(Pool, str(command.pool_no))
    if pool is None:
        return Decision(answer=HoldRefused(reason="pool_unknown", available=0))
    expires_at = _expiry(command, now)
    if expires_at <= now:
        refused = HoldRefused(reason="expiry_in_the_past", available=pool.available)
        return Decision(answer=refused)
    if not pool.selling:
        return Decision(answer=HoldRefused(reason="sales_stopped", available=0), recorded=True)
    if command.quantity > pool.available:
        refused = HoldRefused(reason="sold_out", available=pool.available)
        return Decision(answer=refused, recorded=True)
    cap = state.get(PartnerCap, cap_name(pool.pool_no, command.partner_id))
    if cap is not None and cap.units is not None and cap.held + command.quantity > cap.units:
        refused = HoldRefused(
            reason="hold_limit", available=pool.available, limit=cap.units, held=cap.held
        )
        return Decision(answer=refused, recorded=True)
    held = UnitsHeld(
        reservation_id=command.reservation_id,
        pool_no=pool.pool_no,
        product_id=pool.product_id,
        channel=pool.channel,
        partner_id=command.partner_id,
        quantity=command.quantity,
        expires_at=expires_at,
        rule_version=command.rule_version,
        visit_date=command.visit_date,
        customer_reference=command.customer_reference,
        customer_reference_hash=command.customer_reference_hash,
    )
    return Decision(events=(held,), answer=_placed(held, now), recorded=True)


def _placed(hold: UnitsHeld | Hold, held_at: datetime) -> HoldPlaced:
    return HoldPlaced(
        reservation_id=hold.reservation_id,
        pool_no=hold.pool_no,
        product_id=hold.product_id,
        quantity=hold.quantity,
        held_at=held_at,
        expires_at=hold.expires_at,
        rule_version=hold.rule_version,
    )


def _expiry(command: PlaceHold, now: datetime) -> datetime:
    """The ledger's clock counts: asked length or instant, cut to 48 h (contract, section 4)."""
    if command.expires_at is not None:
        return min(command.expires_at, now + HOLD_MAX)
    if command.hold_s is not None:
        return now + min(timedelta(seconds=command.hold_s), HOLD_MAX)
    return now + HOLD_DEFAULT


def _close(state: State, event: TerminalEvent, event_id: str) -> Decision:
    """Move a hold's units once; what can't be applied moves nothing and stops the pool's sales."""
    hold = state.get(Hold, event.reservation_id)
    if hold is None or hold.status != "held":
        return _conflict(state, event, event_id, hold)
    if (hold.pool_no, hold.quantity) != (event.pool_no, event.quantity):
        return _conflict(state, event, event_id, hold)
    if isinstance(event, ReservationActivated):
        sold = UnitsSold(
            reservation_id=hold.reservation_id, pool_no=hold.pool_no, quantity=hold.quantity
        )
        return Decision(events=(sold,))
    cancelled = isinstance(event, ReservationCancelled)
    reason: ReleaseReason = "cancelled" if cancelled else "expired"
    released = UnitsReleased(
        reservation_id=hold.reservation_id,
        pool_no=hold.pool_no,
        quantity=hold.quantity,
        reason=reason,
    )
    answer = HoldReleased(reservation_id=hold.reservation_id) if cancelled else None
    return Decision(events=(released,), answer=answer, recorded=cancelled)


def _conflict(state: State, event: TerminalEvent, event_id: str, hold: Hold | None) -> Decision:
    reason = "not held"
    if hold is not None:
        reason = f"is {hold.status} with {hold.quantity} units of pool {hold.pool_no}"
    found = LedgerConflictFound(
        reservation_id=event.reservation_id,
        pool_no=event.pool_no,
        event_type=type(event).__name__,
        event_id=event_id,
        reason=reason,
    )
    if state.get(Pool, str(event.pool_no)) is None:
        return Decision(events=(found,))
    stopped = SalesStopped(pool_no=event.pool_no, reason=f"conflict over {event.reservation_id}")
    return Decision(events=(found, stopped))


def _allot(state: State, command: SetAllotment) -> Decision:
    pool = state.get(Pool, str(command.pool_no))
    if command.units < 0:
        raise ValueError(f"{command.units} units can't be allotted")
    if pool is not None:
        if (pool.product_id, pool.channel) != (command.product_id, command.channel):
            detail = f"pool {pool.pool_no} is product {pool.product_id} in channel {pool.channel}"
            refused = LedgerChangeRefused(reason="pool_belongs_elsewhere", detail=detail)
            return Decision(answer=refused)
        if command.units < pool.held + pool.sold:
            detail = f"{pool.held} units are held and {pool.sold} sold"
            refused = LedgerChangeRefused(reason="below_held_and_sold", detail=detail)
            return Decision(answer=refused)
        if command.units == pool.allotted:
            return Decision(answer=LedgerChanged(pool_no=pool.pool_no))
    allotted = AllotmentSet(
        pool_no=command.pool_no,
        product_id=command.product_id,
        channel=command.channel,
        units=command.units,
    )
    answer = LedgerChanged(pool_no=command.pool_no)
    return Decision(events=(allotted,), answer=answer, recorded=True)


def _switch(state: State, command: StopSales | ResumeSales) -> Decision:
    pool = state.get(Pool, str(command.pool_no))
    if pool is None:
        refused = LedgerChangeRefused(reason="pool_unknown", detail=f"pool {command.pool_no}")
        return Decision(answer=refused)
    answer = LedgerChanged(pool_no=pool.pool_no)
    if isinstance(command, StopSales):
        event: object = SalesStopped(pool_no=pool.pool_no, reason=command.reason)
        changed = pool.selling
    else:
        event = SalesResumed(pool_no=pool.pool_no)
        changed = not pool.selling
    return Decision(events=(event,), answer=answer, recorded=True) if changed else _same(answer)


def _set_cap(state: State, command: CapPartner) -> Decision:
    """Cap what a partner may hold; what it holds beyond that stays, and only new holds wait."""
    if command.units is not None and command.units < 0:
        raise ValueError(f"{command.units} units can't be a cap")
    pool = state.get(Pool, str(command.pool_no))
    if pool is None:
        refused = LedgerChangeRefused(reason="pool_unknown", detail=f"pool {command.pool_no}")
        return Decision(answer=refused)
    answer = LedgerChanged(pool_no=pool.pool_no)
    known = state.get(PartnerCap, cap_name(pool.pool_no, command.partner_id))
    if command.units == (known.units if known is not None else None):
        return _same(answer)
    counted = known is not None and known.units is not None
    held = known.held if known is not None and counted else _open_units(state, command)
    cap = PartnerCapSet(
        pool_no=pool.pool_no, partner_id=command.partner_id, units=command.units, held=held
    )
    return Decision(events=(cap,), answer=answer, recorded=True)


def _open_units(state: State, command: CapPartner) -> int:
    """Add up a partner's open holds in a pool, those of this batch included.

    The one place that looks at all open holds: it costs something when a cap is set,
    so that placing and ending holds costs nothing without one.
    """
    holds = {hold.key: hold for hold in state.all(Hold)}
    staged = (change.entity for change in state.staged())
    holds |= {hold.key: hold for hold in staged if isinstance(hold, Hold)}
    return sum(
        hold.quantity
        for hold in holds.values()
        if hold.status == "held"
        and (hold.pool_no, hold.partner_id) == (command.pool_no, command.partner_id)
    )


def _same(answer: LedgerChanged) -> Decision:
    """What was asked for is so already: nothing happens, the answer is the same."""
    return Decision(answer=answer)


def _publish(state: State, command: PublishCatalogue) -> Decision:
    catalogue = command.catalogue
    answer = LedgerChanged(catalogue_version=catalogue.version)
    staged = (change.entity for change in state.staged())
    known = [*state.all(PublishedCatalogue), *staged]
    newest = max(
        (each for each in known if isinstance(each, PublishedCatalogue)),
        key=lambda published: published.version,
        default=None,
    )
    if newest is None or catalogue.version > newest.version:
        published = CataloguePublished(catalogue=catalogue)
        return Decision(events=(published,), answer=answer, recorded=True)
    if catalogue == newest.document:
        return _same(answer)
    return Decision(
        answer=LedgerChangeRefused(
            reason="catalogue_version_not_newer",
            detail=f"version {newest.version} is current; a changed catalogue needs a higher one",
        )
    )

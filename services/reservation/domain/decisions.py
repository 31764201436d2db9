"""What may happen to a hold. Exactly one terminal event; ``now >= expires_at`` is expired."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Literal, assert_never

from libs.events.contracts.inventory import UnitsHeld
from libs.events.contracts.reservation import (
    ActivateReservation,
    CancelReservation,
    CompletedDownstream,
    ExpireReservation,
    ReservationActivated,
    ReservationCancelled,
    ReservationExpired,
    ReservationRefused,
)
from libs.events.envelope import Position
from libs.kernel.catalogue import Product
from libs.kernel.ids import Numbers
from libs.kernel.outcome import NOTHING, Decision
from libs.kernel.pricing import day_class, price_lines, total_minor
from libs.kernel.state import State
from services.reservation.domain.hold import Reservation, numbering, opened

ProductOf = Callable[[int, int], Product]
"""A product by its id and the version of the catalogue."""

Command = ActivateReservation | CancelReservation | ExpireReservation


def open_hold(
    state: State,
    held: UnitsHeld,
    *,
    held_at: datetime,
    position: Position,
    opened_early: Collection[str],
) -> Decision:
    """Open the life of a hold; a copy of one that was opened early is ignored.

    The ledger's event is the opening: it is not told a second time (ADR 17).
    """
    known = state.get(Reservation, held.reservation_id) is not None
    if known or held.reservation_id in opened_early:
        return NOTHING
    return Decision(projected=(opened(held, held_at=held_at, ledger_seq=position.seq),))


def decide(
    state: State,
    command: Command,
    *,
    correlation_id: str,
    now: datetime,
    numbers: Numbers,
    product: ProductOf,
) -> Decision:
    """Decide a command about one hold; *product* knows the catalogue it was made in."""
    match command:
        case ActivateReservation():
            return _activate(state, command, correlation_id, now, numbers, product)
        case CancelReservation():
            return _cancel(state, command, correlation_id, now)
        case ExpireReservation():
            return _expire(state, command, now)
        case _:
            assert_never(command)


def _activate(
    state: State,
    command: ActivateReservation,
    correlation_id: str,
    now: datetime,
    numbers: Numbers,
    product: ProductOf,
) -> Decision:
    """Refuse in this order: unknown, activated, cancelled, expired, customer types."""
    found = state.get(Reservation, command.reservation_id)
    if found is None or found.partner_id != command.partner_id:
        return _not_found(command)
    if found.status == "activated":
        return _refuse(found, "already_activated")
    if found.status == "cancelled":
        return _refuse(found, "reservation_cancelled")
    if found.status == "expired":
        return _refuse(found, "reservation_expired")
    if now >= found.expires_at:
        return _refuse(found, "reservation_expired", _expired(found))
    types = command.customer_types
    if isinstance(types, str):
        types = (types,) * found.quantity
    if len(types) != found.quantity:
        refused = ReservationRefused(
            reason="customer_types_do_not_match",
            reservation_id=found.reservation_id,
            quantity=found.quantity,
        )
        return Decision(answer=refused)
    visit_date = command.visit_date or found.visit_date
    prices = product(found.product_id, found.rule_version).prices
    lines = price_lines(rules=prices, customer_types=types, on=visit_date)
    activated = ReservationActivated(
        reservation_id=found.reservation_id,
        pool_no=found.pool_no,
        product_id=found.product_id,
        channel=found.channel,
        partner_id=found.partner_id,
        quantity=found.quantity,
        order_id=numbers.order_id(partition=state.partition, counter=numbering(state).orders),
        customer_types=types,
        visit_date=visit_date,
        day_class=day_class(rules=prices, on=visit_date),
        lines=lines,
        total_minor=total_minor(lines),
        currency=prices.currency,
        rule_version=found.rule_version,
        customer=command.customer,
        payment_reference_hash=command.payment_reference_hash,
    )
    answer = CompletedDownstream(command_id=correlation_id)
    return Decision(events=(activated,), answer=answer, recorded=True)


def _cancel(
    state: State, command: CancelReservation, correlation_id: str, now: datetime
) -> Decision:
    """Refuse in this order: unknown, activated, expired; cancelled before is answered as first."""
    found = state.get(Reservation, command.reservation_id)
    if found is None or found.partner_id != command.partner_id:
        return _not_found(command)
    match found.status:
        case "activated":
            return _refuse(found, "cannot_cancel_activated")
        case "expired":
            return _refuse(found, "reservation_expired")
        case "cancelled":
            # The ledger answers again once it has the units back, as it did the first time.
            answer = CompletedDownstream(command_id=found.ended_by or correlation_id)
            return Decision(answer=answer, recorded=True)
        case "active":
            if now >= found.expires_at:
                return _refuse(found, "reservation_expired", _expired(found))
            cancelled = ReservationCancelled(
                reservation_id=found.reservation_id,
                pool_no=found.pool_no,
                quantity=found.quantity,
            )
            answer = CompletedDownstream(command_id=correlation_id)
            return Decision(events=(cancelled,), answer=answer, recorded=True)
        case _:
            assert_never(found.status)


def _expire(state: State, command: ExpireReservation, now: datetime) -> Decision:
    """Look again: whoever came first has ended the hold."""
    found = state.get(Reservation, command.reservation_id)
    if found is None or found.status != "active" or now < found.expires_at:
        return NOTHING
    return Decision(events=(_expired(found),))


def _expired(found: Reservation) -> ReservationExpired:
    return ReservationExpired(
        reservation_id=found.reservation_id,
        pool_no=found.pool_no,
        quantity=found.quantity,
        due_at=found.expires_at,
    )


def _not_found(command: ActivateReservation | CancelReservation) -> Decision:
    """Foreign ones look the same as unknown ones."""
    refused = ReservationRefused(
        reason="reservation_not_found", reservation_id=command.reservation_id
    )
    return Decision(answer=refused)


def _refuse(
    found: Reservation,
    reason: Literal[
        "already_activated",
        "reservation_cancelled",
        "reservation_expired",
        "cannot_cancel_activated",
    ],
    *events: object,
) -> Decision:
    refused = ReservationRefused(
        reason=reason, reservation_id=found.reservation_id, order_id=found.order_id
    )
    return Decision(events=events, answer=refused, recorded=True)

"""The deciding services' refusals in the contract's words."""

from __future__ import annotations

from libs.events.contracts.inventory import HoldRefused
from libs.events.contracts.reservation import ReservationRefused
from services.gateway.domain.refusal import Fault, Refusal

PRODUCT_NOT_FOUND = Refusal(
    word="PRODUCT_NOT_FOUND", detail="No product that is on sale has this product_id."
)
RESERVATION_NOT_FOUND = Refusal(
    word="RESERVATION_NOT_FOUND", detail="You have no reservation with this id."
)
ORDER_NOT_FOUND = Refusal(word="ORDER_NOT_FOUND", detail="You have no order with this id.")
RESERVATION_EXPIRED = Refusal(
    word="RESERVATION_EXPIRED", detail="The reservation has expired; its units were given back."
)
RESERVATION_CANCELLED = Refusal(
    word="RESERVATION_CANCELLED", detail="The reservation was cancelled; its units were given back."
)


def invalid_field(name: str, rule: str) -> Refusal:
    """Refuse a value of the body that is outside its rule."""
    return Refusal(
        word="VALIDATION_ERROR", detail=f"{name} {rule}.", faults=(Fault(f"#/{name}", rule),)
    )


VISIT_DATE = invalid_field(
    "visit_date", "must be today or later in Hong Kong, and at most a year ahead"
)
EXPIRY_IN_THE_PAST = invalid_field("reservation_expires_at", "must lie in the future")


def sold_out(*, available: int) -> Refusal:
    """Refuse a hold for want of units."""
    return Refusal(
        word="SOLD_OUT",
        detail=f"Your channel has {available} units of this product available.",
        extra={"available": available},
    )


def hold_limit(*, limit: int, held: int) -> Refusal:
    """Refuse a hold above the partner's cap on open units of the product."""
    return Refusal(
        word="HOLD_LIMIT_REACHED",
        detail=f"You may hold {limit} units of this product at once, and hold {held} now.",
        extra={"limit": limit, "held": held},
    )


def of_hold(refused: HoldRefused) -> Refusal:
    """Word the ledger's refusal; a pool that does not sell has nothing available."""
    match refused.reason:
        case "sold_out":
            return sold_out(available=refused.available)
        case "sales_stopped" | "pool_unknown":
            return sold_out(available=0)
        case "expiry_in_the_past":
            return EXPIRY_IN_THE_PAST
        case "hold_limit":
            return hold_limit(limit=refused.limit or 0, held=refused.held or 0)


def of_reservation(refused: ReservationRefused) -> Refusal:
    """Word the reservation service's refusal."""
    match refused.reason:
        case "reservation_not_found":
            return RESERVATION_NOT_FOUND
        case "reservation_expired":
            return RESERVATION_EXPIRED
        case "reservation_cancelled":
            return RESERVATION_CANCELLED
        case "already_activated":
            return Refusal(
                word="ALREADY_ACTIVATED",
                detail="The reservation is activated already; see order_id.",
                extra=_order(refused),
            )
        case "cannot_cancel_activated":
            return Refusal(
                word="CANNOT_CANCEL_ACTIVATED",
                detail="The reservation is activated and can no longer be cancelled.",
                extra=_order(refused),
            )
        case "customer_types_do_not_match":
            units = f"{refused.quantity} units" if refused.quantity else "several units"
            return invalid_field(
                "customer_type",
                f"must be one word, or one word for each unit; the reservation has {units}",
            )


def _order(refused: ReservationRefused) -> dict[str, object]:
    return {} if refused.order_id is None else {"order_id": refused.order_id}

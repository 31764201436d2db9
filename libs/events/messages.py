"""The table of all messages: name, version, class. Written out, never derived from a class path."""

from __future__ import annotations

from typing import Any

from libs.events.contracts import fulfillment, gateway, inventory, platform, reservation
from libs.events.registry import Message, Registry


def _v1(name: str, shape: type) -> Message:
    return Message(name=name, version=1, shape=shape)


def _nothing_renamed(body: dict[str, Any]) -> dict[str, Any]:
    """Lift a version to one that only added fields with defaults."""
    return body


def _v2_prices_by_version(name: str, shape: type) -> Message:
    """Version 1 carried the prices themselves (ADR 22)."""
    return Message(name=name, version=2, shape=shape, upcasters=(_prices_by_version,))


def _prices_by_version(body: dict[str, Any]) -> dict[str, Any]:
    prices = body.pop("prices")
    return {**body, "rule_version": prices["rule_version"]}


COMMANDS = (
    _v2_prices_by_version("ota.inventory.place_hold", inventory.PlaceHold),
    _v1("ota.inventory.set_allotment", inventory.SetAllotment),
    _v1("ota.inventory.stop_sales", inventory.StopSales),
    _v1("ota.inventory.resume_sales", inventory.ResumeSales),
    _v1("ota.inventory.cap_partner", inventory.CapPartner),
    _v1("ota.inventory.publish_catalogue", inventory.PublishCatalogue),
    _v1("ota.reservation.activate_reservation", reservation.ActivateReservation),
    _v1("ota.reservation.cancel_reservation", reservation.CancelReservation),
    _v1("ota.reservation.expire_reservation", reservation.ExpireReservation),
)
EVENTS = (
    _v2_prices_by_version("ota.inventory.units_held", inventory.UnitsHeld),
    _v1("ota.inventory.units_sold", inventory.UnitsSold),
    _v1("ota.inventory.units_released", inventory.UnitsReleased),
    _v1("ota.inventory.allotment_set", inventory.AllotmentSet),
    _v1("ota.inventory.sales_stopped", inventory.SalesStopped),
    _v1("ota.inventory.sales_resumed", inventory.SalesResumed),
    _v1("ota.inventory.partner_cap_set", inventory.PartnerCapSet),
    _v1("ota.inventory.ledger_conflict_found", inventory.LedgerConflictFound),
    _v1("ota.inventory.catalogue_published", inventory.CataloguePublished),
    _v1("ota.reservation.reservation_opened", reservation.ReservationOpened),
    _v1("ota.reservation.reservation_activated", reservation.ReservationActivated),
    _v1("ota.reservation.reservation_cancelled", reservation.ReservationCancelled),
    _v1("ota.reservation.reservation_expired", reservation.ReservationExpired),
    _v1("ota.fulfillment.order_created", fulfillment.OrderCreated),
)
SIGNALS = (
    _v1("ota.reservation.answer_requested", reservation.AnswerRequested),
    _v1("ota.inventory.availability_reported", inventory.AvailabilityReported),
    _v1("ota.platform.head_anchored", platform.HeadAnchored),
)
"""Messages without a position: no log has them as its events."""

ANSWERS = (
    _v2_prices_by_version("ota.answer.hold_placed", inventory.HoldPlaced),
    Message(
        name="ota.answer.hold_refused",
        version=2,
        shape=inventory.HoldRefused,
        upcasters=(_nothing_renamed,),  # 2 adds the reason hold_limit, limit and held
    ),
    _v1("ota.answer.hold_released", inventory.HoldReleased),
    _v1("ota.answer.ledger_changed", inventory.LedgerChanged),
    _v1("ota.answer.ledger_change_refused", inventory.LedgerChangeRefused),
    _v1("ota.answer.reservation_refused", reservation.ReservationRefused),
    _v1("ota.answer.completed_downstream", reservation.CompletedDownstream),
    _v1("ota.answer.order_confirmed", fulfillment.OrderConfirmed),
    _v1("ota.answer.key_reused", gateway.KeyReused),
)

MESSAGES = Registry((*COMMANDS, *EVENTS, *SIGNALS, *ANSWERS))

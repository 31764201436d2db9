"""Compares single answers with the logs: what a client was told is what is written.

I3, I7, I10 and I20.
"""

from __future__ import annotations

from typing import Any

from ota_checker.calls import Call
from ota_checker.identity import micros
from ota_checker.model import Hold, Model, Order
from ota_checker.orders import tickets_digest
from ota_checker.prices import Prices, cents
from ota_checker.verdicts import Verdicts

_ENDS = {
    "RESERVATION_EXPIRED": "expired",
    "RESERVATION_CANCELLED": "cancelled",
    "ALREADY_ACTIVATED": "activated",
    "CANNOT_CANCEL_ACTIVATED": "activated",
}


def asked_hold(call: Call) -> tuple[object, ...]:
    """Return product, quantity and visit date that a reserve asks for."""
    request = call.request
    return (request.get("product_id"), request.get("quantity"), request.get("visit_date"))


class Answers:
    """Knows what each kind of answer must agree with."""

    def __init__(self, *, model: Model, verdicts: Verdicts) -> None:
        self._model = model
        self._verdicts = verdicts

    def decided(self, call: Call, command_id: str) -> None:
        """Check the first recorded answer of a command."""
        verdicts = self._verdicts
        if call.op == "reserve" and call.status == 201:
            verdicts.look("I3")
            self._reserved(call, command_id)
        elif call.op == "activate" and call.status == 201:
            verdicts.look("I3")
            verdicts.look("I10")
            self._activated(call)
        elif call.op == "cancel" and call.status == 204:
            verdicts.look("I3")
            verdicts.look("I10")
            self._cancelled(call)
        elif call.word in _ENDS:
            verdicts.look("I10")
            self._ended(call, _ENDS[call.word])

    def refused(self, call: Call) -> None:
        """Check a refusal that leaves no record."""
        if call.status == 404 and call.word == "RESERVATION_NOT_FOUND":
            self._verdicts.look("I15")

    def _missing(self, call: Call, rule: str, hold: Hold | None, invariant: str = "I3") -> None:
        ids = (hold.reservation_id,) if hold is not None else ()
        place = hold.place if hold is not None else None
        self._verdicts.violate(invariant, rule, until=place, reservations=ids, calls=(call.line,))

    def _reserved(self, call: Call, command_id: str) -> None:
        body = call.body
        id = body.get("reservation_id") if isinstance(body, dict) else None
        hold = self._model.holds.get(str(id))
        if hold is None:
            self._missing(call, f"{call.partner} was told 201 for {id}, which holds nothing", None)
            return
        if hold.command_id != command_id:
            rule = f"{id} was answered to another command than the one that holds it"
            self._missing(call, rule, hold, "I5")
        told = (body["product_id"], body["quantity"], micros(body["expires_at"]))
        held = (hold.pool.product_id, hold.quantity, hold.expires_at)
        if told != held or micros(body["created_at"]) != hold.held_at:
            self._missing(call, f"the 201 says {told} of {id}, the ledger {held}", hold)
        self._expiry(call, hold)
        self.snapshot(call, hold, body.get("pricing_snapshot"))

    def _expiry(self, call: Call, hold: Hold) -> None:
        """The ledger's clock counts: 24 hours, or as asked, cut to 48."""
        self._verdicts.look("I8")
        asked = call.request.get("reservation_expires_at")
        day_us = 24 * 3600 * 1_000_000
        expected = hold.held_at + day_us
        if asked is not None:
            expected = min(micros(asked), hold.held_at + 2 * day_us)
        if expected != hold.expires_at:
            rule = f"{hold.reservation_id} ends at another time than asked for"
            self._missing(call, rule, hold, "I8")

    def snapshot(self, call: Call, hold: Hold, told: object) -> None:
        """Check prices that a partner was shown for a hold against those that are frozen in it."""
        self._verdicts.look("I20")
        product = self._model.product_of(hold)
        if product and not (isinstance(told, dict) and _same_prices(told, product.prices)):
            rule = f"the prices shown for {hold.reservation_id} are not those frozen into it"
            self._missing(call, rule, hold, "I20")

    def _activated(self, call: Call) -> None:
        id, body = call.named_reservation or "", call.body
        hold = self._model.holds.get(id)
        if hold is None or hold.life_end != "activated" or hold.order is None:
            end = hold.life_end if hold is not None else None
            rule = f"{call.partner} was told 201 for the activation of {id}, whose end is {end}"
            if hold is not None and end in ("expired", "cancelled"):
                self._missing(call, rule, hold, "I10")
            self._missing(call, f"{rule}; it has no order", hold)
            return
        if not isinstance(body, dict) or body.get("order_id") != hold.order_id:
            self._missing(call, f"the 201 for {id} names another order than {hold.order_id}", hold)
            return
        self.order(call, hold, hold.order, body)
        self.tickets(call, hold, hold.order, body["tickets"])
        self._asked(call, hold)

    def _asked(self, call: Call, hold: Hold) -> None:
        """The order is for the customers and the day that this client asked for."""
        asked = call.request.get("customer_type") or "adult"
        types = tuple(asked) if isinstance(asked, list) else (asked,) * hold.quantity
        day = call.request.get("visit_date") or hold.visit_date
        self._verdicts.look("I4")
        if hold.sale is not None and hold.sale[1:] != (day, types):
            rule = f"the order of {hold.reservation_id} is for {hold.sale[1:]}, asked was {day}"
            self._missing(call, rule, hold, "I4")

    def order(self, call: Call, hold: Hold, order: Order, body: dict[str, Any]) -> None:
        """Check an order as it is told."""
        told = (body["order_id"], body["reservation_id"], body["confirmation_code"])
        made = (order.order_id, hold.reservation_id, order.confirmation_code)
        when = (body.get("visit_date"), micros(body["created_at"]), body["quantity"])
        self._verdicts.look("I7")
        if told != made or when != (order.visit_date, order.created_at, order.quantity):
            rule = f"order {order.order_id} was told otherwise than it was created"
            self._missing(call, rule, hold, "I7")
        self._verdicts.look("I20")
        rows = body.get("price_breakdown")
        lines = order.lines if rows is None else _told_lines(rows)
        if cents(body["total_amount"]) != order.total or lines != order.lines:
            rule = (
                f"order {order.order_id} was told to cost {body['total_amount']}, it costs"
                f" {order.total} cents"
            )
            self._missing(call, rule, hold, "I20")

    def tickets(self, call: Call, hold: Hold, order: Order, rows: list[dict[str, Any]]) -> None:
        """Check an order's tickets as they are told, all of them."""
        self._verdicts.look("I7")
        if tickets_digest(rows) != order.tickets_digest:
            rule = f"the tickets told for {order.order_id} are not those that were issued"
            self._missing(call, rule, hold, "I7")

    def _cancelled(self, call: Call) -> None:
        id = call.named_reservation or ""
        hold = self._model.holds.get(id)
        if hold is None or hold.life_end != "cancelled" or hold.ledger_end != "cancelled":
            end = hold.life_end if hold is not None else None
            rule = (
                f"{call.partner} was told 204 for {id}, whose end is {end}; its units are not back"
            )
            if hold is not None and end in ("expired", "activated"):
                self._missing(call, rule, hold, "I10")
            self._missing(call, rule, hold)

    def _ended(self, call: Call, end: str) -> None:
        """A refusal names how the hold has ended, and it has ended so."""
        id = call.named_reservation or ""
        hold = self._model.holds.get(id)
        if hold is None or hold.life_end != end:
            rule = f"{id} was refused as {end}, its end is {hold.life_end if hold else None}"
            self._missing(call, rule, hold, "I10")
            return
        figure = f"refused as {end}"
        before = self._verdicts.figures.get(figure, 0)
        self._verdicts.figures[figure] = (before if isinstance(before, int) else 0) + 1
        if call.word == "ALREADY_ACTIVATED" and call.body.get("order_id") != hold.order_id:
            rule = f"{id} was refused as activated with another order than {hold.order_id}"
            self._missing(call, rule, hold, "I10")


def _told_lines(rows: list[dict[str, Any]]) -> tuple[tuple[object, ...], ...]:
    lines = [
        (row["customer_type"], row["count"], cents(row["unit_price"]), cents(row["subtotal"]))
        for row in rows
    ]
    return tuple(sorted(lines, key=repr))


def _same_prices(told: dict[str, Any], prices: Prices) -> bool:
    units = {
        row["customer_type"]: cents(row["unit_price"])
        for row in told.get("customer_type_pricing", ())
    }
    return (
        cents(told.get("base_price")) == prices.adult_weekday
        and cents(told.get("weekend_premium")) == prices.adult_weekend - prices.adult_weekday
        and units
        == {"adult": prices.adult_weekday, "child": prices.child, "elderly": prices.elderly}
        and (told.get("currency"), told.get("rule_version"))
        == (prices.currency, prices.rule_version)
    )

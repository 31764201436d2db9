"""Replays the fulfillment service's log: one order for each activation, one ticket for each unit.

I7, I20 and I23.
"""

from __future__ import annotations

from ota_checker.chain import LogCheck
from ota_checker.identity import short_digest
from ota_checker.model import Hold, Model, Order
from ota_checker.prices import lines_of
from ota_checker.reading import Row
from ota_checker.verdicts import EventPlace, Verdicts

SERVICE = "fulfillment"


class Orders:
    """Applies the events of orders."""

    def __init__(self, *, model: Model, verdicts: Verdicts) -> None:
        self._model = model
        self._verdicts = verdicts
        self._log = LogCheck(service=SERVICE, model=model, verdicts=verdicts)
        self._tokens: set[int] = set()

    def take(self, row: Row) -> None:
        """Apply one event; of types that came later only the place is checked."""
        at, _, data = self._log.take(row)
        if row["type"] == "ota.fulfillment.order_created":
            self._created(data, at, (SERVICE, row["partition"], row["seq"]))

    def _created(self, data: Row, at: int, place: EventPlace) -> None:
        id, model, verdicts = data["reservation_id"], self._model, self._verdicts
        hold = model.holds.get(id)
        verdicts.look("I7")
        if hold is None or hold.life_end != "activated":
            rule = f"order {data['order_id']} is of {id}, which was never activated"
            verdicts.violate("I7", rule, until=place, events=(place,), reservations=(id,))
            if hold is not None and hold.life_end == "expired":
                verdicts.violate("I10", rule, until=place, reservations=(id,))
            if hold is None:
                return
        if hold.order is not None:
            rule = f"{id} has two orders: {hold.order.order_id} and {data['order_id']}"
            verdicts.violate("I7", rule, until=place, reservations=(id,))
            return
        hold.order = Order(
            order_id=data["order_id"],
            place=place,
            confirmation_code=data["confirmation_code"],
            created_at=at,
            visit_date=data["visit_date"],
            total=data["total_minor"],
            lines=lines_of(data["lines"]),
            quantity=data["quantity"],
            tickets_digest=tickets_digest(data["tickets"]),
            tickets_left=0,
        )
        self._check_order(hold, hold.order, data)
        self._issue(hold, hold.order, data)

    def _check_order(self, hold: Hold, order: Order, data: Row) -> None:
        id, place, verdicts = (hold.reservation_id,), order.place, self._verdicts
        first = self._model.confirmations.setdefault(order.confirmation_code, hold)
        told = (data["order_id"], data["quantity"], data["partner_id"], len(data["tickets"]))
        if first is not hold:
            rule = f"{order.confirmation_code} confirms two orders"
            verdicts.violate("I7", rule, until=place, reservations=(first.reservation_id, *id))
        if told != (hold.order_id, hold.quantity, hold.partner_id, hold.quantity):
            rule = f"the order of {id[0]} has another number, size or partner than the activation"
            verdicts.violate("I7", rule, until=place, reservations=id)
        if hold.sale is not None:
            lines, day, types = hold.sale
            verdicts.look("I20")
            if order.lines != lines or order.total != sum(line[3] for line in lines):
                rule = f"the order of {id[0]} costs {order.total} cents, its activation otherwise"
                verdicts.violate("I20", rule, until=place, reservations=id)
            if order.visit_date != day or sorted(types) != sorted(
                ticket["customer_type"] for ticket in data["tickets"]
            ):
                rule = f"the order of {id[0]} is for another day or other customers"
                verdicts.violate("I7", rule, until=place, reservations=id)
        product = self._model.product_of(hold)
        if product is not None and product.entitlements != data["entitlements"]:
            rule = f"the tickets of {id[0]} entitle to something else than the catalogue says"
            verdicts.violate("I23", rule, until=place, reservations=id)

    def _issue(self, hold: Hold, order: Order, data: Row) -> None:
        model, verdicts = self._model, self._verdicts
        for index, ticket in enumerate(data["tickets"]):
            code, token = ticket["ticket_code"], short_digest(ticket["qr_token"])
            verdicts.look("I23")
            if code in model.tickets or token in self._tokens:
                rule = f"ticket {code} or its token was issued twice"
                first = model.tickets.get(code, hold)
                ids = (first.reservation_id, hold.reservation_id)
                verdicts.violate("I23", rule, until=order.place, reservations=ids)
            model.tickets.setdefault(code, hold)
            self._tokens.add(token)
            order.tickets_left ^= ticket_digest(index, ticket)

    def finish(self) -> None:
        """Check that every activation has its order by the end."""
        self._log.finish()
        model = self._model
        for hold in model.orders.values():
            if hold.order is None and model.settled(hold.life_end_at):
                rule = f"{hold.reservation_id} was activated and has no order"
                ids = (hold.reservation_id,)
                self._verdicts.violate("I7", rule, until=hold.life_end_place, reservations=ids)
        self._verdicts.figures["orders"] = len(model.orders)
        self._verdicts.figures["tickets"] = len(model.tickets)


def ticket_digest(index: int, ticket: Row) -> int:
    """Return what tells a ticket's place, code, token and customer type from others."""
    return short_digest(
        f"{index} {ticket['ticket_code']} {ticket['qr_token']} {ticket['customer_type']}"
    )


def tickets_digest(tickets: list[Row]) -> int:
    """Return what tells an order's tickets, in their order, from others."""
    return short_digest(
        "\n".join(f"{t['ticket_code']} {t['qr_token']} {t['customer_type']}" for t in tickets)
    )

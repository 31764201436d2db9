"""The rules of orders: one for an activation, one ticket for a unit."""

from __future__ import annotations

from collections import Counter

from ota_verify.chain import Event
from ota_verify.context import Context, chosen
from ota_verify.files import Row
from ota_verify.reservation import ORDER_FIELDS

SERVICE = "fulfillment"
_ORDER_COLUMNS = (
    *(name for name in ORDER_FIELDS if name != "customer_types"),
    *("confirmation_code", "entitlements"),
)
_CONFIRMED = (
    *("order_id", "reservation_id", "product_id", "confirmation_code", "visit_date", "lines"),
    *("total_minor", "currency", "entitlements", "tickets"),
)


class Orders:
    """Replays orders; all that is to be there of an order follows from its one event."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._numbers: dict[int, Row] = {}
        self._counts: Counter[tuple[str, int, int]] = Counter()

    def event(self, event: Event) -> None:
        """Apply an event; raises KeyError, TypeError or ValueError for one of another shape."""
        if event.type != "order_created":
            self._context.wrong("readable", event, f"unknown event {event.name}")
            return
        data, sets = event.data, self._context.sets
        tickets: list[Row] = data["tickets"]
        if len(tickets) != data["quantity"]:
            text = f"{len(tickets)} tickets for {data['quantity']} units"
            self._context.wrong("once", event, text)
        cause = event.meta["causation_id"]
        taken = self._context.taken(SERVICE, "reservation", event.partition)
        if int(cause.split("-")[2]) <= taken:
            types = [ticket["customer_type"] for ticket in tickets]
            sets.find("ordered", cause, {**chosen(data, ORDER_FIELDS), "customer_types": types})
        order = {
            **chosen(data, _ORDER_COLUMNS),
            "partition": event.partition,
            "status": "confirmed",
            "created_at": event.decided_at,
        }
        sets.expect(f"{SERVICE}.customer_order", data["order_id"], order)
        for position, ticket in enumerate(tickets):
            row = {
                **chosen(ticket, ("ticket_code", "qr_token", "customer_type")),
                "partition": event.partition,
                "order_id": data["order_id"],
                "position": position,
                "status": "ACTIVE",
            }
            sets.expect(f"{SERVICE}.ticket", ticket["ticket_code"], row)
        name = f"partition-{event.partition}"
        numbers = self._numbers.setdefault(
            event.partition,
            {"partition": event.partition, "name": name, "orders": 0, "tickets": 0},
        )
        numbers["orders"] += 1
        numbers["tickets"] += len(tickets)
        self._counts[data["partner_id"], data["product_id"], event.partition] += 1
        self._context.need_actor(event)
        answer = {**chosen(data, _CONFIRMED), "created_at": event.decided_at}
        self._context.expect_answer(event, "order_confirmed", answer)

    def finish(self) -> None:
        """Say what the counters should be."""
        for numbers in self._numbers.values():
            self._context.sets.expect(f"{SERVICE}.numbering", numbers["name"], numbers)
        for (partner_id, product_id, partition), number in self._counts.items():
            key = f"{partner_id}/{product_id}/{partition}"
            self._context.sets.expect(f"{SERVICE}.order_count", key, {"number": number})

"""The rules of a hold's life: it begins in the ledger, and ends once."""

from __future__ import annotations

from collections import Counter

from ota_verify.chain import Event
from ota_verify.context import Context, chosen, instant
from ota_verify.files import Row
from ota_verify.inventory import opening_row

SERVICE = "reservation"
ORDER_FIELDS = (
    *("order_id", "reservation_id", "pool_no", "partner_id", "product_id", "channel", "quantity"),
    *("visit_date", "day_class", "lines", "total_minor", "currency", "rule_version", "customer"),
    *("payment_reference_hash", "customer_types"),
)
"""What an order takes over from the activation."""
_SAME = ("product_id", "channel", "partner_id")
"""What an activation repeats of its hold, beside pool and quantity."""


class Reservations:
    """Replays the lives of holds; `finish` says what the tables should hold.

    `held` must have been told of a hold before its end is read. Ended holds are forgotten.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, Row] = {}
        self._orders: Counter[int] = Counter()
        self._counts: Counter[tuple[str, int, str, int]] = Counter()
        self._repeated: set[str] = set()
        self._early: set[str] = set()

    def held(self, event: Event, opening: Row) -> None:
        """Open a life: a row is what the ledger's event says, and has its number."""
        self._open[event.data["reservation_id"]] = {
            **opening,
            "partition": event.partition,
            "status": "active",
            "ledger_seq": event.seq,
            "order_id": None,
            "ended_at": None,
            "ended_by": None,
        }

    def event(self, event: Event) -> None:
        """Apply an event; raises KeyError, TypeError or ValueError for one of another shape."""
        match event.type:
            case "reservation_opened":
                self._repeat(event)
            case "reservation_activated":
                self._ended(event, "activated")
            case "reservation_cancelled":
                self._ended(event, "cancelled")
            case "reservation_expired":
                self._ended(event, "expired")
            case _:
                self._context.wrong("readable", event, f"unknown event {event.name}")

    def _repeat(self, event: Event) -> None:
        """Compare what logs from before ADR 17 say again of a hold; it opens nothing."""
        data, id = event.data, event.data["reservation_id"]
        data = data | {"rule_version": data["prices"]["rule_version"]}
        hold = self._open.get(id)
        said = opening_row(data, held_at=instant(data["held_at"]))
        said["ledger_seq"] = data["ledger_seq"]
        if hold is None:
            self._context.wrong("once", event, f"{id} is not held by the ledger")
            return
        if id in self._repeated:
            self._context.wrong("once", event, f"{id} is opened twice")
        if said != chosen(hold, said):
            text = f"{id} is not what the ledger has at {hold['ledger_seq']}"
            self._context.wrong("once", event, text)
        self._repeated.add(id)

    def _ended(self, event: Event, status: str) -> None:
        data, id = event.data, event.data["reservation_id"]
        found = self._open.pop(id, None)
        self._repeated.discard(id)
        row = {**chosen(data, ("reservation_id", "pool_no")), "kind": status}
        if event.seq <= self._context.taken("inventory", SERVICE, event.partition):
            self._context.sets.expect("ended", event.id, row)
        if found is None or found["partition"] != event.partition:
            self._context.wrong("once", event, f"{id} is not active")
            return
        if (found["pool_no"], found["quantity"]) != (data["pool_no"], data["quantity"]):
            self._context.wrong("conservation", event, "the hold has another pool or quantity")
        if status == "activated" and chosen(found, _SAME) != chosen(data, _SAME):
            self._context.wrong("once", event, "the hold has another product, channel or partner")
        due = event.decided_at >= str(found["expires_at"])
        if due != (status == "expired"):
            text = f"{status} at {event.decided_at}, due at {found['expires_at']}"
            self._context.wrong("once", event, text)
        order_id = data["order_id"] if status == "activated" else None
        self._expect_row(
            found
            | {
                "status": status,
                "order_id": order_id,
                "ended_at": event.decided_at,
                "ended_by": event.meta["correlation_id"],
            }
        )
        self._answered(event, status, id)

    def _answered(self, event: Event, status: str, id: str) -> None:
        if status == "activated":
            self._activated(event)
        by_clock = event.meta["correlation_id"] == f"due:{id}"
        if status == "expired":
            if not by_clock:
                refused = {"reason": "reservation_expired", "reservation_id": id}
                nothing = {"order_id": None, "quantity": None}
                self._context.expect_answer(event, "reservation_refused", refused | nothing)
            return
        self._context.need_actor(event)
        answer = {"command_id": event.meta["correlation_id"]}
        self._context.expect_answer(event, "completed_downstream", answer)

    def _activated(self, event: Event) -> None:
        data = event.data
        self._orders[event.partition] += 1
        if data["total_minor"] != sum(line["subtotal_minor"] for line in data["lines"]):
            self._context.wrong("conservation", event, "the total is not that of its lines")
        if len(data["customer_types"]) != data["quantity"]:
            self._context.wrong("conservation", event, "not one customer type for each unit")
        if event.seq <= self._context.taken("fulfillment", SERVICE, event.partition):
            row = chosen(data, ORDER_FIELDS)
            self._context.sets.expect("ordered", event.id, row)

    def _expect_row(self, row: Row) -> None:
        at = (row["partner_id"], row["product_id"], row["status"], row["partition"])
        self._counts[at] += 1
        self._context.sets.expect(f"{SERVICE}.reservation", row["reservation_id"], row)

    def row(self, row: Row) -> None:
        """Take note of a stored row: it may be there before the service has taken the hold."""
        hold = self._open.get(row["reservation_id"])
        if hold is not None and not self._taken(hold):
            self._early.add(row["reservation_id"])

    def _taken(self, hold: Row) -> bool:
        taken = self._context.taken(SERVICE, "inventory", hold["partition"])
        return bool(hold["ledger_seq"] <= taken)

    def finish(self) -> None:
        """Say what is left open, and what the counters should be; call it when rows were read."""
        for id, hold in self._open.items():
            if self._taken(hold) or id in self._early:
                self._expect_row(hold)
        for partition, orders in self._orders.items():
            name = f"partition-{partition}"
            row = {"partition": partition, "name": name, "orders": orders}
            self._context.sets.expect(f"{SERVICE}.numbering", name, row)
        for (partner_id, product_id, status, partition), number in self._counts.items():
            key = f"{partner_id}/{product_id}/{status}/{partition}"
            self._context.sets.expect(f"{SERVICE}.reservation_count", key, {"number": number})

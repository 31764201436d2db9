"""The rules of a hold's life: opened from the ledger once, ended once."""

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


class Reservations:
    """Replays the lives of holds; `finish` says what the tables should hold."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, Row] = {}
        self._orders: Counter[int] = Counter()
        self._counts: Counter[tuple[str, int, str, int]] = Counter()
        self._early: list[tuple[Event, Row]] = []

    def event(self, event: Event) -> None:
        """Apply an event; raises KeyError, TypeError or ValueError for one of another shape."""
        match event.type:
            case "reservation_opened":
                self._opened(event)
            case "reservation_activated":
                self._ended(event, "activated")
            case "reservation_cancelled":
                self._ended(event, "cancelled")
            case "reservation_expired":
                self._ended(event, "expired")
            case _:
                self._context.wrong("readable", event, f"unknown event {event.name}")

    def _opened(self, event: Event) -> None:
        data = event.data
        if data["reservation_id"] in self._open:
            self._context.wrong("once", event, f"{data['reservation_id']} is opened twice")
        opening = opening_row(data, held_at=instant(data["held_at"]))
        seq = data["ledger_seq"]
        if seq <= self._context.taken(SERVICE, "inventory", event.partition):
            self._context.sets.find("opened", f"{event.partition}/{seq}", opening)
        else:
            self._early.append((event, opening))
        self._open[data["reservation_id"]] = {
            **opening,
            "partition": event.partition,
            "status": "active",
            "ledger_seq": seq,
            "order_id": None,
            "ended_at": None,
            "ended_by": None,
        }

    def _ended(self, event: Event, status: str) -> None:
        data, id = event.data, event.data["reservation_id"]
        found = self._open.pop(id, None)
        row = {**chosen(data, ("reservation_id", "pool_no")), "kind": status}
        if event.seq <= self._context.taken("inventory", SERVICE, event.partition):
            self._context.sets.expect("ended", event.id, row)
        if found is None:
            self._context.wrong("once", event, f"{id} is not active")
            return
        if (found["pool_no"], found["quantity"]) != (data["pool_no"], data["quantity"]):
            self._context.wrong("conservation", event, "the hold has another pool or quantity")
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

    def finish(self, ahead: dict[tuple[int, int], Row], tails: dict[int, int]) -> None:
        """Say what is left open; *ahead* are holds of the ledger's that are not taken yet."""
        for row in self._open.values():
            self._expect_row(row)
        for partition, orders in self._orders.items():
            name = f"partition-{partition}"
            row = {"partition": partition, "name": name, "orders": orders}
            self._context.sets.expect(f"{SERVICE}.numbering", name, row)
        for (partner_id, product_id, status, partition), number in self._counts.items():
            key = f"{partner_id}/{product_id}/{status}/{partition}"
            self._context.sets.expect(f"{SERVICE}.reservation_count", key, {"number": number})
        for event, opening in self._early:
            seq = event.data["ledger_seq"]
            if seq <= tails.get(event.partition, 0):
                if ahead.get((event.partition, seq)) != opening:
                    self._context.wrong("once", event, f"is not what the ledger has at {seq}")
            elif seq > self._context.last_known_seq("inventory", event.partition):
                self._context.wrong("witnesses", event, f"was opened from a ledger event {seq}")

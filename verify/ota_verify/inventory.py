"""The ledger's rules, small and by themselves: pools, holds, caps, catalogues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ota_verify.chain import Event
from ota_verify.context import Context, chosen, instant
from ota_verify.files import Row

SERVICE = "inventory"
QUANTITY_MAX = 100
_HELD_FIELDS = (
    *("reservation_id", "pool_no", "product_id", "channel", "partner_id", "quantity"),
    *("rule_version", "visit_date", "customer_reference", "customer_reference_hash"),
)
_END_OF = {
    "ReservationActivated": "activated",
    "ReservationCancelled": "cancelled",
    "ReservationExpired": "expired",
}


def opening_row(held: Row, *, held_at: str | None) -> Row:
    """Return what ledger and reservations must agree on about a hold's beginning."""
    return {
        **chosen(held, _HELD_FIELDS),
        "held_at": held_at,
        "expires_at": instant(held["expires_at"]),
    }


class Inventory:
    """Replays the ledger; `finish` says what its tables should hold.

    *held* is told of every hold, with what reservations must know of its beginning.
    """

    def __init__(self, context: Context, held: Callable[[Event, Row], None]) -> None:
        self._context = context
        self._tell_held = held
        self._pools: dict[int, Row] = {}
        self._open: dict[str, Row] = {}
        self._caps: dict[tuple[int, str], Row] = {}
        self._conflict: str | None = None
        self.ended = (-1, 0)
        """Partition and number of the last event of reservations that was taken."""

    def event(self, event: Event) -> None:
        """Apply an event; raises KeyError, TypeError or ValueError for one of another shape."""
        conflict, self._conflict = self._conflict, None
        match event.type:
            case "units_held":
                self._held(event)
            case "units_sold" | "units_released":
                self._closed(event)
            case "allotment_set":
                self._allotted(event)
            case "sales_stopped" | "sales_resumed":
                self._pool(event)["selling"] = event.type == "sales_resumed"
                if conflict != event.meta["causation_id"]:
                    self._changed(event)
            case "partner_cap_set":
                self._capped(event)
            case "catalogue_published":
                self._published(event)
            case "ledger_conflict_found":
                self._conflict = event.meta["causation_id"]
                self._ended(event, _END_OF[event.data["event_type"]])
                self._context.findings.note(
                    f"inventory {event.partition}/{event.seq}: a conflict was found"
                    f" over {event.data['reservation_id']}: {event.data['reason']}"
                )
            case _:
                self._context.wrong("readable", event, f"unknown event {event.name}")

    def _pool(self, event: Event) -> Row:
        pool = self._pools.get(event.data["pool_no"])
        if pool is None:
            raise ValueError(f"pool {event.data['pool_no']} is not there yet")
        if pool["partition"] != event.partition:
            self._context.wrong("conservation", event, "the pool is another partition's")
        return pool

    def _move(self, event: Event, pool: Row, *, held: int = 0, sold: int = 0) -> None:
        pool["held"] += held
        pool["sold"] += sold
        taken = pool["held"] + pool["sold"]
        if pool["held"] < 0 or taken > pool["allotted"]:
            self._context.wrong(
                "conservation",
                event,
                f"pool {pool['pool_no']} has {pool['held']} units held and {pool['sold']} sold"
                f" of {pool['allotted']}",
            )

    def _held(self, event: Event) -> None:
        data, pool = event.data, self._pool(event)
        if event.version == 1:  # it repeats the catalogue's prices, as does its answer (ADR 22)
            data = data | {"rule_version": data["prices"]["rule_version"]}
        quantity = data["quantity"]
        if not 1 <= quantity <= QUANTITY_MAX:
            self._context.wrong("conservation", event, f"{quantity} units in one hold")
        if (data["product_id"], data["channel"]) != (pool["product_id"], pool["channel"]):
            self._context.wrong("conservation", event, "the pool has another product or channel")
        if data["reservation_id"] in self._open:
            self._context.wrong("once", event, f"{data['reservation_id']} is held twice")
        self._move(event, pool, held=quantity)
        self._count(data, quantity)
        self._context.need_actor(event)
        opening = opening_row(data, held_at=event.decided_at)
        self._open[data["reservation_id"]] = {
            **opening,
            "partition": event.partition,
            "status": "held",
            "seq": event.seq,
        }
        self._tell_held(event, opening)
        frozen = "prices" if event.version == 1 else "rule_version"
        answered = ("reservation_id", "pool_no", "product_id", "quantity", frozen)
        times = {"held_at": event.decided_at, "expires_at": instant(data["expires_at"])}
        answer = {**chosen(data, answered), **times}
        self._context.expect_answer(event, "hold_placed", answer, version=event.version)

    def _closed(self, event: Event) -> None:
        data, pool = event.data, self._pool(event)
        hold = self._open.pop(data["reservation_id"], None)
        sold = event.type == "units_sold"
        kind = "activated" if sold else data["reason"]
        self._ended(event, kind)
        if hold is None:
            self._context.wrong("once", event, f"{data['reservation_id']} is not held")
            return
        if (hold["pool_no"], hold["quantity"]) != (data["pool_no"], data["quantity"]):
            self._context.wrong("conservation", event, "the hold has another pool or quantity")
        quantity = hold["quantity"]
        self._move(event, pool, held=-quantity, sold=quantity if sold else 0)
        self._count(hold, -quantity)
        self._expect(
            "hold", data["reservation_id"], hold | {"status": "sold" if sold else "released"}
        )
        if kind == "cancelled":
            self._context.expect_answer(
                event, "hold_released", {"reservation_id": data["reservation_id"]}
            )

    def _ended(self, event: Event, kind: str) -> None:
        """Find the end that the reservation service told, once it is within the export."""
        cause = event.meta["causation_id"]
        seq = int(cause.split("-")[2])
        self.ended = (event.partition, seq)
        if seq <= self._context.taken(SERVICE, "reservation", event.partition):
            row = {**chosen(event.data, ("reservation_id", "pool_no")), "kind": kind}
            self._context.sets.find("ended", cause, row)

    def _count(self, hold: Row, units: int) -> None:
        cap = self._caps.get((hold["pool_no"], hold["partner_id"]))
        if cap is not None and cap["units"] is not None:
            cap["held"] += units

    def _allotted(self, event: Event) -> None:
        data = event.data
        pool = self._pools.get(data["pool_no"])
        if pool is None:
            pool = self._pools[data["pool_no"]] = {
                **chosen(data, ("pool_no", "product_id", "channel")),
                "partition": event.partition,
                "held": 0,
                "sold": 0,
                "selling": True,
            }
        pool["allotted"] = data["units"]
        self._move(event, pool)
        self._changed(event)

    def _capped(self, event: Event) -> None:
        data = event.data
        held = sum(
            hold["quantity"]
            for hold in self._open.values()
            if (hold["pool_no"], hold["partner_id"]) == (data["pool_no"], data["partner_id"])
        )
        if data["held"] != held:
            text = f"the cap counts {data['held']} held units, there are {held}"
            self._context.wrong("conservation", event, text)
        self._caps[data["pool_no"], data["partner_id"]] = {
            **chosen(data, ("pool_no", "partner_id", "units")),
            "held": data["held"] if data["units"] is not None else 0,
            "partition": event.partition,
        }
        self._changed(event)

    def _published(self, event: Event) -> None:
        catalogue: Any = event.data["catalogue"]
        version = catalogue["version"]
        row = {
            "partition": event.partition,
            "version": version,
            "document": catalogue,
            "published_at": event.decided_at,
        }
        self._expect("catalogue", str(version), row)
        answer = {"pool_no": None, "catalogue_version": version}
        self._context.expect_answer(event, "ledger_changed", answer)

    def _changed(self, event: Event) -> None:
        answer = {"pool_no": event.data["pool_no"], "catalogue_version": None}
        self._context.expect_answer(event, "ledger_changed", answer)

    def _expect(self, table: str, key: str, row: Row) -> None:
        self._context.sets.expect(f"{SERVICE}.{table}", key, row)

    def finish(self) -> None:
        """Say what is left open, and check the sums of each pool."""
        held: dict[int, int] = {}
        for reservation_id, hold in self._open.items():
            held[hold["pool_no"]] = held.get(hold["pool_no"], 0) + hold["quantity"]
            self._expect("hold", reservation_id, hold)
        for pool_no, pool in self._pools.items():
            self._expect("pool", str(pool_no), pool)
            if pool["held"] != held.get(pool_no, 0):
                text = f"pool {pool_no} has {pool['held']} held, its holds {held.get(pool_no, 0)}"
                self._context.findings.add("conservation", SERVICE, text)
        for (pool_no, partner_id), cap in self._caps.items():
            self._expect("partner_cap", f"{pool_no}/{partner_id}", cap)
        self._context.units = {
            name: sum(pool[name] for pool in self._pools.values())
            for name in ("allotted", "held", "sold")
        }

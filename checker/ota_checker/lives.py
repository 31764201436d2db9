"""Replays the reservation service's log: how holds began and ended.

I6, I8, the sums of I20, and that the ledger moved each hold's units as its life ended (I9, I10).
"""

from __future__ import annotations

from collections.abc import Callable

from ota_checker.chain import LogCheck
from ota_checker.identity import micros
from ota_checker.model import Hold, Model, Windows, percentile
from ota_checker.prices import lines_of
from ota_checker.reading import Row
from ota_checker.verdicts import EventPlace, Verdicts

SERVICE = "reservation"
LATE_MAX_S = 5.0
LATE_P99_MAX_S = 3.0
SAMPLE_MIN = 100
"""Fewer expiries than this have no 99th percentile worth the name."""

LEDGER_END = {"activated": "sold", "cancelled": "cancelled", "expired": "expired"}


class Lives:
    """Applies the events of holds' lives."""

    def __init__(self, *, model: Model, verdicts: Verdicts) -> None:
        self._model = model
        self._verdicts = verdicts
        self._log = LogCheck(service=SERVICE, model=model, verdicts=verdicts)
        self.kinds: dict[str, Callable[[Row, Row, Row, int, EventPlace], None]] = {
            "ota.reservation.reservation_opened": self._opened,
            "ota.reservation.reservation_activated": self._activated,
            "ota.reservation.reservation_cancelled": self._cancelled,
            "ota.reservation.reservation_expired": self._expired,
        }

    def take(self, row: Row) -> None:
        """Apply one event."""
        at, meta, data = self._log.take(row)
        place = (SERVICE, row["partition"], row["seq"])
        apply = self.kinds.get(row["type"])
        if apply is None:
            rule = f"the log of holds has an event of the unknown type {row['type']}"
            self._verdicts.violate("I4", rule, until=place, events=(place,))
            return
        apply(row, meta, data, at, place)

    def _opened(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        """Compare what only old logs say: the ledger's event is a life's beginning."""
        id, verdicts = data["reservation_id"], self._verdicts
        hold = self._model.holds.get(id)
        if hold is None:
            rule = f"{id} was opened, but holds no units"
            verdicts.violate("I6", rule, until=place, events=(place,))
            return
        if hold.opened_place is not None:
            verdicts.violate("I6", f"{id} was opened twice", until=place, reservations=(id,))
            return
        hold.opened_place = place
        told = (data["quantity"], data["partner_id"], data["pool_no"], micros(data["expires_at"]))
        held = (hold.quantity, hold.partner_id, hold.pool.number, hold.expires_at)
        if (
            told != held
            or data["ledger_seq"] != hold.place[2]
            or micros(data["held_at"]) != hold.held_at
        ):
            rule = f"{id} was opened otherwise than it is held"
            verdicts.violate("I2", rule, until=place, reservations=(id,))

    def _end(self, row: Row, meta: Row, end: str, at: int, place: EventPlace) -> Hold | None:
        id, verdicts = row["subject"], self._verdicts
        hold = self._model.holds.get(id)
        if hold is None:
            verdicts.violate("I6", f"{id} {end} and was never held", until=place, events=(place,))
            return None
        if hold.life_end is not None:
            invariant = "I10" if {end, hold.life_end} == {"activated", "expired"} else "I6"
            rule = f"{id} has two ends: {hold.life_end} and {end}"
            verdicts.violate("I6", rule, until=place, reservations=(id,))
            if invariant == "I10":
                verdicts.violate("I10", rule, until=place, reservations=(id,))
            return None
        hold.life_end, hold.life_end_place, hold.life_end_at = end, place, at
        hold.life_command_id = meta["correlation_id"]
        hold.life_fingerprint = meta.get("fingerprint") or ""
        if end != "expired":
            self._log.author(row, meta, hold.partner_id)
            self._model.ended_by[hold.life_command_id] = hold
            if at >= hold.expires_at:
                rule = f"{id} was {end} at or after its deadline"
                verdicts.violate("I8", rule, until=place, reservations=(id,))
        return hold

    def _activated(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        hold = self._end(row, meta, "activated", at, place)
        if hold is None:
            return
        id, verdicts = hold.reservation_id, self._verdicts
        other = self._model.orders.get(data["order_id"])
        if other is not None:
            rule = f"{id} and {other.reservation_id} have one order number, {data['order_id']}"
            verdicts.violate("I7", rule, until=place, reservations=(other.reservation_id, id))
        self._model.orders[data["order_id"]] = hold
        hold.order_id = data["order_id"]
        types, day = tuple(data["customer_types"]), data["visit_date"]
        lines = lines_of(data["lines"])
        hold.sale = (lines, day, types)
        if len(types) != hold.quantity or data["quantity"] != hold.quantity:
            rule = f"{id} holds {hold.quantity} units and was activated for {len(types)}"
            verdicts.violate("I7", rule, until=place, reservations=(id,))
        verdicts.look("I20")
        product = self._model.product_of(hold)
        if product is None:
            return  # told when the ledger was replayed
        prices = product.prices
        expected = prices.lines(types, day)
        if expected != lines or data["total_minor"] != sum(line[3] for line in expected or ()):
            rule = f"{id} costs {data['total_minor']} cents; its frozen prices make it {expected}"
            verdicts.violate("I20", rule, until=place, reservations=(id,))
        frozen = (prices.day_class(day), prices.currency, hold.rule_version)
        if (data["day_class"], data["currency"], data["rule_version"]) != frozen:
            rule = f"{id}: day class, currency or rule version are not those of its prices"
            verdicts.violate("I20", rule, until=place, reservations=(id,))

    def _cancelled(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        self._end(row, meta, "cancelled", at, place)

    def _expired(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        hold = self._end(row, meta, "expired", at, place)
        if hold is None:
            return
        if at < hold.expires_at or micros(data["due_at"]) != hold.expires_at:
            rule = f"{hold.reservation_id} expired before its time, or not for its deadline"
            self._verdicts.violate("I8", rule, until=place, reservations=(hold.reservation_id,))

    def finish(self, faults: Windows) -> None:
        """Check what must have happened by the end, and count."""
        self._log.finish()
        verdicts, model = self._verdicts, self._model
        lateness: list[int] = []
        for hold in model.holds.values():
            self._check_ends(hold)
            if hold.life_end == "expired":
                self._check_lateness(hold, faults, lateness)
            elif hold.life_end is None and model.exported_at:
                self._check_due(hold, faults)
        ended = sum(hold.life_end is not None for hold in model.holds.values())
        verdicts.look("I6", ended)
        verdicts.look("I8", len(lateness))
        verdicts.figures["holds"] = len(model.holds)
        verdicts.figures["expired"] = len(lateness)
        p99_s = percentile(lateness, 0.99) / 1e6
        if lateness:
            verdicts.figures["expiry_late_p99_s"] = p99_s
            verdicts.figures["expiry_late_max_s"] = max(lateness) / 1e6
        if len(lateness) >= SAMPLE_MIN and p99_s > LATE_P99_MAX_S:
            rule = f"one hold in a hundred ended {p99_s:.1f} s after its deadline or later"
            verdicts.violate("I8", rule)

    def _check_lateness(self, hold: Hold, faults: Windows, lateness: list[int]) -> None:
        back_at = max(hold.life_end_at, hold.ledger_end_at)
        late = faults.outside(hold.expires_at, back_at) if back_at > hold.expires_at else 0
        lateness.append(late)
        if late > LATE_MAX_S * 1e6:
            rule = (
                f"the units of {hold.reservation_id} came back {late / 1e6:.1f} s after its"
                " deadline"
            )
            places = (hold.reservation_id,)
            self._verdicts.violate("I8", rule, until=hold.life_end_place, reservations=places)

    def _check_due(self, hold: Hold, faults: Windows) -> None:
        exported_at = self._model.exported_at
        if exported_at <= hold.expires_at:
            return
        self._verdicts.look("I8")
        if faults.outside(hold.expires_at, exported_at) > LATE_MAX_S * 1e6:
            rule = f"{hold.reservation_id} is past its deadline and has not ended"
            self._verdicts.violate("I8", rule, reservations=(hold.reservation_id,))

    def _check_ends(self, hold: Hold) -> None:
        """The ledger moves a hold's units as its life ended, and never by itself."""
        id, verdicts, model = (hold.reservation_id,), self._verdicts, self._model
        if hold.life_end is None:
            if hold.ledger_end is not None:
                rule = f"{id[0]} ended as {hold.ledger_end} in the ledger, its life goes on"
                verdicts.violate("I6", rule, until=hold.ledger_end_place, reservations=id)
            return
        if hold.ledger_end is None:
            if model.settled(hold.life_end_at):
                invariant = "I7" if hold.life_end == "activated" else "I9"
                rule = f"{id[0]} was {hold.life_end}, but the ledger has not moved its units"
                verdicts.violate(invariant, rule, until=hold.life_end_place, reservations=id)
        elif LEDGER_END[hold.life_end] != hold.ledger_end:
            rule = f"{id[0]} was {hold.life_end}, the ledger ended it as {hold.ledger_end}"
            verdicts.violate("I6", rule, until=hold.ledger_end_place, reservations=id)

"""The checks at every recorded event: a small model of its own, fed with rows as they are stored.

It reads JSON and knows the rules from the contract; it shares no code with the deciders.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from libs.events.ports import EventRow, Head, Write

PRICES = {106: (28_800, 31_800), 107: (18_800, 18_800)}
REDUCED = 18_800
SPECIAL_DATES = {date(2026, 12, 31): 1500}
NARROW_S = 0.06
"""An activation that was decided so shortly before the deadline has won a race."""


@dataclass(slots=True)
class Pool:
    """A pool's figures; *shown* are its sellable units from each number of its partition on."""

    allotted: int = 0
    held: int = 0
    sold: int = 0
    selling: bool = True
    shown: list[tuple[int, int]] = field(default_factory=list)

    @property
    def available(self) -> int:
        """What can be held."""
        return self.allotted - self.held - self.sold


@dataclass(slots=True)
class Hold:
    """A hold in the ledger, and its life in the reservation service."""

    partner_id: str
    pool_no: int
    product_id: int
    quantity: int
    expires_at: datetime
    units: str = "held"
    life: str = "active"
    order_id: str | None = None
    total_minor: int = 0


@dataclass(slots=True)
class Chain:
    """One partition's log."""

    seq: int = 0
    hash: bytes | None = None
    decided_at: datetime | None = None
    epoch: int = 0
    inputs: dict[str, tuple[int, int]] = field(default_factory=dict)


class Ledger:
    """What the recorded events say, checked one after another.

    *sent* says whether a client has sent a command with this id and fingerprint; *broken*
    takes a check's name and a sentence.
    """

    def __init__(
        self,
        *,
        sent: Callable[[str, str | None], bool],
        broken: Callable[[str, str], None],
        count: Callable[[str], None],
    ) -> None:
        self._sent = sent
        self._broken = broken
        self._count = count
        self.pools: dict[int, Pool] = {}
        self.holds: dict[str, Hold] = {}
        self.caps: dict[tuple[int, str], int | None] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.chains: dict[tuple[str, int], Chain] = {}
        self._ordered: set[str] = set()
        self._numbers: set[str] = set()
        self.events = 0

    def written(self, service: str, partition: int, write: Write, before: Head) -> None:
        """Check one accepted write; *before* is the head that was there."""
        chain = self.chains.setdefault((service, partition), Chain())
        where = f"{service} partition {partition}"
        if write.before.epoch < before.epoch:
            self._broken(
                "I18 fencing",
                f"{where}: epoch {write.before.epoch} wrote after {before.epoch} began",
            )
        for topic, at in write.after.inputs.items():
            place = (at.log_epoch, at.offset)
            if place < chain.inputs.get(topic, (0, -1)):
                self._broken("I19 positions", f"{where}: {topic} went back to {place}")
            chain.inputs[topic] = place
        for row in write.events:
            self._event(service, partition, chain, row, write.after.decided_at)
        if write.after.seq != chain.seq:
            self._broken("I13 numbers", f"{where}: head says {write.after.seq}, log {chain.seq}")

    def _event(
        self, service: str, partition: int, chain: Chain, row: EventRow, at: datetime
    ) -> None:
        self.events += 1
        where = f"{service}-{partition}-{row.seq}"
        if row.seq != chain.seq + 1:
            self._broken("I13 numbers", f"{where} follows {chain.seq}")
        if chain.hash is not None and row.previous_hash != chain.hash:
            self._broken("I22 chain", f"{where} does not follow from the event before")
        if chain.decided_at is not None and at < chain.decided_at:
            self._broken("I13 time", f"{where} was decided before the event before it")
        chain.seq, chain.hash, chain.decided_at = row.seq, row.hash, at
        kind = row.type.rsplit(".", 1)[-1]
        data, meta = json.loads(row.data), json.loads(row.meta)
        if kind in ("units_held", "reservation_activated", "reservation_cancelled") and not (
            self._sent(meta["correlation_id"], meta["fingerprint"])
        ):
            self._broken("I4 no phantom", f"{where} {kind}: nobody sent {meta['correlation_id']}")
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, where, data, at)
        pool = self.pools.get(data.get("pool_no", 0))
        if service == "inventory" and pool is not None:
            self._check_pool(where, data["pool_no"], pool)
            pool.shown.append((row.seq, pool.available if pool.selling else 0))

    def _check_pool(self, where: str, pool_no: int, pool: Pool) -> None:
        if pool.held < 0 or pool.sold < 0:
            self._broken("I1 oversell", f"{where}: pool {pool_no} holds {pool.held}, {pool.sold}")
        if pool.available < 0:
            self._broken("I1 oversell", f"{where}: pool {pool_no} is oversold by {-pool.available}")

    def _units_held(self, where: str, data: dict[str, Any], at: datetime) -> None:
        id, quantity = data["reservation_id"], data["quantity"]
        if id in self.holds:
            self._broken("I5 one effect", f"{where}: {id} was held before")
        expires_at = datetime.fromisoformat(data["expires_at"])
        partner_id, pool_no = data["partner_id"], data["pool_no"]
        if expires_at <= at:
            self._broken("I8 expiry", f"{where}: {id} was over when it began")
        self.holds[id] = Hold(partner_id, pool_no, data["product_id"], quantity, expires_at)
        pool = self.pools[pool_no]
        if not pool.selling:
            self._broken("I12 pools", f"{where}: sales of pool {pool_no} are stopped")
        pool.held += quantity
        cap = self.caps.get((pool_no, partner_id))
        if cap is not None:
            theirs = sum(
                hold.quantity
                for hold in self.holds.values()
                if (hold.pool_no, hold.partner_id, hold.units) == (pool_no, partner_id, "held")
            )
            if theirs > cap:
                self._broken("cap", f"{where}: {partner_id} holds {theirs}, its cap is {cap}")

    def _moved(self, where: str, data: dict[str, Any], to: str) -> None:
        hold = self.holds.get(data["reservation_id"])
        if hold is None or hold.units != "held":
            self._broken("I9 moved once", f"{where}: {data['reservation_id']} is not held")
            return
        if (hold.pool_no, hold.quantity) != (data["pool_no"], data["quantity"]):
            self._broken("I9 moved once", f"{where}: other units than were held")
        expected = {"sold": ("activated",), "released": ("cancelled", "expired")}[to]
        if hold.life not in expected:
            self._broken("I6 one end", f"{where}: {to}, its life is {hold.life}")
        hold.units = to
        self.pools[hold.pool_no].held -= hold.quantity

    def _units_sold(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self._moved(where, data, "sold")
        self.pools[data["pool_no"]].sold += data["quantity"]

    def _units_released(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self._moved(where, data, "released")

    def _allotment_set(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self.pools.setdefault(data["pool_no"], Pool()).allotted = data["units"]

    def _sales_stopped(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self.pools[data["pool_no"]].selling = False

    def _sales_resumed(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self.pools[data["pool_no"]].selling = True

    def _partner_cap_set(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self.caps[data["pool_no"], data["partner_id"]] = data["units"]

    def _ledger_conflict_found(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self._broken("I6 one end", f"{where}: the ledger met an end that it cannot apply: {data}")

    def _ended(self, where: str, data: dict[str, Any], to: str) -> Hold | None:
        hold = self.holds.get(data["reservation_id"])
        if hold is None or hold.life != "active":
            life = hold.life if hold is not None else None
            self._broken("I6 one end", f"{where}: {to}, but it is {life}")
            return None
        hold.life = to
        return hold

    def _reservation_activated(self, where: str, data: dict[str, Any], at: datetime) -> None:
        hold = self._ended(where, data, "activated")
        if hold is None:
            return
        if (hold.expires_at - at).total_seconds() < NARROW_S:
            self._count("expiry lost to activation")
        if at >= hold.expires_at:
            self._broken("I10 race", f"{where}: activated at {at}, over since {hold.expires_at}")
        if data["order_id"] in self._numbers:
            self._broken("I7 orders", f"{where}: {data['order_id']} was given before")
        self._numbers.add(data["order_id"])
        hold.order_id, hold.total_minor = data["order_id"], data["total_minor"]
        visit = data["visit_date"]
        expected = total_of(
            hold.product_id, data["customer_types"], date.fromisoformat(visit) if visit else None
        )
        if data["total_minor"] != expected or len(data["customer_types"]) != hold.quantity:
            self._broken("I20 price", f"{where}: {data['total_minor']} instead of {expected}")

    def _reservation_cancelled(self, where: str, data: dict[str, Any], at: datetime) -> None:
        self._ended(where, data, "cancelled")

    def _reservation_expired(self, where: str, data: dict[str, Any], at: datetime) -> None:
        hold = self._ended(where, data, "expired")
        if hold is not None and at < hold.expires_at:
            self._broken("I8 expiry", f"{where}: expired at {at}, not over until {hold.expires_at}")

    def _order_created(self, where: str, data: dict[str, Any], at: datetime) -> None:
        id = data["reservation_id"]
        hold = self.holds.get(id)
        if hold is None or hold.life != "activated":
            self._broken("I7 orders", f"{where}: an order of {id}, which was not activated")
            return
        if id in self._ordered:
            self._broken("I7 orders", f"{where}: a second order of {id}")
        self._ordered.add(id)
        if data["order_id"] != hold.order_id:
            self._broken(
                "I7 orders", f"{where}: order {data['order_id']} instead of {hold.order_id}"
            )
        if data["total_minor"] != hold.total_minor or data["partner_id"] != hold.partner_id:
            self._broken("I7 orders", f"{where}: other total or partner than was activated")
        if len(data["tickets"]) != hold.quantity:
            self._broken("I7 orders", f"{where}: {len(data['tickets'])} of {hold.quantity} tickets")
        numbers = [each["ticket_code"] for each in data["tickets"]] + [data["confirmation_code"]]
        if len(set(numbers)) < len(numbers) or not self._numbers.isdisjoint(numbers):
            self._broken("I7 orders", f"{where}: a number was given before")
        self._numbers.update(numbers)
        self.orders[data["order_id"]] = data


Handler = Callable[[Ledger, str, dict[str, Any], datetime], None]
_HANDLERS: dict[str, Handler] = {
    "units_held": Ledger._units_held,
    "units_sold": Ledger._units_sold,
    "units_released": Ledger._units_released,
    "allotment_set": Ledger._allotment_set,
    "sales_stopped": Ledger._sales_stopped,
    "sales_resumed": Ledger._sales_resumed,
    "partner_cap_set": Ledger._partner_cap_set,
    "ledger_conflict_found": Ledger._ledger_conflict_found,
    "reservation_activated": Ledger._reservation_activated,
    "reservation_cancelled": Ledger._reservation_cancelled,
    "reservation_expired": Ledger._reservation_expired,
    "order_created": Ledger._order_created,
}


def total_of(product_id: int, customer_types: Sequence[str], on: date | None) -> int:
    """Return what an order costs, in minor units (contract, section 3)."""
    weekday, weekend = PRICES[product_id]
    adult = weekday
    if on is not None:
        adult = weekend if on.weekday() >= 5 else weekday
        if on in SPECIAL_DATES:
            dollars = (adult * SPECIAL_DATES[on] + 50_000) // 100_000
            adult = dollars * 100
    return sum(adult if each == "adult" else REDUCED for each in customer_types)

"""Replays the inventory service's log: the claimed serial order of everything about units.

I1, I6, I8, I9, I12, and what prices were frozen (I20).
"""

from __future__ import annotations

from collections.abc import Callable

from ota_checker.chain import LogCheck
from ota_checker.identity import micros, pool_in
from ota_checker.model import CatalogueProduct, Hold, Model, Pool
from ota_checker.reading import Row
from ota_checker.verdicts import EventPlace, Verdicts

QUANTITY_MAX = 100
HOLD_MAX_S = 48 * 3600
SERVICE = "inventory"


class Ledger:
    """Applies the ledger's events one after another, and asserts after each."""

    def __init__(self, *, model: Model, verdicts: Verdicts) -> None:
        self._model = model
        self._verdicts = verdicts
        self._log = LogCheck(service=SERVICE, model=model, verdicts=verdicts)
        self.kinds: dict[str, Callable[[Row, Row, Row, int, EventPlace], None]] = {
            "ota.inventory.units_held": self._held,
            "ota.inventory.units_sold": self._sold,
            "ota.inventory.units_released": self._released,
            "ota.inventory.allotment_set": self._allotted,
            "ota.inventory.sales_stopped": self._switched,
            "ota.inventory.sales_resumed": self._switched,
            "ota.inventory.partner_cap_set": self._capped,
            "ota.inventory.ledger_conflict_found": self._conflict,
            "ota.inventory.catalogue_published": self._published,
        }

    def take(self, row: Row) -> None:
        """Apply one event."""
        at, meta, data = self._log.take(row)
        place = (SERVICE, row["partition"], row["seq"])
        apply = self.kinds.get(row["type"])
        if apply is None:
            rule = f"the ledger has an event of the unknown type {row['type']}"
            self._verdicts.violate("I4", rule, until=place, events=(place,))
            return
        apply(row, meta, data, at, place)

    def finish(self) -> None:
        """Count what was looked at."""
        self._log.finish()
        verdicts, model = self._verdicts, self._model
        verdicts.look("I1", self._log.events)
        verdicts.look("I12", sum(len(pool.seqs) for pool in model.pools.values()))
        for hold in model.holds.values():  # a catalogue lies in one partition: all must be read
            self._check_prices(hold)
        ended = sum(hold.ledger_end is not None for hold in model.holds.values())
        verdicts.look("I6", len(model.holds))
        verdicts.look("I9", ended)

    def _held(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        id, quantity = data["reservation_id"], data["quantity"]
        model, verdicts = self._model, self._verdicts
        pool = model.pools.get(data["pool_no"])
        if pool is None:
            rule = f"{id} holds units of pool {data['pool_no']}, which has none"
            verdicts.violate("I1", rule, until=place, events=(place,))
            return
        if id in model.holds or meta["correlation_id"] in model.held_by:
            first = model.holds.get(id) or model.held_by[meta["correlation_id"]]
            rule = f"one command has held units twice: {first.reservation_id} and {id}"
            verdicts.violate("I5", rule, until=place, events=(first.place, place))
            if id in model.holds:
                return
        self._log.author(row, meta, data["partner_id"])
        carried = data.get("prices")  # version 1 repeats the catalogue's (ADR 22)
        hold = Hold(
            reservation_id=id,
            place=place,
            pool=pool,
            partner_id=data["partner_id"],
            quantity=quantity,
            held_at=at,
            expires_at=micros(data["expires_at"]),
            rule_version=carried["rule_version"] if carried else data["rule_version"],
            carried=model.prices.read(carried) if carried else None,
            visit_date=data.get("visit_date"),
            command_id=meta["correlation_id"],
            fingerprint=meta.get("fingerprint") or "",
        )
        self._check_hold(hold, row, data)
        model.holds[id] = model.held_by[hold.command_id] = hold
        theirs = (pool.number, hold.partner_id)
        model.open_units[theirs] = model.open_units.get(theirs, 0) + quantity
        cap = model.caps.get(theirs)
        if cap is not None and model.open_units[theirs] > cap:
            rule = (
                f"{hold.partner_id} holds {model.open_units[theirs]} units of pool {pool.number},"
                f" capped at {cap}"
            )
            self._verdicts.violate("I1", rule, until=place, pool_no=pool.number)
        pool.held += quantity
        self._version(pool, place)

    def _check_hold(self, hold: Hold, row: Row, data: Row) -> None:
        pool, place, verdicts = hold.pool, hold.place, self._verdicts
        id = hold.reservation_id
        if (data["product_id"], data["channel"]) != (pool.product_id, pool.channel):
            rule = (
                f"{id} is of {data['product_id']}/{data['channel']}, its pool of"
                f" {pool.product_id}/{pool.channel}"
            )
            verdicts.violate("I12", rule, until=place, events=(place,), pool_no=pool.number)
        if pool_in(id) != pool.number or row["partition"] != pool.partition:
            rule = (
                f"{id} holds units of pool {pool.number}, which it does not name or which lies"
                " elsewhere"
            )
            verdicts.violate("I12", rule, until=place, events=(place,))
        if not 1 <= hold.quantity <= QUANTITY_MAX:
            rule = f"{id} holds {hold.quantity} units; a hold has 1 to {QUANTITY_MAX}"
            verdicts.violate("I1", rule, until=place, events=(place,))
        if not pool.selling:
            rule = f"{id} holds units of pool {pool.number} while it does not sell"
            verdicts.violate("I1", rule, until=place, events=(place,), pool_no=pool.number)
        if not hold.held_at < hold.expires_at <= hold.held_at + HOLD_MAX_S * 1_000_000:
            rule = f"{id} ends at once or after more than 48 hours"
            verdicts.violate("I8", rule, until=place, events=(place,))

    def _check_prices(self, hold: Hold) -> None:
        self._verdicts.look("I20")
        product = self._model.product_of(hold)
        if product is None:
            what = f"was sold from catalogue {hold.rule_version}, which has no such product"
        elif hold.carried not in (None, product.prices):
            what = f"was given other prices than catalogue {hold.rule_version} has"
        else:
            return
        rule = f"{hold.reservation_id} {what}"
        self._verdicts.violate("I20", rule, until=hold.place, events=(hold.place,))

    def _version(self, pool: Pool, place: EventPlace) -> None:
        """Assert I1 and keep the figures."""
        if pool.held < 0 or pool.sold < 0 or pool.held + pool.sold > pool.allotted:
            rule = (
                f"pool {pool.number} has {pool.allotted} units, of which {pool.held} are held"
                f" and {pool.sold} sold"
            )
            self._verdicts.violate("I1", rule, until=place, pool_no=pool.number)
        if pool.partition != place[1]:
            rule = (
                f"pool {pool.number} lies in partition {pool.partition} and was moved in {place[1]}"
            )
            self._verdicts.violate("I12", rule, until=place, events=(place,))
        pool.note(place[2])

    def _sold(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        hold = self._end(data, "sold", at, place)
        if hold is not None:
            hold.pool.held -= data["quantity"]
            hold.pool.sold += data["quantity"]
            self._version(hold.pool, place)

    def _released(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        hold = self._end(data, data["reason"], at, place)
        if hold is not None:
            hold.pool.held -= data["quantity"]
            self._version(hold.pool, place)

    def _end(self, data: Row, end: str, at: int, place: EventPlace) -> Hold | None:
        """Return the hold that ends; None if it was not open, which moves nothing."""
        id, verdicts = data["reservation_id"], self._verdicts
        hold = self._model.holds.get(id)
        if hold is None:
            verdicts.violate(
                "I6", f"{id} ends as {end} without a hold", until=place, events=(place,)
            )
            return None
        if hold.ledger_end is not None:
            invariant = "I6" if "sold" in (end, hold.ledger_end) else "I9"
            rule = f"{id} ends twice in the ledger: as {hold.ledger_end} and as {end}"
            verdicts.violate(invariant, rule, until=place, reservations=(id,))
            return hold if invariant == "I9" else None
        if data["quantity"] != hold.quantity:
            rule = (
                f"{id} holds {hold.quantity} units, {data['quantity']} of them were moved at its"
                " end"
            )
            verdicts.violate("I9", rule, until=place, reservations=(id,))
        if data["pool_no"] != hold.pool.number:
            rule = (
                f"{id} is of pool {hold.pool.number}, its end moved units of pool {data['pool_no']}"
            )
            verdicts.violate("I12", rule, until=place, reservations=(id,))
        hold.ledger_end, hold.ledger_end_place, hold.ledger_end_at = end, place, at
        self._model.open_units[hold.pool.number, hold.partner_id] -= hold.quantity
        return hold

    def _allotted(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        model = self._model
        pool = model.pools.get(data["pool_no"])
        if pool is None:
            pool = Pool(
                number=data["pool_no"],
                product_id=data["product_id"],
                channel=data["channel"],
                partition=row["partition"],
            )
            model.pools[pool.number] = pool
            model.pool_of[pool.product_id, pool.channel] = pool
        elif (data["product_id"], data["channel"]) != (pool.product_id, pool.channel):
            rule = (
                f"pool {pool.number} changes from {pool.product_id}/{pool.channel} to"
                f" {data['product_id']}/{data['channel']}"
            )
            self._verdicts.violate("I12", rule, until=place, pool_no=pool.number)
        pool.allotted = data["units"]
        model.administrative[meta["correlation_id"]] = at
        self._version(pool, place)

    def _switched(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        pool = self._model.pools.get(data["pool_no"])
        self._model.administrative[meta["correlation_id"]] = at
        if pool is not None:
            pool.selling = row["type"].endswith("resumed")
            self._version(pool, place)

    def _capped(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        model = self._model
        model.administrative[meta["correlation_id"]] = at
        theirs = (data["pool_no"], data["partner_id"])
        model.caps[theirs] = data["units"]
        if data["units"] is not None:
            model.caps_seen.add((*theirs, data["units"]))
            if data["held"] != model.open_units.get(theirs, 0):
                rule = (
                    f"the cap of {theirs[1]} in pool {theirs[0]} counts {data['held']} held units,"
                    f" there are {model.open_units.get(theirs, 0)}"
                )
                self._verdicts.violate("I2", rule, until=place, events=(place,))

    def _conflict(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        rule = f"the ledger itself found a conflict over {data['reservation_id']}: {data['reason']}"
        self._verdicts.violate("I6", rule, until=place, reservations=(data["reservation_id"],))

    def _published(self, row: Row, meta: Row, data: Row, at: int, place: EventPlace) -> None:
        model, catalogue = self._model, data["catalogue"]
        model.administrative[meta["correlation_id"]] = at
        if catalogue["version"] <= max(model.catalogues, default=0):
            rule = f"catalogue version {catalogue['version']} does not follow the one before"
            self._verdicts.violate("I13", rule, until=place, events=(place,))
        model.catalogues[catalogue["version"]] = {
            product["product_id"]: CatalogueProduct(
                prices=model.prices.read(product["prices"]),
                entitlements=product["entitlements"],
                ticket_prefix=product["ticket_prefix"],
            )
            for product in catalogue["products"]
        }

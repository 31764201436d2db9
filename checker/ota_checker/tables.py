"""Compares the entity tables, which partners' reads are made from, with the replay (I2, I16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ota_checker.identity import micros
from ota_checker.model import Hold, Model
from ota_checker.orders import ticket_digest
from ota_checker.reading import Export, Row
from ota_checker.verdicts import Verdicts

LEDGER_STATUS = {None: "held", "sold": "sold", "cancelled": "released", "expired": "released"}


class Tables:
    """Reads every table that the export has, and counts rows: none may be missing or extra."""

    def __init__(self, *, model: Model, verdicts: Verdicts) -> None:
        self._model = model
        self._verdicts = verdicts
        self._lives: set[str] = set()
        self._kinds: dict[str, tuple[Callable[[Row], None], Callable[[], int]]] = {
            "inventory.pool": (self._pool, lambda: len(model.pools)),
            "inventory.hold": (self._hold, lambda: len(model.holds)),
            "inventory.partner_cap": (self._cap, lambda: len(model.caps)),
            "inventory.catalogue": (self._catalogue, lambda: len(model.catalogues)),
            "reservation.reservation": (self._reservation, self._begun),
            "reservation.numbering": (self._numbers, self._counters),
            "fulfillment.customer_order": (self._order, self._ordered),
            "fulfillment.ticket": (self._ticket, lambda: len(model.tickets)),
        }

    def check(self, export: Export) -> None:
        """Compare all tables."""
        for name, (compare, expected) in self._kinds.items():
            file = f"table.{name}.jsonl"
            if export.path(file) is None:
                continue
            rows = 0
            for row in export.rows(file):
                compare(row)
                rows += 1
            self._verdicts.look("I16", rows + 1)
            if rows != expected():
                rule = f"table {name} has {rows} rows, the replay makes {expected()}"
                self._verdicts.violate("I16", rule)
        if export.path("table.fulfillment.ticket.jsonl") is not None:
            self._check_tickets()

    def _begun(self) -> int:
        """Every hold has a life; one of the last moment may have none yet."""
        return sum(
            id in self._lives or hold.life_end is not None or self._model.settled(hold.held_at)
            for id, hold in self._model.holds.items()
        )

    def _ordered(self) -> int:
        return sum(hold.order is not None for hold in self._model.orders.values())

    def _counters(self) -> int:
        return len({hold.place[1] for hold in self._model.orders.values()})

    def _differ(self, what: str, told: object, replayed: object, hold: Hold | None) -> None:
        if told != replayed:
            ids = (hold.reservation_id,) if hold is not None else ()
            rule = f"{what} says {told}, the replay makes {replayed}"
            self._verdicts.violate("I16", rule, reservations=ids)

    def _pool(self, row: Row) -> None:
        pool = self._model.pools.get(row["pool_no"])
        told = (row["allotted"], row["held"], row["sold"], row["selling"])
        self._verdicts.look("I2")
        replayed = pool and (pool.allotted, pool.held, pool.sold, pool.selling)
        if told != replayed:
            rule = f"the row of pool {row['pool_no']} says {told}, the replay makes {replayed}"
            self._verdicts.violate("I2", rule, pool_no=row["pool_no"])
            self._verdicts.violate("I16", rule, pool_no=row["pool_no"])

    def _hold(self, row: Row) -> None:
        hold = self._model.holds.get(row["reservation_id"])
        told = (
            *(row["pool_no"], row["partner_id"], row["quantity"], row["status"], row["seq"]),
            *(micros(row["held_at"]), micros(row["expires_at"])),
        )
        replayed = hold and (
            *(hold.pool.number, hold.partner_id, hold.quantity, LEDGER_STATUS[hold.ledger_end]),
            *(hold.place[2], hold.held_at, hold.expires_at),
        )
        self._differ(f"the row of hold {row['reservation_id']}", told, replayed, hold)

    def _cap(self, row: Row) -> None:
        theirs = (row["pool_no"], row["partner_id"])
        units = self._model.caps.get(theirs)
        held = self._model.open_units.get(theirs, 0) if units is not None else 0
        self._differ(f"the row of cap {theirs}", (row["units"], row["held"]), (units, held), None)

    def _catalogue(self, row: Row) -> None:
        known = row["version"] in self._model.catalogues
        self._differ(f"the row of catalogue {row['version']}", True, known, None)

    def _reservation(self, row: Row) -> None:
        hold = self._model.holds.get(row["reservation_id"])
        self._lives.add(row["reservation_id"])
        ended_at = row["ended_at"] and micros(row["ended_at"])
        told = (
            *(row["partner_id"], row["quantity"], row["status"], row["order_id"], ended_at),
            *(micros(row["expires_at"]), row["ended_by"]),
            *(row["pool_no"], row["ledger_seq"], micros(row["held_at"])),
        )
        replayed = hold and (
            *(hold.partner_id, hold.quantity, hold.life_end or "active", hold.order_id),
            *(hold.life_end_at or None, hold.expires_at, hold.life_command_id or None),
            *(hold.pool.number, hold.place[2], hold.held_at),
        )
        self._differ(f"the row of reservation {row['reservation_id']}", told, replayed, hold)

    def _numbers(self, row: Row) -> None:
        given = Counter(hold.place[1] for hold in self._model.orders.values())
        replayed = given[row["partition"]]
        what = f"the counter of order numbers of partition {row['partition']}"
        self._differ(what, row["orders"], replayed, None)

    def _order(self, row: Row) -> None:
        hold = self._model.orders.get(row["order_id"])
        order = hold.order if hold is not None else None
        told = (
            *(row["reservation_id"], row["partner_id"], row["quantity"], row["total_minor"]),
            *(row["confirmation_code"], row["status"], micros(row["created_at"])),
        )
        replayed = (
            hold
            and order
            and (
                *(hold.reservation_id, hold.partner_id, hold.quantity, order.total),
                *(order.confirmation_code, "confirmed", order.created_at),
            )
        )
        self._differ(f"the row of order {row['order_id']}", told, replayed, hold)

    def _ticket(self, row: Row) -> None:
        hold = self._model.tickets.get(row["ticket_code"])
        if hold is None or hold.order is None or hold.order_id != row["order_id"]:
            rule = f"the row of ticket {row['ticket_code']} belongs to no order of the log"
            self._verdicts.violate("I16", rule)
            return
        hold.order.tickets_left ^= ticket_digest(row["position"], row)

    def _check_tickets(self) -> None:
        for hold in self._model.orders.values():
            if hold.order is not None and hold.order.tickets_left:
                rule = f"the tickets' rows of {hold.order_id} are not those that were issued"
                ids = (hold.reservation_id,)
                self._verdicts.violate("I16", rule, reservations=ids)

"""Reads of reservations, orders and tickets: what was told is found again, as it is (I7, I15)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ota_checker.answers import Answers
from ota_checker.calls import SHARED_GATEWAY, Call
from ota_checker.identity import micros
from ota_checker.model import Hold, Model
from ota_checker.verdicts import Verdicts

EXISTS, ENDED = 1, 2
"""The states of a hold that follow one another; 0 is none."""


@dataclass(slots=True)
class _Read:
    call_line: int
    invoked_ns: int
    completed_ns: int
    client: str
    gateway: str
    hold: Hold
    state: int


@dataclass(slots=True)
class EntityReads:
    """Takes reads of single things and of lists, judges their age at the end."""

    model: Model
    verdicts: Verdicts
    _answers: Answers = field(init=False)
    _reads: list[_Read] = field(default_factory=list)
    _told: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    """By gateway and reservation: when which state had been told, and in which line."""

    def __post_init__(self) -> None:
        """Get what checks orders."""
        self._answers = Answers(model=self.model, verdicts=self.verdicts)

    def tell(self, call: Call, hold: Hold, state: int) -> None:
        """Note that a write has answered: its client knows that the hold has got this far."""
        told = self._told.setdefault((call.gateway, hold.reservation_id), [])
        while len(told) <= ENDED:
            told.append((0, 0))
        for each in range(1, state + 1):
            if not told[each][0] or call.completed_ns < told[each][0]:
                told[each] = (call.completed_ns, call.line)

    def take(self, call: Call) -> None:
        """Take a read's answer."""
        body = call.body
        if call.status == 200 and isinstance(body, dict):
            if call.op == "get_reservation":
                self._reservation(call, body)
            elif call.op == "list_reservations":
                for row in body.get("reservations", ()):
                    self._reservation(call, row)
            elif call.op == "get_order":
                self._order(call, body)
            elif call.op == "list_orders":
                for row in body.get("orders", ()):
                    self._order(call, row)
            elif call.op == "list_tickets":
                self._tickets(call, body)
        elif call.status == 404:
            self._missing(call)

    def _reservation(self, call: Call, row: dict[str, Any]) -> None:
        hold = self.model.holds.get(row["reservation_id"])
        if hold is None:
            rule = f"a read shows {row['reservation_id']}, which holds nothing"
            self.verdicts.violate("I15", rule, calls=(call.line,))
            return
        told = (row["product_id"], row["quantity"], micros(row["expires_at"]))
        held = (hold.pool.product_id, hold.quantity, hold.expires_at)
        status, id = row["status"], (hold.reservation_id,)
        if told != held or micros(row["created_at"]) != hold.held_at:
            rule = f"a read shows {id[0]} otherwise than it is held"
            self.verdicts.violate("I15", rule, reservations=id, calls=(call.line,))
        if status not in ("active", hold.life_end) or row.get("order_id") not in (
            None,
            hold.order_id,
        ):
            rule = f"a read shows {id[0]} as {status}, which it never was"
            self.verdicts.violate("I15", rule, reservations=id, calls=(call.line,))
        self._answers.snapshot(call, hold, row.get("pricing_snapshot"))
        self._note(call, hold, EXISTS if status == "active" else ENDED)

    def _order(self, call: Call, row: dict[str, Any]) -> None:
        hold = self.model.orders.get(row["order_id"])
        if hold is None or hold.order is None:
            rule = f"a read shows order {row['order_id']}, which was never created"
            self.verdicts.violate("I7", rule, calls=(call.line,))
            return
        self._answers.order(call, hold, hold.order, row)
        self._note(call, hold, ENDED)

    def _tickets(self, call: Call, body: dict[str, Any]) -> None:
        hold = self.model.orders.get(call.named_order or "")
        if hold is None or hold.order is None:
            return
        if len(body["tickets"]) == body["total_count"]:
            self._answers.tickets(call, hold, hold.order, body["tickets"])
        self._note(call, hold, ENDED)

    def _missing(self, call: Call) -> None:
        """A 404 says that there is none; it may be true, or older than what was told."""
        named = call.named_reservation
        hold = (
            self.model.holds.get(named) if named else self.model.orders.get(call.named_order or "")
        )
        if hold is not None and hold.partner_id == call.partner:
            self._note(call, hold, 0 if named else EXISTS)

    def _note(self, call: Call, hold: Hold, state: int) -> None:
        self._reads.append(
            _Read(
                call.line,
                call.invoked_ns,
                call.completed_ns,
                call.client,
                call.gateway,
                hold,
                state,
            )
        )

    def finish(self) -> None:
        """Judge each read by what had been told, and seen by its client, before it was sent."""
        seen: dict[tuple[str, str, str], tuple[int, int, int]] = {}
        self._reads.sort(key=lambda read: read.completed_ns)
        for read in self._reads:
            self.verdicts.look("I15")
            if read.gateway == SHARED_GATEWAY:
                continue
            id = read.hold.reservation_id
            who = (read.client, read.gateway, id)
            told = self._told.get((read.gateway, id), ())
            for state, (at, line) in enumerate(told):
                if at and at < read.invoked_ns and read.state < state:
                    self._old(read, line, "had told")
                    break
            else:
                before = seen.get(who)
                if before is not None and before[1] < read.invoked_ns and read.state < before[0]:
                    self._old(read, before[2], "had shown to the same client")
            if who not in seen or seen[who][0] < read.state:
                seen[who] = (read.state, read.completed_ns, read.call_line)

    def _old(self, read: _Read, line: int, how: str) -> None:
        id = read.hold.reservation_id
        rule = f"a read of {id} is older than line {line} of the history {how} before"
        self.verdicts.violate(
            "I15", rule, reservations=(id,), calls=tuple(filter(None, (line, read.call_line)))
        )

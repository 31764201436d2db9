"""What clients were told, held against what is recorded, at the moment of each answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.gateway.domain.refusal import Refusal
from simulation.actions import Activate, Cancel, Hold, Read, Reserve
from simulation.ledger import Ledger, total_of
from simulation.market import hold_id, pool_of

ANSWER_MAX_S = 2.0
RECORDED = {
    "SOLD_OUT",
    "HOLD_LIMIT_REACHED",
    "RESERVATION_EXPIRED",
    "RESERVATION_CANCELLED",
    "ALREADY_ACTIVATED",
    "CANNOT_CANCEL_ACTIVATED",
}
"""Refusals that a repeat must get again (contract, section 1)."""
PASSING = {"NOT_EXECUTED", "OUTCOME_UNKNOWN", "IDEMPOTENCY_IN_PROGRESS"}
"""Answers that promise nothing but that a repeat will tell."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got: *word* is "ok" or the refusal's word."""

    word: str
    body: bytes = b""
    extra: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False
    decided: bool = False

    @classmethod
    def of(
        cls, content: bytes | Refusal, *, replayed: bool = False, decided: bool = False
    ) -> Answer:
        """Return the answer that a use case's result is; *decided* by a service, not here."""
        if isinstance(content, Refusal):
            extra = dict(content.extra)
            return cls(content.word, content.detail.encode(), extra, replayed, decided)
        return cls("ok", content, {}, replayed, decided)


@dataclass(slots=True)
class Asked:
    """A call as it was made, with what was known then.

    *scope* is partner, method, path and key, within which all calls are one (contract,
    section 1); *floors* are the numbers from which on each pool's figures may be shown.
    """

    action: Reserve | Activate | Cancel | Read
    started_s: float
    command_id: str = ""
    fingerprint: str = ""
    scope: str = ""
    floors: dict[int, int] = field(default_factory=dict)
    life: str | None = None
    held: bool = False
    owed: frozenset[str] = frozenset()


class Promises:
    """The memory of all clients together."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        broken: Callable[[str, str], None],
        count: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._broken = broken
        self._count = count
        self._final: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._effects: dict[str, str] = {}
        self._unknown: set[tuple[str, str]] = set()
        self._bodies: dict[str, set[str]] = {}
        self._sent: dict[str, set[str]] = {}
        self.placed: dict[str, Hold] = {}
        self.acknowledged: dict[str, set[str]] = {}

    def sending(self, asked: Asked) -> None:
        """Take note of a write before it is made."""
        self._bodies.setdefault(asked.scope, set()).add(asked.fingerprint)
        self._sent.setdefault(asked.command_id, set()).add(asked.fingerprint)

    def sent(self, command_id: str, fingerprint: str | None) -> bool:
        """Say whether a client has sent this."""
        return fingerprint in self._sent.get(command_id, ())

    def open_questions(self) -> set[tuple[str, str]]:
        """Return the calls whose outcome no client knows, by scope and fingerprint."""
        return set(self._unknown)

    def unanswered(self, asked: Asked) -> None:
        """Take note of a call whose connection was lost."""
        if not isinstance(asked.action, Read):
            self._unknown.add((asked.scope, asked.fingerprint))

    def told(self, asked: Asked, answer: Answer, now_s: float) -> None:
        """Check an answer."""
        self._count(f"told {answer.word}")
        if now_s - asked.started_s > ANSWER_MAX_S:
            took = now_s - asked.started_s
            self._broken("I27 in time", f"{asked.action} was answered after {took:.2f} s")
        action = asked.action
        if isinstance(action, Read):
            self._read(asked, action, answer)
            return
        key = (asked.scope, asked.fingerprint)
        if answer.word in PASSING:
            self._unknown.add(key)
            return
        if key in self._unknown:
            self._unknown.discard(key)
            self._count("unknown outcomes resolved")
        self._repeated(asked, key, answer)
        match action:
            case Reserve():
                self._reserved(action, answer)
            case Activate():
                self._activated(asked, action, answer)
            case Cancel():
                self._cancelled(asked, action, answer)

    def _repeated(self, asked: Asked, key: tuple[str, str], answer: Answer) -> None:
        """I5: one key, one effect; the same question gets the same answer."""
        if answer.word == "IDEMPOTENCY_KEY_REUSED":
            if len(self._bodies[asked.scope]) < 2:
                self._broken("I5 one effect", f"{asked.action}: its key was used only once")
            return
        final = answer.decided and (answer.word == "ok" or answer.word in RECORDED)
        before = self._final.get(key)
        # A refusal that is not recorded may come late, in a copy, after what was decided since.
        if before is not None and final and before != (answer.word, answer.body):
            self._broken(
                "I5 one effect",
                f"{asked.action} was answered {before[0]} {before[1]!r},"
                f" then {answer.word} {answer.body!r}",
            )
        if not final:
            return
        if answer.replayed:
            self._count("repeats answered")
        self._final[key] = (answer.word, answer.body)
        effect = self._effects.setdefault(asked.scope, asked.fingerprint)
        if effect != asked.fingerprint:
            self._broken("I5 one effect", f"{asked.action}: two bodies under one key")

    def _reserved(self, action: Reserve, answer: Answer) -> None:
        if answer.word == "SOLD_OUT":
            if answer.extra.get("available", 0) >= action.quantity:
                self._broken("I1 oversell", f"{action}: sold out with {answer.extra}")
            return
        if answer.word != "ok":
            return
        body = json.loads(answer.body)
        id = body["reservation_id"]
        hold = self._ledger.holds.get(id)
        if hold is None:
            self._broken("I3 durable", f"{action}: {id} was acknowledged and is not recorded")
        elif (hold.partner_id, hold.quantity, hold.product_id) != (
            action.partner,
            body["quantity"],
            body["product_id"],
        ):
            self._broken("I3 durable", f"{action}: recorded is {hold}")
        pool = pool_of(action.partner, action.product_id)
        if hold is not None and (pool is None or hold.pool_no != pool.pool_no):
            self._broken("I12 pools", f"{action}: held in pool {hold.pool_no}")
        self.placed[id] = Hold(action.partner, action.key, action.product_id)
        self.acknowledged.setdefault(action.partner, set()).add(id)

    def _activated(self, asked: Asked, action: Activate, answer: Answer) -> None:
        id, hold = self._own(asked, action, answer)
        if hold is None:
            return
        if answer.word == "ok":
            body = json.loads(answer.body)
            order = self._ledger.orders.get(body["order_id"])
            if order is None or order["reservation_id"] != id:
                self._broken("I3 durable", f"{action}: order {body['order_id']} is not recorded")
                return
            told = [each["ticket_code"] for each in body["tickets"]]
            if told != [each["ticket_code"] for each in order["tickets"]]:
                self._broken("I7 orders", f"{action}: told tickets {told}")
            visit = date.fromisoformat(body["visit_date"]) if body.get("visit_date") else None
            types = [each["customer_type"] for each in body["tickets"]]
            if round(body["total_amount"] * 100) != total_of(hold.product_id, types, visit):
                self._broken("I20 price", f"{action}: told {body['total_amount']}")
            if hold.life != "activated":
                self._broken("I10 race", f"{action}: answered 201, it is {hold.life}")
        elif answer.word == "ALREADY_ACTIVATED":
            if hold.life != "activated" or answer.extra.get("order_id") != hold.order_id:
                self._broken("I10 race", f"{action}: {answer}, it is {hold}")
        else:
            self._ended(action, answer, hold.life)

    def _cancelled(self, asked: Asked, action: Cancel, answer: Answer) -> None:
        _, hold = self._own(asked, action, answer)
        if hold is None:
            return
        if answer.word == "ok":
            if hold.life != "cancelled" or hold.units != "released":
                self._broken("I9 moved once", f"{action}: answered 204, it is {hold}")
        elif answer.word == "CANNOT_CANCEL_ACTIVATED":
            if hold.life != "activated":
                self._broken("I10 race", f"{action}: {answer.word}, it is {hold.life}")
        else:
            self._ended(action, answer, hold.life)

    def _ended(self, action: Activate | Cancel, answer: Answer, life: str | None) -> None:
        expected = {"RESERVATION_EXPIRED": "expired", "RESERVATION_CANCELLED": "cancelled"}
        if answer.word in expected and life != expected[answer.word]:
            self._broken("I10 race", f"{action}: {answer.word}, it is {life}")
        if answer.word == "RESERVATION_EXPIRED":
            self._count("activation lost to expiry")

    def _own(self, asked: Asked, action: Activate | Cancel, answer: Answer) -> tuple[str, Any]:
        """Return the hold that an answer is about; what is another's must look unknown (I11)."""
        target = action.hold
        id = hold_id(target.partner, target.key, target.product_id) or ""
        hold = self._ledger.holds.get(id)
        if hold is None or hold.partner_id != action.partner:
            if answer.word not in ("RESERVATION_NOT_FOUND", "IDEMPOTENCY_KEY_REUSED"):
                self._broken("I11 tenants", f"{action}: {answer.word} for what is not its own")
            elif hold is not None:
                self._count("foreign holds refused")
            return id, None
        if answer.word == "RESERVATION_NOT_FOUND" and asked.held:
            self._broken("I3 durable", f"{action}: acknowledged before, now unknown")
        return id, hold

    def _read(self, asked: Asked, read: Read, answer: Answer) -> None:
        if answer.word != "ok" and answer.word not in PASSING:
            self._not_found(asked, read, answer)
            return
        if answer.word != "ok":
            return
        self._count(f"read {read.what}")
        body = json.loads(answer.body)
        match read.what:
            case "inventory":
                self._stock(asked, read, body)
            case "reservation":
                self._shown(asked, read, body)
            case "reservations":
                ids = {row["reservation_id"] for row in body["items"]}
                foreign = {id for id in ids if self._ledger.holds[id].partner_id != read.partner}
                if foreign:
                    self._broken("I11 tenants", f"{read} shows {sorted(foreign)}")
                if body["total"] <= len(ids) and not asked.owed <= ids:
                    self._broken("I15 reads", f"{read} lacks {sorted(asked.owed - ids)}")
            case "orders":
                for row in body["items"]:
                    if self._ledger.orders[row["order_id"]]["partner_id"] != read.partner:
                        self._broken("I11 tenants", f"{read} shows {row['order_id']}")
            case "order" | "tickets":
                order = self._ledger.orders[body["order_id"]]
                if order["partner_id"] != read.partner:
                    self._broken("I11 tenants", f"{read} shows {body['order_id']}")

    def _not_found(self, asked: Asked, read: Read, answer: Answer) -> None:
        if asked.held and answer.word in ("RESERVATION_NOT_FOUND", "ORDER_NOT_FOUND"):
            self._broken("I15 reads", f"{read}: {answer.word}, but it was there when asked")

    def _shown(self, asked: Asked, read: Read, body: dict[str, Any]) -> None:
        hold = self._ledger.holds[body["reservation_id"]]
        if hold.partner_id != read.partner:
            self._broken("I11 tenants", f"{read} shows {body['reservation_id']}")
        possible = {asked.life or "active", hold.life or "active"}
        if body["status"] not in possible:
            self._broken("I15 reads", f"{read} shows {body['status']}, not {sorted(possible)}")

    def _stock(self, asked: Asked, read: Read, body: dict[str, Any]) -> None:
        for product_id, available in body["available_quantities"].items():
            plan = pool_of(read.partner, int(product_id))
            if plan is None:
                self._broken("I12 pools", f"{read} shows product {product_id}")
                continue
            floor = asked.floors.get(plan.pool_no, 0)
            pool = self._ledger.pools.get(plan.pool_no)
            shown = pool.shown if pool is not None else []
            earlier = [value for seq, value in shown if seq <= floor]
            possible = {value for seq, value in shown if seq > floor} | set(earlier[-1:])
            if available not in possible and (shown and floor):
                self._broken(
                    "I15 reads",
                    f"{read} shows {available} of pool {plan.pool_no}, it had {possible}"
                    f" from number {floor} on",
                )

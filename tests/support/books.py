"""A tiny seller that keeps correct books: everything a run leaves behind, in the export format.

One command after another, no transport, no faults: what comes out is right by construction, and
tests falsify it. Ids, hashes and prices are the product's own: the checker's are held against them.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash
from libs.kernel.catalogue import PriceRules, SpecialDate
from libs.kernel.ids import command_id, reservation_id
from libs.kernel.pricing import day_class, price_lines, total_minor

Row = dict[str, Any]
SERVICES = ("inventory", "reservation", "fulfillment")
BEGINNING = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOOT_NS = 50_000_000_000_000
PARTNERS = {
    "ada": {"channel": "ota", "calls_per_minute": 100_000},
    "bob": {"channel": "ota", "calls_per_minute": 100_000},
    "own": {"channel": "direct", "calls_per_minute": 100_000},
}
POOLS = {1: (106, "ota", 0), 2: (107, "ota", 1), 3: (106, "direct", 1)}
PRICES = PriceRules(
    rule_version=1,
    currency="HKD",
    adult_weekday_minor=28_850,
    adult_weekend_minor=31_800,
    child_minor=18_800,
    elderly_minor=18_800,
    special_dates=(SpecialDate(on=date(2026, 12, 31), multiplier_permille=1500),),
)
PRICES_ROW: Row = {
    "rule_version": 1,
    "currency": "HKD",
    "adult_weekday_minor": 28_850,
    "adult_weekend_minor": 31_800,
    "child_minor": 18_800,
    "elderly_minor": 18_800,
    "special_dates": [{"on": "2026-12-31", "multiplier_permille": 1500}],
    "holidays_are_weekend": False,
}
SNAPSHOT: Row = {
    "base_price": 288.5,
    "weekend_premium": 29.5,
    "customer_type_pricing": [
        {"customer_type": "adult", "unit_price": 288.5, "discount_applied": 0},
        {"customer_type": "child", "unit_price": 188, "discount_applied": 100.5},
        {"customer_type": "elderly", "unit_price": 188, "discount_applied": 100.5},
    ],
    "currency": "HKD",
    "rule_version": 1,
}
ENTITLEMENTS = [{"function_code": "ferry", "function_name": "Ferry", "max_uses": 1}]
DAYS = (None, None, "2026-12-30", "2026-12-31", "2027-01-02")


def instant(at: datetime, zone: str = "Z") -> str:
    """Return an instant as the API (Z) or an export (+00:00) writes it."""
    return at.isoformat(timespec="microseconds")[:-6] + zone


def compact(value: object) -> str:
    """Return JSON as it is stored and sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(eq=False)
class Held:
    """A hold as the seller knows it."""

    id: str
    partner: str
    pool_no: int
    quantity: int
    expires_at: datetime
    held_at: datetime
    visit_date: str | None
    seq: int
    status: str = "active"
    order: Row | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    command: Row = field(default_factory=dict)


@dataclass
class Books:
    """Plays *steps* and keeps every file's rows in *files* and *documents*.

    `derive` makes what follows from the events (hashes, heads, event topics, figures), so that
    a test may falsify an event and have all the rest agree with it.
    """

    seed: int = 1
    units: int = 12
    files: dict[str, list[Row]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    holds: list[Held] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the books: one catalogue, three pools."""
        self.random = random.Random(self.seed)
        self.now = BEGINNING
        self.available = dict.fromkeys(POOLS, self.units)
        self._numbers = 0
        self._deadlines: list[tuple[datetime, int]] = []
        self._counts: Counter[tuple[str, int]] = Counter()
        self.documents["partners.json"] = PARTNERS
        self.documents["canaries.json"] = []
        products = [
            {
                "product_id": product_id,
                "ticket_prefix": "FERRY",
                "prices": PRICES_ROW,
                "entitlements": ENTITLEMENTS,
            }
            for product_id in (106, 107)
        ]
        catalogue = {"catalogue": {"version": 1, "products": products}}
        for partition in (0, 1):
            for service in SERVICES:
                self.rows(f"heads.{service}").append({"partition": partition})
        self._append("inventory", 0, "catalogue_published", "catalogue", catalogue, {})
        for number, (product_id, channel, partition) in POOLS.items():
            allotted = {"pool_no": number, "product_id": product_id, "channel": channel}
            allotted["units"] = self.units
            self._append("inventory", partition, "allotment_set", f"pool-{number}", allotted, {})

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a file, named without its ending."""
        return self.files.setdefault(name, [])

    def events(self, service: str, kind: str = "") -> list[Row]:
        """Return a service's events of a kind."""
        return [row for row in self.rows(f"events.{service}") if row["type"].endswith(kind)]

    def calls(self, op: str, status: int | None) -> list[Row]:
        """Return the calls of an operation that got a status."""
        rows = self.rows("history")
        return [row for row in rows if (row["op"], row["status"]) == (op, status)]

    def play(self, steps: int) -> Books:
        """Play random steps, then let everything run out or be."""
        acts = (
            *(self.look, self.look, self.reserve, self.reserve, self.reserve, self.activate),
            *(self.activate, self.cancel, self.repeat, self.show, self.pry, self.lose),
        )
        for _ in range(steps):
            self.pass_time(self.random.randint(1_000, 900_000))
            self.random.choice(acts)()
        return self.close()

    def close(self) -> Books:
        """Let half a minute pass, and write the tables."""
        self.pass_time(30_000_000)
        self.documents["export.json"] = {"exported_at": instant(self.now)}
        self._tabulate()
        return self

    def pass_time(self, micros: int) -> None:
        """Move the clock; holds that run out on the way expire in time."""
        until = self.now + timedelta(microseconds=micros)
        while self._deadlines and self._deadlines[0][0] <= until:
            _, number = heappop(self._deadlines)
            hold = self.holds[number]
            if hold.status == "active":
                self.now = max(self.now, hold.expires_at + timedelta(milliseconds=40))
                self._end(hold, "expired", {"correlation_id": f"due:{hold.id}"})
        self.now = max(until, self.now)

    # What clients do

    def reserve(self, *, happens: str = "answered") -> None:
        """Reserve units; *happens* is answered, lost (nobody hears of it) or stale (dropped)."""
        partner = self.random.choice(list(PARTNERS))
        own = [n for n, pool in POOLS.items() if pool[1] == PARTNERS[partner]["channel"]]
        number = self.random.choice(own)
        request: Row = {"product_id": POOLS[number][0], "quantity": self.random.randint(1, 4)}
        if self.random.random() < 0.6:
            expires_at = self.now + timedelta(seconds=self.random.randint(2, 20))
            request["reservation_expires_at"] = instant(expires_at)
        if (day := self.random.choice(DAYS)) is not None:
            request["visit_date"] = day
        call = self._call(partner, "reserve", "POST", "/api/ota/reserve", request)
        command = self._command("inventory", number, "place_hold", call)
        if happens == "stale":
            self._answer(call, command, None, None)
            return
        quantity = request["quantity"]
        if quantity > self.available[number]:
            refused = self._problem("SOLD_OUT", available=self.available[number])
            self._record("inventory", command, "hold_refused", {"reason": "sold_out"})
            self._answer(call, command, 409, refused)
            return
        id = reservation_id(command_id=command["correlation_id"], pool_no=number)
        asked = request.get("reservation_expires_at")
        hold = Held(
            id=id,
            partner=partner,
            pool_no=number,
            quantity=quantity,
            held_at=self.now,
            expires_at=datetime.fromisoformat(asked) if asked else self.now + timedelta(days=1),
            visit_date=request.get("visit_date"),
            seq=0,
            command=command,
        )
        self.available[number] -= quantity
        heappush(self._deadlines, (hold.expires_at, len(self.holds)))
        self.holds.append(hold)
        self._place(hold)
        body = self._shown(hold)
        status = 201 if happens == "answered" else None
        self._answer(call, command, status, body if status else None)

    def lose(self) -> None:
        """Reserve without hearing of it: it happened, or it did not; or activate, likewise."""
        self.reserve(happens=self.random.choice(["lost", "stale"]))

    def _place(self, hold: Held) -> None:
        product_id, channel, partition = POOLS[hold.pool_no]
        data: Row = {
            "reservation_id": hold.id,
            "pool_no": hold.pool_no,
            "product_id": product_id,
            "channel": channel,
            "partner_id": hold.partner,
            "quantity": hold.quantity,
            "expires_at": instant(hold.expires_at),
            "rule_version": PRICES.rule_version,
            "visit_date": hold.visit_date,
        }
        hold.seq = self._append("inventory", partition, "units_held", hold.id, data, hold.command)[
            "seq"
        ]
        placed = {"reservation_id": hold.id, "quantity": hold.quantity}
        self._record("inventory", hold.command, "hold_placed", placed)

    def activate(self) -> None:
        """Activate a hold, whatever has become of it."""
        hold = self._some(lambda hold: True)
        if hold is None:
            return
        types = [self.random.choice(["adult", "child"]) for _ in range(hold.quantity)]
        name = f"canary-{self.random.getrandbits(64):016x}"
        self.documents["canaries.json"].append(name)
        request: Row = {
            "customer_details": {"name": name, "email": "a@example.com", "phone": "1"},
            "payment_reference": "PAY",
            "customer_type": types,
        }
        path = f"/api/ota/reservations/{hold.id}/activate"
        call = self._call(hold.partner, "activate", "POST", path, request)
        command = self._command("reservation", hold.pool_no, "activate_reservation", call, hold)
        if self._refuse(hold, call, command, "ALREADY_ACTIVATED"):
            return
        self._end(hold, "activated", command, types)
        self._record("reservation", command, "completed_downstream", {})
        assert hold.order is not None
        confirmed = {"reservation_id": hold.id, "order_id": hold.order["order_id"]}
        self._record("fulfillment", command, "order_confirmed", confirmed)
        self._answer(call, command, 201, self._confirmed(hold))

    def cancel(self) -> None:
        """Cancel a hold, whatever has become of it."""
        hold = self._some(lambda hold: hold.status != "cancelled")
        if hold is None:
            return
        path = f"/api/ota/reservations/{hold.id}"
        call = self._call(hold.partner, "cancel", "DELETE", path, None)
        command = self._command("reservation", hold.pool_no, "cancel_reservation", call, hold)
        if self._refuse(hold, call, command, "CANNOT_CANCEL_ACTIVATED"):
            return
        self._end(hold, "cancelled", command)
        self._record("reservation", command, "completed_downstream", {})
        self._record("inventory", command, "hold_released", {"reservation_id": hold.id})
        self._answer(call, command, 204, None)

    def _refuse(self, hold: Held, call: Row, command: Row, activated: str) -> bool:
        words = {
            "activated": activated,
            "expired": "RESERVATION_EXPIRED",
            "cancelled": "RESERVATION_CANCELLED",
        }
        word = words.get(hold.status)
        if word is None:
            return False
        extra = {"order_id": hold.order["order_id"]} if hold.order else {}
        self._record("reservation", command, "reservation_refused", {})
        self._answer(call, command, 409, self._problem(word, **extra))
        return True

    def repeat(self) -> None:
        """Send an answered mutation again, at times with another body."""
        late = self.rows("history")[-40:]
        done = [c for c in late if c["key"] and c["status"] in (201, 204, 409)]
        if not done:
            return
        first = self.random.choice(done)
        again = {**first, "headers": dict(first["headers"])}
        self._timed(again)
        again["headers"]["Idempotent-Replayed"] = "true"
        if first["request"] is not None and self.random.random() < 0.3:
            again["request"] = compact({**json.loads(first["request"]), "other": self._next()})
            again["status"] = 422
            again["body"] = compact(self._problem("IDEMPOTENCY_KEY_REUSED"))
            again["headers"] = {}
        self.rows("history").append(again)

    def look(self) -> None:
        """Read the inventory."""
        partner = self.random.choice(list(PARTNERS))
        own = [n for n, pool in POOLS.items() if pool[1] == PARTNERS[partner]["channel"]]
        call = self._call(partner, "inventory", "GET", "/api/ota/inventory", None)
        shown = [
            {"product_id": POOLS[n][0], "available": self.available[n], "capacity": self.units}
            for n in own
        ]
        self._answer(call, None, 200, {"inventory": shown})

    def show(self) -> None:
        """Read a hold, or its order and tickets."""
        hold = self._some(lambda hold: True)
        if hold is None:
            return
        path = f"/api/ota/reservations/{hold.id}"
        call = self._call(hold.partner, "get_reservation", "GET", path, None)
        self._answer(call, None, 200, {**self._shown(hold), "status": hold.status})
        if hold.order is not None:
            path = f"/api/ota/orders/{hold.order['order_id']}"
            call = self._call(hold.partner, "get_order", "GET", path, None)
            confirmed = self._confirmed(hold)
            tickets = confirmed.pop("tickets")
            confirmed.pop("price_breakdown")
            self._answer(call, None, 200, confirmed)
            call = self._call(hold.partner, "list_tickets", "GET", f"{path}/tickets", None)
            self._answer(call, None, 200, {"tickets": tickets, "total_count": len(tickets)})

    def pry(self) -> None:
        """Ask for somebody else's hold: there is none."""
        hold = self._some(lambda hold: hold.partner != "ada")
        if hold is not None:
            path = f"/api/ota/reservations/{hold.id}"
            call = self._call("ada", "get_reservation", "GET", path, None)
            self._answer(call, None, 404, self._problem("RESERVATION_NOT_FOUND"))

    def _some(self, wanted: Any) -> Held | None:
        found = [hold for hold in self.holds[-8:] if wanted(hold)]
        return self.random.choice(found) if found else None

    # What services write

    def _end(self, hold: Held, end: str, meta: Row, types: list[str] | None = None) -> None:
        product_id, channel, partition = POOLS[hold.pool_no]
        hold.status, hold.ended_at = end, self.now
        hold.ended_by = meta["correlation_id"]
        pool = {"reservation_id": hold.id, "pool_no": hold.pool_no, "quantity": hold.quantity}
        data: Row = dict(pool)
        if end == "expired":
            data["due_at"] = instant(hold.expires_at)
        if end == "activated":
            hold.order = self._order(hold, types or [])
            wanted = ("order_id", "visit_date", "day_class", "lines", "total_minor", "currency")
            data |= {name: hold.order[name] for name in (*wanted, "rule_version")}
            data |= {"product_id": product_id, "channel": channel, "partner_id": hold.partner}
            data["customer_types"] = types
        self._append("reservation", partition, f"reservation_{end}", hold.id, data, meta)
        if end == "activated":
            self._append("inventory", partition, "units_sold", hold.id, pool, meta)
            self._append("fulfillment", partition, "order_created", hold.id, hold.order, meta)
            return
        self.available[hold.pool_no] += hold.quantity
        released = {**pool, "reason": end}
        self._append("inventory", partition, "units_released", hold.id, released, meta)

    def _order(self, hold: Held, types: list[str]) -> Row:
        on = date.fromisoformat(hold.visit_date) if hold.visit_date else None
        lines = price_lines(rules=PRICES, customer_types=types, on=on)
        product_id, channel, _ = POOLS[hold.pool_no]
        return {
            "order_id": f"ORD-{self._next():013d}",
            "reservation_id": hold.id,
            "pool_no": hold.pool_no,
            "partner_id": hold.partner,
            "product_id": product_id,
            "channel": channel,
            "quantity": hold.quantity,
            "confirmation_code": f"CONF-{self._code()}",
            "visit_date": hold.visit_date,
            "day_class": day_class(rules=PRICES, on=on),
            "lines": [
                {
                    "customer_type": line.customer_type,
                    "count": line.count,
                    "unit_price_minor": line.unit_price_minor,
                    "subtotal_minor": line.subtotal_minor,
                }
                for line in lines
            ],
            "total_minor": total_minor(lines),
            "currency": "HKD",
            "rule_version": 1,
            "entitlements": ENTITLEMENTS,
            "tickets": [
                {"ticket_code": code, "qr_token": f"token-{code}", "customer_type": type}
                for type in types
                for code in [f"FERRY-{self._next():013d}"]
            ],
        }

    def _append(
        self, service: str, partition: int, kind: str, subject: str, data: Any, meta: Row
    ) -> Row:
        self._counts[service, partition] += 1
        seq = self._counts[service, partition]
        row = {
            "partition": partition,
            "generation": 1,
            "epoch": 1,
            "seq": seq,
            "type": f"ota.{service}.{kind}",
            "version": 1,
            "subject": subject,
            "decided_at": instant(self.now, "+00:00"),
            "meta": compact({"correlation_id": f"operator-{seq}", **meta}),
            "data": compact(data),
        }
        self.rows(f"events.{service}").append(row)
        return row

    def _record(self, service: str, command: Row, kind: str, answer: Row) -> None:
        self.rows(f"answers.{service}").append(
            {
                "command_id": command["correlation_id"],
                "partition": 0,
                "fingerprint": command["fingerprint"],
                "type": f"ota.answer.{kind}",
                "version": 1,
                "answer": compact(answer),
                "reply_to": 0,
                "decided_at": instant(self.now, "+00:00"),
            }
        )

    # What is written down of calls

    def _call(self, partner: str, op: str, method: str, path: str, request: Any) -> Row:
        key = f"key-{self._next()}" if op in ("reserve", "activate", "cancel") else None
        call = {
            "client": f"client-{partner}",
            "partner": partner,
            "op": op,
            "method": method,
            "path": path,
            "key": key,
            "request": compact(request) if request is not None else None,
            "request_headers": {},
        }
        self._timed(call)
        return call

    def _timed(self, call: Row) -> None:
        call["invoked_ns"] = self._ns()
        call["wall_ms"] = round(self.now.timestamp() * 1000)
        self.pass_time(5_000)
        call["completed_ns"] = self._ns()

    def _answer(self, call: Row, command: Row | None, status: int | None, body: Any) -> None:
        self.now += timedelta(milliseconds=5)
        call |= {
            "completed_ns": self._ns(),
            "status": status,
            "body": compact(body) if body is not None else None,
            "headers": {},
            "error": None if status else "timeout",
        }
        if status is None:
            self.now += timedelta(seconds=2.6)
            call["completed_ns"] = self._ns()
        self.rows("history").append(call)
        self.now += timedelta(milliseconds=1)
        if command is not None and status in (201, 204):
            self.rows("audit").append(
                {
                    "partner_id": call["partner"],
                    "status": status,
                    "route": "/api/ota/reserve" if call["op"] == "reserve" else "/x/activate",
                    "command_id": command["correlation_id"],
                }
            )

    def _command(
        self, service: str, pool_no: int, kind: str, call: Row, hold: Held | None = None
    ) -> Row:
        """Put a command into its topic; return what its events carry of it."""
        id = command_id(
            partner_id=call["partner"],
            method=call["method"],
            path=call["path"],
            idempotency_key=call["key"],
        )
        partition = POOLS[pool_no][2]
        records = self.rows(f"topics.ota.{service}.commands.v1")
        self._counts[f"{service}-commands", partition] += 1
        value: Row = {"pool_no": pool_no, "partner_id": call["partner"]}
        if hold is not None:
            value |= {"reservation_id": hold.id, "customer_types": "adult"}
        headers = {
            "ce_id": id,
            "ce_type": f"ota.{service}.{kind}",
            "ce_dataversion": "1",
            "ce_time": instant(self.now),
            "ce_correlationid": id,
        }
        records.append(
            {
                "partition": partition,
                "offset": self._counts[f"{service}-commands", partition] - 1,
                "timestamp_ms": round(self.now.timestamp() * 1000),
                "key": str(pool_no),
                "headers": [[name, text] for name, text in headers.items()],
                "value": compact(value),
            }
        )
        return {
            "correlation_id": id,
            "causation_id": id,
            "partner_id": call["partner"],
            "key_id": "key_1",
            "request_id": call["key"],
            "fingerprint": f"fingerprint-{call['key']}",
        }

    def _shown(self, hold: Held) -> Row:
        shown = {
            "reservation_id": hold.id,
            "product_id": POOLS[hold.pool_no][0],
            "quantity": hold.quantity,
            "status": "active",
            "expires_at": instant(hold.expires_at),
            "created_at": instant(hold.held_at),
            "pricing_snapshot": SNAPSHOT,
        }
        if hold.order is not None:
            shown["order_id"] = hold.order["order_id"]
        return shown

    def _confirmed(self, hold: Held) -> Row:
        order = hold.order
        assert order is not None
        assert hold.ended_at is not None
        return {
            "order_id": order["order_id"],
            "reservation_id": hold.id,
            "quantity": hold.quantity,
            "confirmation_code": order["confirmation_code"],
            "visit_date": order["visit_date"],
            "created_at": instant(hold.ended_at),
            "total_amount": order["total_minor"] / 100,
            "price_breakdown": [
                {
                    "customer_type": line["customer_type"],
                    "count": line["count"],
                    "unit_price": line["unit_price_minor"] / 100,
                    "subtotal": line["subtotal_minor"] / 100,
                }
                for line in order["lines"]
            ],
            "tickets": [dict(ticket) for ticket in order["tickets"]],
        }

    def _problem(self, word: str, **extra: object) -> Row:
        return {"code": word, "error": word, **extra}

    def _ns(self) -> int:
        return BOOT_NS + round((self.now - BEGINNING) / timedelta(microseconds=1)) * 1000

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _code(self) -> str:
        return "".join(self.random.choices("23456789ABCDEFGHJKMNPQRSTUVWXYZ", k=8))

    # What follows from the rest

    def _tabulate(self) -> None:
        self.files["table.inventory.pool"] = [
            {
                "pool_no": number,
                "allotted": self.units,
                "held": sum(h.quantity for h in self._of(number, "active")),
                "sold": sum(h.quantity for h in self._of(number, "activated")),
                "selling": True,
            }
            for number in POOLS
        ]
        statuses = {"active": "held", "activated": "sold"}
        for hold in self.holds:
            shared = {
                "reservation_id": hold.id,
                "pool_no": hold.pool_no,
                "partner_id": hold.partner,
                "quantity": hold.quantity,
                "held_at": instant(hold.held_at),
                "expires_at": instant(hold.expires_at),
            }
            status = statuses.get(hold.status, "released")
            self.rows("table.inventory.hold").append({**shared, "status": status, "seq": hold.seq})
            self.rows("table.reservation.reservation").append(
                {
                    **shared,
                    "status": hold.status,
                    "ledger_seq": hold.seq,
                    "order_id": hold.order["order_id"] if hold.order else None,
                    "ended_at": instant(hold.ended_at) if hold.ended_at else None,
                    "ended_by": hold.ended_by,
                }
            )
            if hold.order is not None and hold.ended_at is not None:
                order = {**hold.order, "status": "confirmed", "created_at": instant(hold.ended_at)}
                self.rows("table.fulfillment.customer_order").append(order)
                self.rows("table.fulfillment.ticket").extend(
                    {**ticket, "order_id": order["order_id"], "position": index}
                    for index, ticket in enumerate(order["tickets"])
                )

    def _of(self, pool_no: int, status: str) -> Iterator[Held]:
        return (h for h in self.holds if (h.pool_no, h.status) == (pool_no, status))

    def derive(self) -> Books:
        """Make hashes, heads and event topics from the events as they are now."""
        for service in SERVICES:
            records = self.files[f"topics.ota.{service}.events.v1"] = []
            for head in self.rows(f"heads.{service}"):
                mine = [
                    row
                    for row in self.rows(f"events.{service}")
                    if row["partition"] == head["partition"]
                ]
                digest = GENESIS
                for row in mine:
                    digest = self._sealed(service, row, digest)
                    records.append(_published(service, row, len(records)))
                self._head(service, head, mine, digest)
            self.rows(f"events.{service}").sort(key=lambda row: row["partition"])
        return self

    def _sealed(self, service: str, row: Row, previous: bytes) -> bytes:
        digest = chain_hash(
            previous=previous,
            source=service,
            position=Position(row["generation"], row["partition"], row["seq"]),
            type=row["type"],
            version=row["version"],
            subject=row["subject"],
            decided_at=datetime.fromisoformat(row["decided_at"]),
            meta=row["meta"],
            data=row["data"],
        )
        row["previous_hash"], row["hash"] = previous.hex(), digest.hex()
        return digest

    def _head(self, service: str, head: Row, mine: list[Row], digest: bytes) -> None:
        topic = f"ota.{service}.commands.v1"
        commands = [
            row for row in self.rows(f"topics.{topic}") if row["partition"] == head["partition"]
        ]
        head |= {
            "epoch": mine[-1]["epoch"] if mine else 0,
            "seq": mine[-1]["seq"] if mine else 0,
            "hash": digest.hex(),
            "inputs": {topic: {"offset": len(commands) - 1}},
        }

    def write(self, folder: Path) -> Path:
        """Write the export."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.files.items():
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        for name, document in self.documents.items():
            (folder / name).write_text(json.dumps(document), encoding="utf-8")
        return folder


def _published(service: str, row: Row, offset: int) -> Row:
    headers = {
        "ce_id": f"{row['generation']}-{row['partition']}-{row['seq']}",
        "ce_type": row["type"],
        "ce_dataversion": str(row["version"]),
        "ce_position": f"{row['generation']}-{row['partition']}-{row['seq']}",
    }
    return {
        "partition": row["partition"],
        "offset": offset,
        "timestamp_ms": 0,
        "key": "",
        "headers": [[name, text] for name, text in headers.items()],
        "value": row["data"],
    }

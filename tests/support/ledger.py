"""What the deciding services have stored, and whether it can all be true.

Written from the stored rows alone and without the services' own code, so that a mistake in
that code cannot hide itself. The numbers (I1, ...) are those of the list of invariants.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import HoldPlaced, HoldReleased
from tests.support.caps import wrong_caps
from tests.support.client import Answered

DECIDING: Final = ("inventory", "reservation", "fulfillment")
SETTLE_TIMEOUT_S: Final = 20.0

INVENTORY_EVENTS: Final = "ota.inventory.events.v1"
RESERVATION_EVENTS: Final = "ota.reservation.events.v1"
_READERS: Final = (
    ("inventory", INVENTORY_EVENTS, "reservation"),
    ("reservation", RESERVATION_EVENTS, "inventory"),
    ("reservation", RESERVATION_EVENTS, "fulfillment"),
)
_ENDS: Final = {
    "ota.reservation.reservation_activated": "sold",
    "ota.reservation.reservation_cancelled": "cancelled",
    "ota.reservation.reservation_expired": "expired",
}
_ROWS: Final = {
    "inventory": ("pool", "hold", "partner_cap"),
    "reservation": ("reservation",),
    "fulfillment": ("customer_order", "ticket"),
}
_COLUMNS: Final = (
    "partition, generation, seq, epoch, type, version, subject, decided_at,"
    " meta, data, previous_hash, hash"
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as its row has it."""

    partition: int
    generation: int
    seq: int
    epoch: int
    type: str
    version: int
    subject: str
    decided_at: datetime
    meta: str
    data: str
    previous_hash: bytes
    hash: bytes

    @property
    def body(self) -> dict[str, Any]:
        """Return the data."""
        found: dict[str, Any] = json.loads(self.data)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """How far a partition is."""

    epoch: int
    seq: int
    hash: bytes
    decided_at: datetime
    inputs: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything that the three deciding services have stored."""

    events: Mapping[str, Sequence[StoredEvent]]
    heads: Mapping[str, Mapping[int, StoredHead]]
    rows: Mapping[str, Sequence[Row]]

    def events_of(self, service: str, *, type: str | None = None) -> list[StoredEvent]:
        """Return a service's events, of one type if it is given (``units_held``)."""
        name = f"ota.{service}.{type}"
        return [event for event in self.events[service] if type is None or event.type == name]

    def about(self, service: str, subject: str) -> list[str]:
        """Return the types of a service's events about a subject, in order."""
        prefix = f"ota.{service}."
        return [
            event.type.removeprefix(prefix)
            for event in self.events[service]
            if event.subject == subject
        ]

    def with_events(self, service: str, events: Sequence[StoredEvent]) -> Books:
        """Return books in which somebody has replaced a service's events."""
        return replace(self, events={**self.events, service: list(events)})


def service_dsn(env: Mapping[str, str], service: str) -> str:
    """Return the address of a service's database, for its own role."""
    return env[f"OTA_{service.upper()}_DSN"]


async def read_books(env: Mapping[str, str]) -> Books:
    """Read all three databases; for sums that agree call `settled` before."""
    events: dict[str, list[StoredEvent]] = {}
    heads: dict[str, dict[int, StoredHead]] = {}
    rows: dict[str, list[Row]] = {}
    for service in DECIDING:
        connection = await asyncpg.connect(service_dsn(env, service))
        try:
            heads[service] = await _heads(connection)
            events[service] = [
                StoredEvent(**dict(row))
                for row in await connection.fetch(
                    f"SELECT {_COLUMNS} FROM event ORDER BY partition, seq"
                )
            ]
            for table in _ROWS[service]:
                rows[table] = [dict(row) for row in await connection.fetch(f"TABLE {table}")]
        finally:
            await connection.close()
    return Books(events=events, heads=heads, rows=rows)


async def _heads(connection: asyncpg.Connection[asyncpg.Record]) -> dict[int, StoredHead]:
    return {
        row["partition"]: StoredHead(
            epoch=row["epoch"],
            seq=row["seq"],
            hash=row["hash"],
            decided_at=row["decided_at"],
            inputs=json.loads(row["inputs"]),
        )
        for row in await connection.fetch("TABLE partition_head")
    }


async def read_heads(env: Mapping[str, str], service: str) -> dict[int, StoredHead]:
    """Return the heads of a service's partitions."""
    connection = await asyncpg.connect(service_dsn(env, service))
    try:
        return await _heads(connection)
    finally:
        await connection.close()


async def settled(env: Mapping[str, str], *, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
    """Wait until every service has taken in all events of the others; raises AssertionError."""
    connections = {
        service: await asyncpg.connect(service_dsn(env, service)) for service in DECIDING
    }
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            heads = {service: await _heads(each) for service, each in connections.items()}
            behind = list(_behind(heads))
            if not behind:
                return
            assert time.monotonic() < deadline, behind
            await asyncio.sleep(0.02)
    finally:
        for connection in connections.values():
            await connection.close()


def _behind(heads: Mapping[str, Mapping[int, StoredHead]]) -> Iterator[str]:
    for source, topic, reader in _READERS:
        for partition, head in heads[source].items():
            other = heads[reader].get(partition)
            taken = other.inputs.get(topic, {}).get("seq", 0) if other is not None else 0
            if taken != head.seq:
                yield f"{reader} has taken {taken} of {head.seq} from {source}, {partition}"


def violations(books: Books) -> list[str]:
    """Return what cannot be true, a sentence each; an empty list means that nothing is wrong."""
    found: list[str] = []
    for service in DECIDING:
        found += broken_chain(service, books.events[service], books.heads[service])
    found += wrong_stock(books)
    found += wrong_lives(books)
    found += wrong_orders(books)
    return found


def broken_chain(
    service: str, events: Iterable[StoredEvent], heads: Mapping[int, StoredHead]
) -> list[str]:
    """Check sequence, epochs and times (I13, I18), and the hash chain anew from its rows (I22)."""
    found = []
    by_partition: dict[int, list[StoredEvent]] = defaultdict(list)
    for event in events:
        by_partition[event.partition].append(event)
    for partition, head in heads.items():
        where, seq, last, epoch = f"{service} partition {partition}", 0, bytes(32), 0
        decided_at = datetime.min.replace(tzinfo=UTC)
        for event in by_partition.pop(partition, []):
            seq += 1
            if event.seq != seq:
                found.append(f"{where}: {event.seq} stands where {seq} belongs")
            if event.decided_at < decided_at or event.epoch < epoch:
                found.append(f"{where}: {event.seq} goes back in time or epoch")
            if event.previous_hash != last or event.hash != _hash(service, event):
                found.append(f"{where}: the chain breaks at {event.seq}")
            last, decided_at, epoch = event.hash, event.decided_at, event.epoch
        if (head.seq, head.hash) != (seq, last):
            found.append(f"{where}: its head is {head.seq}, its log ends at {seq}")
    found += [f"{service} partition {partition} has no head" for partition in by_partition]
    return found


def _hash(service: str, event: StoredEvent) -> bytes:
    """Return SHA-256 of the previous hash and the row's fields, a line each."""
    lines = [
        service,
        f"{event.generation}-{event.partition}-{event.seq}",
        event.type,
        f"{event.version}",
        event.subject,
        event.decided_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00"),
        event.meta,
        event.data,
    ]
    return hashlib.sha256(event.previous_hash + "\n".join(lines).encode()).digest()


def wrong_stock(books: Books) -> list[str]:
    """Replay the ledger: I1 and I2 after every event, I9 at every end of a hold."""
    found = []
    allotted: Counter[int] = Counter()
    held: Counter[int] = Counter()
    sold: Counter[int] = Counter()
    open_holds: dict[str, int] = {}
    ends: dict[str, str] = {}
    for event in books.events["inventory"]:
        body, kind = event.body, event.type.removeprefix("ota.inventory.")
        pool_no, quantity = body.get("pool_no", 0), body.get("quantity", 0)
        id = body.get("reservation_id", "")
        if kind == "allotment_set":
            allotted[pool_no] = body["units"]
        elif kind == "units_held":
            if id in open_holds or id in ends:
                found.append(f"{id} is held twice")
            open_holds[id] = quantity
            held[pool_no] += quantity
        elif kind in {"units_sold", "units_released"}:
            if open_holds.pop(id, None) != quantity:
                found.append(f"{id}: {kind} moves units that are not held")
            ends[id] = "sold" if kind == "units_sold" else body["reason"]
            held[pool_no] -= quantity
            sold[pool_no] += quantity if kind == "units_sold" else 0
        elif kind == "ledger_conflict_found":
            found.append(f"{id}: the ledger found a conflict: {body['reason']}")
        if not (0 <= held[pool_no] and held[pool_no] + sold[pool_no] <= allotted[pool_no]):
            found.append(f"pool {pool_no} is oversold at {event.partition}-{event.seq}")
    for pool in books.rows["pool"]:
        no = pool["pool_no"]
        if (allotted[no], held[no], sold[no]) != (pool["allotted"], pool["held"], pool["sold"]):
            found.append(f"pool {no}: its row says other than its events")
    stored = {r["reservation_id"]: r["quantity"] for r in books.rows["hold"] if _is_held(r)}
    if stored != open_holds:
        found.append(f"rows of open holds differ: {set(stored.items()) ^ set(open_holds.items())}")
    return [
        *found,
        *wrong_caps(books.events["inventory"], books.rows["partner_cap"]),
        *_wrong_ends(books, ends),
    ]


def _is_held(row: Row) -> bool:
    return bool(row["status"] == "held")


def _wrong_ends(books: Books, ends: Mapping[str, str]) -> Iterator[str]:
    """Every end that the reservation service decided moved the units so, and nothing else did."""
    decided = {
        event.subject: _ENDS[event.type]
        for event in books.events["reservation"]
        if event.type in _ENDS
    }
    for id in sorted(decided.keys() | ends.keys()):
        if decided.get(id) != ends.get(id):
            yield f"{id} ended as {decided.get(id)}, its units as {ends.get(id)}"


def wrong_lives(books: Books) -> list[str]:
    """I6: a reservation begins with its hold, ends at most once, and nothing follows."""
    found = []
    held = {event.subject for event in books.events_of("inventory", type="units_held")}
    lives: dict[str, list[str]] = defaultdict(list)
    for event in books.events["reservation"]:
        lives[event.subject].append(event.type)
        body = event.body
        if event.type.endswith("expired") and event.decided_at < _instant(body["due_at"]):
            found.append(f"{event.subject} expired before its time")
    for id, life in lives.items():
        if id not in held or len(life) > 1 or life[0] not in _ENDS:
            found.append(f"{id} lived {life}")
    opened = {row["reservation_id"] for row in books.rows["reservation"]}
    if held != opened:
        found.append(f"held and opened differ: {sorted(held ^ opened)}")
    for row in books.rows["reservation"]:
        life = lives.get(row["reservation_id"], ["active"])
        status = life[-1].rpartition("_")[2]
        if row["status"] != status:
            found.append(f"{row['reservation_id']} is {row['status']}, its events say {status}")
    return found


def wrong_orders(books: Books) -> list[str]:
    """I7: one order for each activation, one ticket for each unit, no number given twice."""
    activated = {
        event.subject: event.body
        for event in books.events_of("reservation", type="reservation_activated")
    }
    created = [event.body for event in books.events_of("fulfillment", type="order_created")]
    found = []
    for id, number in Counter(body["reservation_id"] for body in created).items():
        if number > 1 or id not in activated:
            found.append(f"{id} has {number} orders")
    for body in created:
        activation = activated.get(body["reservation_id"], {})
        if len(body["tickets"]) != activation.get("quantity"):
            found.append(f"{body['order_id']} has {len(body['tickets'])} tickets")
    if activated.keys() - {body["reservation_id"] for body in created}:
        found.append("an activation has no order")
    codes = [ticket["ticket_code"] for body in created for ticket in body["tickets"]]
    for numbers in (
        codes,
        [body["order_id"] for body in created],
        [body["confirmation_code"] for body in created],
    ):
        found += [f"{number} is given twice" for number, n in Counter(numbers).items() if n > 1]
    if {row["order_id"] for row in books.rows["customer_order"]} != {
        b["order_id"] for b in created
    }:
        found.append("rows of orders differ from their events")
    if sorted(row["ticket_code"] for row in books.rows["ticket"]) != sorted(codes):
        found.append("rows of tickets differ from their events")
    return found


def broken_promises(books: Books, history: Iterable[Answered]) -> list[str]:
    """I3: what was answered is there. I5: the same command was never answered in two ways."""
    held = {e.subject: e.body["quantity"] for e in books.events_of("inventory", type="units_held")}
    released = {e.subject for e in books.events_of("inventory", type="units_released")}
    orders = {e.subject: e.body for e in books.events_of("fulfillment", type="order_created")}
    answers: dict[str, object] = {}
    found = []
    for each in history:
        answer = each.reply.answer
        match answer:
            case HoldPlaced(reservation_id=id, quantity=quantity):
                kept = held.get(id) == quantity
            case OrderConfirmed(reservation_id=id, order_id=order_id):
                kept = orders.get(id, {}).get("order_id") == order_id
            case HoldReleased(reservation_id=id):
                kept = id in released
            case _:
                kept = True
        if not kept:
            found.append(f"answered but not there: {answer}")
        if answers.setdefault(each.request.command_id, answer) != answer:
            found.append(f"command {each.request.command_id} was answered in two ways")
    return found


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)

"""An exported system without a system: the real deciders play a partner's days on stages in memory.

What they record is written as `ota-verify export` writes it, so that tests of the verifier have
true rows of every kind in milliseconds, the same for the same seed.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from libs.events import codec
from libs.events.anchors import AnchorSigner
from libs.events.behaviour import Behaviour
from libs.events.contracts.inventory import (
    CapPartner,
    PlaceHold,
    PublishCatalogue,
    Sealed,
    SetAllotment,
    StopSales,
)
from libs.events.contracts.reservation import ActivateReservation, CancelReservation
from libs.events.envelope import Actor, Envelope
from libs.events.hashing import GENESIS
from libs.events.ports import AnswerRow, EventRow, Head, InputPosition
from libs.events.postgres.tables import Table
from libs.events.stage import RecentAnswers, Stage
from libs.events.topics import FULFILLMENT_EVENTS, INVENTORY_EVENTS, RESERVATION_EVENTS
from libs.kernel import ids
from libs.kernel.catalogue import Product
from libs.kernel.state import Entity, State
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.fulfillment.store.tables import TABLES as ORDER_TABLES
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.domain.ledger import Pool
from services.inventory.store.tables import TABLES as LEDGER_TABLES
from services.reservation.app.behaviour import ReservationBehaviour
from services.reservation.domain.hold import Reservation
from services.reservation.store.tables import TABLES as HOLD_TABLES
from tests.support import examples
from tests.support.given import readable_token

SERVICES: Final = ("inventory", "reservation", "fulfillment")
TABLES: Final = {
    "inventory": LEDGER_TABLES,
    "reservation": HOLD_TABLES,
    "fulfillment": ORDER_TABLES,
}
TOPICS: Final = {
    "inventory": INVENTORY_EVENTS.name,
    "reservation": RESERVATION_EVENTS.name,
    "fulfillment": FULFILLMENT_EVENTS.name,
}
READS: Final = {
    "inventory": ("reservation",),
    "reservation": ("inventory",),
    "fulfillment": ("reservation",),
}
POOLS: Final = {1: 0, 2: 1}
PARTNERS: Final = ("test_partner", "prod_partner")
SIGNER: Final = AnchorSigner(b"a" * 32)
ANCHOR_EVENTS: Final = 40

Row = dict[str, Any]


class _Silent:
    """Watches and look-ups that nobody needs here."""

    def stock(self, pool: Pool) -> None: ...
    def conflict(self, found: object) -> None: ...
    def expired(self, delay_s: float) -> None: ...

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        return ()

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        return ()

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        return {}

    async def read(self, version: int) -> None: ...

    def product(self, product_id: int, version: int) -> Product:
        return examples.PRODUCT


def _behaviour(service: str) -> Behaviour:
    silent = _Silent()
    if service == "inventory":
        return InventoryBehaviour(watch=silent)
    if service == "reservation":
        return ReservationBehaviour(
            numbers=examples.NUMBERS, lookup=silent, catalogues=silent, watch=silent
        )
    return FulfillmentBehaviour(numbers=examples.NUMBERS, sign=readable_token, catalogues=silent)


@dataclass(slots=True)
class _Partition:
    """One partition of a service, with all that it has stored."""

    service: str
    number: int
    behaviour: Behaviour = field(init=False)
    state: State = field(init=False)
    head: Head = field(init=False)
    recent: RecentAnswers = field(default_factory=RecentAnswers)
    events: list[tuple[EventRow, datetime, int]] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    answers: list[tuple[AnswerRow, datetime]] = field(default_factory=list)
    entities: dict[tuple[type, str], Entity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.behaviour = _behaviour(self.service)
        self.state = State(partition=self.number)
        self.head = Head(
            partition=self.number,
            epoch=1,
            generation=1,
            seq=0,
            decided_at=examples.HELD_AT - timedelta(days=1),
            hash=GENESIS,
            inputs={},
        )

    def decide(self, messages: Sequence[Envelope], now: datetime) -> None:
        """Decide messages in one batch and store what comes of them."""
        self.state.release()
        stage = Stage(self.behaviour, self.state, self.recent, self.head)
        stage.decide_all(messages, now)
        changes = self.state.staged()
        self.state.commit()
        for message in messages:
            if message.position is not None:
                self._took(message)
        self.head = replace(self.head, seq=stage.seq, hash=stage.hash, decided_at=now)
        self.events += [(row, now, self.head.epoch) for row in stage.rows]
        self.envelopes += [envelope for envelope, _ in stage.events]
        for answer in stage.answers.values():
            self.recent.add(answer)
            self.answers.append((answer, now))
        for change in changes:
            self.entities[type(change.entity), change.entity.key] = change.entity
        events = [envelope.data for envelope, _ in stage.events]
        self.behaviour.committed(self.state, changes, events, self.head)

    def _took(self, message: Envelope) -> None:
        assert message.position is not None
        topic = TOPICS[message.source]
        before = self.head.inputs.get(topic, InputPosition())
        at = replace(
            before,
            offset=before.offset + 1,
            record_id=message.id,
            generation=message.position.generation,
            seq=message.position.seq,
        )
        self.head = replace(self.head, inputs={**self.head.inputs, topic: at})


class PlayedSystem:
    """Plays *holds* reservations and what becomes of them; `write` exports it."""

    def __init__(self, *, seed: int = 1, holds: int = 60) -> None:
        self._random = random.Random(seed)
        self._now = examples.HELD_AT
        self._commands = 0
        self.partitions = {
            (service, number): _Partition(service, number)
            for service in SERVICES
            for number in sorted(POOLS.values())
        }
        self.receipts: list[str] = []
        self._play(holds)

    def _play(self, holds: int) -> None:
        self._command("inventory", 1, PublishCatalogue(catalogue=examples.CATALOGUE))
        for pool_no, channel in zip(POOLS, ("ota", "direct"), strict=True):
            allot = SetAllotment(pool_no=pool_no, product_id=106, channel=channel, units=holds)
            self._command("inventory", pool_no, allot)
        for number in range(holds):
            self._now += timedelta(seconds=self._random.choice([0, 1, 30]), microseconds=number)
            if number == holds // 2:
                self._change_owners()
                cap = CapPartner(pool_no=1, partner_id=PARTNERS[0], units=holds // 2)
                self._command("inventory", 1, cap)
            self._one_hold(number)
            self._expire()
        self._command("inventory", 2, StopSales(pool_no=2, reason="the day is over"))
        self._now += timedelta(seconds=5)

    def _change_owners(self) -> None:
        for partition in self.partitions.values():
            partition.head = replace(partition.head, epoch=partition.head.epoch + 1)

    def _one_hold(self, number: int) -> None:
        pool_no = self._random.choice(list(POOLS))
        partner_id = self._random.choice(PARTNERS)
        command_id = self._next_id()
        hold = PlaceHold(
            reservation_id=ids.reservation_id(command_id=command_id, pool_no=pool_no),
            pool_no=pool_no,
            partner_id=partner_id,
            quantity=self._random.randint(1, 4),
            rule_version=examples.CATALOGUE.version,
            hold_s=self._random.choice([60, 3600, 86_400]),
            visit_date=self._random.choice([None, examples.WEEKEND]),
            customer_reference=Sealed(key_id=f"key-{number}", ciphertext="sealed")
            if number % 3 == 0
            else None,
            customer_reference_hash="ab" * 24 if number % 3 == 0 else None,
        )
        self._command("inventory", pool_no, hold, id=command_id, partner_id=partner_id)
        chance = self._random.random()
        if chance < 0.45:
            ending: object = ActivateReservation(
                reservation_id=hold.reservation_id,
                partner_id=partner_id,
                customer_types="adult",
                visit_date=None,
                customer=Sealed(key_id=f"key-{number}", ciphertext="sealed"),
                payment_reference_hash="cd" * 24,
            )
        elif chance < 0.65:
            ending = CancelReservation(reservation_id=hold.reservation_id, partner_id=partner_id)
        else:
            return
        if self._random.random() < 0.2:
            self._now += timedelta(seconds=90)  # too late for the shortest holds
        self._command("reservation", pool_no, ending, partner_id=partner_id)

    def _expire(self) -> None:
        for number in sorted(POOLS.values()):
            partition = self.partitions["reservation", number]
            for command in partition.behaviour.due(partition.state, self._now, 100):
                id = f"due:{getattr(command, 'reservation_id', '')}"
                message = Envelope(
                    id=id,
                    source="reservation",
                    time=self._now,
                    data=command,
                    correlation_id=id,
                    causation_id=id,
                )
                partition.decide([message], self._now)
        self._deliver()

    def _next_id(self) -> str:
        self._commands += 1
        return ids.command_id(
            partner_id="p", method="POST", path="/", idempotency_key=str(self._commands)
        )

    def _command(
        self,
        service: str,
        pool_no: int,
        data: object,
        *,
        id: str | None = None,
        partner_id: str = "operator",
    ) -> None:
        id = id or self._next_id()
        message = Envelope(
            id=id,
            source="gateway",
            time=self._now,
            data=data,
            correlation_id=id,
            causation_id=id,
            actor=Actor(partner_id=partner_id, key_id="key", request_id=f"req-{self._commands}"),
            traceparent=examples.TRACEPARENT,
            fingerprint=examples.FINGERPRINT,
            reply_to=self._commands % 3,
        )
        self.partitions[service, POOLS[pool_no]].decide([message], self._now)
        self._deliver()

    def _deliver(self) -> None:
        """Let every service read what the others have recorded, until nobody has news."""
        moved = True
        while moved:
            moved = False
            for (service, number), partition in self.partitions.items():
                for source in READS[service]:
                    taken = partition.head.inputs.get(TOPICS[source], InputPosition()).seq
                    news = self.partitions[source, number].envelopes[taken:]
                    for message in news:
                        interesting = codec.encode(message)[0][3][1].decode()
                        if interesting in partition.behaviour.interests:
                            partition.decide([message], self._now)
                        else:
                            partition._took(message)
                        moved = True

    # The export

    def write(self, folder: Path) -> Path:
        """Write all of it into an empty folder, and return that."""
        folder.mkdir(parents=True, exist_ok=True)
        anchors: list[Row] = []
        for service in SERVICES:
            mine = [p for (name, _), p in self.partitions.items() if name == service]
            write_rows(folder, f"events.{service}.jsonl", _events(mine))
            write_rows(folder, f"heads.{service}.jsonl", [_head(p) for p in mine])
            write_rows(folder, f"answers.{service}.jsonl", _answers(mine))
            for table in TABLES[service]:
                write_rows(folder, f"table.{service}.{table.name}.jsonl", _entities(mine, table))
            anchors += _anchors(mine)
            write_rows(folder, f"topics.{TOPICS[service]}.jsonl", _records(mine))
        write_rows(folder, "table.reservation.reservation_count.jsonl", self._counted_holds())
        write_rows(folder, "table.fulfillment.order_count.jsonl", self._counted_orders())
        write_rows(folder, "anchors.jsonl", anchors)
        write_rows(folder, "topics.ota.platform.anchors.v1.jsonl", _published(anchors))
        key = base64.urlsafe_b64encode(SIGNER.public_key).decode().rstrip("=")
        documents: dict[str, Row] = {
            "anchor_keys.json": {SIGNER.key_id: key},
            "export.json": {"version": 1},
        }
        for name, content in documents.items():
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        return folder

    def _rows(self, service: str, table: str) -> list[Row]:
        mine = [p for (name, _), p in self.partitions.items() if name == service]
        (found,) = [each for each in TABLES[service] if each.name == table]
        return _entities(mine, found)

    def _counted_holds(self) -> list[Row]:
        names = ("partner_id", "product_id", "status", "partition")
        return _counted(self._rows("reservation", "reservation"), names, "reservations")

    def _counted_orders(self) -> list[Row]:
        names = ("partner_id", "product_id", "partition")
        return _counted(self._rows("fulfillment", "customer_order"), names, "orders")


def write_rows(folder: Path, name: str, rows: Collection[Row]) -> None:
    """Write a file of rows."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / name).write_text(text, encoding="utf-8")


def read_rows(folder: Path, name: str) -> list[Row]:
    """Read a file of rows."""
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _events(partitions: Sequence[_Partition]) -> list[Row]:
    return [
        {
            "partition": partition.number,
            "generation": 1,
            "epoch": epoch,
            "seq": row.seq,
            "type": row.type,
            "version": row.version,
            "subject": row.subject,
            "decided_at": _text(at),
            "meta": row.meta,
            "data": row.data,
            "previous_hash": row.previous_hash.hex(),
            "hash": row.hash.hex(),
        }
        for partition in partitions
        for row, at, epoch in partition.events
    ]


def _head(partition: _Partition) -> Row:
    head = partition.head
    inputs = {topic: asdict(at) for topic, at in head.inputs.items()}
    plain = {name: getattr(head, name) for name in ("partition", "epoch", "generation", "seq")}
    stored = {"decided_at": _text(head.decided_at), "hash": head.hash.hex(), "inputs": inputs}
    return {**plain, **stored, "owner": "somebody"}


def _answers(partitions: Sequence[_Partition]) -> list[Row]:
    return [
        {
            **{name: getattr(answer, name) for name in AnswerRow.__slots__},
            "partition": partition.number,
            "decided_at": _text(at),
        }
        for partition in partitions
        for answer, at in partition.answers
    ]


def _entities(partitions: Sequence[_Partition], table: Table) -> list[Row]:
    rows = []
    for partition in partitions:
        mine = [each for (kind, _), each in partition.entities.items() if kind is table.kind]
        for values in zip(*table.arrays(mine), strict=True) if mine else ():
            columns = dict(zip(table.columns, map(_plain, values), strict=True))
            rows.append({"partition": partition.number, **columns})
    return rows


def _counted(rows: Sequence[Row], names: Sequence[str], number: str) -> list[Row]:
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    return [dict(zip(names, key, strict=True)) | {number: count} for key, count in counts.items()]


def _anchors(partitions: Sequence[_Partition]) -> list[Row]:
    """Sign every forty events and, as if a minute had passed, the last but three."""
    rows = []
    for partition in partitions:
        last = len(partition.events)
        for row, at, _ in partition.events:
            if row.seq % ANCHOR_EVENTS == 0 or row.seq == last - 3:
                head = replace(partition.head, seq=row.seq, hash=row.hash)
                signed_at = at + timedelta(seconds=1)
                made = SIGNER.sign(head, service=partition.service, anchored_at=signed_at)
                rows.append(asdict(made) | {"anchored_at": _text(signed_at)})
    return rows


def _published(anchors: Sequence[Row]) -> list[Row]:
    return [
        {
            "partition": 0,
            "offset": offset,
            "timestamp_ms": 0,
            "key": f"{row['service']}-{row['partition']}",
            "headers": [],
            "value": json.dumps(row),
        }
        for offset, row in enumerate(anchors)
    ]


def _records(partitions: Sequence[_Partition]) -> list[Row]:
    rows = []
    for partition in partitions:
        for offset, envelope in enumerate(partition.envelopes):
            headers, value = codec.encode(envelope)
            rows.append(
                {
                    "partition": partition.number,
                    "offset": offset,
                    "timestamp_ms": 0,
                    "key": "",
                    "headers": [[name, text.decode()] for name, text in headers],
                    "value": value.decode(),
                }
            )
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _text(value)
    return value.isoformat() if isinstance(value, date) else value


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")

"""The three deciding services in one process, on the in-memory twins, driven step by step.

One seed gives one history: who runs next, who crashes at which step, which records are
lost or come twice, how the clock moves. Clients see what partners see: their answers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from libs.events import codec
from libs.events.behaviour import Behaviour
from libs.events.contracts.inventory import (
    CapPartner,
    HoldRefused,
    PlaceHold,
    Sealed,
    SetAllotment,
)
from libs.events.contracts.reservation import ActivateReservation, CancelReservation
from libs.events.envelope import Actor, Envelope
from libs.events.memory.broker import MemoryBroker, MemoryFeed, MemoryGapReader, MemoryPublisher
from libs.events.memory.log import MemoryDatabase, MemoryLog
from libs.events.ports import FeedLost, Fenced, NotSent, Outgoing
from libs.events.topics import (
    GATEWAY_REPLIES,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    RESERVATION_COMMANDS,
    RESERVATION_EVENTS,
)
from libs.events.writer import PartitionLoop
from libs.kernel.catalogue import Catalogue, Entitlement, PriceRules, Product
from libs.kernel.ids import Numbers, command_id, pool_no_of, reservation_id
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.domain.ledger import Pool
from services.reservation.app.behaviour import ReservationBehaviour
from services.reservation.domain.hold import Reservation

BEGINNING = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PARTITION_OF_POOL = {1: 0, 2: 1}
PRICES = PriceRules(
    rule_version=1,
    currency="HKD",
    adult_weekday_minor=28_800,
    adult_weekend_minor=31_800,
    child_minor=18_800,
    elderly_minor=18_800,
)
PRODUCT = Product(
    product_id=106,
    name="Premium Plan",
    sku="CRUISE-2025-PREMIUM",
    ticket_prefix="CRUISE-2025-FERRY",
    active=True,
    prices=PRICES,
    entitlements=(Entitlement(function_code="ferry", function_name="Ferry", max_uses=1),),
)
NUMBERS = Numbers(b"n" * 32)


class Crash(Exception):
    """The process died here."""


class _Clock:
    """The database's clock, moved by the world."""

    jumped = False

    def __init__(self) -> None:
        self.at = BEGINNING

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - BEGINNING).total_seconds()


class _Watch:
    """Counts what the services tell."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def decided(self, *, events: Sequence[str], answers: Sequence[str], replayed: int) -> None:
        self.count("replayed", replayed)

    def wrote(self, duration_s: float) -> None:
        self.count("written")

    def dropped_stale(self) -> None:
        self.count("stale")

    def parked(self, topic: str) -> None:
        self.count("parked")

    def filled_gap(self, events: int) -> None:
        self.count("gaps")

    def stock(self, pool: Pool) -> None:
        self.count("stock")

    def conflict(self) -> None:
        self.count("conflicts")

    def holds_open(self, partition: int, number: int) -> None:
        self.count("holds")

    def expired(self, delay_s: float) -> None:
        self.count("expired")


class _Catalogues:
    async def read(self, version: int) -> None:
        """There is one version, and it is at hand."""

    def get(self, version: int) -> Catalogue:
        return Catalogue(version=1, products=(PRODUCT,), addons=(), pools=())


class _Lookup:
    """Reservations from the databases, as the read views give them."""

    def __init__(self, databases: Mapping[str, MemoryDatabase]) -> None:
        self._databases = databases

    def _rows(self, partition: int) -> list[Reservation]:
        rows = self._databases["reservation"].rows.values()
        return [e for at, e in rows if at == partition and isinstance(e, Reservation)]

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        return [r for r in self._rows(partition) if r.reservation_id in reservation_ids]

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        events = self._databases["inventory"].envelopes(partition, after_seq=0, limit=10**9)
        return [
            event
            for event in events
            if type(event.data).__name__ == "UnitsHeld"
            and getattr(event.data, "reservation_id", "") in reservation_ids
        ]

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        rows = self._rows(partition)
        return {r.reservation_id: r.ledger_seq for r in rows if r.ledger_seq > ledger_seq}


def _sign(**claims: object) -> str:
    return f"token:{claims['ticket_code']}"


@dataclass
class World:
    """Databases, broker and services; `run` plays a seeded history and heals it at the end."""

    seed: int
    units: int = 40
    chaos: bool = True
    crash_rate: float = 0.05
    answers: dict[tuple[str, str], list[object]] = field(default_factory=dict)
    reservations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build everything; nothing runs yet."""
        self.random = random.Random(self.seed)
        self.clock = _Clock()
        self.watch = _Watch()
        self.broker = MemoryBroker(clock=self.clock.now)
        self.databases = {
            name: MemoryDatabase(source=name, clock=self.clock.now)
            for name in ("inventory", "reservation", "fulfillment")
        }
        self.loops: dict[tuple[str, int], PartitionLoop] = {}
        self.zombies: list[PartitionLoop] = []
        self._replies_read = 0
        self._crashing = False

    def _behaviour(self, service: str) -> Behaviour:
        if service == "inventory":
            return InventoryBehaviour(watch=self.watch)
        if service == "reservation":
            lookup = _Lookup(self.databases)
            return ReservationBehaviour(numbers=NUMBERS, lookup=lookup, watch=self.watch)
        return FulfillmentBehaviour(numbers=NUMBERS, sign=_sign, catalogues=_Catalogues())

    def _step(self, name: str) -> None:
        if self._crashing and self.random.random() < 0.4:
            self.watch.count(f"crashed at {name}")
            raise Crash(name)

    def _loop(self, service: str, partition: int) -> PartitionLoop:
        behaviour = self._behaviour(service)
        command_input = behaviour.command_input
        return PartitionLoop(
            partition=partition,
            behaviour=behaviour,
            log=MemoryLog(database=self.databases[service], partition=partition),
            feed=MemoryFeed(
                broker=self.broker,
                partition=partition,
                event_topics=[topic.name for topic in behaviour.event_inputs],
                command_topic=command_input.name if command_input else None,
            ),
            publisher=MemoryPublisher(self.broker),
            gaps=MemoryGapReader(
                {
                    INVENTORY_EVENTS.name: self.databases["inventory"],
                    RESERVATION_EVENTS.name: self.databases["reservation"],
                }
            ),
            clock=self.clock,
            watch=self.watch,
            step=self._step,
            monotonic=self.clock.monotonic,
            owned=lambda: None,
        )

    async def restart(self, service: str, partition: int) -> None:
        """Start a new owner; the old one is dead, or sleeps and does not know."""
        old = self.loops.pop((service, partition), None)
        self.databases[service].owners.pop(partition, None)
        if old is not None and self.random.random() < 0.5:
            self.zombies.append(old)
        loop = self._loop(service, partition)
        await loop.take_over()
        self.loops[service, partition] = loop

    async def start(self) -> None:
        """Start all services and allot the stock."""
        for service in self.databases:
            for partition in sorted(PARTITION_OF_POOL.values()):
                await self.restart(service, partition)
        for pool_no in PARTITION_OF_POOL:
            allot = SetAllotment(
                pool_no=pool_no, product_id=106, channel=f"channel-{pool_no}", units=self.units
            )
            await self.send(INVENTORY_COMMANDS.name, pool_no, allot, key=f"allot-{pool_no}")
        await self.settle()

    async def send(self, topic: str, pool_no: int, data: object, *, key: str) -> None:
        """Send a partner's command; equal keys make repeats."""
        path = getattr(data, "reservation_id", "") if topic == RESERVATION_COMMANDS.name else ""
        id = command_id(partner_id="p", method="POST", path=path, idempotency_key=key)
        if isinstance(data, PlaceHold):
            data = replace(data, reservation_id=reservation_id(command_id=id, pool_no=pool_no))
            self.reservations.append(data.reservation_id)
        envelope = Envelope(
            id=id,
            source="gateway",
            time=self.clock.now(),
            data=data,
            correlation_id=id,
            causation_id=id,
            actor=Actor(partner_id="p", key_id="k", request_id=key),
            fingerprint=f"{type(data).__name__}-{getattr(data, 'quantity', '')}-{pool_no}",
            reply_to=0,
        )
        headers, value = codec.encode(envelope)
        partition = PARTITION_OF_POOL[pool_no]
        record = Outgoing(topic=topic, partition=partition, key=b"", headers=headers, value=value)
        await self.broker.append([record])

    async def _operator_acts(self) -> None:
        pool_no = self.random.choice(list(PARTITION_OF_POOL))
        units = self.random.choice([None, 3, 8, 20])
        cap = CapPartner(pool_no=pool_no, partner_id="p", units=units)
        key = f"cap-{self.random.randint(0, 10**6)}"
        await self.send(INVENTORY_COMMANDS.name, pool_no, cap, key=key)

    async def _partner_acts(self) -> None:
        choice = self.random.random()
        if choice < 0.5 or not self.reservations:
            pool_no = self.random.choice(list(PARTITION_OF_POOL))
            hold = PlaceHold(
                reservation_id="",
                pool_no=pool_no,
                partner_id="p",
                quantity=self.random.randint(1, 6),
                prices=PRICES,
                hold_s=self.random.choice([2, 5, 60]),
            )
            key = f"reserve-{self.random.randint(0, 60)}"
            await self.send(INVENTORY_COMMANDS.name, pool_no, hold, key=key)
            return
        reservation = self.random.choice(self.reservations)
        pool_no = pool_no_of(reservation) or 0
        key = f"key-{self.random.randint(0, 2)}"
        if choice < 0.8:
            command: object = ActivateReservation(
                reservation_id=reservation,
                partner_id="p",
                customer_types="adult",
                visit_date=None,
                customer=Sealed(key_id="k", ciphertext="c"),
                payment_reference_hash="h",
            )
        else:
            command = CancelReservation(reservation_id=reservation, partner_id="p")
        await self.send(RESERVATION_COMMANDS.name, pool_no, command, key=key)

    async def _fault(self) -> None:
        service, partition = self.random.choice(list(self.loops))
        kind = self.random.random()
        if kind < 0.5:
            await self.restart(service, partition)
        elif kind < 0.7:
            topic = self.random.choice([INVENTORY_EVENTS.name, RESERVATION_EVENTS.name])
            lost = self.random.randint(1, 3)
            self.broker.lose_tail(topic, partition, lost)
            self.watch.count("tails lost")
        elif kind < 0.85:
            topic = self.random.choice([INVENTORY_EVENTS.name, RESERVATION_EVENTS.name])
            log = self.broker.log(topic, partition)
            if log:
                log.append(self.random.choice(log))
        elif self.zombies:
            zombie = self.random.choice(self.zombies)
            try:
                await self._tick(zombie)
            except (Fenced, FeedLost) as error:
                self.watch.count(type(error).__name__)
                self.zombies.remove(zombie)

    async def _tick(self, loop: PartitionLoop) -> None:
        await loop.tick(patience_s=0)

    async def _run_service(self, at: tuple[str, int]) -> None:
        try:
            await self._tick(self.loops[at])
        except (Crash, Fenced, FeedLost, NotSent, BaseExceptionGroup) as error:
            self.watch.count(type(error).__name__)
            await self._recover(at)

    async def _recover(self, at: tuple[str, int]) -> None:
        crashing, self._crashing = self._crashing, False
        await self.restart(*at)
        self._crashing = crashing

    async def run(self, steps: int) -> None:
        """Play *steps* random steps, then heal everything and let it settle."""
        await self.start()
        for _ in range(steps):
            kind = self.random.random()
            if kind < 0.02:
                await self._operator_acts()
            elif kind < 0.3:
                await self._partner_acts()
            elif kind < 0.35:
                self.clock.at += timedelta(seconds=self.random.choice([0.3, 1.0, 2.2]))
            elif kind < 0.35 + self.crash_rate and self.chaos:
                await self._fault()
            else:
                self._crashing = self.chaos and self.random.random() < 0.1
                await self._run_service(self.random.choice(list(self.loops)))
                self._crashing = False
            self._read_replies()
        await self.settle()

    async def settle(self) -> None:
        """Run everybody, and the clock, until nothing moves any more."""
        for _ in range(12):
            for at in list(self.loops):
                await self._run_service(at)
                await self._run_service(at)
            self.clock.at += timedelta(seconds=1.1)
        self._read_replies()

    def _read_replies(self) -> None:
        replies = self.broker.log(GATEWAY_REPLIES.name, 0)
        for stored in replies[self._replies_read :]:
            answer = codec.decode(stored.headers, stored.value)
            at = (answer.correlation_id, answer.fingerprint or "")
            self.answers.setdefault(at, []).append(answer.data)
            if isinstance(answer.data, HoldRefused):
                self.watch.count(f"refused {answer.data.reason}")
        self._replies_read = len(replies)

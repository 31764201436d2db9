"""A gateway process: the real use cases on ports in memory, and a command client over the twin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.events import codec
from libs.events.contracts.inventory import AvailabilityReported
from libs.events.envelope import Envelope
from libs.events.memory.broker import MemoryBroker
from libs.events.ports import NotSent, Outgoing
from libs.events.registry import Unreadable
from libs.events.requests import NotExecuted, OutcomeUnknown, Reply, Request, read_reply
from libs.events.topics import GATEWAY_REPLIES, INVENTORY_AVAILABILITY
from services.gateway.app.availability import Availability
from services.gateway.app.catalogue import CatalogueView
from services.gateway.app.commands import Commands
from services.gateway.app.inventory import Inventory
from services.gateway.app.key_writer import KeyWriter
from services.gateway.app.master_keys import MasterKeys
from services.gateway.app.orders import FOLLOWS as ORDER_LOGS
from services.gateway.app.orders import Orders
from services.gateway.app.positions import AnsweredPositions, PositionSeal
from services.gateway.app.progress import ViewProgress
from services.gateway.app.reservation_reads import FOLLOWS as RESERVATION_LOGS
from services.gateway.app.reservation_reads import ReservationReads
from services.gateway.app.reservations import Reservations
from services.gateway.app.sealing import Sealer
from services.gateway.domain.records import NewKey, StoredKey
from simulation.market import CATALOGUE, HASHES, PARTITIONS
from simulation.scheduler import Scheduler
from simulation.views import Progress, Views

SEAL = PositionSeal(HASHES.position_key())


@dataclass(slots=True)
class KeyTable:
    """The gateway's table of personal keys, shared by all gateways."""

    keys: dict[str, StoredKey] = field(default_factory=dict)

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.key_writer.KeyTable`."""
        for key in keys:
            stored = StoredKey(wrapped=key.wrapped, master_key_id=key.master_key_id, erased_at=None)
            self.keys.setdefault(key.key_id, stored)
        return {key.key_id: self.keys[key.key_id] for key in keys}

    async def stored_keys(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """See `services.gateway.app.sealing.KeyReader`."""
        return {key_id: self.keys[key_id] for key_id in key_ids if key_id in self.keys}


class NoImages:
    """Nobody asks for QR codes here."""

    async def render(self, tokens: Sequence[str]) -> list[str]:
        """See `services.gateway.app.reservations.QrImages`."""
        return ["" for _ in tokens]


class SimulatedClient:
    """See `libs.events.requests.CommandClient`; the schedule delivers its answers.

    *fate* is what the next command meets on its way: lost, sent twice.
    """

    def __init__(self, *, scheduler: Scheduler, broker: MemoryBroker, instance: int) -> None:
        self._scheduler = scheduler
        self._broker = broker
        self._instance = instance
        self._pending: dict[tuple[str, str], list[asyncio.Future[Reply | None]]] = {}
        self.read = len(broker.log(GATEWAY_REPLIES.name, instance))
        self.fate: str | None = None
        self.late = 0

    def check(self, *, topic: str, partition: int) -> None:
        """See the port; load is not shed here."""

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See the port."""
        key = (request.command_id, request.fingerprint)
        first = key not in self._pending
        if first:
            await self._send(request)
        asker: asyncio.Future[Reply | None] = self._scheduler.create_future()
        askers = self._pending.setdefault(key, [])
        askers.append(asker)
        timer = self._scheduler.call_later(timeout_s, _give_up, asker)
        try:
            reply = await asker
        finally:
            timer.cancel()
            askers.remove(asker)
            if not askers and self._pending.get(key) is askers:
                del self._pending[key]
        if reply is None:
            raise OutcomeUnknown(request.command_id)
        return reply

    async def _send(self, request: Request) -> None:
        fate, self.fate = self.fate, None
        envelope = Envelope(
            id=request.command_id,
            source="gateway",
            time=request.issued_at,
            data=request.data,
            correlation_id=request.command_id,
            causation_id=request.command_id,
            actor=request.actor,
            traceparent=request.traceparent,
            fingerprint=request.fingerprint,
            reply_to=self._instance,
        )
        headers, value = codec.encode(envelope)
        record = Outgoing(
            topic=request.topic,
            partition=request.partition,
            key=request.command_id.encode(),
            headers=headers,
            value=value,
        )
        if fate == "lost":
            return
        try:
            await self._broker.append([record] * (2 if fate == "sent twice" else 1))
        except NotSent as error:
            raise NotExecuted(str(error)) from error

    def deliver(self, records: int) -> None:
        """Hand the next answers to whoever waits for them."""
        log = self._broker.log(GATEWAY_REPLIES.name, self._instance)
        self.read = min(self.read, len(log))
        for stored in log[self.read : self.read + records]:
            self.read += 1
            try:
                whose, reply = read_reply(stored.headers, stored.value)
            except Unreadable:
                continue
            askers = self._pending.get(whose, [])
            waiting = [each for each in askers if not each.done()]
            if not waiting or reply is None:
                self.late += 1
                continue
            for each in waiting:
                each.set_result(reply)


def _give_up(asker: asyncio.Future[Reply | None]) -> None:
    if not asker.done():
        asker.set_result(None)


class Gateway:
    """One life of a gateway process; a killed one is replaced by a new object."""

    def __init__(
        self,
        *,
        instance: int,
        scheduler: Scheduler,
        broker: MemoryBroker,
        views: Views,
        keys: KeyTable,
        now: Callable[[], datetime],
        random: Callable[[int], bytes],
    ) -> None:
        self.instance = instance
        self._broker = broker
        self.now = now
        self.tasks: dict[asyncio.Task[None], None] = {}
        self.client = SimulatedClient(scheduler=scheduler, broker=broker, instance=instance)
        self._figures_read = {
            p: len(broker.log(INVENTORY_AVAILABILITY.name, p)) for p in PARTITIONS
        }
        catalogue = CatalogueView(source=views)
        catalogue.replace(CATALOGUE)
        self.availability = Availability(source=views, monotonic=scheduler.time, now=now)
        positions = AnsweredPositions()
        sealer = Sealer(
            master_keys=MasterKeys(read=lambda: (b"m" * 32,), monotonic=scheduler.time),
            hashes=HASHES,
            writer=KeyWriter(table=keys),
            reader=keys,
            random=random,
        )
        progress = ViewProgress(source=Progress(views, "reservation"), follows=RESERVATION_LOGS)
        self.reservations = Reservations(
            catalogue=catalogue,
            commands=Commands(
                client=self.client, availability=self.availability, positions=positions, now=now
            ),
            sealer=sealer,
            hashes=HASHES,
            view=views,
            holds=views,
            images=NoImages(),
            now=now,
        )
        self.reads = ReservationReads(
            catalogue=catalogue,
            hashes=HASHES,
            view=views,
            holds=views,
            progress=progress,
            positions=positions,
        )
        self.orders = Orders(
            hashes=HASHES,
            sealer=sealer,
            view=views,
            progress=ViewProgress(source=Progress(views, "fulfillment"), follows=ORDER_LOGS),
            positions=positions,
            images=NoImages(),
        )
        self.inventory = Inventory(
            catalogue=catalogue,
            availability=self.availability,
            hashes=HASHES,
            seal=SEAL,
            now=now,
        )

    def take_figures(self) -> None:
        """Take in what the availability topic says."""
        for partition, read in self._figures_read.items():
            log = self._broker.log(INVENTORY_AVAILABILITY.name, partition)
            for stored in log[min(read, len(log)) :]:
                report = codec.decode(stored.headers, stored.value).data
                if isinstance(report, AvailabilityReported):
                    self.availability.report(report)
            self._figures_read[partition] = len(log)

"""A partner at the level of commands: sends them through Kafka as a gateway does.

It keeps every answer that it got, for `tests.support.ledger.broken_promises`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import (
    AvailabilityReported,
    CapPartner,
    HoldPlaced,
    LedgerChanged,
    PlaceHold,
    Sealed,
    SetAllotment,
)
from libs.events.contracts.reservation import ActivateReservation, CancelReservation
from libs.events.envelope import Actor
from libs.events.kafka.requests import KafkaCommandClient
from libs.events.requests import NotExecuted, OutcomeUnknown, Reply, Request
from libs.events.topics import INVENTORY_COMMANDS, RESERVATION_COMMANDS
from libs.kernel.ids import command_id, pool_no_of, reservation_id

PRODUCT_ID: Final = 106
PARTNER_ID: Final = "partner"
ANSWER_TIMEOUT_S: Final = 2.0
INSIST_TIMEOUT_S: Final = 40.0

CATALOGUE_VERSION: Final = 1
_POOL_NUMBERS = itertools.count(1_001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """A pool of a test's own, so that tests on shared data do not meet."""

    pool_no: int
    channel: str
    partition: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A command with the answer that its sender was given."""

    request: Request
    reply: Reply


@dataclass(slots=True)
class Partner:
    """Sends commands and keeps their answers; get one from `connected_partner`."""

    client: KafkaCommandClient
    history: list[Answered] = field(default_factory=list)
    reported: dict[int, AvailabilityReported] = field(default_factory=dict)
    partitions: dict[int, int] = field(default_factory=dict)

    async def open_pool(self, *, units: int, partition: int = 0) -> Stock:
        """Allot units to a new pool."""
        pool_no = next(_POOL_NUMBERS)
        stock = Stock(pool_no=pool_no, channel=f"test{pool_no}", partition=partition, units=units)
        command = SetAllotment(
            pool_no=pool_no, product_id=PRODUCT_ID, channel=stock.channel, units=units
        )
        reply = await self.insist(self._to_inventory(partition, command, uuid.uuid4().hex))
        assert isinstance(reply.answer, LedgerChanged)
        self.partitions[pool_no] = partition
        return stock

    def hold(
        self,
        stock: Stock,
        *,
        quantity: int = 1,
        hold_s: int | None = None,
        expires_at: datetime | None = None,
        key: str | None = None,
    ) -> Request:
        """Return a command that holds units; its key makes its id."""
        key = key or uuid.uuid4().hex
        id = _command_id("/reserve", key)
        command = PlaceHold(
            reservation_id=reservation_id(command_id=id, pool_no=stock.pool_no),
            pool_no=stock.pool_no,
            partner_id=PARTNER_ID,
            quantity=quantity,
            rule_version=CATALOGUE_VERSION,
            hold_s=hold_s,
            expires_at=expires_at,
        )
        return self._to_inventory(stock.partition, command, key, id=id)

    def activate(self, reservation_id: str, *, key: str | None = None) -> Request:
        """Return a command that turns a hold into an order for adults."""
        command = ActivateReservation(
            reservation_id=reservation_id,
            partner_id=PARTNER_ID,
            customer_types="adult",
            visit_date=None,
            customer=Sealed(key_id="key", ciphertext="sealed"),
            payment_reference_hash="payment",
        )
        return self._to_reservation(reservation_id, "/activate", command, key)

    def cancel(self, reservation_id: str, *, key: str | None = None) -> Request:
        """Return a command that gives a hold back."""
        command = CancelReservation(reservation_id=reservation_id, partner_id=PARTNER_ID)
        return self._to_reservation(reservation_id, "", command, key)

    async def cap(self, stock: Stock, *, units: int | None) -> None:
        """Cap what this partner may hold of a pool at once."""
        command = CapPartner(pool_no=stock.pool_no, partner_id=PARTNER_ID, units=units)
        request = self._to_inventory(stock.partition, command, uuid.uuid4().hex)
        assert isinstance((await self.insist(request)).answer, LedgerChanged)

    async def send(self, request: Request, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Reply:
        """Send a command as of now; raises NotExecuted or OutcomeUnknown."""
        fresh = replace(request, issued_at=datetime.now(UTC))
        reply = await self.client.submit(fresh, timeout_s=timeout_s)
        self.history.append(Answered(request=request, reply=reply))
        return reply

    async def insist(self, request: Request, *, timeout_s: float = INSIST_TIMEOUT_S) -> Reply:
        """Send a command, with the same id again and again, until it is answered."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return await self.send(request, timeout_s=1.0)
            except (NotExecuted, OutcomeUnknown):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def held(
        self,
        stock: Stock,
        *,
        quantity: int = 1,
        hold_s: int | None = None,
        expires_at: datetime | None = None,
    ) -> HoldPlaced:
        """Hold units and return the answer, which has to be a yes."""
        request = self.hold(stock, quantity=quantity, hold_s=hold_s, expires_at=expires_at)
        reply = await self.insist(request)
        assert isinstance(reply.answer, HoldPlaced), reply.answer
        return reply.answer

    async def ordered(self, stock: Stock, *, quantity: int = 1) -> OrderConfirmed:
        """Hold units, activate the hold, and return the order."""
        placed = await self.held(stock, quantity=quantity)
        reply = await self.insist(self.activate(placed.reservation_id))
        assert isinstance(reply.answer, OrderConfirmed), reply.answer
        return reply.answer

    def _to_inventory(
        self, partition: int, command: object, key: str, *, id: str | None = None
    ) -> Request:
        return _request(
            INVENTORY_COMMANDS.name, partition, id or _command_id("/ledger", key), command
        )

    def _to_reservation(
        self, reservation_id: str, path: str, command: object, key: str | None
    ) -> Request:
        pool_no = pool_no_of(reservation_id)
        assert pool_no is not None
        id = _command_id(f"/reservations/{reservation_id}{path}", key or uuid.uuid4().hex)
        return _request(RESERVATION_COMMANDS.name, self.partitions[pool_no], id, command)


class Unwatched:
    """A watch for a client without metrics."""

    def unmatched(self) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""

    def round_sent(self, commands: int) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""


@asynccontextmanager
async def connected_partner(*, bootstrap: str, instance: int = 0) -> AsyncIterator[Partner]:
    """Give a partner whose answers come to the reply partition of a gateway *instance*."""
    reported: dict[int, AvailabilityReported] = {}

    def report(figures: AvailabilityReported) -> None:
        reported[figures.partition] = figures

    client = KafkaCommandClient(
        bootstrap=bootstrap, instance=instance, watch=Unwatched(), on_availability=report
    )
    await client.start()
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(client.run_replies()),
                group.create_task(client.run_rounds()),
            ]
            try:
                yield Partner(client, reported=reported)
            except Exception as error:  # raised below: a group would wrap a test's failure
                failure = error
            for task in running:
                task.cancel()
    finally:
        await client.stop()
    if failure is not None:
        raise failure


def seconds_from_now(seconds: float) -> datetime:
    """Return an instant; tests and database server share one clock."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _command_id(path: str, key: str) -> str:
    return command_id(partner_id=PARTNER_ID, method="POST", path=path, idempotency_key=key)


def _request(topic: str, partition: int, id: str, command: object) -> Request:
    return Request(
        topic=topic,
        partition=partition,
        command_id=id,
        fingerprint=f"fingerprint of {id}",
        data=command,
        actor=Actor(partner_id=PARTNER_ID, key_id="key", request_id=id),
        traceparent=None,
        issued_at=datetime.now(UTC),
    )

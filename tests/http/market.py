"""The deciding services in one object, in memory: commands in, answers out.

Just enough of their rules for the gateway's tests.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from libs.events.contracts.fulfillment import IssuedTicket, OrderConfirmed
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.inventory import (
    HoldPlaced,
    HoldRefused,
    HoldReleased,
    PlaceHold,
    PoolFigures,
)
from libs.events.contracts.reservation import (
    ActivateReservation,
    CancelReservation,
    ReservationRefused,
)
from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash, evidence_of
from libs.events.requests import NotExecuted, OutcomeUnknown, Reply, Request
from libs.kernel.catalogue import Catalogue, PoolPlan
from libs.kernel.ids import Numbers
from libs.kernel.pricing import price_lines, total_minor
from services.gateway.domain.records import (
    OrderRecord,
    RecordedEvent,
    ReservationRecord,
    TicketRecord,
)
from tests.support.catalogues import product_in

Place = tuple[str, int]
Mark = tuple[int, int]

NUMBERS = Numbers(b"n" * 32)


@dataclass(slots=True)
class Pool:
    """A pool's ledger."""

    plan: PoolPlan
    held: int = 0
    sold: int = 0
    selling: bool = True

    @property
    def available(self) -> int:
        """What can be held."""
        return self.plan.units - self.held - self.sold


@dataclass(slots=True)
class Hold:
    """A hold with everything that the views show of it."""

    command: PlaceHold
    record: ReservationRecord
    partition: int


@dataclass(slots=True)
class Market:
    """Inventory, reservation and fulfillment at once.

    *gate* holds answers back until it is set; *failure* is raised instead of an answer.
    *cap* is how many units of a pool may be held at once, by whomever it is. While
    *lagging*, the reservation service's view does not learn of new holds.
    """

    catalogue: Catalogue
    now: datetime = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
    lagging: bool = False
    failure: Exception | None = None
    cap: int | None = None
    gate: asyncio.Event | None = None
    sent: list[Request] = field(default_factory=list)
    holds: dict[str, Hold] = field(default_factory=dict)
    orders_by_id: dict[str, tuple[OrderRecord, str, str]] = field(default_factory=dict)
    tickets_by_order: dict[str, list[TicketRecord]] = field(default_factory=dict)
    recorded: dict[str, tuple[str, Reply]] = field(default_factory=dict)
    running: dict[tuple[str, str], asyncio.Future[Reply]] = field(default_factory=dict)
    pools_by_no: dict[int, Pool] = field(default_factory=dict)
    heads: dict[Place, int] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    inventory_seen: dict[int, int] = field(default_factory=dict)
    events: dict[tuple[str, int, int], RecordedEvent] = field(default_factory=dict)
    published: dict[int, Catalogue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pools_by_no = {plan.pool_no: Pool(plan) for plan in self.catalogue.pools}
        self.published = {self.catalogue.version: self.catalogue}

    # The command client

    def check(self, *, topic: str, partition: int) -> None:
        """See `libs.events.requests.CommandClient.check`."""
        if isinstance(self.failure, NotExecuted):
            raise self.failure

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See `libs.events.requests.CommandClient.submit`."""
        self.check(topic=request.topic, partition=request.partition)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._joined(request)
        except TimeoutError:
            raise OutcomeUnknown(request.command_id) from None

    async def _joined(self, request: Request) -> Reply:
        key = (request.command_id, request.fingerprint)
        first = self.running.get(key)
        if first is not None:
            return await asyncio.shield(first)
        self.sent.append(request)
        self.running[key] = answer = asyncio.get_running_loop().create_future()
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            reply = self._answer(request)
            answer.set_result(reply)
            return reply
        finally:
            if not answer.done():
                answer.set_exception(self.failure or OutcomeUnknown(request.command_id))
                answer.exception()  # whether or not anybody has joined
            del self.running[key]

    def _answer(self, request: Request) -> Reply:
        known = self.recorded.get(request.command_id)
        if known is not None:
            fingerprint, reply = known
            if fingerprint != request.fingerprint:
                return replace(reply, answer=KeyReused(command_id=request.command_id))
            return replace(reply, replayed=True)
        match request.data:
            case PlaceHold() as command:
                reply = self._place(command)
            case ActivateReservation() as command:
                reply = self._activate(command)
            case CancelReservation() as command:
                reply = self._cancel(command)
            case other:
                raise TypeError(other)
        not_found = (
            isinstance(reply.answer, ReservationRefused)
            and reply.answer.reason == "reservation_not_found"
        )
        if not not_found:
            self.recorded[request.command_id] = (request.fingerprint, reply)
        return reply

    def _place(self, command: PlaceHold) -> Reply:
        pool = self.pools_by_no[command.pool_no]
        partition = pool.plan.partition
        if command.expires_at is not None and command.expires_at <= self.now:
            refused = HoldRefused(reason="expiry_in_the_past", available=pool.available)
            return self._inventory(pool, refused)
        if not pool.selling:
            return self._inventory(pool, HoldRefused(reason="sales_stopped", available=0))
        if command.quantity > pool.available:
            return self._inventory(pool, HoldRefused(reason="sold_out", available=pool.available))
        if self.cap is not None and pool.held + command.quantity > self.cap:
            over = HoldRefused(
                reason="hold_limit", available=pool.available, limit=self.cap, held=pool.held
            )
            return self._inventory(pool, over)
        pool.held += command.quantity
        self._advance("inventory", partition)
        latest = self.now + timedelta(hours=48)
        expires_at = min(command.expires_at or self.now + timedelta(hours=24), latest)
        record = ReservationRecord(
            reservation_id=command.reservation_id,
            product_id=pool.plan.product_id,
            quantity=command.quantity,
            status="active",
            held_at=self.now,
            expires_at=expires_at,
            rule_version=command.rule_version,
            visit_date=command.visit_date,
            order_id=None,
            ended_at=None,
        )
        self.holds[command.reservation_id] = Hold(command, record, partition)
        if not self.lagging:
            self.catch_up()
        placed = HoldPlaced(
            reservation_id=command.reservation_id,
            pool_no=command.pool_no,
            product_id=pool.plan.product_id,
            quantity=command.quantity,
            held_at=self.now,
            expires_at=expires_at,
            rule_version=command.rule_version,
        )
        evidence = self._record("inventory", partition, command.reservation_id)
        return replace(self._inventory(pool, placed), evidence=evidence)

    def _activate(self, command: ActivateReservation) -> Reply:
        hold = self.own(command.reservation_id, command.partner_id)
        if hold is None:
            return self._refused(command.reservation_id, "reservation_not_found", 0)
        refusal = self._refusal(hold, activated="already_activated")
        if refusal is not None:
            return refusal
        quantity, types = hold.record.quantity, command.customer_types
        words = (types,) * quantity if isinstance(types, str) else types
        if len(words) != quantity:
            return self._refused(
                hold.record.reservation_id, "customer_types_do_not_match", hold.partition, quantity
            )
        on = command.visit_date or hold.record.visit_date
        seq = self._advance("reservation", hold.partition)
        order_id = NUMBERS.order_id(partition=hold.partition, counter=seq)
        hold.record = replace(hold.record, status="activated", order_id=order_id, ended_at=self.now)
        pool = self.pools_by_no[hold.command.pool_no]
        pool.held -= quantity
        pool.sold += quantity
        self._advance("inventory", hold.partition)
        return self._order(command, hold, words, on)

    def _order(
        self,
        command: ActivateReservation,
        hold: Hold,
        words: tuple[str, ...],
        on: date | None,
    ) -> Reply:
        sold_from = self.published[hold.record.rule_version]
        product = product_in(sold_from, hold.record.product_id)
        lines = price_lines(rules=product.prices, customer_types=words, on=on)
        order_id = hold.record.order_id
        assert order_id is not None
        number = self._advance("fulfillment", hold.partition)
        tickets = tuple(
            IssuedTicket(
                ticket_code=f"{product.ticket_prefix}-{number:08d}{index:05d}",
                qr_token=f"TOKEN-{number}-{index}",
                customer_type=word,
            )
            for index, word in enumerate(words)
        )
        confirmed = OrderConfirmed(
            order_id=order_id,
            reservation_id=hold.record.reservation_id,
            product_id=product.product_id,
            confirmation_code=NUMBERS.confirmation_code(partition=hold.partition, counter=number),
            visit_date=on,
            created_at=self.now,
            lines=lines,
            total_minor=total_minor(lines),
            currency=product.prices.currency,
            entitlements=product.entitlements,
            tickets=tickets,
        )
        order = OrderRecord(
            order_id=order_id,
            reservation_id=confirmed.reservation_id,
            product_id=product.product_id,
            quantity=hold.record.quantity,
            confirmation_code=confirmed.confirmation_code,
            visit_date=on,
            total_minor=confirmed.total_minor,
            currency=confirmed.currency,
            customer=command.customer,
            entitlements=product.entitlements,
            status="confirmed",
            created_at=self.now,
        )
        self.orders_by_id[order_id] = (order, command.partner_id, command.payment_reference_hash)
        self.tickets_by_order[order_id] = [
            TicketRecord(
                ticket_code=ticket.ticket_code,
                qr_token=ticket.qr_token,
                customer_type=ticket.customer_type,
                status="ACTIVE",
            )
            for ticket in tickets
        ]
        return Reply(
            answer=confirmed,
            replayed=False,
            source="fulfillment",
            position=Position(1, hold.partition, number),
            evidence=self._record("fulfillment", hold.partition, confirmed.reservation_id),
        )

    def _cancel(self, command: CancelReservation) -> Reply:
        hold = self.own(command.reservation_id, command.partner_id)
        if hold is None:
            return self._refused(command.reservation_id, "reservation_not_found", 0)
        pool = self.pools_by_no[hold.command.pool_no]
        released = HoldReleased(reservation_id=command.reservation_id)
        if hold.record.status == "cancelled":
            return self._inventory(pool, released)
        refusal = self._refusal(hold, activated="cannot_cancel_activated")
        if refusal is not None:
            return refusal
        self._end(hold, "cancelled")
        return self._inventory(pool, released)

    def expire(self, reservation_id: str) -> None:
        """Let a hold run out."""
        self._end(self.holds[reservation_id], "expired")

    def _end(self, hold: Hold, status: str) -> None:
        self._advance("reservation", hold.partition)
        hold.record = replace(hold.record, status=status, ended_at=self.now)  # type: ignore[arg-type]
        self.pools_by_no[hold.command.pool_no].held -= hold.record.quantity
        self._advance("inventory", hold.partition)
        self.catch_up()

    def own(self, reservation_id: str, partner_id: str) -> Hold | None:
        """Return a partner's hold."""
        hold = self.holds.get(reservation_id)
        return hold if hold is not None and hold.command.partner_id == partner_id else None

    def _refusal(self, hold: Hold, *, activated: str) -> Reply | None:
        reason = {
            "activated": activated,
            "cancelled": "reservation_cancelled",
            "expired": "reservation_expired",
        }.get(hold.record.status)
        if reason is None:
            return None
        return self._refused(
            hold.record.reservation_id, reason, hold.partition, order_id=hold.record.order_id
        )

    def _refused(
        self,
        reservation_id: str,
        reason: str,
        partition: int,
        quantity: int | None = None,
        order_id: str | None = None,
    ) -> Reply:
        return Reply(
            answer=ReservationRefused(
                reason=reason,  # type: ignore[arg-type]
                reservation_id=reservation_id,
                order_id=order_id,
                quantity=quantity,
            ),
            replayed=False,
            source="reservation",
            position=Position(1, partition, self.heads.get(("reservation", partition), 0)),
        )

    def _inventory(self, pool: Pool, answer: object) -> Reply:
        partition = pool.plan.partition
        return Reply(
            answer=answer,
            replayed=False,
            source="inventory",
            position=Position(1, partition, self.heads.get(("inventory", partition), 0)),
            figures=self.figures(pool),
        )

    def _record(self, source: str, partition: int, subject: str) -> str:
        """Keep the head's event, as a log would; return its evidence."""
        position = Position(1, partition, self.heads[source, partition])
        content: dict[str, Any] = {
            "position": position,
            "type": f"ota.{source}.happened",
            "version": 1,
            "subject": subject,
            "decided_at": self.now,
            "meta": "{}",
            "data": json.dumps({"at": position.event_id()}),
        }
        hash = chain_hash(previous=GENESIS, source=source, **content)
        self.events[source, partition, position.seq] = RecordedEvent(
            **content, previous_hash=GENESIS, hash=hash, anchor=None
        )
        return evidence_of(position, hash)

    def _advance(self, source: str, partition: int) -> int:
        seq = self.heads[source, partition] = self.heads.get((source, partition), 0) + 1
        if source == "inventory" and not self.lagging:
            self.inventory_seen[partition] = seq
        return seq

    def catch_up(self) -> None:
        """Let the reservation service's view learn of all holds."""
        self.shown = set(self.holds)
        self.inventory_seen = {
            partition: seq
            for (source, partition), seq in self.heads.items()
            if source == "inventory"
        }

    def figures(self, pool: Pool) -> PoolFigures:
        """Return a pool's figures as of now."""
        plan = pool.plan
        return PoolFigures(
            pool_no=plan.pool_no,
            product_id=plan.product_id,
            channel=plan.channel,
            allotted=plan.units,
            available=pool.available,
            selling=pool.selling,
            generation=1,
            partition=plan.partition,
            seq=self.heads.get(("inventory", plan.partition), 0),
        )

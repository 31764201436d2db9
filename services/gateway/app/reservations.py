"""Holds of a partner: placed, activated, cancelled.

The gateway decides none of this. It checks what can be known without the ledger, sends
a command, and turns the answer into the contract's words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Protocol

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import HoldPlaced, HoldRefused, HoldReleased, PlaceHold
from libs.events.contracts.reservation import (
    ActivateReservation,
    CancelReservation,
    ReservationRefused,
)
from libs.events.requests import OutcomeUnknown, Reply
from libs.events.topics import INVENTORY_COMMANDS, RESERVATION_COMMANDS
from libs.kernel import ids
from libs.kernel.catalogue import PoolPlan, PriceRules
from libs.kernel.values import dataclass
from services.gateway.app import refusals, rendering
from services.gateway.app.call import Call, Outcome, Write
from services.gateway.app.catalogue import CatalogueView
from services.gateway.app.commands import Commands
from services.gateway.app.reservation_reads import HoldView, ReservationView
from services.gateway.app.sealing import Person, Sealer
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.refusal import Refusal
from services.gateway.domain.visit import bookable, bookable_since


class QrImages(Protocol):
    """Draws QR codes."""

    async def render(self, tokens: Sequence[str]) -> list[str]:
        """Return each token's image as a data URI; raises TimeoutError or RuntimeError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRequest:
    """What a partner asks of a hold."""

    product_id: int
    quantity: int
    expires_at: datetime | None
    visit_date: date | None
    customer_reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateRequest:
    """What a partner tells to turn a hold into an order."""

    customer_name: str
    customer_email: str
    customer_phone: str
    payment_reference: str
    customer_types: str | tuple[str, ...]
    visit_date: date | None
    special_requests: str | None


class Reservations:
    """The use cases around holds."""

    def __init__(
        self,
        *,
        catalogue: CatalogueView,
        commands: Commands,
        sealer: Sealer,
        hashes: KeyedHashes,
        view: ReservationView,
        holds: HoldView,
        images: QrImages,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._commands = commands
        self._sealer = sealer
        self._hashes = hashes
        self._view = view
        self._holds = holds
        self._images = images
        self._now = now
        self._rendering = rendering.HoldRendering()

    async def place(self, write: Write, asked: ReserveRequest) -> Outcome:
        """Hold units for a partner.

        Raises StoreUnavailable, NotExecuted, OutcomeUnknown.
        """
        if not self._catalogue.version:
            raise StoreUnavailable("the catalogue is not loaded")
        caller = write.call.caller
        pool = self._catalogue.pool(product_id=asked.product_id, channel=caller.channel)
        reservation_id = (
            ids.reservation_id(command_id=write.command_id, pool_no=pool.pool_no) if pool else None
        )
        doubt = self._doubt(asked)
        if doubt is not None and not await self._placed_before(write.call, reservation_id, asked):
            return Outcome(content=doubt)
        product = self._catalogue.product(asked.product_id)
        if pool is None or reservation_id is None or product is None:
            return Outcome(content=refusals.sold_out(available=0))
        reference = asked.customer_reference
        if reference is not None:  # no key is stored for a command that will not be sent
            self._commands.check(write, topic=INVENTORY_COMMANDS, partition=pool.partition)
        reply = await self._commands.submit(
            write,
            topic=INVENTORY_COMMANDS,
            partition=pool.partition,
            data=PlaceHold(
                reservation_id=reservation_id,
                pool_no=pool.pool_no,
                partner_id=caller.partner_id,
                quantity=asked.quantity,
                rule_version=self._catalogue.version,
                expires_at=asked.expires_at,
                visit_date=asked.visit_date,
                customer_reference=None
                if reference is None
                else await self._sealer.seal(
                    write,
                    reservation_id=reservation_id,
                    fields={"customer_reference": reference},
                ),
                customer_reference_hash=self._reference_hash(write.call, reference),
            ),
        )
        if isinstance(reply, Refusal):
            return Outcome(content=reply)
        match reply.answer:
            case HoldPlaced() as placed:
                body = self._rendering.placed(placed, await self._frozen(write.call, placed))
                return _answered(reply, body, resource_id=placed.reservation_id)
            case HoldRefused() as refused:
                return _answered(reply, refusals.of_hold(refused))
            case answer:
                raise TypeError(f"no answer to PlaceHold: {type(answer).__name__}")

    async def activate(
        self, write: Write, reservation_id: str, asked: ActivateRequest, *, images: bool
    ) -> Outcome:
        """Turn a hold into an order with its tickets, with their QR codes if *images*.

        Raises StoreUnavailable, NotExecuted, OutcomeUnknown.
        """
        caller = write.call.caller
        pool = self._pool_of(write.call, reservation_id)
        if not self._bookable(asked.visit_date) and not await self._ended_since(
            write.call, reservation_id, asked.visit_date
        ):
            return Outcome(content=refusals.VISIT_DATE)
        if pool is None:
            return Outcome(content=refusals.RESERVATION_NOT_FOUND)
        self._commands.check(write, topic=RESERVATION_COMMANDS, partition=pool.partition)
        reply = await self._commands.submit(
            write,
            topic=RESERVATION_COMMANDS,
            partition=pool.partition,
            data=ActivateReservation(
                reservation_id=reservation_id,
                partner_id=caller.partner_id,
                customer_types=asked.customer_types,
                visit_date=asked.visit_date,
                customer=await self._sealer.seal(
                    write,
                    reservation_id=reservation_id,
                    fields={
                        "name": asked.customer_name,
                        "email": asked.customer_email,
                        "phone": asked.customer_phone,
                        "payment_reference": asked.payment_reference,
                        "special_requests": asked.special_requests,
                    },
                    person=Person(email=asked.customer_email, phone=asked.customer_phone),
                ),
                payment_reference_hash=self._hashes.reference(
                    kind="payment", partner_id=caller.partner_id, text=asked.payment_reference
                ),
            ),
        )
        if isinstance(reply, Refusal):
            return Outcome(content=reply)
        match reply.answer:
            case OrderConfirmed() as confirmed:
                drawn = await self._draw(write.call, confirmed) if images else None
                body = rendering.order_confirmed(confirmed, images=drawn)
                return _answered(reply, body, resource_id=confirmed.order_id)
            case ReservationRefused() as refused:
                return _answered(reply, refusals.of_reservation(refused))
            case answer:
                raise TypeError(f"no answer to ActivateReservation: {type(answer).__name__}")

    async def cancel(self, write: Write, reservation_id: str) -> Outcome:
        """Give a hold's units back; raises NotExecuted, OutcomeUnknown."""
        pool = self._pool_of(write.call, reservation_id)
        if pool is None:
            return Outcome(content=refusals.RESERVATION_NOT_FOUND)
        reply = await self._commands.submit(
            write,
            topic=RESERVATION_COMMANDS,
            partition=pool.partition,
            data=CancelReservation(
                reservation_id=reservation_id, partner_id=write.call.caller.partner_id
            ),
        )
        if isinstance(reply, Refusal):
            return Outcome(content=reply)
        match reply.answer:
            case HoldReleased():
                return _answered(reply, b"")
            case ReservationRefused() as refused:
                return _answered(reply, refusals.of_reservation(refused))
            case answer:
                raise TypeError(f"no answer to CancelReservation: {type(answer).__name__}")

    async def _frozen(self, call: Call, placed: HoldPlaced) -> PriceRules:
        """Return a hold's prices; only a repeat can have been placed in another version."""
        if not self._catalogue.knows(placed.rule_version):
            async with _until(call.deadline):
                await self._catalogue.recall(placed.rule_version)
        return self._catalogue.prices(placed.product_id, placed.rule_version)

    def _doubt(self, asked: ReserveRequest) -> Refusal | None:
        """Say why a first request is refused here; a repeat gets its first answer all the same."""
        if not self._bookable(asked.visit_date):
            return refusals.VISIT_DATE
        product = self._catalogue.product(asked.product_id)
        return None if product is not None and product.active else refusals.PRODUCT_NOT_FOUND

    async def _placed_before(
        self, call: Call, reservation_id: str | None, asked: ReserveRequest
    ) -> bool:
        if reservation_id is None:
            return False
        async with _until(call.deadline):
            hold = await self._holds.hold(
                partner_id=call.caller.partner_id, reservation_id=reservation_id
            )
        return hold is not None and self._bookable_since(asked.visit_date, hold.held_at)

    async def _ended_since(self, call: Call, reservation_id: str, visit_date: date | None) -> bool:
        if ids.pool_no_of(reservation_id) is None:
            return False
        async with _until(call.deadline):
            record = await self._view.reservation(
                partner_id=call.caller.partner_id, reservation_id=reservation_id
            )
        ended_at = record.ended_at if record else None
        return ended_at is not None and self._bookable_since(visit_date, ended_at)

    def _bookable(self, on: date | None) -> bool:
        return on is None or bookable(on=on, now=self._now())

    def _bookable_since(self, on: date | None, then: datetime) -> bool:
        return on is None or bookable_since(on=on, then=then, now=self._now())

    def _pool_of(self, call: Call, reservation_id: str) -> PoolPlan | None:
        """Return the pool inside an id; None if the reservation can't be this caller's."""
        pool_no = ids.pool_no_of(reservation_id)
        pool = self._catalogue.pool_numbered(pool_no) if pool_no is not None else None
        return pool if pool is not None and pool.channel == call.caller.channel else None

    def _reference_hash(self, call: Call, reference: str | None) -> str | None:
        if reference is None:
            return None
        return self._hashes.reference(
            kind="customer", partner_id=call.caller.partner_id, text=reference
        )

    async def _draw(self, call: Call, confirmed: OrderConfirmed) -> list[str]:
        """Draw the tickets' codes; what can't be drawn in time is there for a repeat."""
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._images.render([ticket.qr_token for ticket in confirmed.tickets])
        except (TimeoutError, RuntimeError) as error:
            raise OutcomeUnknown("the tickets' images were not ready in time") from error


def _answered(reply: Reply, content: bytes | Refusal, *, resource_id: str | None = None) -> Outcome:
    return Outcome(content=content, reply=reply, replayed=reply.replayed, resource_id=resource_id)


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise StoreUnavailable("a view did not answer in time") from error

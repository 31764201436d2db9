"""Reservations as their partner reads them: one, or a list.

The reservation service's view lags a little behind the ledger, which answers a reserve
itself. A hold that it does not know yet is looked up in the ledger's view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic_core import to_json

from libs.kernel import ids
from services.gateway.app import refusals, rendering
from services.gateway.app.call import Call
from services.gateway.app.catalogue import CatalogueView
from services.gateway.app.positions import AnsweredPositions
from services.gateway.app.progress import POLL_S, ViewProgress
from services.gateway.domain.failure import ViewBehind
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.paging import AskedPage, finish_page, start_page
from services.gateway.domain.records import (
    HoldRecord,
    ReservationFilter,
    ReservationRecord,
    ReservationStatus,
    Slice,
)
from services.gateway.domain.refusal import Refusal

OWN_SOURCE = "reservation"
FOLLOWS = frozenset({"reservation", "inventory"})


class ReservationView(Protocol):
    """The reservation service's read view."""

    async def reservation(
        self, *, partner_id: str, reservation_id: str
    ) -> ReservationRecord | None:
        """Return a partner's reservation; raises StoreUnavailable."""
        ...

    async def reservations(
        self, *, partner_id: str, which: ReservationFilter, rows: Slice
    ) -> tuple[Sequence[ReservationRecord], int]:
        """Return rows, newest first, and how many there are in all; raises StoreUnavailable."""
        ...


class HoldView(Protocol):
    """The inventory service's read view."""

    async def hold(self, *, partner_id: str, reservation_id: str) -> HoldRecord | None:
        """Return a partner's hold as the ledger knows it; raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationsAsked:
    """Which reservations a partner asks for; *status* None means all of them."""

    status: ReservationStatus | None
    product_id: int | None
    customer_reference: str | None


class ReservationReads:
    """The reading use cases around holds."""

    def __init__(
        self,
        *,
        catalogue: CatalogueView,
        hashes: KeyedHashes,
        view: ReservationView,
        holds: HoldView,
        progress: ViewProgress,
        positions: AnsweredPositions,
    ) -> None:
        self._catalogue = catalogue
        self._hashes = hashes
        self._view = view
        self._holds = holds
        self._progress = progress
        self._positions = positions

    async def one(self, call: Call, reservation_id: str) -> bytes | Refusal:
        """Return a reservation; raises StoreUnavailable, ViewBehind."""
        pool_no = ids.pool_no_of(reservation_id)
        pool = self._catalogue.pool_numbered(pool_no) if pool_no is not None else None
        if pool is None or pool.channel != call.caller.channel:
            return refusals.RESERVATION_NOT_FOUND
        record = await self._read(call, reservation_id, pool.partition)
        if record is None:
            return refusals.RESERVATION_NOT_FOUND
        (shown,) = await self._shown((record,))
        return to_json(shown)

    async def page(self, call: Call, asked: ReservationsAsked, page: AskedPage) -> bytes | Refusal:
        """Return a page of reservations, newest first; raises StoreUnavailable, ViewBehind."""
        partner_id = call.caller.partner_id
        which = ReservationFilter(
            status=asked.status,
            product_id=asked.product_id,
            customer_reference_hash=None
            if asked.customer_reference is None
            else self._hashes.reference(
                kind="customer", partner_id=partner_id, text=asked.customer_reference
            ),
        )
        scope = f"reservations/{partner_id}/{which}"
        request = start_page(hashes=self._hashes, scope=scope, asked=page)
        if isinstance(request, Refusal):
            return request
        wanted = self._progress.concerning(call.marks, self._positions.of(partner_id))
        await self._progress.wait(wanted, deadline=call.view_deadline)
        rows, total = await self._view.reservations(
            partner_id=partner_id, which=which, rows=request.slice
        )
        shown = finish_page(
            hashes=self._hashes,
            scope=scope,
            request=request,
            rows=rows,
            total=total,
            place=lambda row: (row.held_at, row.reservation_id),
        )
        return rendering.listing("reservations", await self._shown(shown.rows), shown)

    async def _shown(self, records: Sequence[ReservationRecord]) -> list[rendering.Json]:
        """Return reservations with the prices of the catalogue versions they were made in."""
        for version in {record.rule_version for record in records}:
            await self._catalogue.recall(version)
        return [
            rendering.reservation(
                record, self._catalogue.prices(record.product_id, record.rule_version)
            )
            for record in records
        ]

    async def _read(
        self, call: Call, reservation_id: str, partition: int
    ) -> ReservationRecord | None:
        """Find a reservation in either view; None only when both are far enough to know.

        How a hold ended is decided by the reservation service, so its own marks must be
        reached in any case; that the ledger's are matters only for what was not found.
        """
        partner_id = call.caller.partner_id
        wanted = self._progress.concerning(
            call.marks, self._positions.of(partner_id), partition=partition
        )
        own = {place: mark for place, mark in wanted.items() if place[0] == OWN_SOURCE}
        clock = asyncio.get_running_loop().time
        while True:
            caught_up = self._progress.reached(wanted) or await self._progress.ask(wanted)
            if self._progress.reached(own):
                record = await self._view.reservation(
                    partner_id=partner_id, reservation_id=reservation_id
                )
                if record is not None:
                    return record
                hold = await self._holds.hold(partner_id=partner_id, reservation_id=reservation_id)
                if hold is not None and hold.open:
                    return _opened(hold)
                if hold is None and caught_up:
                    return None
            if clock() >= call.view_deadline:
                raise ViewBehind("the reservation can't be shown as it was answered")
            await asyncio.sleep(POLL_S)


def _opened(hold: HoldRecord) -> ReservationRecord:
    return ReservationRecord(
        reservation_id=hold.reservation_id,
        product_id=hold.product_id,
        quantity=hold.quantity,
        status="active",
        held_at=hold.held_at,
        expires_at=hold.expires_at,
        rule_version=hold.rule_version,
        visit_date=hold.visit_date,
        order_id=None,
        ended_at=None,
    )

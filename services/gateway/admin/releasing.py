"""Gives back all open holds of a partner, through the service that alone ends holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.events.contracts.inventory import HoldReleased
from libs.events.contracts.reservation import CancelReservation, ReservationRefused
from libs.events.kafka.operator import operator_request
from libs.events.requests import Reply, Request
from libs.events.topics import RESERVATION_COMMANDS
from libs.kernel.ids import derived_uuid
from services.gateway.store.stock_views import OpenHold

AT_ONCE = 64
ROUNDS_MAX = 5
"""Holds that were on their way are found by looking again; a partner that goes on is not chased."""
_ENDED = frozenset({"reservation_expired", "already_activated", "cannot_cancel_activated"})


class Commands(Protocol):
    """Sends a command until it is answered; see `libs.events.kafka.operator`."""

    async def insist(self, request: Request) -> Reply:
        """Return the answer; raises Unanswered."""
        ...


@dataclass(slots=True, kw_only=True)
class Released:
    """How far it is: holds *found*, given back with their units, *ended* before us, *left*."""

    found: int = 0
    holds: int = 0
    units: int = 0
    ended: int = 0
    left: int = 0

    @property
    def done(self) -> int:
        """How many holds were dealt with."""
        return self.holds + self.ended + self.left


async def release_holds(
    *,
    commands: Commands,
    partner_id: str,
    name: str,
    open_holds: Callable[[], Awaitable[Sequence[OpenHold]]],
    progress: Callable[[Released], None],
) -> Released:
    """Cancel a partner's open holds, as operator *name*; raises Unanswered.

    A command's id is derived from its reservation: another try gets the answer of the first.
    """
    released, tried = Released(), set[str]()
    room = asyncio.Semaphore(AT_ONCE)

    async def cancel(hold: OpenHold) -> None:
        async with room:
            reply = await commands.insist(_cancellation(hold, partner_id=partner_id, name=name))
        _count(released, hold, reply)
        progress(released)

    for _ in range(ROUNDS_MAX):
        holds = [hold for hold in await open_holds() if hold.reservation_id not in tried]
        if not holds:
            break
        released.found += len(holds)
        tried.update(hold.reservation_id for hold in holds)
        for first in range(0, len(holds), AT_ONCE * 8):
            # In portions, so that a failure does not leave thousands of tasks behind.
            await _all(cancel, holds[first : first + AT_ONCE * 8])
    return released


async def _all(work: Callable[[OpenHold], Awaitable[None]], holds: Sequence[OpenHold]) -> None:
    """Do all of it; the first failure is raised as it is, after the others have ended."""
    failures: list[Exception] = []

    async def one(hold: OpenHold) -> None:
        try:
            await work(hold)
        except Exception as error:
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        for hold in holds:
            group.create_task(one(hold))
    if failures:
        raise failures[0]


def _cancellation(hold: OpenHold, *, partner_id: str, name: str) -> Request:
    return operator_request(
        RESERVATION_COMMANDS,
        partition=hold.partition,
        command_id=derived_uuid("release hold", hold.reservation_id),
        identity=hold.reservation_id,
        data=CancelReservation(reservation_id=hold.reservation_id, partner_id=partner_id),
        name=name,
    )


def _count(released: Released, hold: OpenHold, reply: Reply) -> None:
    match reply.answer:
        case HoldReleased():
            released.holds += 1
            released.units += hold.quantity
        case ReservationRefused(reason=reason) if reason in _ENDED:
            released.ended += 1
        case _:
            released.left += 1

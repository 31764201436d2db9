"""The older integrations' clean-up call: it only counts, the clock does the work anyway."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic_core import to_json

from services.gateway.app.call import Outcome, Write
from services.gateway.app.positions import AnsweredPositions
from services.gateway.app.progress import ViewProgress
from services.gateway.domain.failure import StoreUnavailable

ATTEMPTS_MAX = 3


class ExpiredView(Protocol):
    """The reservation service's read view."""

    async def expired_since(
        self, *, partner_id: str, since: datetime | None
    ) -> tuple[int, datetime | None]:
        """Count holds that ran out after *since*, and say when the last did.

        Raises StoreUnavailable.
        """
        ...


class CleanupMarks(Protocol):
    """Until when each partner was told, and what it was told under which command."""

    async def told(self, *, command_id: str) -> int | None:
        """Return what was answered to a command before; raises StoreUnavailable."""
        ...

    async def mark(self, *, partner_id: str) -> datetime | None:
        """Return until when a partner was told; raises StoreUnavailable."""
        ...

    async def tell(
        self,
        *,
        partner_id: str,
        command_id: str,
        expired: int,
        since: datetime | None,
        until: datetime | None,
    ) -> bool:
        """Record an answer and move the mark from *since* to *until*.

        False if the mark was elsewhere; raises StoreUnavailable.
        """
        ...


class Cleanup:
    """The use case."""

    def __init__(
        self,
        *,
        view: ExpiredView,
        marks: CleanupMarks,
        progress: ViewProgress,
        positions: AnsweredPositions,
    ) -> None:
        self._view = view
        self._marks = marks
        self._progress = progress
        self._positions = positions

    async def run(self, write: Write) -> Outcome:
        """Say how many of the caller's holds ran out since it last asked.

        Raises StoreUnavailable, ViewBehind.
        """
        call = write.call
        partner_id = call.caller.partner_id
        wanted = self._progress.concerning(call.marks, self._positions.of(partner_id))
        await self._progress.wait(wanted, deadline=call.view_deadline)
        for _ in range(ATTEMPTS_MAX):
            told = await self._marks.told(command_id=write.command_id)
            if told is not None:
                return Outcome(content=_body(told), replayed=True)
            since = await self._marks.mark(partner_id=partner_id)
            expired, last = await self._view.expired_since(partner_id=partner_id, since=since)
            if await self._marks.tell(
                partner_id=partner_id,
                command_id=write.command_id,
                expired=expired,
                since=since,
                until=last or since,
            ):
                return Outcome(content=_body(expired))
        raise StoreUnavailable("the caller asks faster than it can be told")


def _body(expired: int) -> bytes:
    noun = "reservation" if expired == 1 else "reservations"
    return to_json(
        {
            "message": f"Cleanup completed: {expired} {noun} expired since the last call.",
            "expired_reservations": expired,
        }
    )

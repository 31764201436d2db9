"""Which holds are due, in order of their deadlines.

An index over the open holds, made from them at every start: the deadlines themselves
are in the table, written with the event that opens the hold (design, rule 6).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime

from libs.events.contracts.reservation import ExpireReservation
from libs.kernel.state import State
from services.reservation.domain.hold import Reservation


class Deadlines:
    """A heap of deadlines; ended holds are dropped when they come to its top."""

    def __init__(self, open_holds: Iterable[Reservation] = ()) -> None:
        self._heap = [(hold.expires_at, hold.reservation_id) for hold in open_holds]
        heapq.heapify(self._heap)

    def add(self, hold: Reservation) -> None:
        """Take note of a hold that was opened."""
        heapq.heappush(self._heap, (hold.expires_at, hold.reservation_id))

    def tidy(self, state: State) -> None:
        """Drop ended holds from the top."""
        while self._heap and state.get(Reservation, self._heap[0][1]) is None:
            heapq.heappop(self._heap)

    def next_at(self) -> datetime | None:
        """Return the earliest deadline, None if no hold is open."""
        return self._heap[0][0] if self._heap else None

    def overdue(self, state: State, now: datetime, *, limit: int) -> int:
        """Return how many holds are past their deadline, counted up to *limit*."""
        found, places = 0, [0]
        while places and found < limit:
            place = places.pop()
            if place < len(self._heap) and self._heap[place][0] <= now:
                found += state.get(Reservation, self._heap[place][1]) is not None
                places += (2 * place + 1, 2 * place + 2)  # a heap: below it nothing is earlier
        return found

    def due(self, state: State, now: datetime, limit: int) -> list[ExpireReservation]:
        """Return commands to expire at most *limit* holds; they stay until they have ended."""
        taken: list[tuple[datetime, str]] = []
        while self._heap and self._heap[0][0] <= now and len(taken) < limit:
            entry = heapq.heappop(self._heap)
            if state.get(Reservation, entry[1]) is not None:
                taken.append(entry)
        for entry in taken:
            heapq.heappush(self._heap, entry)
        return [ExpireReservation(reservation_id=id) for _, id in taken]

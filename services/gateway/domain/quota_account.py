"""One gateway's part of a partner's quota: calls are let pass from what is leased, in memory.

See `services.gateway.domain.quota` for the whole. Instants are seconds of this process's
monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque

from services.gateway.domain.quota import (
    LEASE_MS,
    WINDOW_MS,
    Need,
    Report,
    Settlement,
    Used,
)

USABLE_S = LEASE_MS / 1000 - 2.0
"""Less than a lease lasts, so that two clocks that run at different speeds do no harm."""

SLOTS_PER_S = 20
REPORT_S = 1.0
RENEW_S = 10.0
"""Also how long a gateway may not know yet that there are more of them than it thinks."""

LOOK_S = 0.5
_WINDOW_S = WINDOW_MS // 1000


class Account:
    """What this gateway holds of one partner's quota, and what it has let pass of it."""

    __slots__ = (
        "_calls",
        "_free",
        "_held",
        "_last",
        "_next",
        "_reported",
        "_seen_at",
        "_since_tick",
        "_used",
        "_used_shift_s",
        "contested",
        "granted",
        "hurried",
        "limit",
        "low",
        "more_from",
        "pace",
        "partner_id",
        "share",
        "taken",
        "usable_until",
        "waiting",
    )

    def __init__(self, *, partner_id: str, limit: int) -> None:
        self.partner_id = partner_id
        self.limit = limit
        self.taken = self.granted = self.share = self.pace = self.waiting = 0
        self.usable_until = self.more_from = float("-inf")
        # At so few calls left the next slice is wanted; -1 when it is on its way or not to be had.
        self.low = -1
        self.hurried = True
        self.contested = False
        self._reported = self._free = self._held = self._since_tick = 0
        self._seen_at = float("-inf")
        self._last = [-1, 0]
        self._calls: deque[list[int]] = deque()
        self._used: Used = ()
        self._next = 0
        self._used_shift_s = 0.0

    def take(self, now: float) -> bool:
        """Let one call pass if there is a leased one left."""
        if self.taken >= self.granted or now >= self.usable_until:
            return False
        self.taken += 1
        slot = int(now * SLOTS_PER_S)
        last = self._last
        if last[0] == slot and last[1]:
            last[1] += 1
        else:
            self._last = [slot, 1]
            self._calls.append(self._last)
        return True

    def left(self, now: float) -> int:
        """Return how many calls can pass without asking."""
        return self.granted - self.taken if now < self.usable_until else 0

    def remaining(self, now: float) -> int:
        """Return how many calls the partner has left, as far as this gateway knows."""
        used, place = self._used, self._next
        while place < len(used) and used[place][0] / 1000 + self._used_shift_s <= now:
            self._free += used[place][1]
            place += 1
        self._next = place
        return max(0, min(self.limit, self.left(now) + self._free))

    def more_in_s(self, now: float) -> int:
        """Return in how many seconds the oldest call stops to count: then there is one more."""
        soonest = self._soonest()
        if soonest is None:
            oldest = self._calls[0][0] / SLOTS_PER_S if self._calls else now
            soonest = oldest + _WINDOW_S
            if self.taken >= self.granted and not self._calls:
                soonest = now  # others hold all of it, and give back what they do not need
        return max(1, math.ceil(soonest - now))

    def _soonest(self) -> float | None:
        if self._next >= len(self._used):
            return None
        return self._used[self._next][0] / 1000 + self._used_shift_s

    def change_limit(self, limit: int) -> None:
        """Follow another limit, at the next report."""
        self._free += limit - self.limit
        self.limit = limit
        self.more_from = float("-inf")
        self.hurried = True

    def tick(self) -> None:
        """Let the pace fall to what the time since the last tick needed."""
        passed = self.taken - self._since_tick
        self._since_tick = self.taken
        self.pace = min(self.pace, 2 * passed)

    def due(self, now: float) -> bool:
        """Say whether there is something to report or to ask for."""
        if self.hurried:
            return True
        age = now - self._seen_at
        left = self.left(now)
        more = now >= self.more_from
        return (
            age >= RENEW_S
            or (age >= REPORT_S and bool(self._calls))
            or left > max(self.share, self.pace)
            or (more and (self.waiting > 0 or left < self.share - self.share // 2))
        )

    def report(self, now: float, *, instance: int, incarnation: str) -> Report:
        """Return what was let pass until *now* and is not known to be recorded."""
        return Report(
            instance=instance,
            incarnation=incarnation,
            after=self._reported,
            calls=tuple(
                (max(0, int((now - (slot + 1) / SLOTS_PER_S) * 1000)), number)
                for slot, number in self._calls
            ),
        )

    def need(self, report: Report, *, leaving: bool = False) -> Need:
        """Return what is wanted now; each time that a slice was too small it doubles."""
        if self.hurried and self.taken > report.after:
            self.pace = max(self.pace, min(self.limit, 2 * self._held))
        return Need(
            spent=self.taken - report.total,
            waiting=self.waiting,
            pace=self.pace,
            leaving=leaving,
        )

    def lower(self, settlement: Settlement) -> None:
        """Use no more of what is about to be given back."""
        self.granted = max(self.taken, min(self.granted, settlement.granted))

    def confirm(
        self,
        report: Report,
        settlement: Settlement,
        *,
        asked_at: float,
        answered_at: float,
        now_ms: int,
    ) -> None:
        """Take over what was agreed; *now_ms* is the database's clock between the two instants."""
        self._forget(report.total - self._reported)
        self._reported = report.total
        self.granted = settlement.granted
        self.usable_until = asked_at + USABLE_S
        self.share = settlement.share
        self.contested = settlement.contested
        self.hurried = False
        self._held = settlement.granted - self.taken
        self._seen_at = answered_at
        self._free = settlement.free
        self._used, self._next = settlement.quota.used, 0
        self._used_shift_s = answered_at - now_ms / 1000
        self.low = self._held // 2
        self.more_from = float("-inf")
        if settlement.free <= 0:
            self.low = -1
            soonest = self._soonest()
            look = answered_at + LOOK_S
            if soonest is None:
                self.more_from = look
            else:
                self.more_from = min(soonest, look) if settlement.contested else soonest

    def _forget(self, number: int) -> None:
        while number > 0:
            first = self._calls[0]
            if first[1] > number:
                first[1] -= number
                return
            number -= first[1]
            first[1] = 0
            self._calls.popleft()

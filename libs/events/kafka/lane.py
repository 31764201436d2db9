"""Shedding by the age of the queue: whether another command may join those of one partition.

Pure: times are passed in. The queue is measured by what its answers tell: a command that had
*ahead* unanswered commands at its side and was answered after *took* seconds says how many a
second the partition decides for this gateway, whatever the reason. So many may be unanswered
as are decided in `WAIT_S`.

Gateways share nothing: each one's commands wait behind everybody's, so all see the same age,
and each lowers its own part of the queue until that age is `WAIT_S`.
"""

from __future__ import annotations

WAIT_S = 0.5
"""A command that would wait longer for its answer than this is refused."""
CALM_S = 0.1
"""Answers as quick as this tell of no queue: a burst may come."""
SLOW_S = 1.0
SILENCE_S = 1.2
"""Commands go on for so long without any answer: a partition changes hands in less."""
PROBE_S = 0.25
"""In a longer silence one command in so many seconds is let through, to hear when it ends."""
FORGET_S = 5.0
"""What nobody has asked about for so long is not known any more."""
UNANSWERED_MIN = 32
"""So many are let in unless answers take a second: fewer tell nothing of a partition."""
UNANSWERED_MAX = 2_048
SHARE = 8
"""What each gateway may have beside its part: in time it makes the parts of all the same."""


class Lane:
    """The commands of one gateway to one partition of one topic, from asked to answered."""

    __slots__ = ("_entered_at", "_silent_since", "limit", "unanswered")

    def __init__(self) -> None:
        self.limit = UNANSWERED_MAX
        self.unanswered = 0
        self._silent_since: float | None = None
        self._entered_at = 0.0

    def has_room(self, now: float) -> bool:
        """Say whether a new command would be let in."""
        silent_since = self._silent_since
        if silent_since is None or now - silent_since <= SILENCE_S:
            return self.unanswered < self.limit
        return now - max(self._entered_at, silent_since) >= PROBE_S

    def enter(self, now: float) -> int:
        """Let a command in; return how many are unanswered then, which `answered` wants to know."""
        silent_since = self._silent_since
        forgotten = now - max(self._entered_at, silent_since or 0.0) > FORGET_S
        if forgotten:
            self.limit = UNANSWERED_MAX
        if forgotten or silent_since is None:
            self._silent_since = now
        self._entered_at = now
        self.unanswered += 1
        return self.unanswered

    def answered(self, now: float, *, took: float, ahead: int) -> None:
        """Take out a command that was answered, and learn from it."""
        self.unanswered -= 1
        self._silent_since = now if self.unanswered else None
        if took < CALM_S:
            limit = max(self.limit + 1, 2 * ahead, UNANSWERED_MIN)
        elif took >= SLOW_S or ahead >= UNANSWERED_MIN:
            fitting = int(ahead * WAIT_S / took) + SHARE
            limit = max(fitting, UNANSWERED_MIN if took < SLOW_S else 1)
        else:
            limit = self.limit
        self.limit = min(limit, UNANSWERED_MAX)

    def given_up(self) -> None:
        """Take out a command that nobody waits for any more: it may stay in the broker's queue."""
        self.unanswered -= 1
        self.limit = max(self.limit // 2, 1)

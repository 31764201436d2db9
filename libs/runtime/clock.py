"""The database server's clock, estimated between samples (design, rule 6).

Deciders take their time from here, so that all writers of one database agree. Pure: the
monotonic clock is passed in, and whoever talks to the database feeds the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

JUMP_S = 5.0
"""A sample further than this from the estimate is a jump of the server's clock."""

DRIFT_MAX = 0.0002
"""How far two sane clocks drift apart, in seconds per second (twice what NTP corrects for)."""


class ClockNotSet(RuntimeError):
    """The clock was read before its first sample; sample the database before deciding."""


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The server's time at one monotonic instant, right to within *error_s* when taken."""

    database_time: datetime
    monotonic: float
    error_s: float

    def at(self, monotonic: float) -> datetime:
        return self.database_time + timedelta(seconds=monotonic - self.monotonic)

    def error_at(self, monotonic: float) -> float:
        return self.error_s + (monotonic - self.monotonic) * DRIFT_MAX


class DatabaseClock:
    """An estimate of the database server's time that never goes back.

    A sample with a short round trip says more than one with a long one, and every sample
    says less as it ages: a new sample is taken when it is at least as exact as what the
    current one is still good for. One owner task; not for use by several threads.
    """

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._anchor: _Anchor | None = None
        self._sample: _Anchor | None = None
        self._jumped = False
        self._last: datetime | None = None

    @property
    def jumped(self) -> bool:
        """Say whether the server's clock has jumped and has not been set right again.

        While this holds, `now` goes on from before the jump; expiry must pause. If the new
        time is the right one, a restart takes it.
        """
        return self._jumped

    def observe(
        self, *, database_time: datetime, sent_monotonic: float, received_monotonic: float
    ) -> bool:
        """Take in a sample: the server's time, read between sending and receiving.

        Returns True if this sample reveals a jump of more than 5 s that was not known
        before. What the round trip alone may explain is no jump. Raises ValueError for a
        naive time or an answer before its question.
        """
        if database_time.tzinfo is None:
            raise ValueError("the database's time must have a time zone")
        round_trip_s = received_monotonic - sent_monotonic
        if round_trip_s < 0:
            raise ValueError("the answer was received before the question was sent")
        sample = _Anchor(
            database_time=database_time.astimezone(UTC),
            monotonic=sent_monotonic + round_trip_s / 2,
            error_s=round_trip_s / 2,
        )
        self._sample = sample
        if self._anchor is None:
            self._anchor = sample
            return False
        expected = self._anchor.at(sample.monotonic)
        gap_s = abs((sample.database_time - expected).total_seconds())
        if gap_s - sample.error_s > JUMP_S:
            first = not self._jumped
            self._jumped = True
            return first
        self._jumped = False
        if sample.error_s <= self._anchor.error_at(sample.monotonic):
            self._anchor = sample
        return False

    def latest(self) -> datetime:
        """Return the server's time as its last sample has it, also after a jump, and also back.

        For ages of what others have stamped, whose clocks have jumped as well; nothing is
        decided by it. Raises ClockNotSet before the first sample.
        """
        if self._sample is None:
            raise ClockNotSet("no sample of the database's clock yet")
        return self._sample.at(self._monotonic())

    def now(self) -> datetime:
        """Return the server's time, aware and in UTC, never earlier than returned before.

        Raises ClockNotSet before the first sample.
        """
        if self._anchor is None:
            raise ClockNotSet("no sample of the database's clock yet")
        estimate = self._anchor.at(self._monotonic())
        if self._last is None or estimate > self._last:
            self._last = estimate
        return self._last

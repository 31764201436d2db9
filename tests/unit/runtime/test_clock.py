"""The database's clock: exact, monotonic, and suspicious of jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.runtime.clock import ClockNotSet, DatabaseClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Bench:
    """A clock under test, with a monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.clock = DatabaseClock(monotonic=lambda: self.monotonic)

    def sample(self, database_time: datetime, *, round_trip_s: float = 0.0) -> bool:
        """Feed a sample whose middle is now."""
        return self.clock.observe(
            database_time=database_time,
            sent_monotonic=self.monotonic - round_trip_s / 2,
            received_monotonic=self.monotonic + round_trip_s / 2,
        )

    def read(self) -> float:
        """Return what the clock says, in seconds after noon."""
        return (self.clock.now() - NOON).total_seconds()


def at(seconds: float) -> datetime:
    """Return an instant so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def bench() -> Bench:
    """A clock that was told at its start that it is noon."""
    made = Bench()
    made.sample(NOON)
    return made


def test_a_clock_without_sample_gives_no_time() -> None:
    """Nobody decides with a guessed time."""
    with pytest.raises(ClockNotSet):
        Bench().clock.now()


def test_time_goes_on_between_samples(bench: Bench) -> None:
    """The monotonic clock carries the estimate."""
    bench.monotonic += 2.5
    assert 2.5 == bench.read()


def test_times_are_in_utc() -> None:
    """A sample in any time zone gives an aware time in UTC."""
    bench = Bench()
    bench.sample(NOON.astimezone(timezone(timedelta(hours=8))))
    assert (NOON, UTC) == (bench.clock.now(), bench.clock.now().tzinfo)


def test_half_of_the_round_trip_is_the_way_back() -> None:
    """The server read its clock in the middle of the round trip, as far as anybody knows."""
    bench = Bench()
    bench.clock.observe(database_time=NOON, sent_monotonic=1000.0, received_monotonic=1000.2)
    bench.monotonic = 1000.2
    assert 0.1 == bench.read()


def test_a_quick_sample_replaces_a_slow_one() -> None:
    """The more exact of two fresh samples counts."""
    bench = Bench()
    bench.sample(at(0.3), round_trip_s=0.8)
    bench.sample(at(0.35), round_trip_s=0.01)
    assert 0.35 == bench.read()


def test_a_slow_sample_does_not_replace_a_fresh_quick_one(bench: Bench) -> None:
    """A slow answer says less than what is known."""
    bench.monotonic += 1.0
    bench.sample(at(1.4), round_trip_s=0.8)
    assert 1.0 == bench.read()


def test_an_old_sample_gives_way_to_any_better_bound(bench: Bench) -> None:
    """Clocks drift: after a minute a sample of 10 ms says more than the perfect old one."""
    bench.monotonic += 60.0
    bench.sample(at(60.006), round_trip_s=0.010)
    assert 60.006 == bench.read()


def test_time_never_goes_back(bench: Bench) -> None:
    """A correction backwards lets time stand until it has caught up."""
    bench.monotonic += 1.0
    assert 1.0 == bench.read()
    bench.sample(at(0.4))
    assert 1.0 == bench.read()
    bench.monotonic += 0.7
    assert 1.1 == bench.read()


@pytest.mark.parametrize("jump_s", [5.001, -5.001, 3600.0, -3600.0])
def test_a_jump_is_noticed_and_not_followed(bench: Bench, jump_s: float) -> None:
    """More than 5 s off is a jump: it is told once, and time goes on as before."""
    bench.monotonic += 10.0
    assert bench.sample(at(10.0 + jump_s))
    assert bench.clock.jumped
    assert not bench.sample(at(10.0 + jump_s))
    bench.monotonic += 1.0
    assert 11.0 == bench.read()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -3.0])
def test_ages_are_told_by_the_latest_sample(bench: Bench, jump_s: float) -> None:
    """What others stamp after a jump, or a step back, is not old by our time from before it."""
    bench.monotonic += 10.0
    bench.sample(at(10.0 + jump_s))
    bench.monotonic += 1.0
    assert at(11.0 + jump_s) == bench.clock.latest()
    bench.sample(at(11.0))
    assert at(11.0) == bench.clock.latest(), "a jump that was taken back"


def test_latest_needs_a_sample() -> None:
    """There is no time before the server has told one."""
    with pytest.raises(ClockNotSet):
        DatabaseClock(monotonic=lambda: 0.0).latest()


@pytest.mark.parametrize("gap_s", [5.0, -5.0])
def test_five_seconds_are_no_jump(bench: Bench, gap_s: float) -> None:
    """The limit itself is still a correction."""
    bench.monotonic += 10.0
    assert not bench.sample(at(10.0 + gap_s))
    assert not bench.clock.jumped


def test_a_jump_ends_when_the_clock_is_set_right(bench: Bench) -> None:
    """Nothing was decided by the wrong time, so time goes on as if it had never been."""
    bench.sample(at(60.0))
    bench.monotonic += 1.0
    assert not bench.sample(at(61.0))
    assert bench.clock.jumped
    bench.sample(at(1.0))
    assert not bench.clock.jumped
    assert 1.0 == bench.read()
    assert bench.sample(at(60.0)), "the next jump is told again"


def test_what_a_slow_answer_may_explain_is_no_jump(bench: Bench) -> None:
    """An answer that took 20 s may be 10 s off without any jump."""
    assert not bench.sample(at(12.0), round_trip_s=20.0)
    assert not bench.clock.jumped


def test_impossible_samples_are_refused(bench: Bench) -> None:
    """A naive time and an answer before its question are defects of the caller."""
    with pytest.raises(ValueError, match="time zone"):
        bench.sample(datetime(2026, 1, 1, 12))  # noqa: DTZ001  # a naive time is the point
    with pytest.raises(ValueError, match="before the question"):
        bench.sample(NOON, round_trip_s=-1.0)

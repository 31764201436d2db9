"""Restarts: growing pauses, and an end after too many in too short a time."""

from __future__ import annotations

from deploy.local.restarts import RestartPolicy


def test_pauses_grow_until_a_process_is_given_up() -> None:
    """Five restarts within a minute wait ever longer; the sixth death is final."""
    policy = RestartPolicy()
    delays = [policy.next_delay_s(now_s=float(second)) for second in range(6)]
    assert [0.5, 1.0, 2.0, 4.0, 8.0, None] == delays


def test_deaths_that_lie_far_apart_never_add_up() -> None:
    """A process that dies every twenty seconds is restarted for as long as it likes."""
    policy = RestartPolicy()
    delays = [policy.next_delay_s(now_s=20.0 * number) for number in range(100)]
    assert None not in delays
    assert 2.0 == delays[-1]


def test_an_old_restart_is_forgotten_exactly_when_its_window_ends() -> None:
    """The window is half-open: at its end, the oldest restart no longer counts."""
    policy = RestartPolicy(restarts_max=1, window_s=60.0)
    assert 0.5 == policy.next_delay_s(now_s=0.0)
    assert policy.next_delay_s(now_s=59.9) is None
    assert 0.5 == policy.next_delay_s(now_s=60.0)


def test_the_pause_has_a_limit() -> None:
    """However many restarts are allowed, none waits longer than the limit."""
    policy = RestartPolicy(restarts_max=50, delay_max_s=8.0)
    assert 8.0 == max(policy.next_delay_s(now_s=float(n)) or 0.0 for n in range(50))

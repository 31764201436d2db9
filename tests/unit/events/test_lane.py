"""Shedding by the age of the queue, on a simulated partition that decides so many a second."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.kafka import lane as lanes
from libs.events.kafka.lane import Lane

ANSWER_S = 1.8
STALE_S = 2.5
HOP_S = 0.01
"""What a command takes on the way to a partition and back, however quick that is."""
BATCH_MAX = 64


class NoLane(Lane):
    """The control: everything is let in."""

    def has_room(self, now: float) -> bool:
        """See `Lane`."""
        return True


@dataclass(slots=True)
class Outcome:
    """What became of the requests that came in one run, by when each came."""

    done: list[tuple[float, float]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def done_per_s(self, begin: float, end: float) -> float:
        """Return how many a second of those that came within a time were answered."""
        return sum(begin <= at < end for at, _ in self.done) / (end - begin)

    def p99_s(self, begin: float, end: float) -> float:
        """Return how long the slowest but one in a hundred of them took."""
        took = sorted(took for at, took in self.done if begin <= at < end)
        return took[int(len(took) * 0.99)]


@dataclass(slots=True)
class _Command:
    gateway: int
    asked_at: float
    ahead: int
    waits: bool = True


def simulate(
    *,
    arrivals: Iterable[tuple[float, int]],
    rate: Callable[[float], float],
    gateways: int = 1,
    lane: type[Lane] = Lane,
) -> list[Outcome]:
    """Run gateways in front of one partition; *rate* is how many it decides a second at a time.

    A command is answered once it and all before it are decided, in batches as the loop takes
    them. After `ANSWER_S` its asker gives up; older than `STALE_S` it is dropped for nothing.
    """
    lane_of = [lane() for _ in range(gateways)]
    outcomes = [Outcome() for _ in range(gateways)]
    queue: deque[_Command] = deque()
    agenda: list[tuple[float, int, str, object]] = []
    order = iter(range(10**9))
    for at, gateway in arrivals:
        heapq.heappush(agenda, (at, next(order), "asked", gateway))
    heapq.heappush(agenda, (0.0, next(order), "tick", None))
    last_at = max(at for at, *_ in agenda) + 2 * STALE_S
    while agenda:
        now, _, what, about = heapq.heappop(agenda)
        if now > last_at:
            break
        if what == "asked":
            assert isinstance(about, int)
            if not lane_of[about].has_room(now):
                outcomes[about].refused.append(now)
                continue
            command = _Command(about, now, lane_of[about].enter(now))
            queue.append(command)
            heapq.heappush(agenda, (now + ANSWER_S, next(order), "late", command))
        elif what == "late":
            assert isinstance(about, _Command)
            if about.waits:
                about.waits = False
                lane_of[about.gateway].given_up()
                outcomes[about.gateway].late.append(about.asked_at)
        elif what == "answered":
            assert isinstance(about, list)
            for command in about:
                if command.waits:
                    command.waits = False
                    took = now - command.asked_at
                    lane_of[command.gateway].answered(now, took=took, ahead=command.ahead)
                    outcomes[command.gateway].done.append((command.asked_at, took))
        else:
            batch = []
            while queue and len(batch) < BATCH_MAX:
                command = queue.popleft()
                if now - command.asked_at <= STALE_S:
                    batch.append(command)
            per_s = rate(now)
            if not per_s:  # it stands still
                queue.extendleft(reversed(batch))
                batch = []
            ready = now + (len(batch) / per_s if per_s else 0.0)
            if batch:
                heapq.heappush(agenda, (ready + HOP_S, next(order), "answered", batch))
            heapq.heappush(agenda, (max(ready, now + 0.002), next(order), "tick", None))
    return outcomes


def poisson(
    per_s: float, begin: float, end: float, *, gateway: int = 0, seed: int = 0
) -> list[tuple[float, int]]:
    """Return arrivals at a gateway."""
    source = random.Random(f"{per_s} {begin} {gateway} {seed}")
    found, at = [], begin
    while (at := at + source.expovariate(per_s)) < end:
        found.append((at, gateway))
    return found


@pytest.mark.parametrize(
    ("rate", "load"), [(800, 4_000), (800, 8_000), (2_400, 12_000), (100, 500), (50, 250)]
)
def test_five_times_the_load_leaves_the_goodput(rate: float, load: float) -> None:
    """The partition is busy all the time, nobody is told 504, and all is well right after it."""
    arrivals = [*poisson(load, 0, 20), *poisson(rate / 4, 20, 30)]
    (found,) = simulate(arrivals=arrivals, rate=lambda _: rate)
    assert [] == [at for at in found.late if at > 1]  # at first nobody knows how slow it is
    assert 0.9 * rate <= found.done_per_s(2, 20)
    assert found.p99_s(4, 20) < 1.0
    assert [] == [at for at in found.refused if at > 21]
    assert found.p99_s(22, 30) < lanes.CALM_S


def test_without_shedding_the_goodput_collapses() -> None:
    """The control: everybody waits, and nearly nobody is answered in time."""
    (found,) = simulate(arrivals=poisson(4_000, 0, 20), rate=lambda _: 800, lane=NoLane)
    assert found.done_per_s(5, 20) < 0.1 * 800
    assert len(found.late) > 20_000


def test_usual_load_and_its_bursts_are_never_refused() -> None:
    """Two thirds of what it can, and a thousand at once."""
    burst = [(5.0, 0)] * 1_000
    (found,) = simulate(arrivals=[*poisson(1_600, 0, 10), *burst], rate=lambda _: 2_400)
    assert ([], []) == (found.refused, found.late)


def test_one_slow_answer_says_nothing_of_a_burst() -> None:
    """A pause of the only command under way is not a queue."""
    lane = Lane()
    lane.answered(0.9, took=0.9, ahead=lane.enter(0.0))
    for at in range(1_000):
        assert lane.has_room(1.0 + at / 10_000)
        lane.enter(1.0 + at / 10_000)


def test_what_a_queue_told_is_forgotten_even_if_it_was_answered() -> None:
    """Nobody has asked for a while: the next burst is let in as if nothing were known."""
    lane = Lane()
    ahead = [lane.enter(0.0) for _ in range(64)]
    for each in ahead:
        lane.answered(0.9, took=0.9, ahead=each)
    assert lane.limit < 64
    lane.enter(0.9 + lanes.FORGET_S)
    assert lane.limit == lanes.UNANSWERED_MAX


@pytest.mark.parametrize("pause_s", [0.3, 0.6, 1.0])
def test_a_partition_may_change_hands(pause_s: float) -> None:
    """Nothing is decided for a while: whoever comes meanwhile waits, and is answered."""
    arrivals = poisson(100, 0, 10)
    (found,) = simulate(arrivals=arrivals, rate=lambda now: 0 if 3 <= now < 3 + pause_s else 2_400)
    assert ([], []) == (found.refused, found.late)


def test_a_long_silence_is_noticed_and_so_is_its_end() -> None:
    """After the first who waited for nothing few more do, until it goes on: at once for all."""
    (found,) = simulate(
        arrivals=poisson(200, 0, 30), rate=lambda now: 0 if 5 <= now < 15 else 2_400
    )
    begin = 5 + lanes.SILENCE_S
    waited_in_vain = [at for at in found.late if begin + 0.1 < at < 15]
    assert len(waited_in_vain) <= 10 / lanes.PROBE_S
    assert [] == [at for at in found.refused if at < begin or at > 15 + 2 * lanes.PROBE_S]
    assert 190 < found.done_per_s(16, 30) < 210


def test_after_a_silence_that_nobody_asked_into_all_are_let_in() -> None:
    """What was known of a partition is too old to refuse anybody for it."""
    lane = Lane()
    for now in (0.0, 0.1, 0.2):
        lane.enter(now)
    for _ in range(3):
        lane.given_up()
    probed_at = lanes.SILENCE_S + 0.5
    assert lane.has_room(probed_at)
    lane.enter(probed_at)
    assert not lane.has_room(probed_at + 0.1)
    for _ in range(50):
        assert lane.has_room(100.0)
        lane.enter(100.0)


def test_a_slow_partition_that_becomes_quick_is_used_at_once() -> None:
    """What it can is measured anew with each answer."""
    (found,) = simulate(arrivals=poisson(2_000, 0, 20), rate=lambda now: 100 if now < 10 else 2_400)
    assert 90 <= found.done_per_s(3, 9)
    assert [] == [at for at in found.refused if at > 11]


def test_two_gateways_share_what_one_partition_can() -> None:
    """Neither knows of the other; together they use it all, and neither gets next to nothing."""
    arrivals = [*poisson(2_000, 0, 30), *poisson(2_000, 5, 30, gateway=1)]
    first, second = simulate(arrivals=arrivals, rate=lambda _: 800, gateways=2)
    together = first.done_per_s(8, 30) + second.done_per_s(8, 30)
    assert 0.9 * 800 <= together
    assert 0.3 * 800 <= first.done_per_s(20, 30) <= 0.7 * 800
    assert [] == [at for at in (*first.late, *second.late) if at > 8]
    assert max(first.p99_s(8, 30), second.p99_s(8, 30)) < 1.2


@settings(max_examples=25, deadline=None)
@given(
    rate=st.integers(min_value=60, max_value=3_000),
    times=st.floats(min_value=1.5, max_value=10),
    seed=st.integers(min_value=0, max_value=10**6),
)
def test_whatever_a_partition_can_is_used(rate: int, times: float, seed: int) -> None:
    """At any rate and any overload most of it is used, and hardly anybody waits in vain."""
    load = min(rate * times, 6_000)
    seconds = 8 if rate > 200 else 16
    (found,) = simulate(arrivals=poisson(load, 0, seconds, seed=seed), rate=lambda _: rate)
    assert found.done_per_s(4, seconds - 1) >= 0.8 * min(rate, load)
    assert [] == [at for at in found.late if at > 4]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["enter", "answered", "given_up"]),
            st.floats(min_value=0.0, max_value=6.0),
        ),
        max_size=200,
    )
)
def test_a_lane_never_closes_for_good(steps: list[tuple[str, float]]) -> None:
    """Whatever has happened: who comes when all others are gone is let in soon, or at once."""
    lane, now, inside = Lane(), 0.0, deque[tuple[float, int]]()
    for what, later in steps:
        now += later
        if what == "enter" and lane.has_room(now):
            inside.append((now, lane.enter(now)))
        elif what != "enter" and inside:
            asked_at, ahead = inside.popleft()
            if what == "answered":
                lane.answered(now, took=now - asked_at, ahead=ahead)
            else:
                lane.given_up()
        assert len(inside) == lane.unanswered
        assert 1 <= lane.limit <= lanes.UNANSWERED_MAX
    while inside:
        inside.popleft()
        lane.given_up()
    assert lane.has_room(now + 2 * lanes.PROBE_S)

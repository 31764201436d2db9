"""The figures in memory: they only move forward, and are never silently old."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from libs.events.contracts.inventory import AvailabilityReported, PoolFigures
from libs.events.envelope import Position
from services.gateway.app.availability import Availability, load_first
from services.gateway.domain.failure import StoreUnavailable, ViewBehind

NOW = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
POOLS = [(1, 0), (2, 0)]


def figures(pool_no: int, available: int, seq: int, generation: int = 1) -> PoolFigures:
    """Return figures of a pool of partition 0."""
    return PoolFigures(
        pool_no=pool_no,
        product_id=106,
        channel="ota",
        allotted=100,
        available=available,
        selling=True,
        generation=generation,
        partition=0,
        seq=seq,
    )


def report(seq: int, *pools: PoolFigures, full: bool = False) -> AvailabilityReported:
    """Return a report of partition 0."""
    return AvailabilityReported(
        generation=1, partition=0, seq=seq, catalogue_version=1, full=full, pools=pools
    )


class Ledger:
    """The inventory service's view; *away* makes it unreachable."""

    def __init__(self, *pools: PoolFigures) -> None:
        self.shown: list[PoolFigures] = list(pools)
        self.asked = 0
        self.away = False

    async def pools(self) -> Sequence[PoolFigures]:
        """See `services.gateway.app.availability.PoolSource`."""
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.shown


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.at


async def known(ledger: Ledger, clock: Clock | None = None) -> Availability:
    """Return a view that has read the ledger once."""
    view = Availability(source=ledger, monotonic=clock or Clock(), now=lambda: NOW)
    await view.load()
    return view


def soon(seconds: float = 0.05) -> float:
    """Return a deadline."""
    return asyncio.get_running_loop().time() + seconds


def available(view: Availability, pool_no: int) -> int:
    """Return a pool's figure as shown."""
    found = view.figures(pool_no)
    assert found is not None
    return found.available


async def test_only_newer_figures_are_taken() -> None:
    """Answers and reports may overtake each other."""
    view = await known(Ledger(figures(1, 10, 5)))
    for each in (figures(1, 8, 7), figures(1, 9, 6), figures(1, 7, 7), figures(1, 3, 1, 2)):
        view.take(each)
    assert 3 == available(view, 1)
    view.report(report(4, figures(1, 99, 4), full=True))
    assert (3, (1, 5)) == (available(view, 1), view.heads([0])["inventory", 0])


async def test_a_mark_is_reached_by_the_pool_or_by_its_partition() -> None:
    """An answer moves its own pool only; a report moves all of its partition."""
    view = await known(Ledger(figures(1, 10, 5), figures(2, 10, 5)))
    view.take(figures(1, 9, 7))
    assert view.reached(pool_no=1, partition=0, mark=(1, 7))
    assert not view.reached(pool_no=2, partition=0, mark=(1, 7))
    view.report(report(7))
    assert view.reached(pool_no=2, partition=0, mark=(1, 7))


async def test_a_wait_ends_when_the_feed_arrives() -> None:
    """Nobody polls while reports come."""
    ledger = Ledger(figures(1, 10, 5), figures(2, 10, 5))
    view = await known(ledger)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(
            view.wait(pools=POOLS, marks={("inventory", 0): (1, 6)}, deadline=soon(5))
        )
        await asyncio.sleep(0)
        assert not waiting.done()
        view.report(report(6, figures(1, 9, 6)))
    assert (9, 1) == (available(view, 1), ledger.asked)


async def test_where_the_feed_is_late_the_ledger_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away keeps nobody from seeing what was answered."""
    monkeypatch.setattr("services.gateway.app.availability.ASK_INTERVAL_S", 0.01)
    clock = Clock()
    ledger = Ledger(figures(1, 10, 5), figures(2, 10, 5))
    view = await known(ledger, clock)
    ledger.shown = [figures(1, 9, 6), figures(2, 10, 6)]
    clock.at += 1
    await view.wait(pools=POOLS, marks={("inventory", 0): (1, 6)}, deadline=soon(5))
    assert 9 == available(view, 1)


async def test_what_does_not_come_is_behind() -> None:
    """At the deadline the wait ends with the fault that becomes a 503."""
    view = await known(Ledger(figures(1, 10, 5)))
    with pytest.raises(ViewBehind):
        await view.wait(pools=POOLS, marks={("inventory", 0): (1, 6)}, deadline=soon())


async def test_an_answer_without_figures_is_owed() -> None:
    """Nothing older than it is shown here, to anybody."""
    view = await known(Ledger(figures(1, 10, 5)))
    view.owe(Position(1, 0, 6))
    view.owe(Position(1, 0, 0))
    with pytest.raises(ViewBehind):
        await view.wait(pools=POOLS, marks={}, deadline=soon())
    view.report(report(6))
    await view.wait(pools=POOLS, marks={}, deadline=soon())


async def test_after_three_silent_seconds_figures_are_confirmed_or_not_shown() -> None:
    """The ledger's view stands in for the feed; without either, nothing is shown."""
    clock, ledger = Clock(), Ledger(figures(1, 10, 5), figures(2, 10, 5))
    view = await known(ledger, clock)
    await view.wait(pools=POOLS, marks={}, deadline=soon())
    clock.at += 3.5
    await view.wait(pools=POOLS, marks={}, deadline=soon())
    assert 2 == ledger.asked
    clock.at += 3.5
    view.report(report(5, full=True))
    await view.wait(pools=POOLS, marks={}, deadline=soon())
    assert 2 == ledger.asked
    ledger.away = True
    clock.at += 3.5
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await view.wait(pools=POOLS, marks={}, deadline=soon())


async def test_the_first_load_goes_on_until_it_works() -> None:
    """A database that is away at the start is asked again."""
    ledger = Ledger(figures(1, 10, 5))
    ledger.away = True
    view = Availability(source=ledger, monotonic=Clock(), now=lambda: NOW)
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load_first(view, retry_s=0.001))
        while ledger.asked < 2:  # noqa: ASYNC110  # the fake tells nobody
            await asyncio.sleep(0)
        assert not loading.done()
        ledger.away = False
    assert (True, NOW) == (view.loaded, view.known_at([0, 9]))

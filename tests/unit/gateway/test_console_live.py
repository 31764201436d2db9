"""Panels that are kept up to date: read once for all, not at all for nobody, and never stuck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.console import live
from services.gateway.console.live import Content, Hub, Panel, TooMany, Unreadable
from tests.support.waiting import eventually


class Source:
    """A panel's source, which can be changed, broken and made slow."""

    def __init__(self, name: str = "stock", *, key: str | None = None) -> None:
        self.text = "0"
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reads = 0
        self.panel = Panel(
            key=key or name,
            name=name,
            read=self._read,
            failed=lambda reason, last: {name: f"{reason} / {last and last[name]}"},
            interval_s=0.01,
        )

    async def _read(self) -> Content:
        self.reads += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return {self.panel.name: self.text}


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """A hub that runs."""
    monkeypatch.setattr(live, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(live, "INTERVAL_MAX_S", 0.01)
    hub = Hub(monotonic=time.monotonic)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(hub.run())
        await asyncio.sleep(0)
        yield hub
        running.cancel()


async def test_nobody_looks_nothing_is_read(hub: Hub) -> None:
    """And when the last one goes, reading ends."""
    source = Source()
    with hub.watching([source.panel]) as watcher:
        await watcher.take()

    async def forgotten() -> bool:
        return not hub._watched

    await eventually(forgotten)
    reads = source.reads
    await asyncio.sleep(0.1)
    assert (reads, 0) == (source.reads, hub.watchers)


async def test_many_look_one_reads(hub: Hub) -> None:
    """Ten people cost what one costs, and a late one sees at once what is there."""
    sources = [Source() for _ in range(10)]
    for source in sources:
        source.gate.clear()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(hub.first([each.panel], timeout_s=5)) for each in sources]
        await eventually(lambda: asyncio.sleep(0, hub.watchers == len(sources)))
        for source in sources:
            source.gate.set()
    assert [{"stock": {"stock": "0"}}] * 10 == [each.result() for each in asked]
    assert 1 == sum(bool(each.reads) for each in sources)
    reads = hub.reads
    with hub.watching([sources[-1].panel]) as late:
        assert [{"stock": "0"}] == list(await late.take())
    assert reads + 3 >= hub.reads


async def test_only_what_changed_is_given_and_only_the_newest(hub: Hub) -> None:
    """Somebody who is slow misses steps, and holds nobody up."""
    source = Source()
    with hub.watching([source.panel]) as slow, hub.watching([source.panel]) as quick:
        for text in ("1", "2", "3"):
            source.text = text
            while {"stock": text} not in await quick.take():
                pass
        reads = source.reads

        async def read_again() -> bool:
            return source.reads > reads + 3

        await eventually(read_again)
        assert [{"stock": "3"}] == await slow.take()
        assert {} == quick.waiting


async def test_a_slow_panel_keeps_nobody_waiting(hub: Hub) -> None:
    """The others are there; in its place stands why it isn't."""
    slow, quick = Source("lag"), Source("stock")
    slow.gate.clear()
    found = await hub.first([slow.panel, quick.panel], timeout_s=0.05)
    assert {"stock": {"stock": "0"}} == found
    with hub.watching([slow.panel]) as watcher:
        assert [{"lag": "no answer within 0.2 s / None"}] == list(await watcher.take())


async def test_what_fails_says_so_and_comes_back(hub: Hub) -> None:
    """With the last good content; a defect of one panel is its own affair."""
    source = Source()
    with hub.watching([source.panel]) as watcher:
        assert [{"stock": "0"}] == list(await watcher.take())
        source.failure = Unreadable("the database is away")
        assert [{"stock": "the database is away / 0"}] == list(await watcher.take())
        source.failure = ZeroDivisionError("oops")
        (content,) = await watcher.take()
        assert "ZeroDivisionError" in content["stock"]
        assert "oops" not in content["stock"]
        source.failure = None
        assert [{"stock": "0"}] == list(await watcher.take())


async def test_there_is_a_limit(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of people and of searches."""
    monkeypatch.setattr(live, "PANELS_MAX", 2)
    with hub.watching([Source(key="a").panel, Source(key="b").panel]):
        with pytest.raises(TooMany), hub.watching([Source(key="c").panel]):
            pass
        monkeypatch.setattr(live, "WATCHERS_MAX", 1)
        with pytest.raises(TooMany), hub.watching([Source(key="a").panel]):
            pass


async def test_a_hub_that_ends_lets_go(hub: Hub) -> None:
    """Who waits is woken, and finds that nothing comes any more."""
    other = Hub(monotonic=time.monotonic)
    source = Source()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(other.run())
        with other.watching([source.panel]) as watcher:
            await eventually(lambda: asyncio.sleep(0, other.is_running))
            await watcher.take()
            waiting = group.create_task(watcher.take())
            running.cancel()
            assert [] == list(await waiting)
    assert not other.is_running

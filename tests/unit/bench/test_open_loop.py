"""The open loop: arrivals do not wait for the server, latency counts from them, clients insist."""

from __future__ import annotations

import asyncio

import pytest

from bench.http1 import Site
from bench.open_loop import OpenLoop, poisson
from bench.tally import RESERVE, Tally
from bench.traffic import Reserves
from libs.runtime.supervise import spawn
from tests.support.bench_server import Respond, answer, created, number_of, serving

LIMIT_S = 10.0


def loop_of(site: Site, *, arrivals: list[float], persistent: bool = False) -> OpenLoop:
    """Return a loop of reserves."""
    return OpenLoop(
        site=site,
        traffic=Reserves(templates=[(site.post("/reserve", {}), 900, 1)], key_prefix="run"),
        tally=Tally(),
        arrivals=arrivals,
        persistent=persistent,
    )


async def run(
    respond: Respond, *, arrivals: list[float], connections: int, persistent: bool = False
) -> OpenLoop:
    """Let requests arrive and wait until all have a final answer."""
    async with serving(respond) as site:
        loop = loop_of(site, arrivals=arrivals, persistent=persistent)
        await loop.connect(connections)
        async with asyncio.TaskGroup() as group:
            keeper = spawn(group, "keep-open", loop.keep_open())
            loop.start(window_from_s=0, window_to_s=LIMIT_S)
            assert 0 == await loop.finish(timeout_s=LIMIT_S)
            keeper.cancel()
    return loop


async def test_latency_counts_from_the_arrival() -> None:
    """With one connection and four arrivals at once, the last one's wait is in its latency."""
    async with serving(lambda _, headers: created(number_of(headers))) as site:
        loop = loop_of(site, arrivals=[0.0] * 4)
        await loop.connect(1)
        loop.start(window_from_s=0, window_to_s=LIMIT_S)
        assert 3 == loop.backlog == loop.backlog_max
        await loop.finish(timeout_s=LIMIT_S)
    samples = loop.tally.samples[RESERVE]
    assert 4 == len(samples)
    assert sorted(samples) == samples


async def test_clients_follow_retry_after() -> None:
    """An answer with Retry-After is not final: the same request goes out again."""
    asked: list[int] = []

    def respond(_: str, headers: dict[str, str]) -> bytes:
        number = number_of(headers)
        asked.append(number)
        if asked.count(number) == 1:
            return answer(503, '{"code": "NOT_EXECUTED"}', headers="Retry-After: 0\r\n")
        return created(number)

    loop = await run(respond, arrivals=[0.0] * 5, connections=2, persistent=True)
    assert {"201": 5} == loop.tally.outcomes
    assert 5 == loop.retries
    assert sorted([*range(5), *range(5)]) == sorted(asked)


async def test_a_connection_that_ends_is_opened_again() -> None:
    """A persistent client asks again with the same key on a new connection."""
    asked: list[int] = []

    def respond(_: str, headers: dict[str, str]) -> bytes | None:
        asked.append(number_of(headers))
        return None if len(asked) == 1 else created(number_of(headers))

    loop = await run(respond, arrivals=[0.0] * 3, connections=1, persistent=True)
    assert {"201": 3} == loop.tally.outcomes
    assert 1 == loop.reopened


async def test_what_was_never_sent_is_told() -> None:
    """A server that does not answer leaves a backlog, and one request unresolved."""
    async with serving(lambda *_: b"") as site:
        loop = loop_of(site, arrivals=[0.0] * 3)
        await loop.connect(1)
        loop.start(window_from_s=0, window_to_s=LIMIT_S)
        assert 2 == await loop.finish(timeout_s=0.05)
    assert {"no answer": 1} == loop.tally.outcomes
    assert 1 == len(loop.tally.unresolved)


def test_poisson() -> None:
    """Arrivals are in order, within the time, as many as asked for, and the same for a seed."""
    arrivals = poisson(per_s=1000, seconds=10, seed=1)
    assert sorted(arrivals) == arrivals
    assert 0 < arrivals[0] < arrivals[-1] < 10
    assert 10_000 == pytest.approx(len(arrivals), rel=0.05)
    assert arrivals == poisson(per_s=1000, seconds=10, seed=1)

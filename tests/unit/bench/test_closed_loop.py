"""The closed loop against a small server: nothing is lost, counted twice or left unresolved."""

from __future__ import annotations

from bench.closed_loop import ClosedLoop, resolve
from bench.tally import RESERVE, Tally
from bench.traffic import Reserves
from tests.support.bench_server import Respond, answer, created, number_of, serving

LIMIT_S = 5.0
PRODUCT = 900


async def run(
    respond: Respond, *, clients: int, requests: int, ids: set[str] | None = None
) -> Tally:
    """Send so many requests over so many connections and resolve what is unknown."""
    tally = Tally(ids=set() if ids is None else ids)
    async with serving(respond) as site:
        template = site.post("/reserve", {"quantity": 2})
        traffic = Reserves(
            templates=[(template, PRODUCT, 2)], key_prefix="run", requests_max=requests
        )
        loop = ClosedLoop(site=site, traffic=traffic, tally=tally)
        await loop.connect(clients)
        loop.open_window()
        loop.start()
        await loop.finish(timeout_s=LIMIT_S, stop=False)
        loop.close_window()
        await resolve(site=site, tally=tally)
    return tally


async def test_every_request_is_counted_once() -> None:
    """A thousand requests over seven connections are a thousand samples, ids and holds."""
    ids: set[str] = set()
    tally = await run(
        lambda _, headers: created(number_of(headers)), clients=7, requests=1000, ids=ids
    )
    assert {"201": 1000} == tally.outcomes
    assert 1000 == tally.accepted == len(ids) == len(tally.samples[RESERVE])
    assert {PRODUCT: 2000} == tally.taken
    assert [] == tally.unresolved


async def test_an_id_given_twice_is_found() -> None:
    """The same reservation id for two requests is no success."""
    tally = await run(lambda *_: created(1), clients=2, requests=5)
    assert {"201": 1, "201 with a reservation_id given before": 4} == tally.outcomes
    assert 1 == tally.accepted


async def test_refusals_are_counted_by_their_word() -> None:
    """A refusal is an answer under its status and word, and nothing is accepted by it."""
    refusal = answer(409, '{"code": "SOLD_OUT"}')
    tally = await run(
        lambda _, headers: created(number_of(headers)) if number_of(headers) < 3 else refusal,
        clients=4,
        requests=10,
    )
    assert {"201": 3, "409 SOLD_OUT": 7} == tally.outcomes
    assert 3 == tally.accepted


async def test_an_unknown_outcome_is_asked_for_again() -> None:
    """After a 504 the same key is sent again, and what it shows counts as accepted."""
    asked: list[int] = []

    def respond(_: str, headers: dict[str, str]) -> bytes:
        number = number_of(headers)
        asked.append(number)
        if number == 2 and asked.count(2) == 1:
            return answer(504, '{"code": "OUTCOME_UNKNOWN"}')
        return created(number)

    tally = await run(respond, clients=1, requests=4)
    assert {"201": 3, "504 OUTCOME_UNKNOWN": 1} == tally.outcomes
    assert [0, 1, 2, 3, 2] == asked
    assert 4 == tally.accepted
    assert [] == tally.unresolved


async def test_a_lost_connection_leaves_its_request_to_be_resolved() -> None:
    """A connection that ends in the middle loses nothing: the request is asked for again."""
    asked: list[int] = []

    def respond(_: str, headers: dict[str, str]) -> bytes | None:
        number = number_of(headers)
        asked.append(number)
        return None if number == 1 and asked.count(1) == 1 else created(number)

    tally = await run(respond, clients=2, requests=6)
    assert {"201": 5, "connection lost": 1} == tally.outcomes
    assert 6 == tally.accepted


async def test_what_is_never_known_stays_unresolved() -> None:
    """A request that only ever gets 504 is neither accepted nor forgotten."""
    tally = await run(lambda *_: answer(504, "{}"), clients=1, requests=1)
    assert 0 == tally.accepted
    assert 1 == len(tally.unresolved)

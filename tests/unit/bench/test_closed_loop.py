"""The closed loop against a small server: nothing is lost, counted twice or left unresolved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.closed_loop import ClosedLoop, Target
from bench.http1 import RequestTemplate

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LIMIT_S = 5.0

Respond = Callable[[str], bytes | None]
"""From an idempotency key to an answer's bytes; None closes the connection unanswered."""


def answer(status: int, body: str) -> bytes:
    """Return an answer's bytes."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def created(number: int) -> bytes:
    """Return a 201 with the number's own reservation id."""
    identifier = "res_0" + "".join(ALPHABET[number >> 5 * place & 31] for place in range(25))
    return answer(201, f'{{"reservation_id": "{identifier}"}}')


def number_of(key: str) -> int:
    """Return the request's number from its idempotency key."""
    return int(key.rpartition("-")[2])


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Target]:
    """Serve *respond* on a free port and yield where and what to send."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.split(": ", 1) for line in head.splitlines()[1:-1])
                await reader.readexactly(int(headers["Content-Length"]))
                response = respond(headers["Idempotency-Key"])
                if response is None:
                    break
                writer.write(response)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        template = RequestTemplate.post(
            host="127.0.0.1", port=port, path="/reserve", api_key="key", body={"quantity": 1}
        )
        yield Target(host="127.0.0.1", port=port, templates=(template,), key_prefix="run")


async def run(
    respond: Respond, *, clients: int, requests: int, ids: set[str] | None = None
) -> ClosedLoop:
    """Send so many requests over so many connections and resolve what is unknown."""
    async with serving(respond) as target:
        loop = ClosedLoop(target=target, ids=set() if ids is None else ids, requests_max=requests)
        await loop.connect(clients)
        loop.open_window()
        loop.start()
        await loop.finish(timeout_s=LIMIT_S, stop=False)
        loop.close_window()
        await loop.resolve()
        return loop


async def test_every_request_is_counted_once() -> None:
    """A thousand requests over seven connections are a thousand samples and ids."""
    ids: set[str] = set()
    loop = await run(lambda key: created(number_of(key)), clients=7, requests=1000, ids=ids)
    assert {"201": 1000} == loop.tally.outcomes
    assert 1000 == loop.tally.accepted == len(ids) == len(loop.tally.samples)
    assert [] == loop.tally.unresolved


async def test_an_id_given_twice_is_found() -> None:
    """The same reservation id for two requests is no success."""
    loop = await run(lambda _: created(1), clients=2, requests=5)
    assert {"201": 1, "201 with a reservation_id given before": 4} == loop.tally.outcomes
    assert 1 == loop.tally.accepted


async def test_refusals_are_counted_by_their_word() -> None:
    """A refusal is an answer under its status and word, and nothing is accepted by it."""
    refusal = answer(409, '{"code": "SOLD_OUT"}')
    loop = await run(
        lambda key: created(number_of(key)) if number_of(key) < 3 else refusal,
        clients=4,
        requests=10,
    )
    assert {"201": 3, "409 SOLD_OUT": 7} == loop.tally.outcomes
    assert 3 == loop.tally.accepted


async def test_an_unknown_outcome_is_asked_for_again() -> None:
    """After a 504 the same key is sent again, and what it shows counts as accepted."""
    asked: list[str] = []

    def respond(key: str) -> bytes:
        asked.append(key)
        if number_of(key) == 2 and asked.count(key) == 1:
            return answer(504, '{"code": "OUTCOME_UNKNOWN"}')
        return created(number_of(key))

    loop = await run(respond, clients=1, requests=4)
    assert {"201": 3, "504 OUTCOME_UNKNOWN": 1} == loop.tally.outcomes
    assert ["run-0", "run-1", "run-2", "run-3", "run-2"] == asked
    assert 4 == loop.tally.accepted
    assert [] == loop.tally.unresolved


async def test_a_lost_connection_leaves_its_request_to_be_resolved() -> None:
    """A connection that ends in the middle loses nothing: the request is asked for again."""
    asked: list[str] = []

    def respond(key: str) -> bytes | None:
        asked.append(key)
        return None if asked.count("run-1") == 1 and key == "run-1" else created(number_of(key))

    loop = await run(respond, clients=2, requests=6)
    assert {"201": 5, "connection lost": 1} == loop.tally.outcomes
    assert 6 == loop.tally.accepted


async def test_what_is_never_known_stays_unresolved() -> None:
    """A request that only ever gets 504 is neither accepted nor forgotten."""
    loop = await run(lambda _: answer(504, "{}"), clients=1, requests=1)
    assert 0 == loop.tally.accepted
    assert [0] == loop.tally.unresolved

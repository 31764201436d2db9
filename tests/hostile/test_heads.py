"""Heads that are malformed, too large, too slow or half: each is told so, once, and ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.gateway.http.connection import HEAD_BYTES_MAX
from tests.hostile.door import GOOD, Door, Line, bounds, open_door, until
from tests.http.world import TEST_KEY, World

KEY = f"X-API-Key: {TEST_KEY}\r\n".encode()
START = b"GET /api/ota/inventory HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/ota/reserve HTTP/1.1\r\nHost: x\r\n" + KEY
SECRET = b"canary-4711"
REFUSED = "gateway.connections.refused"

MALFORMED = {
    "TLS on the plain port": b"\x16\x03\x01\x02\x00" + SECRET + b"\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no Host": b"GET /?" + SECRET + b" HTTP/1.1\r\n\r\n",
    "two Hosts": START + b"Host: " + SECRET + b"\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\nX-A: " + SECRET + b"\n\n",
    "carriage return in a request id": START + KEY + b"X-Request-Id: a\rX: canary-4711\r\n\r\n",
    "zero byte in a key": START + b"X-API-Key: " + SECRET + b"\0\r\n\r\n",
    "folded header": START + KEY + b"X-Request-Id: a\r\n Set-Cookie: canary-4711\r\n\r\n",
    "space before the colon": START + b"X-API-Key : " + SECRET + b"\r\n\r\n",
    "raw bytes in the path": b"GET /canary-4711\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "both lengths": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "unknown coding": POST + b"Transfer-Encoding: canary-4711\r\n\r\n{}",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "bad chunk at once": POST + b"Transfer-Encoding: chunked\r\n\r\ncanary-4711\r\n",
}
TOO_LARGE = {
    "address": b"GET /" + SECRET * 900 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header": START + b"X-API-Key: " + SECRET * 900 + b"\r\n\r\n",
    "name of a header": START + SECRET * 900 + b": 1\r\n\r\n",
    "number of headers": START + b"X-A: canary-4711\r\n" * 101 + b"\r\n",
    "header of 2 MB": START + b"X-A: " + b"a" * 2_000_000 + SECRET + b"\r\n\r\n",
}

Logs = list[MutableMapping[str, Any]]


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[Logs]:
    """What is logged, aiohttp's own log too."""
    with capture_logs() as found:
        yield found
        assert [] == [record for record in caplog.records if record.levelno >= logging.INFO]


async def in_the_end(line: Line) -> bytes:
    """Return what else came before the server ended a connection."""
    line.writer.write_eof()
    return await line.ended()


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_http_is_400(door: Door, logs: Logs, raw: bytes) -> None:
    """One problem document that a client can read, one line in the log, no content in either."""
    line = await door.open()
    line.say(raw)
    heard = await line.hear()
    assert (400, "INVALID_REQUEST") == (heard.status, heard.json["code"])
    assert ("application/problem+json", "ota", "close") == (
        heard.headers["content-type"],
        heard.headers["server"],
        heard.headers["connection"],
    )
    assert heard.headers["x-request-id"].startswith("req_")
    assert b"" == await in_the_end(line)
    assert [("unreadable", 400)] == await door.routes()
    assert [] == door.world.market.sent
    await until(lambda: any(row["event"] == REFUSED for row in logs))
    seen = f"{heard.body!r} {heard.headers} {logs} {door.exposed} {door.world.tables.audit}"
    assert "canary" not in seen
    assert 1.0 == door.refused("head_malformed")
    await door.good()


@pytest.mark.parametrize("raw", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_that_is_too_large_is_400(door: Door, logs: Logs, raw: bytes) -> None:
    """Its sender gets to read why, also while it is still sending."""
    line = await door.open()
    line.say(raw)
    heard = await line.hear()
    assert (400, "INVALID_REQUEST") == (heard.status, heard.json["code"])
    assert "too large" in heard.json["detail"]
    await until(lambda: any(row["event"] == REFUSED for row in logs))
    assert "canary" not in f"{heard.body!r} {logs} {door.exposed}"
    assert 1.0 == door.refused("head_too_large")
    await door.good()


async def test_the_largest_head_is_read(door: Door) -> None:
    """Just below the limits a request is served: they cut nothing off that is allowed."""
    long = b"GET /api/ota/inventory?x=" + b"a" * 8000 + b" HTTP/1.1\r\nHost: x\r\n" + KEY
    heard = await door.ask(long + b"X-A: 1\r\n" * 90 + b"X-B: " + b"b" * 8000 + b"\r\n\r\n")
    assert 200 == heard.status


async def test_a_head_in_pieces_has_a_limit_in_all(door: Door) -> None:
    """Each header is allowed, all of them together are not."""
    line = await door.open()
    line.say(START)
    for number in range(HEAD_BYTES_MAX // 8000 + 2):
        line.say(f"X-{number}: ".encode() + b"a" * 8000 + b"\r\n")
        await line.writer.drain()
        await asyncio.sleep(0)
    heard = await line.hear()
    assert (400, 1.0) == (heard.status, door.refused("head_too_large"))
    assert "too large" in heard.json["detail"]
    await door.good()


async def test_a_slow_head_is_ended(world: World) -> None:
    """The whole head has one time limit, however it drips; idle connections are none of it."""
    async with open_door(world, bounds(head_s=0.3)) as door:
        idle = await door.open()
        silent = await door.open()
        idle.say(GOOD)
        assert 200 == (await idle.hear()).status
        slow = await door.open()
        for number in range(1000):
            slow.say(START[number : number + 1] or b"a")
            await asyncio.sleep(0.01)
            if door.refused("head_too_slow"):
                break
        heard = await slow.hear()
        assert (408, "REQUEST_TIMEOUT") == (heard.status, heard.json["code"])
        assert "not complete after 0.3 seconds" in heard.json["detail"]
        assert b"" == await in_the_end(slow)
        for line in (idle, silent):
            line.say(GOOD)
            assert 200 == (await line.hear()).status
        assert 1.0 == door.refused("head_too_slow")


async def test_a_head_after_a_request_is_timed_as_well(world: World) -> None:
    """The second request of a connection gets no more time than the first."""
    async with open_door(world, bounds(head_s=0.05)) as door:
        line = await door.open()
        line.say(GOOD)
        assert 200 == (await line.hear()).status
        line.say(b"GET /api")
        heard = await line.hear()
        assert (408, 1.0) == (heard.status, door.refused("head_too_slow"))


async def test_a_head_that_breaks_off_harms_nobody(door: Door, logs: Logs) -> None:
    """Who hangs up in the middle leaves nothing behind, no log line of a defect either."""
    for part in (b"", b"G", START, GOOD[:-2]):
        line = await door.open()
        line.say(part)
        await line.writer.drain()
        line.hang_up()
    await until(lambda: door.server.connections == 0)
    await door.good()
    assert [] == [row for row in logs if row["log_level"] in ("error", "critical")]


async def test_a_hundred_malformed_heads_are_few_log_lines(world: World, logs: Logs) -> None:
    """What a flood is logged as does not grow with it."""
    async with open_door(world, bounds(sweep_s=0.5)) as door:
        for _ in range(100):
            assert 400 == (await door.ask(b"\0\r\n\r\n")).status
            door.lines.pop().hang_up()

        def lines() -> Logs:
            return [row for row in logs if row["event"] == REFUSED]

        await until(lambda: sum(row["refused"] for row in lines()) == 100)
        assert len(lines()) < 50


async def test_control_plain_aiohttp_would_be_caught(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without our protocol the same request is quoted to its sender and into the log."""
    port = world.client.port
    assert port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = Line(reader, writer)
    line.say(MALFORMED["zero byte in a key"])
    heard = await line.hear()
    line.hang_up()
    assert "text/plain" in heard.headers["content-type"]
    assert "canary" in f"{heard.body!r}"
    assert any("canary" in f"{record.exc_info}" for record in caplog.records)

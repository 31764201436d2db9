"""Bodies that are slow, half, broken, too deep or not what they say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from services.gateway.http import reading
from tests.hostile.door import Door, until
from tests.hostile.test_heads import Logs
from tests.http.world import TEST_KEY

KEY = f"X-API-Key: {TEST_KEY}\r\n".encode()
POST = b"POST /api/ota/reserve HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + KEY + b"Transfer-Encoding: chunked\r\n\r\n"
EXPECT = b"Expect: 100-continue\r\n"
"""Its answer shows that the head was read and the body is waited for."""

BODY = b'{"product_id": 106, "quantity": 1}'


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged."""
    with capture_logs() as found:
        yield found


def defects(logs: Logs) -> Logs:
    """Return what the log calls an error."""
    return [row for row in logs if row["log_level"] in ("error", "critical")]


def with_length(body: bytes, *, length: int | None = None, more: bytes = b"") -> bytes:
    """Return a reserve with a body and what its head says of it."""
    size = f"Content-Length: {len(body) if length is None else length}\r\n".encode()
    return POST + KEY + more + size + b"\r\n" + body


async def test_a_slow_body_is_ended(
    door: Door, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that does not come is refused in time, and its connection is not kept."""
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.1)
    line = await door.open()
    line.say(with_length(b'{"product_id"', length=40))
    heard = await line.hear()
    assert (408, "REQUEST_TIMEOUT") == (heard.status, heard.json["code"])
    assert "not complete" in heard.json["detail"]
    line.say(b": 106, " + BODY)
    assert b"" == await line.ended()
    assert ([], []) == (door.world.market.sent, defects(logs))
    await door.good()


@pytest.mark.parametrize("after", [b'{"product_id"', b""])
async def test_half_a_body_does_nothing(door: Door, logs: Logs, after: bytes) -> None:
    """Who hangs up in the middle of a body has ordered nothing, and that is no defect of ours."""
    line = await door.open()
    line.say(with_length(after, length=40, more=EXPECT))
    assert 100 == (await line.hear()).status
    line.hang_up()
    await until(lambda: door.server.connections == 0)
    await door.good()
    assert ([], []) == (door.world.market.sent, defects(logs))
    assert [("/api/ota/reserve", 400), ("/api/ota/inventory", 200)] == await door.routes()


async def test_a_chunk_of_bad_size_is_refused_at_once(door: Door, logs: Logs) -> None:
    """The request that it belongs to gets the answer, one and not two, and the line ends."""
    line = await door.open()
    line.say(POST + KEY + EXPECT + b"Transfer-Encoding: chunked\r\n\r\n")
    assert 100 == (await line.hear()).status
    line.say(b"5\r\n" + BODY[:5] + b"\r\n")
    line.say(b"canary-4711\r\n" + BODY)
    heard = await line.hear()
    assert (400, "INVALID_REQUEST") == (heard.status, heard.json["code"])
    assert b"" == await line.ended()
    assert ([], []) == (door.world.market.sent, defects(logs))
    assert "canary" not in f"{heard.body!r} {logs}"
    await door.good()


async def test_a_broken_body_of_a_refused_request_is_quiet(door: Door, logs: Logs) -> None:
    """Without a key nobody reads the body; that it breaks afterwards makes no noise."""
    line = await door.open()
    line.say(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n")
    assert 401 == (await line.hear()).status
    line.say(b"zz\r\n")
    assert b"" == await line.ended()
    assert [] == defects(logs)
    await door.good()


async def test_chunks_of_good_size_are_read(door: Door) -> None:
    """A body in chunks is a body like any other, with extensions and a trailer too."""
    parts = b"".join(b"%x;a=b\r\n%s\r\n" % (1, BODY[n : n + 1]) for n in range(len(BODY)))
    assert 201 == (await door.ask(CHUNKED + parts + b"0\r\nX-T: 1\r\n\r\n")).status


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (b"[" * 60_000, b"", 400),
        (b'{"a":' * 12_000, b"", 400),
        (b'{"product_id": 106, "quantity": 1, "quantity": 100}', b"", 400),
        (b'{"product_id": 106, "quantity": 1' + b"0" * 60_000 + b"}", b"", 400),
        (b'{"product_id": 106, "quantity": 1e400}', b"", 422),
        (b"\xff\xfe{\x00}\x00", b"", 400),
        (b'{"product_id": 106, "quantity": 1, "customer_reference": "\xc3\x28"}', b"", 400),
        (BODY, b"Content-Type: application/json; charset=utf-16\r\n", 415),
        (BODY, b"Content-Type: text/xml\r\n", 415),
        (BODY, b"Content-Encoding: gzip\r\n", 415),
        (b" " * 65_537, b"", 413),
    ],
    ids=range(11),
)
async def test_a_body_that_cannot_be_taken_is_refused(
    door: Door, logs: Logs, body: bytes, more: bytes, status: int
) -> None:
    """Nothing is guessed, nothing is executed, and the connection stays good."""
    line = await door.open()
    line.say(with_length(body, more=more))
    heard = await line.hear()
    assert (status, "application/problem+json") == (heard.status, heard.headers["content-type"])
    assert ([], []) == (door.world.market.sent, defects(logs))
    await door.good()


async def test_a_flood_of_body_is_not_read(door: Door) -> None:
    """Beyond the limit a body is refused by its length; what is sent all the same is dropped."""
    line = await door.open()
    line.say(with_length(b" " * 500_000, length=10**12))
    heard = await line.hear()
    assert (413, "PAYLOAD_TOO_LARGE") == (heard.status, heard.json["code"])
    assert b"" == await line.ended()
    await door.good()

"""Requests that are well-formed and odd: headers that inject, paths that climb, keys in queries."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.hostile.door import GOOD, Door
from tests.http.world import TEST_KEY

KEY = f"X-API-Key: {TEST_KEY}\r\n"
CANARY = "canary-4711"


def get(path: str, more: str = KEY, *, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request without a body."""
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode("latin-1")


@pytest.mark.parametrize(
    "path",
    [
        "/api/ota/../../etc/passwd",
        "/api/ota/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/api/ota/reservations/..%2f..%2forders",
        "/api/ota/reservations/%00",
        "/api/ota/orders/..%5c..%5cwindows",
        "/api/ota/orders/%ff%fe",
        "/api/ota/orders/%",
        "/api/ota/orders/a;b=c",
        "/API/OTA/inventory",
        "/api/ota/inventory/",
    ],
)
async def test_a_path_leads_nowhere_else(door: Door, path: str) -> None:
    """What climbs or hides a slash is an unknown address or id, not another resource."""
    heard = await door.ask(get(path))
    assert (404, "application/problem+json") == (heard.status, heard.headers["content-type"])
    await door.good()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get("http://elsewhere.example/api/ota/inventory"), 200),
        (get("http://elsewhere.example:99/nothing"), 404),
        (get("/api/ota/inventory", method="TRACE"), 405),
        (get("*", method="OPTIONS"), 404),
        (get("elsewhere.example:443", method="CONNECT"), 404),
        (get("/api/ota/inventory", f"{KEY}Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200),
        (
            get(
                "/api/ota/inventory",
                f"{KEY}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
            ),
            200,
        ),
        (f"GET /api/ota/inventory HTTP/1.0\r\n{KEY}\r\n".encode(), 200),
    ],
    ids=[
        "absolute",
        "absolute unknown",
        "TRACE",
        "OPTIONS *",
        "CONNECT",
        "websocket",
        "h2c",
        "1.0",
    ],
)
async def test_an_odd_form_is_served_by_its_path(door: Door, raw: bytes, status: int) -> None:
    """Nothing is proxied, switched or echoed."""
    heard = await door.ask(raw)
    assert (status, "ota") == (heard.status, heard.headers["server"])
    assert b"elsewhere" not in heard.body
    assert TEST_KEY.encode() not in heard.body
    await door.good()


@pytest.mark.parametrize(
    "more",
    [
        "X-Request-Id: a Set-Cookie: x=1\r\n",
        "X-Request-Id: a%0d%0aSet-Cookie: x=1\r\n",
        "X-Request-Id: \u00e9\r\n",
        f"X-Request-Id: {'x' * 129}\r\n",
        "traceparent: 00-canary\r\n",
        f"traceparent: {'0' * 500}\r\n",
        "X-Forwarded-For: 1.2.3.4, canary\r\n",
        "Cookie: canary=1\r\n",
    ],
)
async def test_headers_do_not_inject(door: Door, more: str) -> None:
    """What is not sane is replaced or ignored; no header of an answer quotes it."""
    heard = await door.ask(get("/api/ota/inventory", KEY + more))
    assert 200 == heard.status
    assert "set-cookie" not in heard.headers
    assert heard.headers["x-request-id"].startswith("req_")
    assert "canary" not in f"{heard.headers}"


@pytest.mark.parametrize("key", ["a b", "\u00e9", "x" * 256, '"', "\t"])
async def test_an_insane_idempotency_key_is_refused(door: Door, key: str) -> None:
    """It is neither used nor sent back."""
    raw = get(
        "/api/ota/reserve", f"{KEY}Idempotency-Key: {key}\r\nContent-Length: 2\r\n", method="POST"
    )
    heard = await door.ask(raw + b"{}")
    assert (422, "INVALID_PARAMETER") == (heard.status, heard.json["code"])
    assert "idempotency-key" not in heard.headers
    assert [] == door.world.market.sent


@pytest.mark.parametrize("path", ["/api/ota/inventory", "/api/ota/nothing", "/healthz"])
@pytest.mark.parametrize("name", ["api_key", "X-API-Key", "access_token"])
async def test_a_key_in_the_address_is_in_no_log(door: Door, path: str, name: str) -> None:
    """Neither in a log line nor in the audit trail, a metric or the answer; the path is there."""
    with capture_logs() as logs:
        heard = await door.ask(get(f"{path}?{name}={CANARY}", ""))
        rows = await door.world.audited()
    seen = f"{heard.body!r} {heard.headers} {logs} {rows} {door.world.lines.notes} {door.exposed}"
    assert CANARY not in seen
    assert ("/api/ota/inventory" in seen) == (path == "/api/ota/inventory")
    if path == "/api/ota/inventory":
        assert (400, "INVALID_REQUEST") == (heard.status, heard.json["code"])


async def test_expectations(door: Door) -> None:
    """100-continue is met; any other is refused and not quoted."""
    body = b'{"product_id": 106, "quantity": 1}'
    head = f"{KEY}Content-Length: {len(body)}\r\n"
    line = await door.open()
    line.say(get("/api/ota/reserve", f"{head}Expect: 100-Continue\r\n", method="POST"))
    assert 100 == (await line.hear()).status
    line.say(body)
    assert 201 == (await line.hear()).status
    heard = await door.ask(
        get("/api/ota/reserve", f"{head}Expect: {CANARY}\r\n", method="POST") + body
    )
    assert (400, "INVALID_REQUEST") == (heard.status, heard.json["code"])
    assert CANARY.encode() not in heard.body
    assert 1 == len(door.world.market.sent)


async def test_pipelined_requests_are_answered_in_order(door: Door) -> None:
    """A hundred at once on one connection: each its answer, then the line is still good."""
    line = await door.open()
    for number in range(100):
        line.say(get(f"/api/ota/reservations/{number}", f"{KEY}X-Request-Id: id-{number}\r\n"))
    heard = [await line.hear() for _ in range(100)]
    assert [f"id-{number}" for number in range(100)] == [
        answer.headers["x-request-id"] for answer in heard
    ]
    line.say(GOOD)
    assert 200 == (await line.hear()).status


async def test_what_follows_a_body_is_no_request_of_its_own(door: Door) -> None:
    """A body that looks like a request is a body: nothing is smuggled past its length."""
    inner = get("/api/ota/orders")
    raw = get("/api/ota/reserve", f"{KEY}Content-Length: {len(inner)}\r\n", method="POST")
    line = await door.open()
    line.say(raw + inner + GOOD)
    assert 400 == (await line.hear()).status
    assert 200 == (await line.hear()).status
    assert [("/api/ota/reserve", 400), ("/api/ota/inventory", 200)] == await door.routes()

"""Everything before a use case: routes, keys, permissions, bodies, headers."""

from __future__ import annotations

from typing import cast

import pytest
from multidict import CIMultiDict

from libs.runtime.tracing import Tracing
from tests.http.world import DUDU_KEY, PROD_KEY, TEST_KEY, World, running_world

PROBLEM = "application/problem+json"
JSON_TYPE = {"Content-Type": "application/json"}


async def test_health_needs_no_key_and_says_nothing(world: World) -> None:
    """Anybody may ask whether the gateway is there."""
    async with world.client.get("/healthz") as response:
        assert (200, {"status": "ok"}) == (response.status, await response.json())


async def test_two_api_keys_in_one_header_are_401(world: World) -> None:
    """After a proxy that added one, nobody could tell which of them counts."""
    for first, second in ((TEST_KEY, PROD_KEY), (PROD_KEY, TEST_KEY)):
        headers = CIMultiDict([("X-API-Key", first), ("X-API-Key", second)])
        answered = await world.call("GET", "/inventory", key=None, headers=headers)
        assert (401, "INVALID_API_KEY") == (answered.status, answered.json["code"])


@pytest.mark.parametrize("path", ["/nothing", "/inventory/", "/reservations/a/b/c", "/../x"])
async def test_unknown_routes_are_problem_documents(world: World, path: str) -> None:
    """An unknown address is 404 before anybody asks for a key."""
    answered = await world.call("GET", path, key=None)
    assert (404, PROBLEM, "NOT_FOUND") == (
        answered.status,
        answered.headers["Content-Type"],
        answered.json["code"],
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/reserve", "POST"),
        ("PUT", "/reservations/x", "DELETE, GET, HEAD"),
        ("POST", "/reservations/x", "DELETE, GET, HEAD"),
        ("DELETE", "/inventory", "GET, HEAD"),
    ],
)
async def test_other_methods_are_405_with_allow(
    world: World, method: str, path: str, allowed: str
) -> None:
    """The answer names what the address takes."""
    answered = await world.call(method, path, key=None)
    assert (405, allowed, "METHOD_NOT_ALLOWED", PROBLEM) == (
        answered.status,
        answered.headers["Allow"],
        answered.json["code"],
        answered.headers["Content-Type"],
    )


async def test_durations_are_told_apart_by_method(world: World) -> None:
    """HEAD has its own series beside GET; methods that nobody uses here share one."""
    stock = "/api/ota/inventory"
    for method, path in (("GET", stock), ("HEAD", stock), ("GET", "/nothing")):
        async with world.client.request(method, path):
            pass
    for rare in ("PROPFIND", "PURGE"):
        async with world.client.request(rare, "/nothing"):
            pass
    (durations,) = world.gateway.edge._durations.collect()
    found = {
        (sample.labels["http_request_method"], sample.labels["http_route"]): sample.value
        for sample in durations.samples
        if sample.name.endswith("_count")
    }
    assert {
        ("GET", stock): 1.0,
        ("HEAD", stock): 1.0,
        ("GET", "unmatched"): 1.0,
        ("OTHER", "unmatched"): 2.0,
    } == found


async def test_a_problem_has_the_names_of_both_generations(world: World) -> None:
    """RFC 9457's members, and what older clients look for."""
    answered = await world.call(
        "GET", "/reservations/zzz", headers={"X-Request-Id": "my-request.1"}
    )
    assert {
        "type": "/problems/reservation-not-found",
        "title": "The reservation was not found",
        "status": 404,
        "detail": "You have no reservation with this id.",
        "instance": "/api/ota/reservations/zzz",
        "error": "RESERVATION_NOT_FOUND",
        "code": "RESERVATION_NOT_FOUND",
        "message": "You have no reservation with this id.",
    } == answered.json
    assert "my-request.1" == answered.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "API_KEY_REQUIRED"),
        ({"X-API-Key": ""}, "API_KEY_REQUIRED"),
        ({"Authorization": "Basic dTpw"}, "API_KEY_REQUIRED"),
        ({"X-API-Key": "wrong"}, "INVALID_API_KEY"),
        ({"Authorization": "Bearer wrong"}, "INVALID_API_KEY"),
        ({"X-API-Key": TEST_KEY, "Authorization": f"Bearer {PROD_KEY}"}, "INVALID_API_KEY"),
    ],
)
async def test_without_a_valid_key_nothing_goes(
    world: World, headers: dict[str, str], word: str
) -> None:
    """401 says how to authenticate; two different keys are none."""
    answered = await world.call("GET", "/inventory", key=None, headers=headers)
    assert (401, word) == (answered.status, answered.json["code"])
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": TEST_KEY},
        {"Authorization": f"Bearer {TEST_KEY}"},
        {"authorization": f"bearer  {TEST_KEY}"},
        {"X-API-Key": TEST_KEY, "Authorization": f"Bearer {TEST_KEY}"},
        {"X-API-Key": TEST_KEY, "Authorization": "Basic dTpw"},
    ],
)
async def test_the_key_may_come_in_either_header(world: World, headers: dict[str, str]) -> None:
    """X-API-Key or Authorization: Bearer, or both alike."""
    assert 200 == (await world.call("GET", "/inventory", key=None, headers=headers)).status


@pytest.mark.parametrize("name", ["api_key", "apiKey", "X-API-Key", "access_token"])
async def test_a_key_in_the_address_is_400(world: World, name: str) -> None:
    """Addresses end up in logs: a key there is refused, and not repeated in the answer."""
    answered = await world.call("GET", f"/inventory?{name}={TEST_KEY}")
    assert (400, "INVALID_REQUEST") == (answered.status, answered.json["code"])
    assert TEST_KEY.encode() not in answered.raw


async def test_a_revoked_key_is_refused_after_the_next_look(world: World) -> None:
    """Keys are taken from the directory as it was last confirmed."""
    del world.tables.partners[PROD_KEY]
    world.tables.directory_version += 1
    await world.gateway.directory.refresh()
    assert 401 == (await world.call("GET", "/inventory", key=PROD_KEY)).status
    assert 200 == (await world.call("GET", "/inventory")).status


async def test_with_unconfirmed_keys_reads_go_on_and_nothing_else(world: World) -> None:
    """After a minute without the database, what has an effect is refused as not executed."""
    held = await world.held()
    world.wait(61)
    answered = await world.reserve(1)
    assert (503, "NOT_EXECUTED", "1") == (
        answered.status,
        answered.json["code"],
        answered.headers["Retry-After"],
    )
    assert 200 == (await world.call("GET", f"/reservations/{held}")).status


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "/reserve", "reserve:create"),
        ("POST", "/reservations/x/activate", "reserve:activate"),
    ],
)
async def test_a_missing_permission_is_named(
    world: World, method: str, path: str, permission: str
) -> None:
    """403 names what is missing and comes before the body is looked at."""
    answered = await world.call(method, path, key=DUDU_KEY, data=b"{")
    assert (403, "INSUFFICIENT_PERMISSIONS") == (answered.status, answered.json["code"])
    assert permission in answered.json["message"]


async def test_orders_need_one_of_two_permissions(world: World) -> None:
    """orders:read or reserve:activate lets a partner see its orders; one's own holds need none."""
    world.tables.partners["k" * 12] = ("bare", "ota", ())
    world.tables.partners["a" * 12] = ("activator", "ota", ("reserve:activate",))
    world.tables.directory_version += 1
    await world.gateway.directory.refresh()
    paths = ("/orders", "/orders/ORD-1", "/orders/ORD-1/tickets", "/inventory", "/products")
    assert [403] * 5 == [(await world.call("GET", path, key="k" * 12)).status for path in paths]
    assert 200 == (await world.call("GET", "/orders", key="a" * 12)).status
    assert 200 == (await world.call("GET", "/orders", key=DUDU_KEY)).status
    assert 200 == (await world.call("GET", "/reservations", key="k" * 12)).status
    assert 404 == (await world.call("DELETE", "/reservations/x", key="k" * 12)).status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"product_id": 106, "quantity": NaN}',
        b'{"product_id": 106, "quantity": 1, "quantity": 1}',
        b'{"product_id": 106, "quantity": 1, "x": {"a": 1, "a": 2}}',
        b'{"product_id": 106, "quantity": 1, "customer_reference": "\\ud800"}',
        b"[" * 60_000,
        b'{"quantity": ' + b"1" * 5000 + b"}",
    ],
    ids=range(12),
)
async def test_what_is_no_json_object_is_400(world: World, body: bytes) -> None:
    """Malformed JSON, another kind of value, the same field twice: nobody guesses."""
    answered = await world.call("POST", "/reserve", data=body, headers=JSON_TYPE)
    assert (400, "INVALID_REQUEST", PROBLEM) == (
        answered.status,
        answered.json["code"],
        answered.headers["Content-Type"],
    )
    assert [] == world.market.sent


async def test_colons_in_texts_are_no_repeated_fields(world: World) -> None:
    """A text may look like JSON."""
    answered = await world.reserve(1, fields={"customer_reference": '{"a":1,"a":2}::'})
    assert 201 == answered.status


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_64_kib_is_413(world: World, chunked: bool) -> None:
    """The limit holds however the body is sent; at the limit it is read."""

    async def parts() -> object:
        for _ in range(9):
            yield b" " * 8192

    large = parts() if chunked else b" " * 65537
    answered = await world.call("POST", "/reserve", data=large, headers=JSON_TYPE)
    assert (413, "PAYLOAD_TOO_LARGE") == (answered.status, answered.json["code"])
    at_limit = b'{"product_id": 106, "quantity": 1}'.ljust(65536)
    assert 201 == (await world.call("POST", "/reserve", data=at_limit, headers=JSON_TYPE)).status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "Application/JSON; charset=UTF-8"}, 201),
        ({"Content-Type": ""}, 201),
    ],
)
async def test_only_json_is_taken(world: World, headers: dict[str, str], status: int) -> None:
    """Another media type is 415; none at all counts as JSON."""
    body = b'{"product_id": 106, "quantity": 1}'
    answered = await world.call("POST", "/reserve", data=body, headers=headers)
    assert status == answered.status


async def test_without_content_type_a_body_is_json(world: World) -> None:
    """A missing Content-Type is no error."""
    body = b'{"product_id": 106, "quantity": 1}'
    answered = await world.call("POST", "/reserve", data=body, skip_auto_headers=["Content-Type"])
    assert 201 == answered.status


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        ("abc-1.2_3:4/5+6=7", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("é", False),
    ],
)
async def test_a_sane_request_id_is_echoed(world: World, given: str, echoed: bool) -> None:
    """The caller's id comes back if a log and a header can hold it, else one of ours."""
    answered = await world.call("GET", "/inventory", headers={"X-Request-Id": given})
    assert echoed == (given == answered.headers["X-Request-Id"])
    assert answered.headers["X-Request-Id"]


async def test_the_trace_is_continued(world: World) -> None:
    """A command lies in the caller's trace, under a span of its own; a bad header starts anew."""
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    given = (f"00-{trace}-{span}-01", f"00-{trace.upper()}-{span}-01")
    answers = [await world.reserve(1, headers={"traceparent": each}) for each in given]
    continued, new = (request.traceparent or "" for request in world.market.sent)
    assert [continued, new] == [answered.headers["traceparent"] for answered in answers]
    assert (trace, "01") == (continued[3:35], continued[-2:])
    assert span != continued[36:52]
    assert trace != new[3:35]
    assert 55 == len(new)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/inventory", TEST_KEY, 200),
        ("GET", "/inventory", None, 401),
        ("GET", "/inventory?api_key=x", TEST_KEY, 400),
        ("POST", "/reserve", DUDU_KEY, 403),
        ("POST", "/reserve", TEST_KEY, 400),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/reserve", None, 405),
    ],
)
async def test_every_answer_names_its_trace(
    world: World, method: str, path: str, key: str | None, status: int
) -> None:
    """The caller's, also where nothing was done; without one a new trace each time."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answered = await world.call(method, path, key=key, headers=headers)
    assert (status, trace) == (answered.status, answered.headers["traceparent"][3:35])
    await world.gateway.audit.collect()
    assert trace == world.lines.notes[-1].traceparent[3:35]
    others = [await world.call(method, path, key=key) for _ in range(2)]
    made = {answer.headers["traceparent"] for answer in others}
    assert 2 == len({each for each in made if trace not in each})


class Spans:
    """Takes spans as `libs.runtime.tracing.Tracing` does, and samples every new trace."""

    def __init__(self) -> None:
        self.ended: list[dict[str, object]] = []

    def begin(self, traceparent: str) -> str:
        """Return the context, sampled."""
        return f"{traceparent[:-2]}01"

    def request(self, name: str, traceparent: str, **rest: object) -> None:
        """Keep a span."""
        self.ended.append({"name": name, "traceparent": traceparent, **rest})


async def test_a_requests_span_says_what_its_answer_says() -> None:
    """One for each call, in the caller's trace, with route and status; defects are marked."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    spans = Spans()
    async with running_world(tracing=cast("Tracing", spans)) as world:
        answered = await world.reserve(1, headers={"traceparent": given})
        world.market.failure = RuntimeError("a defect")
        refused = await world.reserve(1)
    done, failed = spans.ended
    command = world.market.sent[0].command_id
    assert (500, True, None) == (refused.status, failed["failed"], failed["given"])
    assert refused.headers["traceparent"].endswith("-01")
    assert {
        "name": "POST /api/ota/reserve",
        "traceparent": answered.headers["traceparent"],
        "given": given,
        "failed": False,
        "attributes": {
            "http.request.method": "POST",
            "http.route": "/api/ota/reserve",
            "http.response.status_code": 201,
            "messaging.message.conversation_id": command,
        },
    }.items() <= done.items()


async def test_head_is_get_without_a_body(world: World) -> None:
    """HEAD has GET's headers."""
    answered = await world.call("HEAD", "/inventory")
    assert (200, b"") == (answered.status, answered.raw)
    assert answered.headers["ETag"]


async def test_a_defect_says_no_more_than_its_request_id(world: World) -> None:
    """An unexpected error is 500 and shows nothing of the inside."""
    world.market.failure = RuntimeError("secret inside")
    answered = await world.reserve(1, headers={"X-Request-Id": "r-1"})
    assert (500, "INTERNAL_ERROR") == (answered.status, answered.json["code"])
    assert b"secret" not in answered.raw
    assert "r-1" in answered.json["detail"]

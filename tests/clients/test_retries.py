"""What is sent again, with what, after which pause, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from ota_client import (
    AlreadyActivated,
    Answer,
    ApiError,
    NoAnswer,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    RateLimited,
    ReservationEnded,
    RetryPolicy,
    SoldOut,
    Unavailable,
    ValidationFailed,
)
from ota_client.calling import WRITES
from ota_client.positions import VALUES_MAX, Positions
from tests.clients.counter import (
    HANG_UP,
    SILENCE,
    Line,
    Said,
    Seen,
    client,
    open_counter,
    refusal,
)

NOW = datetime(2026, 1, 5, 4, 0, tzinfo=UTC).isoformat()
HOLD = Said(
    201,
    {
        "reservation_id": "res_1",
        "product_id": 106,
        "quantity": 2,
        "status": "active",
        "expires_at": NOW,
        "created_at": NOW,
        "pricing_snapshot": {
            "base_price": 288.5,
            "weekend_premium": 30,
            "customer_type_pricing": [],
            "currency": "HKD",
            "captured_at": NOW,
            "rule_version": 1,
        },
    },
)


@pytest.mark.parametrize(
    "trouble",
    [
        [refusal(503, "NOT_EXECUTED")],
        [refusal(504, "OUTCOME_UNKNOWN", retry_after=0)],
        [refusal(429, "RATE_LIMIT_EXCEEDED", retry_after=0)],
        [refusal(409, "IDEMPOTENCY_IN_PROGRESS", retry_after=0)],
        [Said(502)],
        [HANG_UP, HANG_UP, refusal(503, "NOT_EXECUTED"), refusal(504, "OUTCOME_UNKNOWN")],
    ],
    ids=["503", "504", "429", "in progress", "proxy", "all at once"],
)
async def test_what_may_be_retried_is(trouble: list[Line]) -> None:
    """The same key and the same bytes each time, until there is an answer."""
    async with open_counter([*trouble, HOLD]) as counter, client(counter) as ota:
        hold = await ota.reserve(106, 2)
    assert "res_1" == hold.reservation_id
    assert len(trouble) + 1 == len(counter.asked)
    assert (1, 1) == (len(set(counter.keys)), len(set(counter.bodies)))
    assert counter.keys[0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (refusal(400, "INVALID_REQUEST"), ValidationFailed),
        (refusal(401, "INVALID_API_KEY"), NotPermitted),
        (refusal(403, "INSUFFICIENT_PERMISSIONS"), NotPermitted),
        (refusal(404, "PRODUCT_NOT_FOUND"), NotFound),
        (refusal(409, "SOLD_OUT", available=1), SoldOut),
        (refusal(409, "ALREADY_ACTIVATED", order_id="ORD-1"), AlreadyActivated),
        (refusal(409, "RESERVATION_EXPIRED"), ReservationEnded),
        (refusal(409, "HOLD_LIMIT_REACHED"), ApiError),
        (refusal(422, "IDEMPOTENCY_KEY_REUSED"), ValidationFailed),
        (refusal(500, "INTERNAL_ERROR"), ApiError),
        (Said(302, None, {"Location": "http://elsewhere.example/"}), ApiError),
        (Said(418, "no object"), ApiError),
    ],
)
async def test_what_may_not_be_retried_is_raised(said: Said, expected: type[ApiError]) -> None:
    """At once, as the class that says what to do, with the document and the key."""
    async with open_counter([said]) as counter, client(counter) as ota:
        with pytest.raises(ApiError) as caught:
            await ota.reserve(106, 2, idempotency_key="mine")
    error = caught.value
    assert expected is type(error)
    assert (said.status, "mine", 1) == (error.status, error.idempotency_key, len(counter.asked))
    if isinstance(said.body, dict):
        assert (said.body["code"], "because") == (error.code, error.detail)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (refusal(429, "RATE_LIMIT_EXCEEDED", retry_after=60), RateLimited),
        (refusal(503, "NOT_EXECUTED", retry_after=60), Unavailable),
        (refusal(504, "OUTCOME_UNKNOWN", retry_after=60), OutcomeUnknown),
    ],
)
async def test_a_pause_beyond_the_deadline_is_not_begun(
    said: Said, expected: type[ApiError]
) -> None:
    """Who would have to wait longer than it may says so now."""
    async with open_counter([said]) as counter, client(counter) as ota:
        with pytest.raises(expected):
            await ota.inventory(106)
    assert 1 == len(counter.asked)


@pytest.mark.parametrize("said", [HANG_UP, SILENCE])
async def test_nobody_answers(said: str) -> None:
    """At the deadline the call ends; a write's key is there, so that it can be made again."""
    retries = RetryPolicy(deadline_s=0.3, try_s=0.05, pause_min_s=0.001, pause_max_s=0.002)
    async with open_counter([said]) as counter, client(counter, retries=retries) as ota:
        with pytest.raises(NoAnswer) as caught:
            await ota.reserve(106, 2)
    assert len(counter.asked) > 1
    assert {caught.value.idempotency_key} == set(counter.keys)


async def test_reads_are_retried_and_have_no_key() -> None:
    """A read is harmless to repeat."""
    script: list[Line] = [HANG_UP, refusal(503, "NOT_EXECUTED"), refusal(404, "ORDER_NOT_FOUND")]
    async with open_counter(script) as counter, client(counter) as ota:
        with pytest.raises(NotFound):
            await ota.order("../x y")
    assert [None] * 3 == counter.keys
    assert {"/api/ota/orders/..%2Fx%20y"} == {request.raw_path for request in counter.asked}
    assert "GET" not in WRITES


async def test_everything_can_be_watched() -> None:
    """Each try, each answer and each pause, with its reason."""
    seen = Seen()
    script: list[Line] = [refusal(503, "NOT_EXECUTED"), HOLD]
    async with open_counter(script) as counter, client(counter, watcher=seen) as ota:
        await ota.reserve(106, 2)
    assert [503, 201] == [answer.status for answer in seen.answers]
    assert 2 == len(seen.requests)
    assert ["NOT_EXECUTED"] == [reason for reason, _ in seen.pauses]


def answer(retry_after: str | None) -> Answer:
    """Return an answer that asks for a pause."""
    headers = (
        CIMultiDict[str]() if retry_after is None else CIMultiDict({"retry-after": retry_after})
    )
    return Answer(status=503, headers=headers, body=b"", elapsed_s=0.0)


def test_pauses_double_up_to_the_longest() -> None:
    """From 0.2 s to 5 s, shortened by a half at most; also after very many tries."""
    policy = RetryPolicy()
    pauses = [policy.pause_s(tries=n, answer=None, random=lambda: 0.0) for n in range(1, 8)]
    assert [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == pauses
    assert 2.5 == policy.pause_s(tries=9999, answer=answer("soon"), random=lambda: 1.0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_the_server_asks_for_is_waited(share: float) -> None:
    """Never less than Retry-After, at most a tenth more."""
    pause_s = RetryPolicy().pause_s(tries=1, answer=answer("20"), random=lambda: share)
    assert 20.0 <= pause_s <= 22.0


def test_positions_are_kept_until_an_answer_covers_them() -> None:
    """An answer covers what its request had sent; answers of calls at once stand side by side."""
    positions = Positions()
    assert "" == positions.header
    positions.note("a", sent="")
    positions.note("", sent="a")
    assert "a" == positions.header
    positions.note("b", sent="a")
    positions.note("c", sent="a")
    positions.note("b", sent="")
    assert "c,b" == positions.header
    positions.note("d", sent="b,c")
    positions.note("e", sent="")
    positions.note("d", sent="d")
    assert "e,d" == positions.header


def test_the_newest_positions_are_kept() -> None:
    """A hundred calls at once do not make a header that grows."""
    positions = Positions()
    for number in range(100):
        positions.note(str(number), sent="")
    assert [str(number) for number in range(100 - VALUES_MAX, 100)] == positions.header.split(",")


async def test_a_position_is_sent_back() -> None:
    """What a write was told goes out with the next call."""
    script: list[Line] = [
        Said(201, HOLD.body, {"OTA-Position": position}) for position in ("a", "b", "c")
    ]
    async with open_counter(script) as counter, client(counter) as ota:
        await ota.reserve(106, 1)
        await ota.reserve(106, 1)
        await ota.reserve(106, 1)
    assert [None, "a", "b"] == [request.headers.get("OTA-Position") for request in counter.asked]


async def test_a_position_that_the_api_cannot_open_any_more_is_dropped() -> None:
    """After a change of its key the call is made again without, once, under the same key."""
    told = Said(201, HOLD.body, {"OTA-Position": "a"})
    refused = refusal(422, "INVALID_PARAMETER", parameter="OTA-Position")
    script: list[Line] = [told, refused, HOLD, HOLD, refused]
    async with open_counter(script) as counter, client(counter) as ota:
        await ota.reserve(106, 1)
        await ota.reserve(106, 1, idempotency_key="k")
        await ota.reserve(106, 1)
        with pytest.raises(ApiError):
            await ota.reserve(106, 1)
    assert [None, "a", None, None, None] == [
        request.headers.get("OTA-Position") for request in counter.asked
    ]
    assert ["k", "k"] == counter.keys[1:3]

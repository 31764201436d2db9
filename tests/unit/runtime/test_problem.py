"""Problem documents: the closed set of words, and a body that both generations understand."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import cast, get_args

import pytest

from libs.runtime.problem import CATALOGUE, CONTENT_TYPE, FieldError, Problem, Word, slug, word_of

STATUSES = {
    400: ["INVALID_REQUEST", "INVALID_PRODUCT_ID"],
    401: ["API_KEY_REQUIRED", "INVALID_API_KEY"],
    403: ["INSUFFICIENT_PERMISSIONS"],
    404: [
        "NOT_FOUND",
        "PRODUCT_NOT_FOUND",
        "RESERVATION_NOT_FOUND",
        "ORDER_NOT_FOUND",
        "TICKET_NOT_FOUND",
    ],
    405: ["METHOD_NOT_ALLOWED"],
    408: ["REQUEST_TIMEOUT"],
    409: [
        "SOLD_OUT",
        "HOLD_LIMIT_REACHED",
        "RESERVATION_EXPIRED",
        "RESERVATION_CANCELLED",
        "ALREADY_ACTIVATED",
        "CANNOT_CANCEL_ACTIVATED",
        "IDEMPOTENCY_IN_PROGRESS",
    ],
    413: ["PAYLOAD_TOO_LARGE"],
    415: ["UNSUPPORTED_MEDIA_TYPE"],
    422: [
        "VALIDATION_ERROR",
        "INVALID_PRODUCT_IDS",
        "INVALID_PARAMETER",
        "INVALID_CUSTOMER_DETAILS",
        "INVALID_CUSTOMER_TYPE",
        "INVALID_DATE",
        "INVALID_COUNT",
        "IDEMPOTENCY_KEY_REUSED",
    ],
    429: ["RATE_LIMIT_EXCEEDED"],
    500: ["INTERNAL_ERROR"],
    503: ["NOT_EXECUTED"],
    504: ["OUTCOME_UNKNOWN"],
}
RETRYABLE = {
    "RATE_LIMIT_EXCEEDED",
    "REQUEST_TIMEOUT",
    "IDEMPOTENCY_IN_PROGRESS",
    "NOT_EXECUTED",
    "OUTCOME_UNKNOWN",
    "INTERNAL_ERROR",
}


def test_the_catalogue_is_the_contracts_section_6() -> None:
    """Every word with its status, no word more or less; 408 is RFC 9110's."""
    expected = {word: status for status, words in STATUSES.items() for word in words}
    assert expected == {word: meaning.status for word, meaning in CATALOGUE.items()}
    assert set(get_args(Word)) == set(CATALOGUE)


def test_every_word_is_explained() -> None:
    """Whoever gets a word learns what it means and what to do, in sentences."""
    for meaning in CATALOGUE.values():
        assert re.fullmatch(r"[A-Z].*[^.]", meaning.title)
        assert re.fullmatch(r"[A-Z].*\.", meaning.meaning)
        assert re.fullmatch(r"[A-Z].*\.", meaning.what_to_do)


def test_only_these_may_succeed_when_repeated() -> None:
    """Recorded refusals and faults of the request stay what they are."""
    assert {word for word, meaning in CATALOGUE.items() if meaning.retryable} == RETRYABLE


def test_a_problem_speaks_both_generations() -> None:
    """RFC 9457's members, and error, code and message beside them."""
    problem = Problem(word="SOLD_OUT", detail="Only 3 units are left.", extra={"available": 3})
    assert {
        "type": "/problems/sold-out",
        "title": "Not enough units are available",
        "status": 409,
        "detail": "Only 3 units are left.",
        "instance": "/api/ota/reserve",
        "error": "SOLD_OUT",
        "code": "SOLD_OUT",
        "message": "Only 3 units are left.",
        "request_id": "req-1",
        "available": 3,
    } == json.loads(problem.render(instance="/api/ota/reserve", request_id="req-1"))
    assert (409, "application/problem+json") == (problem.status, CONTENT_TYPE)


def test_bad_fields_are_pointed_at() -> None:
    """errors[] has a pointer and a sentence for each bad field, in order."""
    problem = Problem(
        word="INVALID_CUSTOMER_DETAILS",
        detail="The e-mail address is not valid.",
        errors=(
            FieldError(pointer="/customer_details/email", detail="must be an e-mail address"),
            FieldError(pointer="/customer_details/name", detail="is missing"),
        ),
    )
    assert [
        {"pointer": "/customer_details/email", "detail": "must be an e-mail address"},
        {"pointer": "/customer_details/name", "detail": "is missing"},
    ] == problem.document(instance="/", request_id="r")["errors"]


def test_text_in_any_script_is_written_as_it_is() -> None:
    """The body is UTF-8 without escapes."""
    body = Problem(word="NOT_FOUND", detail="沒有").render(instance="/香港", request_id="r")
    assert "沒有".encode() in body
    assert "香港".encode() in body


def test_unknown_words_are_refused() -> None:
    """The set of words is closed."""
    with pytest.raises(ValueError, match="not an error word"):
        Problem(word=cast("Word", "OUT_OF_CHEESE"), detail="?")


@pytest.mark.parametrize("name", ["status", "code", "request_id", "errors"])
def test_extra_members_replace_nothing(name: str) -> None:
    """A standard member always means what it means."""
    with pytest.raises(ValueError, match=name):
        Problem(word="SOLD_OUT", detail="?", extra={name: 1})


def test_a_problem_is_a_value() -> None:
    """It cannot be changed, and equal ones are equal."""
    problem = Problem(word="NOT_FOUND", detail="?")
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.detail = "!"  # type: ignore[misc]  # that it is refused is the point
    assert Problem(word="NOT_FOUND", detail="?") == problem


def test_pages_have_readable_addresses() -> None:
    """Every word has a page of its own; other addresses have none."""
    assert list(CATALOGUE) == [word_of(slug(word)) for word in CATALOGUE]
    assert "api-key-required" == slug("API_KEY_REQUIRED")
    for page in ("SOLD_OUT", "sold_out", "Sold-Out", "sold-out-", "", "cheese"):
        assert word_of(page) is None

"""The load generator's HTTP: whole answers only, cut at their Content-Length."""

from __future__ import annotations

import pytest

from bench.http1 import MalformedResponse, RequestTemplate, Response, parse_response

RESERVATION = "res_" + "0" * 25 + "Z"
BODY = b'{"reservation_id":"' + RESERVATION.encode() + b'","quantity":1}'
CREATED = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % (len(BODY))
)


def test_whole_answer() -> None:
    """Status and body are cut out."""
    assert Response(201, BODY) == parse_response(CREATED + BODY)


def test_every_beginning_is_incomplete() -> None:
    """An answer is nothing until its last byte is there, wherever the network cut it."""
    whole = CREATED + BODY
    assert {None} == {parse_response(whole[:length]) for length in range(len(whole))}


@pytest.mark.parametrize("name", [b"content-length", b"CONTENT-LENGTH", b"Content-length"])
def test_header_names_have_no_case(name: bytes) -> None:
    """The length is found however its name is written."""
    received = b"HTTP/1.1 200 OK\r\n" + name + b":2 \r\nX-Other: 1\r\n\r\nok"
    assert Response(200, b"ok") == parse_response(received)


def test_no_content() -> None:
    """A 204 has no body and needs no length."""
    assert Response(204, b"") == parse_response(b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n")


@pytest.mark.parametrize(
    ("received", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", "1 bytes after"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, "head does not end"),
        (b"HTTP/1.1 200 OK\r\nX-Content-Length: 2\r\n\r\nok", "no Content-Length"),
    ],
)
def test_malformed(received: bytes, words: str) -> None:
    """What this client does not understand is refused, not guessed."""
    with pytest.raises(MalformedResponse, match=words):
        parse_response(received)


@pytest.mark.parametrize("space", [b"", b" "])
def test_reservation_id(space: bytes) -> None:
    """The reservation id is found in compact and in spaced JSON."""
    body = b'{"reservation_id":' + space + b'"' + RESERVATION.encode() + b'"}'
    assert RESERVATION == Response(201, body).reservation_id()


@pytest.mark.parametrize(
    "body", [b"{}", b'{"reservation_id":"res_short"}', BODY.replace(b"Z", b"U")]
)
def test_reservation_id_of_another_form(body: bytes) -> None:
    """An id that is missing or not of the contract's form counts as none."""
    assert Response(201, body).reservation_id() is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b'{"code": "SOLD_OUT"}', "409 SOLD_OUT"), (b'{"code":"A_B"}', "409 A_B"), (b"-", "409")],
)
def test_word(body: bytes, expected: str) -> None:
    """An answer is named by its status and error word."""
    assert expected == Response(409, body).word()


def test_request_bytes() -> None:
    """A request differs from the next one in its idempotency key only."""
    template = RequestTemplate.post(
        host="127.0.0.1", port=8080, path="/x", api_key="key", body={"quantity": 1}
    )
    expected = (
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-API-Key: key\r\n"
        b"Content-Type: application/json\r\nContent-Length: 14\r\nIdempotency-Key: run-7\r\n\r\n"
        b'{"quantity":1}'
    )
    assert expected == template.request("run-7")
    assert expected.replace(b"run-7", b"run-8") == template.request("run-8")

"""The proxy's parsers: messages are found however the stream is cut to pieces."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from chaos.frames import (
    PREFIX_MAX,
    PRODUCE,
    SSL_REQUEST,
    PostgresClient,
    PostgresServer,
    kafka_correlation,
    kafka_frames,
    kafka_request,
    postgres_frames,
)

BEAT = b"UPDATE service_instance SET beat_at = $1"
WRITE = b"WITH head AS (UPDATE partition_head SET seq = $1) SELECT 1"
READ = b"SELECT updated_at FROM event"


def message(kind: bytes, body: bytes) -> bytes:
    """Return a typed message of PostgreSQL."""
    return kind + struct.pack("!i", 4 + len(body)) + body


def start(user: str) -> bytes:
    """Return what a session begins with, the wish for TLS before it."""
    body = struct.pack("!i", 196_608) + b"user\0" + user.encode() + b"\0database\0x\0\0"
    return struct.pack("!ii", 8, SSL_REQUEST) + struct.pack("!i", 4 + len(body)) + body


def prepared(name: bytes, query: bytes) -> bytes:
    """Return a statement's preparation."""
    return message(b"P", name + b"\0" + query + b"\0\0\0")


def bound(name: bytes) -> bytes:
    """Return a prepared statement's execution."""
    return message(b"B", b"\0" + name + b"\0" + bytes(6)) + message(b"E", b"\0" + bytes(4))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Return *data* in pieces."""
    ends = sorted({each % (len(data) + 1) for each in cuts} | {0, len(data)})
    return (data[a:b] for a, b in itertools.pairwise(ends))


@given(st.lists(st.binary(max_size=3_000), max_size=6), st.lists(st.integers(0, 20_000)))
def test_messages_are_found_in_any_pieces(bodies: list[bytes], cuts: list[int]) -> None:
    """Each message gives its first bytes once, wherever the stream was cut."""
    wanted = [message(b"D", body) for body in bodies]
    frames = postgres_frames()
    found = [each for piece in pieces(b"".join(wanted), cuts) for each in frames.feed(piece)]
    assert [each[: max(5, PREFIX_MAX)] for each in wanted] == found


@given(st.lists(st.integers(0, 2_000)))
def test_a_write_is_known_when_it_is_sent(cuts: list[int]) -> None:
    """Only what executes a batch's write counts, and only when it is executed; a beat does not."""
    quiet = start("ota_inventory_app") + prepared(b"w", WRITE) + prepared(b"r", READ) + bound(b"r")
    quiet += prepared(b"b", BEAT) + bound(b"b")
    client = PostgresClient()
    assert not any(client.feed(piece) for piece in pieces(quiet, cuts))
    assert "ota_inventory_app" == client.user
    assert any(client.feed(piece) for piece in pieces(bound(b"w"), cuts))


def test_a_name_may_be_prepared_again() -> None:
    """The newest meaning of a statement's name counts; COMMIT as simple query is a write."""
    client = PostgresClient()
    client.feed(start("x") + prepared(b"s", WRITE) + prepared(b"s", READ))
    assert not client.feed(bound(b"s"))
    assert client.feed(message(b"Q", b"COMMIT;\0"))


def test_the_server_is_done_when_it_is_ready_again() -> None:
    """Neither the answer to the wish for TLS nor rows are the end of a query."""
    server = PostgresServer()
    assert not server.feed(b"N")
    assert not server.feed(message(b"R", bytes(4)) + message(b"D", bytes(40)))
    done = message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
    assert not server.feed(done[:-1])
    assert server.feed(done[-1:])


@given(st.lists(st.integers(0, 2_000)), st.binary(max_size=5_000))
def test_kafka_requests_name_themselves(cuts: list[int], batch: bytes) -> None:
    """Key, number and client of a request are read, however long its records are."""
    head = struct.pack("!hhih", PRODUCE, 9, 4711, 9) + b"gateway-0" + batch
    data = struct.pack("!i", len(head)) + head
    frames = kafka_frames()
    (frame,) = [each for piece in pieces(data, cuts) for each in frames.feed(piece)]
    request = kafka_request(frame)
    assert (PRODUCE, 4711, "gateway-0") == (
        request.api_key,
        request.correlation_id,
        request.client_id,
    )
    assert 4711 == kafka_correlation(struct.pack("!ii", 8, 4711) + bytes(4))

"""Where messages begin and end in the streams of PostgreSQL and Kafka, and the little that the
proxy must know of them. Pure; nothing is kept but the first bytes of the message under way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PREFIX_MAX = 1_024
SSL_REQUEST, CANCEL_REQUEST = 80_877_103, 80_877_102
PRODUCE = 0
# Of all that is written, a batch is what has an outcome that somebody waits for.
_WRITE = re.compile(rb"\b(UPDATE partition_head|COMMIT)\b", re.IGNORECASE)
_USER = re.compile(rb"user\x00([^\x00]*)\x00")


@dataclass(slots=True)
class Frames:
    """Cuts a stream into messages of which only the first bytes are kept.

    *length* tells from a header how long the whole message is, header included.
    """

    header_bytes: int
    length: Callable[[bytes], int]
    _prefix: bytearray = field(default_factory=bytearray)
    _left: int = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the first bytes (at most 1,024) of each message that *data* completes."""
        at = 0
        while at < len(data):
            if self._left == 0:
                taken = data[at : at + self.header_bytes - len(self._prefix)]
                self._prefix += taken
                at += len(taken)
                if len(self._prefix) < self.header_bytes:
                    return
                self._left = max(0, self.length(bytes(self._prefix)) - self.header_bytes)
            taken = data[at : at + self._left]
            at += len(taken)
            self._left -= len(taken)
            self._prefix += taken[: max(0, PREFIX_MAX - len(self._prefix))]
            if self._left == 0:
                yield bytes(self._prefix)
                self._prefix.clear()


def postgres_frames() -> Frames:
    """Return a cutter of PostgreSQL's typed messages (after the start of a session)."""
    return Frames(5, lambda header: 1 + int(struct.unpack_from("!i", header, 1)[0]))


def kafka_frames() -> Frames:
    """Return a cutter of Kafka's requests and answers."""
    return Frames(4, lambda header: 4 + int(struct.unpack("!i", header)[0]))


class PostgresClient:
    """Follows what a client sends: who it is, and whether a batch's write is on its way."""

    def __init__(self) -> None:
        self.user = ""
        self._started = False
        self._start = bytearray()
        self._frames = postgres_frames()
        self._writes: set[bytes] = set()

    def feed(self, data: bytes) -> bool:
        """Take what the client sent; say whether it asks for a write (or a COMMIT) with it."""
        if not self._started:
            data = self._begin(data)
        wrote = False
        for frame in self._frames.feed(data):
            wrote |= self._is_write(frame)
        return wrote

    def _begin(self, data: bytes) -> bytes:
        self._start += data
        while len(self._start) >= 8:
            length, code = struct.unpack_from("!ii", self._start)
            if len(self._start) < length:
                return b""
            packet, rest = bytes(self._start[:length]), bytes(self._start[length:])
            self._start = bytearray(rest)
            if code not in (SSL_REQUEST, CANCEL_REQUEST):
                found = _USER.search(packet)
                self.user = found.group(1).decode(errors="replace") if found else ""
                self._started = True
                return rest
        return b""

    def _is_write(self, frame: bytes) -> bool:
        kind, body = frame[:1], frame[5:]
        if kind == b"Q":
            return bool(_WRITE.search(body))
        if kind == b"P":
            name, _, query = body.partition(b"\x00")
            if _WRITE.search(query):
                self._writes.add(name)
            else:
                self._writes.discard(name)
        elif kind == b"B":
            _portal, _, rest = body.partition(b"\x00")
            return rest.partition(b"\x00")[0] in self._writes
        return False


class PostgresServer:
    """Follows what the server answers, to know when it has done what it was asked."""

    def __init__(self) -> None:
        self._frames = postgres_frames()
        self._greeted = False

    def feed(self, data: bytes) -> bool:
        """Take what the server sent; say whether it is ready for the next query with it."""
        if not self._greeted:
            self._greeted = True
            if data[:1] in (b"N", b"S") and len(data) == 1:  # the answer to a wish for TLS
                self._greeted = False
                return False
        return any(frame[:1] == b"Z" for frame in self._frames.feed(data))


@dataclass(frozen=True, slots=True)
class KafkaRequest:
    """What the head of a request says."""

    api_key: int
    correlation_id: int
    client_id: str


def kafka_request(frame: bytes) -> KafkaRequest:
    """Return the head of a request from its first bytes."""
    api_key, _version, correlation_id, length = struct.unpack_from("!hhih", frame, 4)
    name = frame[14 : 14 + max(0, length)].decode(errors="replace")
    return KafkaRequest(api_key, correlation_id, name)


def kafka_correlation(frame: bytes) -> int:
    """Return which request an answer answers."""
    return int(struct.unpack_from("!i", frame, 4)[0])

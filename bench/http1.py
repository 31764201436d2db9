"""Just enough HTTP/1.1 for a load generator that must not use the machine it measures.

Requests are prebuilt bytes; of an answer only status, headers as bytes and body
are cut out. No chunked bodies, no pipelining: the gateway sends Content-Length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEAD_BYTES_MAX = 65_536

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_RESERVATION_ID = re.compile(rb'"reservation_id": ?"(res_[0-7][0-9A-HJKMNP-TV-Z]{25})"')
_ORDER_ID = re.compile(rb'"order_id": ?"([^"]{1,64})"')
_ETAG = re.compile(rb"\r\netag:[ \t]*([^\r]+)\r\n", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,5})[ \t]*\r\n", re.IGNORECASE)
_CODE = re.compile(rb'"code": ?"([A-Z_]{1,64})"')
NO_BODY = frozenset((204, 304))


class MalformedResponse(ValueError):
    """The bytes are no answer that this client understands; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, cut out of the bytes that came."""

    status: int
    body: bytes
    head: bytes = field(default=b"", compare=False)

    def reservation_id(self) -> str | None:
        """Return the reservation id in the body, None if there is none of the right form."""
        found = _RESERVATION_ID.search(self.body)
        return found.group(1).decode() if found else None

    def order_id(self) -> str | None:
        """Return the order id in the body, None if there is none."""
        found = _ORDER_ID.search(self.body)
        return found.group(1).decode() if found else None

    def etag(self) -> bytes | None:
        """Return what the answer's ETag header says, None without one."""
        found = _ETAG.search(self.head)
        return found.group(1) if found else None

    def retry_after_s(self) -> float | None:
        """Return for how long the server asks to wait before a repeat, None if it does not."""
        found = _RETRY_AFTER.search(self.head)
        return float(found.group(1)) if found else None

    def word(self) -> str:
        """Return status and error word, such as ``409 SOLD_OUT``."""
        found = _CODE.search(self.body)
        return f"{self.status} {found.group(1).decode()}" if found else str(self.status)


def parse_response(received: bytes) -> Response | None:
    """Return the one answer in *received*, None while it is not there in full.

    Raises MalformedResponse for anything that is no answer with a Content-Length,
    and for bytes after it (nobody asked for more).
    """
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        if len(received) > HEAD_BYTES_MAX:
            raise MalformedResponse("the answer's head does not end")
        return None
    status_line = _STATUS.match(received)
    if status_line is None:
        raise MalformedResponse(f"no status line: {received[:60]!r}")
    status = int(status_line.group(1))
    length = _LENGTH.search(received, 0, head_end + 2)
    if length is None and status not in NO_BODY:
        raise MalformedResponse("the answer has no Content-Length")
    body_start = head_end + 4
    end = body_start + (int(length.group(1)) if length and status not in NO_BODY else 0)
    if len(received) < end:
        return None
    if len(received) > end:
        raise MalformedResponse(f"{len(received) - end} bytes after the answer")
    return Response(status, received[body_start:end], received[: head_end + 2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where requests go, and the key they carry."""

    host: str
    port: int
    api_key: str

    def bare(self, method: str, path: str, *, headers: bytes = b"") -> bytes:
        """Return a request without a body; *headers* are whole lines."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"X-API-Key: {self.api_key}\r\n"
        )
        return head.encode("ascii") + headers + b"\r\n"

    def post(self, path: str, body: Mapping[str, Any]) -> RequestTemplate:
        """Prepare a JSON POST."""
        return RequestTemplate.post(
            host=self.host, port=self.port, path=path, api_key=self.api_key, body=body
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """A POST as bytes with a gap for the Idempotency-Key, the only thing that changes."""

    before_key: bytes
    after_key: bytes

    @staticmethod
    def post(
        *, host: str, port: int, path: str, api_key: str, body: Mapping[str, Any]
    ) -> RequestTemplate:
        """Prepare a JSON POST of *body* to *path*."""
        data = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-API-Key: {api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nIdempotency-Key: "
        )
        return RequestTemplate(before_key=head.encode("ascii"), after_key=b"\r\n\r\n" + data)

    def request(self, idempotency_key: str) -> bytes:
        """Return the request with that key."""
        return self.before_key + idempotency_key.encode("ascii") + self.after_key

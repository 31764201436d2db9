"""One connection of a partner: HTTP by aiohttp, and the bounds in time and memory that it lacks.

aiohttp bounds single header lines, the queue of pipelined requests and idle time. It does not
bound how long or how large a request's head may be, how long an answer may wait to be taken,
and it answers what it cannot parse as plain text that quotes the client. That is added here, by
a protocol of our own over aiohttp's. It leans on names that aiohttp keeps to itself
(``_request_count``, ``_messages``, ``_waiter``, ``_next_keepalive_close_time``, ``_loop``,
``_reading_paused``, ``_buffer_paused``, ``_resume_transport_reading``, which it overrides, and
``_pause_transport_reading``); tests/hostile fails if one of them changes its meaning.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from services.gateway.domain.refusal import Refusal

HEAD_LINE_BYTES_MAX = 8190
HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 * 1024
"""Of a head that arrives in pieces; one that comes at once has the two limits above."""

_UNPARSABLE = b"\0"
"""A byte that no head may contain, wherever it stands."""

HEAD_TOO_LARGE = Refusal(
    word="INVALID_REQUEST",
    detail=f"The request's head is too large: at most {HEADERS_MAX} headers, {HEAD_LINE_BYTES_MAX}"
    f" bytes in the address and in a header, {HEAD_BYTES_MAX} bytes in all.",
)
FAILED = Refusal(
    word="INTERNAL_ERROR", detail="An internal error; its request id is in X-Request-Id."
)
Fault = tuple[Refusal, str]
"""What a client is told, and the reason for log and metrics."""

NOT_HTTP: Fault = (
    Refusal(word="INVALID_REQUEST", detail="This is not a well-formed HTTP/1.1 request."),
    "head_malformed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one client may take, and all of them together; times in seconds.

    *head_s*: from a head's first byte to its last. *taking_s*: for an answer to be taken.
    *keep_alive_s*: between two requests. *linger_s*: reading on after an early answer, so that
    a client that is still sending gets to see it.
    """

    connections_max: int
    address_connections_max: int
    head_s: float = 10.0
    taking_s: float = 30.0
    keep_alive_s: float = 75.0
    linger_s: float = 3.0
    sweep_s: float = 1.0


class Door(Protocol):
    """Who lets connections in and keeps count of them."""

    @property
    def manager(self) -> web.Server:
        """aiohttp's side of the server."""

    @property
    def draining(self) -> bool:
        """Whether the server is about to end."""

    def admit(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """Let a new connection in, or answer it in another way and return False."""

    def gone(self, connection: Connection) -> None:
        """Forget a connection that was let in."""

    def refuse(self, request: web.BaseRequest, refusal: Refusal, *, reason: str) -> web.Response:
        """Return the answer to a request that cannot be read; *reason* is for log and metrics."""

    def count(self, reason: str) -> None:
        """Count a connection that was ended without an answer."""


class Connection(web.RequestHandler):
    """aiohttp's protocol with our bounds. Made for each connection by a `Door`."""

    __slots__ = ("_body", "_door", "_fault", "_head_bytes", "_head_since", "_stalled_since")

    def __init__(self, door: Door, bounds: Bounds, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            door.manager,
            loop=loop,
            keepalive_timeout=bounds.keep_alive_s,
            access_log=cast("Any", None),
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=bounds.linger_s,
            # A compressed body is refused; unpacking it while lingering would be a gift.
            auto_decompress=False,
        )
        self._door = door
        self._body: StreamReader = EMPTY_PAYLOAD
        self._head_bytes = 0
        self._head_since: float | None = None
        self._stalled_since: float | None = None
        self._fault: Fault | None = None

    @property
    def idle_since(self) -> float | None:
        """When the last answer was given, on an arbitrary scale; None while there is work."""
        if self._waiter is None or self._head_since is not None:
            return None
        return self._next_keepalive_close_time

    @property
    def head_since(self) -> float | None:
        """When the head began that alone is awaited here; None while there is other work."""
        return None if self._waiter is None else self._head_since

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        if self._door.admit(self, cast("asyncio.Transport", transport)):
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        if self._fault is not None:
            self._body.feed_eof()
        self._door.gone(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._fault is not None:
            return
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self._head_since = None
            message, body = self._messages[-1]
            if isinstance(message, RawRequestMessage):
                self._body = body
            else:
                self._unparsable()
        elif data and self._body.is_eof():
            self._head_goes_on(len(data))

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`. Who takes no answers may ask nothing more either."""
        super().pause_writing()
        self._stalled_since = self._loop.time()
        self._pause_transport_reading()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._stalled_since = None
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        if self._stalled_since is None:
            super()._resume_transport_reading()

    def check(self, now: float, bounds: Bounds) -> None:
        """End the connection if its client takes too long for what it is at."""
        if self._stalled_since is not None and now - self._stalled_since > bounds.taking_s:
            self._door.count("answer_not_taken")
            if self.transport is not None:
                self.transport.abort()
        elif self._head_since is not None and now - self._head_since > bounds.head_s:
            slow = f"The request's head was not complete after {bounds.head_s:g} seconds."
            self._break_off(Refusal(word="REQUEST_TIMEOUT", detail=slow), "head_too_slow")

    def evict(self) -> None:
        """Make room: close a connection that is idle, or whose head is not complete."""
        self._door.count("idle_evicted" if self._head_since is None else "head_evicted")
        self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one of a server that ends says so (see `web.RequestHandler`)."""
        if self._door.draining and not self._messages:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp can't parse, and say nothing of its content to any log."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status != 400:
            self.log_exception("a request failed outside its endpoint", exc_info=exc)
            response = self._door.refuse(request, FAILED, reason="defect")
        elif isinstance(exc, LineTooLong) or "Too many headers" in str(exc):
            response = self._door.refuse(request, HEAD_TOO_LARGE, reason="head_too_large")
        else:
            refusal, reason = self._fault or NOT_HTTP
            response = self._door.refuse(request, refusal, reason=reason)
        response.force_close()
        response.headers["Connection"] = "close"  # aiohttp leaves it out: for it this is HTTP/1.0
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a defect; a body that breaks off after its request was answered is none."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError | ConnectionError):
            super().log_exception(*args, **kw)

    def _head_goes_on(self, size: int) -> None:
        if self._head_since is None:
            self._head_since, self._head_bytes = self._loop.time(), 0
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            self._break_off(HEAD_TOO_LARGE, "head_too_large")

    def _break_off(self, refusal: Refusal, reason: str) -> None:
        """Refuse a head that is not complete, in turn: by way of aiohttp's own parse errors."""
        count = self._request_count
        super().data_received(_UNPARSABLE)
        self._head_since = None
        if self._request_count == count or isinstance(self._messages[-1][0], RawRequestMessage):
            # It is closing already, speaks another protocol, or has heads that wait to be parsed.
            self._door.count(reason)
            self.force_close()
            return
        self._unparsable((refusal, reason))

    def _unparsable(self, fault: Fault = NOT_HTTP) -> None:
        """Read nothing more: the parser has met what it can't read, and has queued an error."""
        self._fault = fault
        error, _ = self._messages.pop()
        if not self._body.is_eof():
            # It was met in a request's body; who reads that answers for it (see `reading`).
            self._body.set_exception(web.RequestPayloadError("the body can't be read"))
            return
        # aiohttp closes at once, which would reset the connection of a client that still
        # sends, answer and all. It lingers over a body, so this error gets one.
        self._body = StreamReader(self, limit=HEAD_BYTES_MAX, loop=self._loop)
        self._messages.append((error, self._body))

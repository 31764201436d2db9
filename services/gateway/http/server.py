"""The partner port: listens, lets connections in up to a maximum, and ends those that overstay."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, cast

import structlog
from aiohttp import HttpVersion11, hdrs, web

from libs.runtime.metrics import Metrics
from libs.runtime.problem import CONTENT_TYPE, Problem
from services.gateway.domain.refusal import Refusal
from services.gateway.domain.source_address import lies_within, neighbourhood, parse_networks
from services.gateway.http.api import PartnerApi
from services.gateway.http.connection import Bounds, Connection
from services.gateway.http.responses import SERVER

CONNECTIONS_WAITING_MAX = 1024
SHUTDOWN_TIMEOUT_S = 3.0
DRAIN_S = 1.5
"""So long an open connection may bring one more request, once the server is to end."""
DRAIN_POLL_S = 0.02
FILES_RESERVED = 256
"""Descriptors for all else that the process opens: databases, Kafka, workers, logs."""

TURNED_AWAY_MAX = 100
TURNED_AWAY_S = 2.0
EVICTED_AT_ONCE = 32
RETRY_AFTER_S = 1
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

ADDRESS_FULL = Problem(
    word="RATE_LIMIT_EXCEEDED",
    detail="Your address has too many open connections; keep some of them alive and use them.",
    extra={"retry_after": RETRY_AFTER_S},
)
FULL = Problem(
    word="NOT_EXECUTED",
    detail="There are too many open connections at the moment; nothing was done.",
    extra={"retry_after": RETRY_AFTER_S},
)
UNKNOWN_EXPECTATION = Refusal(
    word="INVALID_REQUEST", detail="The only expectation that can be met is 100-continue."
)

log = structlog.get_logger()


class Refuser(Protocol):
    """Answers requests that have not reached an endpoint."""

    def refuse(self, request: web.BaseRequest, refusal: Refusal) -> web.Response:
        """Return the answer, with what every answer carries."""


class PartnerServer:
    """Serves the partner API on its port within *bounds*.

    More connections than the process may hold: those that were idle longest make room, or else
    the one whose request's head has been arriving longest; if all have a request the newcomer
    is told 503. More than its share for one address: 429. Both are told before anything is
    read. *trusted_proxies* (networks) bring many clients' connections, and have no share.
    """

    def __init__(
        self,
        api: PartnerApi,
        *,
        refuser: Refuser,
        bounds: Bounds,
        metrics: Metrics,
        random: Callable[[int], bytes],
        trusted_proxies: str = "",
    ) -> None:
        self._proxies = parse_networks(trusted_proxies)
        self._api = api
        self._runner: web.ServerRunner | None = None
        self._manager: web.Server | None = None
        self._refuser = refuser
        self._bounds = bounds
        self._connections_max = bounds.connections_max
        self._refused = metrics.connections_refused
        self._random = random
        self._open: dict[Connection, str] = {}
        self._by_address: Counter[str] = Counter()
        self._turned_away: set[_TurnedAway] = set()
        self._counts: Counter[str] = Counter()
        self._listening: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self.draining = False
        metrics.connections_open.set_function(lambda: len(self._open))

    @property
    def manager(self) -> web.Server:
        """See `services.gateway.http.connection.Door`."""
        assert self._manager is not None
        return self._manager

    @property
    def port(self) -> int:
        """The port that is listened on; the real one, also when 0 was asked for."""
        assert self._listening is not None
        return cast("int", self._listening.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def start(self, *, host: str, port: int, listening: socket.socket | None = None) -> None:
        """Listen, on a socket that is open already or at an address.

        Raises OSError when the port is taken.
        """
        self._connections_max = min(
            self._bounds.connections_max,
            max(open_files_max(self._bounds.connections_max + FILES_RESERVED) - FILES_RESERVED, 1),
        )
        if self._connections_max < self._bounds.connections_max:
            log.warning(
                "gateway.connections.limited",
                connections_max=self._connections_max,
                wanted=self._bounds.connections_max,
                reason="the system's limit of open files (ulimit -n)",
            )
        self._manager = self._api.server()
        self._manager.request_handler = self._expecting(self._api.handle)
        self._runner = web.ServerRunner(self._manager, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"host": host, "port": port}
        self._listening = await loop.create_server(
            lambda: Connection(self, self._bounds, loop),
            **(where if listening is None else {"sock": listening}),
            backlog=CONNECTIONS_WAITING_MAX,
        )
        self._sweep = loop.call_later(self._bounds.sweep_s, self._look_after)

    async def drain(self) -> None:
        """Let no new connection in, and tell each open one with its next answer that it ends.

        A connection that is closed while it is idle may be losing a request that is on its
        way: most clients have learnt by then.
        """
        self.draining = True
        if self._listening is not None:
            self._listening.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._open:  # noqa: ASYNC110 - once in the life of a process
                    await asyncio.sleep(DRAIN_POLL_S)

    async def close(self) -> None:
        """Stop listening; requests under way get their answers."""
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._sweep is not None:
            self._sweep.cancel()
        for each in tuple(self._turned_away):
            each.end()

    def admit(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """See `services.gateway.http.connection.Door`."""
        peer = _peer(transport)
        address = neighbourhood(peer)
        full = self._by_address[address] >= self._bounds.address_connections_max
        if full and not lies_within(peer, self._proxies):
            self._turn_away(transport, ADDRESS_FULL, "address_full")
            return False
        if len(self._open) >= self._connections_max and not self._make_room():
            self._turn_away(transport, FULL, "full")
            return False
        self._open[connection] = address
        self._by_address[address] += 1
        return True

    def gone(self, connection: Connection) -> None:
        """See `services.gateway.http.connection.Door`."""
        address = self._open.pop(connection, None)
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def refuse(self, request: web.BaseRequest, refusal: Refusal, *, reason: str) -> web.Response:
        """See `services.gateway.http.connection.Door`."""
        self.count(reason)
        return self._refuser.refuse(request, refusal)

    def count(self, reason: str) -> None:
        """See `services.gateway.http.connection.Door`."""
        self._counts[reason] += 1
        self._refused.labels(reason).inc()

    def _make_room(self) -> bool:
        """End some of the connections that are idle longest; a few at once, a search is dear.

        If none is idle, the head that has been arriving longest is given up: slow ones must
        not keep everybody out.
        """
        leaving = (
            self._longest(lambda each: each.idle_since)[:EVICTED_AT_ONCE]
            or self._longest(lambda each: each.head_since)[:1]
        )
        for connection in leaving:
            self.gone(connection)
            connection.evict()
        return bool(leaving)

    def _longest(self, since_of: Callable[[Connection], float | None]) -> list[Connection]:
        """Return the connections of which *since_of* gives a time, the earliest first."""
        found = [
            (since, connection)
            for connection in self._open
            if (since := since_of(connection)) is not None
        ]
        found.sort(key=lambda each: each[0])
        return [connection for _, connection in found]

    def _turn_away(self, transport: asyncio.Transport, problem: Problem, reason: str) -> None:
        self.count(reason)
        if len(self._turned_away) >= TURNED_AWAY_MAX:
            transport.abort()
            return
        answer = _raw_answer(problem, request_id=f"req_{self._random(12).hex()}")
        protocol = _TurnedAway(answer, self._turned_away)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _look_after(self) -> None:
        """Once in a while: end what overstays, and log by reason what was refused."""
        loop = asyncio.get_running_loop()
        # First of all, so that a defect below does not end the looking after.
        self._sweep = loop.call_later(self._bounds.sweep_s, self._look_after)
        now = loop.time()
        for connection in tuple(self._open):
            connection.check(now, self._bounds)
        counts, self._counts = self._counts, Counter()
        for reason, count in counts.items():
            log.warning("gateway.connections.refused", reason=reason, refused=count)

    def _expecting(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Meet the one expectation that there is, and refuse others."""

        async def expecting(request: web.BaseRequest, expected: str) -> web.StreamResponse:
            if expected.lower() != "100-continue":
                return self.refuse(request, UNKNOWN_EXPECTATION, reason="expectation")
            if request.version == HttpVersion11:
                await request.writer.write(CONTINUE)
                request.writer.output_size = 0  # the answer itself has not begun
            return await handler(request)

        def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            expected = request.headers.get(hdrs.EXPECT)
            return handler(request) if expected is None else expecting(request, expected)

        return handle


class _TurnedAway(asyncio.Protocol):
    """Says why a connection is not let in, and gives its client a moment to read that."""

    def __init__(self, answer: bytes, waiting: set[_TurnedAway]) -> None:
        self._answer = answer
        self._waiting = waiting
        self._transport: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._waiting.add(self)
        self._transport.write(self._answer)
        # A close now would reset the connection if its request is on the way: half of one does not.
        with suppress(OSError):
            self._transport.write_eof()
        self._end = asyncio.get_running_loop().call_later(TURNED_AWAY_S, self.end)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._waiting.discard(self)
        if self._end is not None:
            self._end.cancel()

    def end(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()


def open_files_max(wanted: int) -> int:
    """Raise the process's limit of open files to *wanted* as far as it may; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        return raised
    return soft


def _peer(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def _raw_answer(problem: Problem, *, request_id: str) -> bytes:
    body = problem.render(instance="/", request_id=request_id)
    head = (
        f"HTTP/1.1 {problem.status} {problem.title}",
        f"Server: {SERVER}",
        f"X-Request-Id: {request_id}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Retry-After: {RETRY_AFTER_S}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + body

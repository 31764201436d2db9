"""The closed loop: so many connections, each sends its next request when the last is answered.

An `asyncio.Protocol` and no task per connection, because the generator shares the
machine with what it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.http1 import MalformedResponse, RequestTemplate, Response, parse_response

CREATED = "201"
CREATED_STATUS = 201
UNKNOWN_STATUS = 504
SERVER_ERROR_STATUS = 500
RESOLVE_TRIES_MAX = 5
RESOLVE_TIMEOUT_S = 5.0
RESOLVE_TOTAL_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go and what they are; templates take turns."""

    host: str
    port: int
    templates: tuple[RequestTemplate, ...]
    key_prefix: str


@dataclass(slots=True)
class Tally:
    """What came back.

    *outcomes* counts every answer by status and error word; *samples* are the
    seconds of those inside the measured window; *unresolved* are the numbers of
    requests whose effect is unknown (504, or no answer at all).
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[float] = field(default_factory=list)
    unresolved: list[int] = field(default_factory=list)
    accepted: int = 0


class ClosedLoop:
    """Drives one step of load; *ids* holds every reservation id seen so far, also by others.

    At most *requests_max* requests are sent, as many as fit when it is None.
    """

    def __init__(
        self, *, target: Target, ids: set[str], first_number: int = 0, requests_max: int | None
    ) -> None:
        self.tally = Tally()
        self.next_number = first_number
        self._target = target
        self._ids = ids
        self._last_number = None if requests_max is None else first_number + requests_max
        self._connections: list[_Connection] = []
        self._outstanding = 0
        self._all_answered = asyncio.Event()
        self._stopped = False
        self._measuring = False
        self._window_opened_at = 0.0

    async def connect(self, clients: int) -> None:
        """Open that many connections; nothing is sent yet."""
        loop = asyncio.get_running_loop()
        for _ in range(clients):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._target.host, self._target.port
            )
            self._connections.append(connection)

    def start(self) -> None:
        """Send the first request on every connection."""
        self._outstanding = len(self._connections)
        for connection in self._connections:
            connection.ask()

    def open_window(self) -> None:
        """Measure the answers from now on."""
        self._window_opened_at = time.perf_counter()
        self._measuring = True

    def close_window(self) -> float:
        """Measure no more; return the window's length in seconds."""
        self._measuring = False
        return time.perf_counter() - self._window_opened_at

    async def finish(self, *, timeout_s: float, stop: bool = True) -> None:
        """Send nothing new (if *stop*), wait for what is under way, close all connections.

        What has no answer after *timeout_s* is counted as such and left unresolved.
        """
        self._stopped = self._stopped or stop
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_answered.wait()
        except TimeoutError:
            self._stopped = True
        for connection in self._connections:
            connection.close()

    async def resolve(self) -> None:
        """Ask again with the same key for each request whose effect is unknown.

        A few times each, and for 30 s in all; the rest stays unresolved.
        """
        try:
            async with asyncio.timeout(RESOLVE_TOTAL_S):
                for number in self.tally.unresolved[:]:
                    response = await self._repeat(number)
                    if response is not None:
                        self.tally.unresolved.remove(number)
                        if response.status == CREATED_STATUS:
                            self._accept(response)
        except TimeoutError:
            return

    def request(self, number: int) -> bytes:
        """Return the bytes of the request with that number; a repeat has the same."""
        templates = self._target.templates
        template = templates[number % len(templates)]
        return template.request(f"{self._target.key_prefix}-{number}")

    def take_number(self) -> int | None:
        """Return the next request's number, None when nothing is to be sent any more."""
        number = self.next_number
        if self._stopped or number == self._last_number:
            return None
        self.next_number = number + 1
        return number

    def answered(self, number: int, response: Response, elapsed_s: float) -> None:
        """Count an answer."""
        if self._measuring:
            self.tally.samples.append(elapsed_s)
        if response.status == CREATED_STATUS:
            self.tally.outcomes[self._accept(response)] += 1
            return
        self.tally.outcomes[response.word()] += 1
        if response.status == UNKNOWN_STATUS:
            self.tally.unresolved.append(number)

    def lost(self, number: int, why: str) -> None:
        """Count a request that will not be answered."""
        self.tally.outcomes[why] += 1
        self.tally.unresolved.append(number)

    def retired(self) -> None:
        """Note that a connection has nothing under way any more."""
        self._outstanding -= 1
        if self._outstanding == 0:
            self._all_answered.set()

    def _accept(self, response: Response) -> str:
        """Check a 201 and return the word it is counted under."""
        identifier = response.reservation_id()
        if identifier is None:
            return "201 without a reservation_id"
        if identifier in self._ids:
            return "201 with a reservation_id given before"
        self._ids.add(identifier)
        self.tally.accepted += 1
        return CREATED

    async def _repeat(self, number: int) -> Response | None:
        for _ in range(RESOLVE_TRIES_MAX):
            try:
                async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                    response = await ask_once(
                        host=self._target.host,
                        port=self._target.port,
                        request=self.request(number),
                    )
            except (OSError, TimeoutError, MalformedResponse):
                continue
            if response.status < SERVER_ERROR_STATUS:
                return response
        return None


class _Connection(asyncio.Protocol):
    """One client: a request under way, or none."""

    def __init__(self, loop: ClosedLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._number: int | None = None
        self._sent_at = 0.0
        self._retired = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        """Send the next request, or retire when there is none."""
        assert self._transport is not None
        self._number = self._loop.take_number()
        if self._number is None or self._transport.is_closing():
            self._give_up("connection closed between requests")
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._loop.request(self._number))

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        try:
            response = parse_response(self._received)
        except MalformedResponse as error:
            self._give_up(f"malformed answer: {error}")
            return
        if response is None or self._number is None:
            return
        self._received = b""
        self._loop.answered(self._number, response, time.perf_counter() - self._sent_at)
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up("connection lost")

    def close(self) -> None:
        """Close; a request that is still under way counts as unanswered."""
        self._give_up("no answer")

    def _give_up(self, why: str) -> None:
        if self._number is not None:
            self._loop.lost(self._number, why)
            self._number = None
        if not self._retired:
            self._retired = True
            self._loop.retired()
        if self._transport is not None:
            self._transport.close()


async def ask_once(*, host: str, port: int, request: bytes) -> Response:
    """Send one prepared request on a connection of its own and return the answer.

    Raises OSError when there is no connection, MalformedResponse for an answer cut short.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        received = b""
        while (response := parse_response(received)) is None:
            more = await reader.read(65_536)
            if not more:
                raise MalformedResponse("the connection ended before the answer")
            received += more
        return response
    finally:
        writer.close()

"""One connection of the generator: a request under way, or none.

An `asyncio.Protocol` and no task per connection, because the generator shares the
machine with what it measures.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from bench.http1 import MalformedResponse, Response, Site, parse_response
from bench.tally import Request

SOCKETS_PER_ADDRESS = 400
"""Below the gateway's bound of connections from one address."""
LOOPBACK = "127.0.0.1"


class Driver(Protocol):
    """Who decides what a connection sends."""

    def answered(self, connection: Connection, request: Request, response: Response) -> None:
        """Take an answer; the connection is free again."""

    def broken(self, connection: Connection, request: Request | None, why: str) -> None:
        """Take the end of a connection, told once, with the request that has no answer."""


class Connection(asyncio.Protocol):
    """A client's connection; *number* counts from 0."""

    def __init__(self, driver: Driver, number: int) -> None:
        self.number = number
        self._driver = driver
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._request: Request | None = None
        self._told = False

    @property
    def usable(self) -> bool:
        """Say whether a request can be sent."""
        return self._transport is not None and not self._told and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: Request) -> None:
        """Send a request; the one before must have been answered."""
        assert self._transport is not None
        self._request = request
        if self._transport.is_closing():
            self._end("connection closed between requests")
            return
        self._transport.write(request.data)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received = self._received + data if self._received else data
        try:
            response = parse_response(self._received)
        except MalformedResponse as error:
            self._end(f"malformed answer: {error}")
            return
        if response is None:
            return
        request, self._request = self._request, None
        self._received = b""
        if request is None:
            # Said before anything was asked, as a server does that turns a connection away.
            self._end(response.word())
            return
        self._driver.answered(self, request, response)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end("connection lost")

    def close(self) -> None:
        """Close; a request that is still under way counts as unanswered."""
        self._end("no answer")

    def _end(self, why: str) -> None:
        request, self._request = self._request, None
        if self._transport is not None:
            self._transport.close()
        if not self._told:
            self._told = True
            self._driver.broken(self, request, why)


async def connect(driver: Driver, *, site: Site, number: int) -> Connection:
    """Open a connection; from so many on they come from further loopback addresses."""
    local = None
    if site.host == LOOPBACK and number >= SOCKETS_PER_ADDRESS:
        local = (f"127.0.0.{1 + number // SOCKETS_PER_ADDRESS}", 0)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(driver, number), site.host, site.port, local_addr=local
    )
    return connection


async def ask_once(*, site: Site, data: bytes) -> Response:
    """Send one prepared request on a connection of its own and return the answer.

    Raises OSError when there is no connection, MalformedResponse for an answer cut short.
    """
    reader, writer = await asyncio.open_connection(site.host, site.port)
    try:
        writer.write(data)
        received = b""
        while (response := parse_response(received)) is None:
            more = await reader.read(65_536)
            if not more:
                raise MalformedResponse("the connection ended before the answer")
            received += more
        return response
    finally:
        writer.close()

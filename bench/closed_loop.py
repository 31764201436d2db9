"""The closed loop: so many connections, each sends its next request when the last is answered."""

from __future__ import annotations

import asyncio
import time

from bench.connection import Connection, ask_once, connect
from bench.http1 import MalformedResponse, Response, Site
from bench.tally import Request, Tally
from bench.traffic import Traffic

SERVER_ERROR_STATUS = 500
RESOLVE_TRIES_MAX = 5
RESOLVE_TIMEOUT_S = 5.0
RESOLVE_TOTAL_S = 30.0


class ClosedLoop:
    """Drives one step of load until it is stopped or *traffic* has no more to send."""

    def __init__(self, *, site: Site, traffic: Traffic, tally: Tally) -> None:
        self.tally = tally
        self.ended = asyncio.Event()
        self._site = site
        self._traffic = traffic
        self._connections: list[Connection] = []
        self._retired: set[Connection] = set()
        self._stopped = False
        self._measuring = False
        self._window_opened_at = 0.0

    async def connect(self, clients: int) -> None:
        """Open that many connections; nothing is sent yet."""
        for number in range(clients):
            self._connections.append(await connect(self, site=self._site, number=number))

    def start(self) -> None:
        """Send the first request on every connection."""
        for connection in self._connections:
            self._go_on(connection)

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
                await self.ended.wait()
        except TimeoutError:
            self._stopped = True
        for connection in self._connections:
            connection.close()

    def answered(self, connection: Connection, request: Request, response: Response) -> None:
        """See `bench.connection.Driver`."""
        if self._measuring:
            self.tally.samples[request.kind].append(time.perf_counter() - request.began_at)
        self.tally.count(request, response)
        self._traffic.answered(connection.number, request, response)
        self._go_on(connection)

    def broken(self, connection: Connection, request: Request | None, why: str) -> None:
        """See `bench.connection.Driver`."""
        if request is not None:
            self.tally.lost(request, why)
        self._retire(connection)

    def _go_on(self, connection: Connection) -> None:
        request = None if self._stopped else self._traffic.next(connection.number)
        if request is None:
            self._retire(connection)
            return
        request.began_at = time.perf_counter()
        connection.ask(request)

    def _retire(self, connection: Connection) -> None:
        self._retired.add(connection)
        if len(self._retired) == len(self._connections):
            self.ended.set()


async def resolve(*, site: Site, tally: Tally) -> None:
    """Ask again with the same key for each request whose effect is unknown.

    A few times each, and for 30 s in all; the rest stays unresolved.
    """
    try:
        async with asyncio.timeout(RESOLVE_TOTAL_S):
            for request in tally.unresolved[:]:
                response = await _repeat(site, request)
                if response is not None:
                    tally.unresolved.remove(request)
                    tally.apply(request, response)
    except TimeoutError:
        return


async def _repeat(site: Site, request: Request) -> Response | None:
    for _ in range(RESOLVE_TRIES_MAX):
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                response = await ask_once(site=site, data=request.data)
        except (OSError, TimeoutError, MalformedResponse):
            continue
        if response.status < SERVER_ERROR_STATUS:
            return response
    return None

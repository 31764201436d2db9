"""The open loop: requests arrive when they arrive, whether or not the ones before are answered.

Latency counts from a request's arrival, not from when a connection was free for it, so a
server that falls behind cannot slow down its own examination (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate

from bench.connection import Connection, connect
from bench.http1 import Response, Site
from bench.tally import Request, Tally
from bench.traffic import Traffic

KEEPING_UP = 0.97
BACKLOG_GROWTH_S = 0.1
"""A backlog at the end of the window of more than this much traffic means saturation."""
REOPEN_PAUSE_S = 0.005


class OpenLoop:
    """Sends each request of *traffic* at its instant of *arrivals* (seconds from the start).

    With *persistent* clients an answer that carries Retry-After is no end: the same request
    goes out again after that time, and its latency goes on counting.
    """

    def __init__(
        self,
        *,
        site: Site,
        traffic: Traffic,
        tally: Tally,
        arrivals: Sequence[float],
        persistent: bool = False,
    ) -> None:
        self.tally = tally
        self.backlog_max = 0
        self.ended = asyncio.Event()
        self.retries = 0
        self.reopened = 0
        self._site, self._traffic, self._persistent = site, traffic, persistent
        self._arrivals: Iterator[float] = iter(arrivals)
        self._left = len(arrivals)
        self._next = next(self._arrivals, None)
        self._waiting: deque[Request] = deque()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._window = (0.0, 0.0)
        self._began_at = 0.0
        self._stopped = False
        self._gone: asyncio.Queue[int] = asyncio.Queue()

    @property
    def backlog(self) -> int:
        """Requests that have arrived and that no connection was free for yet."""
        return len(self._waiting)

    async def connect(self, connections: int) -> None:
        """Open that many connections; nothing is sent yet."""
        for number in range(connections):
            connection = await connect(self, site=self._site, number=number)
            self._open.add(connection)
            self._idle.append(connection)

    def start(self, *, window_from_s: float, window_to_s: float) -> None:
        """Begin; arrivals between the two instants are measured."""
        self._began_at = time.perf_counter()
        self._window = (self._began_at + window_from_s, self._began_at + window_to_s)
        self._arrive()

    async def finish(self, *, timeout_s: float) -> int:
        """Wait until all is answered, at most *timeout_s*; return how many were never sent."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended.wait()
        except TimeoutError:
            pass
        self._stopped = True
        unsent = len(self._waiting)
        for connection in tuple(self._open):
            connection.close()
        return unsent

    def answered(self, connection: Connection, request: Request, response: Response) -> None:
        """See `bench.connection.Driver`."""
        wait_s = response.retry_after_s() if self._persistent else None
        if wait_s is not None:
            self.retries += 1
            asyncio.get_running_loop().call_later(wait_s, self._send, request)
        else:
            if self._window[0] <= request.began_at < self._window[1]:
                self.tally.samples[request.kind].append(time.perf_counter() - request.began_at)
            self.tally.count(request, response)
            self._traffic.answered(connection.number, request, response)
            self._done()
        self._idle.append(connection)
        self._serve()

    def broken(self, connection: Connection, request: Request | None, why: str) -> None:
        """See `bench.connection.Driver`."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if request is not None:
            if self._persistent and not self._stopped:
                self._waiting.appendleft(request)
            else:
                self.tally.lost(request, why)
                self._done()
        self._gone.put_nowait(connection.number)

    async def keep_open(self) -> None:
        """Open a connection again for each that ends; runs until it is cancelled."""
        while True:
            number = await self._gone.get()
            await asyncio.sleep(REOPEN_PAUSE_S)
            try:
                connection = await connect(self, site=self._site, number=number)
            except OSError:
                self._gone.put_nowait(number)
                continue
            self.reopened += 1
            self._open.add(connection)
            self._idle.append(connection)
            self._serve()

    def _arrive(self) -> None:
        now = time.perf_counter()
        while self._next is not None and self._began_at + self._next <= now:
            request = self._traffic.next(0)
            if request is None:
                self._left -= 1
            else:
                request.began_at = self._began_at + self._next
                self._waiting.append(request)
            self._next = next(self._arrivals, None)
        self._serve()
        self.backlog_max = max(self.backlog_max, len(self._waiting))
        if self._next is not None and not self._stopped:
            delay_s = max(0.0, self._began_at + self._next - time.perf_counter())
            asyncio.get_running_loop().call_later(delay_s, self._arrive)

    def _send(self, request: Request) -> None:
        self._waiting.append(request)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._idle and not self._stopped:
            connection = self._idle.pop()
            if connection.usable:
                connection.ask(self._waiting.popleft())

    def _done(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.ended.set()


def poisson(*, per_s: float, seconds: float, seed: int) -> list[float]:
    """Return the instants of a Poisson process, in seconds from its start."""
    source = random.Random(seed)
    gaps = iter(lambda: source.expovariate(per_s), None)
    instants: list[float] = []
    for instant in accumulate(gaps):
        if instant >= seconds:
            return instants
        instants.append(instant)
    return instants

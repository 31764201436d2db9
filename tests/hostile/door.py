"""The partner port of an in-memory gateway, and raw bytes to send to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import generate_latest

from libs.runtime.metrics import Metrics, new_registry
from services.gateway.http.connection import Bounds
from services.gateway.http.server import PartnerServer
from tests.http.world import TEST_KEY, World
from tests.support.waiting import eventually

HOST = "127.0.0.1"
PATIENCE_S = 10.0
"""How long a test waits for what must happen soon."""

GOOD = f"GET /api/ota/inventory HTTP/1.1\r\nHost: x\r\nX-API-Key: {TEST_KEY}\r\n\r\n".encode()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that needs no waiting to be asked."""

    async def asked() -> bool:
        return condition()

    await eventually(asked)


def bounds(**changed: Any) -> Bounds:
    """Return bounds for tests: real ones, but looked after often."""
    usual: dict[str, Any] = {
        "connections_max": 100,
        "address_connections_max": 100,
        "sweep_s": 0.02,
        "linger_s": 1.0,
    }
    return Bounds(**usual | changed)


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body's object."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(slots=True)
class Line:
    """One open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, raw: bytes) -> None:
        """Send bytes."""
        self.writer.write(raw)

    async def hear(self, *, body: bool = True) -> Heard:
        """Return the next answer; *body* is off for answers to HEAD."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *rows = head.decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (row.partition(": ") for row in rows if row)
            }
            size = int(headers.get("content-length", "0")) if body else 0
            return Heard(int(first.split()[1]), headers, await self.reader.readexactly(size))

    async def ended(self) -> bytes:
        """Return what still comes until the other side ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def hang_up(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()


@dataclass(slots=True)
class Door:
    """A gateway's partner port with the lines that a test has opened."""

    world: World
    server: PartnerServer
    metrics: Metrics
    lines: list[Line] = field(default_factory=list)

    async def open(self) -> Line:
        """Connect."""
        reader, writer = await asyncio.open_connection(HOST, self.server.port)
        self.lines.append(Line(reader, writer))
        return self.lines[-1]

    async def ask(self, raw: bytes) -> Heard:
        """Send bytes on a connection of their own and return the answer."""
        line = await self.open()
        line.say(raw)
        return await line.hear()

    async def good(self) -> None:
        """Fail unless an honest client is served."""
        heard = await self.ask(GOOD)
        assert (200, "ota") == (heard.status, heard.headers["server"])

    async def routes(self) -> Sequence[tuple[str, int]]:
        """Return route and status of every call that has a log line so far."""
        await self.world.audited()
        return [(note.route, note.status) for note in self.world.lines.notes]

    def refused(self, reason: str) -> float:
        """Return how many connections were refused for *reason*."""
        sample = self.metrics.registry.get_sample_value(
            "ota_connections_refused_total", {"reason": reason}
        )
        return sample or 0.0

    @property
    def exposed(self) -> str:
        """Everything that the metrics say."""
        return generate_latest(self.metrics.registry).decode()


@asynccontextmanager
async def open_door(
    world: World, limits: Bounds | None = None, *, trusted_proxies: str = ""
) -> AsyncIterator[Door]:
    """Give the partner port of *world*'s gateway."""
    metrics = Metrics(new_registry(), service="gateway", version="test")
    counter = itertools.count()
    server = PartnerServer(
        world.gateway.api,
        refuser=world.gateway.edge,
        bounds=limits or bounds(),
        metrics=metrics,
        random=lambda size: next(counter).to_bytes(size, "big"),
        trusted_proxies=trusted_proxies,
    )
    await server.start(host=HOST, port=0)
    door = Door(world, server, metrics)
    try:
        yield door
    finally:
        for line in door.lines:
            line.hang_up()
        await server.close()

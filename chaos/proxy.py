"""A TCP proxy whose connections can be made slow, silent, broken, or to lose one certain answer.

It runs as a process of its own (``python -m chaos.proxy``): doors as JSON in the first line of
standard input, then one command a line; what it did goes to standard output.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from chaos.frames import (
    PRODUCE,
    KafkaRequest,
    PostgresClient,
    PostgresServer,
    kafka_correlation,
    kafka_frames,
    kafka_request,
)
from chaos.rules import Rule

CHUNK_BYTES = 65_536
SLICES_MAX = 200
CONNECT_TIMEOUT_S = 5.0
HOST = "127.0.0.1"
LAG_PAUSE_S, LAG_TOLD_S = 0.05, 0.02
Protocol = Literal["postgres", "kafka", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the proxy listens, and what is behind it."""

    name: str
    port: int
    target_port: int
    protocol: Protocol


@dataclass(slots=True)
class Book:
    """The rules in force; waiters are woken at each change."""

    rules: dict[int, Rule] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, number: int, rule: Rule) -> None:
        """Put a rule into force."""
        self.rules[number] = rule
        self.left[number] = int(rule.value)
        self._wake()

    def remove(self, number: int) -> None:
        """End a rule."""
        self.rules.pop(number, None)
        self.left.pop(number, None)
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def take(self, mode: str, *, door: str, who: str) -> bool:
        """Use up one answer that is to be lost, if there is one."""
        for number, rule in self.rules.items():
            if rule.mode == mode and self.left[number] > 0 and rule.matches(door=door, who=who):
                self.left[number] -= 1
                return True
        return False


class Connection:
    """A client's connection and ours to the server."""

    def __init__(self, door: Door, book: Book, say: Any) -> None:
        self.door = door
        self.who = ""
        self._book = book
        self._say = say
        self._client = PostgresClient()
        self._server = PostgresServer()
        self._requests, self._answers = kafka_frames(), kafka_frames()
        self._doomed: set[int] = set()
        self._dropping = False
        self._dice = random.Random(0)
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until either side ends."""
        self._writers.append(writer)
        try:
            if self._rules("reset"):
                return
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                from_server, to_server = await asyncio.open_connection(HOST, self.door.target_port)
            self._writers.append(to_server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, to_server, back=False), name="to")
                group.create_task(self._carry(from_server, writer, back=True), name="back")
        except* (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End both sides at once."""
        for each in self._writers:
            each.transport.abort()

    def _rules(self, *modes: str) -> list[Rule]:
        return [
            rule
            for rule in self._book.rules.values()
            if rule.mode in modes and rule.matches(door=self.door.name, who=self.who)
        ]

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._loses(data, back=back):
                continue
            if self._book.rules:
                await self._suffer(data, writer, back=back)
            else:
                writer.write(data)
            await writer.drain()
        # Whoever has no more to say ends the connection: none of the protocols goes on one-way.
        self.abort()

    async def _suffer(self, data: bytes, writer: asyncio.StreamWriter, *, back: bool) -> None:
        modes = ("blackhole", "half_open") if back else ("blackhole",)
        while self._rules(*modes):
            await self._book.changed.wait()
        if self._rules("reset"):
            self.abort()
            return
        for rule in self._rules("latency"):
            await asyncio.sleep(rule.value * self._dice.uniform(0.5, 1.5))
        for rule in self._rules("slow"):
            await asyncio.sleep(len(data) / rule.value)
        for rule in self._rules("slicer"):
            size = max(int(rule.value), len(data) // SLICES_MAX + 1)
            for at in range(0, len(data), size):
                writer.write(data[at : at + size])
                await asyncio.sleep(0)
            return
        writer.write(data)

    def _loses(self, data: bytes, *, back: bool) -> bool:
        """Follow the protocol; say whether these bytes are swallowed."""
        if self.door.protocol == "postgres":
            return self._loses_postgres(data, back=back)
        if self.door.protocol == "kafka":
            return self._loses_kafka(data, back=back)
        return False

    def _loses_postgres(self, data: bytes, *, back: bool) -> bool:
        if not back:
            wrote = self._client.feed(data)
            self.who = self._client.user
            if wrote and not self._dropping:
                self._dropping = self._book.take("drop_write", door=self.door.name, who=self.who)
            return False
        done = self._server.feed(data)
        if not self._dropping:
            return False
        if done:  # it is committed, and nobody will hear of it
            self._say({"event": "lost", "what": "write", "who": self.who})
            self.abort()
        return True

    def _loses_kafka(self, data: bytes, *, back: bool) -> bool:
        if not back:
            for frame in self._requests.feed(data):
                request: KafkaRequest = kafka_request(frame)
                self.who = request.client_id
                if request.api_key == PRODUCE and self._book.take(
                    "drop_produce", door=self.door.name, who=self.who
                ):
                    self._doomed.add(request.correlation_id)
            return False
        answered = {kafka_correlation(frame) for frame in self._answers.feed(data)}
        if not answered & self._doomed:
            return False
        self._say({"event": "lost", "what": "produce", "who": self.who})
        self.abort()
        return True


class Proxy:
    """All doors of a run."""

    def __init__(self, say: Any) -> None:
        self.book = Book()
        self._say = say
        self._open: set[Connection] = set()

    async def listen(self, door: Door) -> asyncio.Server:
        """Open a door."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = Connection(door, self.book, self._say)
            self._open.add(connection)
            try:
                await connection.run(reader, writer)
            finally:
                self._open.discard(connection)

        return await asyncio.start_server(serve, HOST, door.port)

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def obey(self, command: Mapping[str, Any]) -> None:
        """Put a rule into force, or end one."""
        if command["op"] == "remove":
            self.book.remove(command["number"])
            return
        rule = Rule(**command["rule"])
        self.book.add(command["number"], rule)
        if rule.mode == "reset":
            for connection in tuple(self._open):
                if rule.matches(door=connection.door.name, who=connection.who):
                    connection.abort()


async def _watch_lag(say: Any) -> None:
    """Tell how late we ourselves were: that is not to be counted as the gateway's."""
    while True:
        worst_s, until = 0.0, time.monotonic() + 1.0
        while (before := time.monotonic()) < until:
            await asyncio.sleep(LAG_PAUSE_S)
            worst_s = max(worst_s, time.monotonic() - before - LAG_PAUSE_S)
        if worst_s > LAG_TOLD_S:
            say({"event": "lag", "at_ns": time.monotonic_ns(), "lag_s": round(worst_s, 3)})


async def _main() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    def say(event: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    # A connection that ends in the middle of something is what this program is for.
    loop.set_exception_handler(lambda _loop, _context: None)
    proxy = Proxy(say)
    doors = [Door(**each) for each in json.loads(await lines.readline())]
    servers = [await proxy.listen(door) for door in doors]
    say({"event": "listening", "doors": len(servers)})
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch_lag(say))
        while line := await lines.readline():
            proxy.obey(json.loads(line))
        watching.cancel()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())

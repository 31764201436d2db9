"""The proxy on real sockets: each way to hurt a connection, and none when there is no rule."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from chaos.proxy import HOST, Door, Proxy
from chaos.rules import Rule
from deploy.local.ports import free_ports


class Echo:
    """A proxy before a server that says everything back; what the proxy told is in *told*."""

    def __init__(self, proxy: Proxy, port: int, told: list[Any]) -> None:
        self.proxy, self.port, self.told = proxy, port, told

    async def ask(self, data: bytes, *, timeout_s: float = 5.0) -> bytes:
        """Send on a connection of its own; return what came back, b"" if it was ended."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            async with asyncio.timeout(timeout_s):
                writer.write(data)
                return await reader.readexactly(len(data))
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        finally:
            writer.transport.abort()

    def rule(self, mode: Any, value: float = 0.0, *, door: str = "door", who: str = "") -> None:
        """Put a rule into force."""
        rule = Rule(mode=mode, door=door, who=who, value=value)
        self.proxy.obey({"op": "add", "number": 1, "rule": rule.plain()})

    def heal(self) -> None:
        """End the rule."""
        self.proxy.obey({"op": "remove", "number": 1})


@asynccontextmanager
async def echoing(protocol: Any) -> AsyncIterator[Echo]:
    """Run a proxy before an echo."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    port, target = free_ports(count=2)
    told: list[Any] = []
    proxy = Proxy(told.append)
    servers = [
        await asyncio.start_server(echo, HOST, target),
        await proxy.listen(Door(name="door-1", port=port, target_port=target, protocol=protocol)),
    ]
    try:
        yield Echo(proxy, port, told)
    finally:
        while proxy.connections:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        for server in servers:
            server.close()
            await server.wait_closed()
        await asyncio.sleep(0.05)  # what was aborted is closed in the loop's next rounds


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """A plain door."""
    async with echoing("plain") as made:
        yield made


async def test_without_rules_all_passes(echo: Echo) -> None:
    """And rules for other doors change nothing."""
    echo.rule("reset", door="elsewhere")
    assert bytes(100_000) == await echo.ask(bytes(100_000))


@pytest.mark.parametrize("mode, value", [("latency", 0.01), ("slow", 1e6), ("slicer", 7.0)])
async def test_slow_is_still_whole(echo: Echo, mode: str, value: float) -> None:
    """Nothing is lost or mixed up by what only delays."""
    echo.rule(mode, value)
    data = bytes(range(256)) * 20
    assert data == await echo.ask(data)


async def test_a_reset_ends_connections(echo: Echo) -> None:
    """New ones too, until it heals."""
    echo.rule("reset")
    assert b"" == await echo.ask(b"hello")
    echo.heal()
    assert b"hello" == await echo.ask(b"hello")


@pytest.mark.parametrize("mode", ["blackhole", "half_open"])
async def test_what_was_held_arrives_after_healing(echo: Echo, mode: str) -> None:
    """As on a network that was down: nothing comes meanwhile, nothing is lost."""
    echo.rule(mode)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(echo.ask(b"hello", timeout_s=10))
        await asyncio.sleep(0.2)
        assert not asked.done()
        echo.heal()
    assert b"hello" == asked.result()


async def test_the_answer_to_a_record_is_lost() -> None:
    """As often as asked, of the client that is meant, with its connection."""
    async with echoing("kafka") as echo:
        head = struct.pack("!hhih", 0, 9, 0, 9) + b"inventory" + bytes(10)
        request = struct.pack("!i", len(head)) + head
        echo.rule("drop_produce", 1, who="inventory")
        # The echo gives the request back: its first number is read as that of the answer, 0.
        request = request[:4] + struct.pack("!hhi", 0, 0, 0) + request[12:]
        assert b"" == await echo.ask(request)
        assert [{"event": "lost", "what": "produce", "who": "inventory"}] == echo.told
        assert request == await echo.ask(request)

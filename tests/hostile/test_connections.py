"""Connections: how many, how idle, and who never takes what was answered."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import time

from aiohttp import web

from deploy.local.settings import CHECKOUT
from services.gateway.http import connection
from services.gateway.http.server import FILES_RESERVED, TURNED_AWAY_MAX, open_files_max
from services.gateway.settings import Settings
from tests.hostile.door import GOOD, HOST, Door, Line, bounds, open_door, until
from tests.http.world import World

IDLE = 1000
SMALL_BUFFER_BYTES = 4096
FLOOD = 20_000


async def test_a_thousand_idle_connections_harm_nobody(world: World) -> None:
    """Others are served beside them, and idle ones answer when they wake up."""
    assert 2 * IDLE + FILES_RESERVED <= open_files_max(2 * IDLE + FILES_RESERVED)
    wide = bounds(connections_max=IDLE + 100, address_connections_max=IDLE + 100)
    async with open_door(world, wide) as door:
        idle = [await door.open() for _ in range(IDLE)]
        await until(lambda: door.server.connections == IDLE)
        began = time.perf_counter()
        for _ in range(20):
            await door.good()
        assert time.perf_counter() - began < 5.0
        for line in idle[:: IDLE // 20]:
            line.say(GOOD)
            assert 200 == (await line.hear()).status
        assert "ota_connections_open 1020.0" in door.exposed
        for line in idle:
            line.hang_up()
        await until(lambda: door.server.connections == 20)


async def test_an_idle_connection_is_ended_after_a_while(world: World) -> None:
    """Kept alive, but not for ever; also one that has never asked anything."""
    async with open_door(world, bounds(keep_alive_s=0.1)) as door:
        silent, used = await door.open(), await door.open()
        used.say(GOOD)
        assert 200 == (await used.hear()).status
        assert (b"", b"") == (await silent.ended(), await used.ended())


async def test_the_idle_make_room(world: World) -> None:
    """With all places taken, who was idle longest goes; who is at work stays."""
    async with open_door(world, bounds(connections_max=3)) as door:
        idle = [await door.open() for _ in range(2)]
        working = await door.open()
        working.say(GOOD[:-2])
        await until(lambda: door.server.connections == 3)
        await working.writer.drain()
        # Its first half has arrived once a later connection is in.
        await door.good()
        assert 2.0 == door.refused("idle_evicted")
        assert [b"", b""] == [await line.ended() for line in idle]
        working.say(b"\r\n")
        assert 200 == (await working.hear()).status


async def test_the_slowest_head_makes_room(world: World) -> None:
    """With nobody idle, the head that has been arriving longest goes; later ones go on."""
    async with open_door(world, bounds(connections_max=3)) as door:
        slow: list[Line] = []
        for _ in range(3):
            slow.append(await door.open())
            slow[-1].say(GOOD[:-2])
            await until(lambda: len(_heads(door)) == len(slow))
        late = await door.open()
        assert b"" == await slow[0].ended()
        assert (1.0, 0.0) == (door.refused("head_evicted"), door.refused("full"))
        late.say(GOOD)
        assert 200 == (await late.hear()).status
        for line in slow[1:]:
            line.say(b"\r\n")
            assert 200 == (await line.hear()).status


async def test_when_all_are_at_work_a_newcomer_is_told(world: World) -> None:
    """503 with a problem document that can be read, also by who has sent its request already."""
    async with open_door(world, bounds(connections_max=2)) as door:
        world.market.gate = asyncio.Event()
        working = [await door.open() for _ in range(2)]
        for line in working:
            line.say(_reserving())
        await until(lambda: len(world.market.sent) == 2)
        working[0].say(GOOD[:-2])  # a head behind a request that is under way is not the slow one
        await until(lambda: any(each._head_since is not None for each in door.server._open))
        late = await door.open()
        late.say(GOOD)
        heard = await late.hear()
        assert (503, "NOT_EXECUTED", "1") == (
            heard.status,
            heard.json["code"],
            heard.headers["retry-after"],
        )
        assert ("ota", "close") == (heard.headers["server"], heard.headers["connection"])
        assert heard.json["request_id"] == heard.headers["x-request-id"]
        assert b"" == await late.ended()
        assert (1.0, 0.0, 0.0) == (
            door.refused("full"),
            door.refused("idle_evicted"),
            door.refused("head_evicted"),
        )
        world.market.gate.set()
        assert [201, 201] == [(await line.hear()).status for line in working]
        working[0].say(b"\r\n")
        assert 200 == (await working[0].hear()).status
        await door.good()


def test_few_addresses_cannot_take_all_places() -> None:
    """As it is shipped, it takes ten addresses to fill the house."""
    of = {name: field.default for name, field in Settings.model_fields.items()}
    assert 10 * of["address_connections_max"] <= of["connections_max"]


async def test_one_address_has_its_share_only(world: World) -> None:
    """429 for more connections than one address may have, until one of them ends."""
    async with open_door(world, bounds(address_connections_max=2)) as door:
        first, second = await door.open(), await door.open()
        await until(lambda: door.server.connections == 2)
        heard = await door.ask(GOOD)
        assert (429, "RATE_LIMIT_EXCEEDED", 1) == (
            heard.status,
            heard.json["code"],
            heard.json["retry_after"],
        )
        assert 1.0 == door.refused("address_full")
        first.hang_up()
        await until(lambda: door.server.connections == 1)
        await door.good()
        second.say(GOOD)
        assert 200 == (await second.hear()).status


async def test_a_proxy_of_ours_has_no_share(world: World) -> None:
    """Behind one address of a trusted proxy there are many clients."""
    limits = bounds(address_connections_max=1)
    async with open_door(world, limits, trusted_proxies="127.0.0.0/8") as door:
        lines = [await door.open() for _ in range(5)]
        for line in lines:
            line.say(GOOD)
            assert 200 == (await line.hear()).status


async def test_turning_away_is_bounded_too(world: World) -> None:
    """Beyond a number that are being told, the next are cut off without a word."""
    async with open_door(world, bounds(address_connections_max=1)) as door:
        first = await door.open()
        await until(lambda: door.server.connections == 1)
        flood = [await door.open() for _ in range(TURNED_AWAY_MAX + 20)]
        await until(lambda: door.refused("address_full") == TURNED_AWAY_MAX + 20)
        told = [await line.ended() for line in flood]
        assert TURNED_AWAY_MAX == sum(answer.startswith(b"HTTP/1.1 429") for answer in told)
        first.say(GOOD)
        assert 200 == (await first.hear()).status


async def test_who_takes_no_answers_may_not_ask_on(world: World) -> None:
    """Answers that nobody takes are not piled up: reading stops, and then the line is cut."""
    async with open_door(world, bounds(taking_s=0.5)) as door:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, door.server.port))
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, sock=sock
        )
        transport.pause_reading()
        transport.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * FLOOD)
        await until(lambda: door.refused("answer_not_taken") == 1.0)
        transport.abort()
        await until(lambda: door.server.connections == 0)
        assert 0 < len(await door.routes()) < FLOOD
        await door.good()


async def test_a_stop_lets_requests_end(world: World) -> None:
    """At a stop nothing new is taken, and what is under way is answered."""
    async with open_door(world) as door:
        world.market.gate = asyncio.Event()
        line = await door.open()
        line.say(_reserving())
        await until(lambda: len(world.market.sent) == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(door.server.close())
            await until(lambda: not _listens(door))
            world.market.gate.set()
            assert 201 == (await line.hear()).status
        assert b"" == await line.ended()


def test_the_names_that_aiohttp_keeps_to_itself_are_told() -> None:
    """Who upgrades aiohttp finds in one place what the bounds lean on."""
    used = set(re.findall(r"(?:self|super\(\))\.(_[a-z]\w*)", inspect.getsource(connection)))
    theirs = used & set(dir(web.RequestHandler))
    adr = CHECKOUT / "docs" / "adr" / "0014-bounds-of-a-connection.md"
    for text, marks in ((str(connection.__doc__), "``"), (adr.read_text("utf-8"), "`")):
        assert theirs == set(re.findall(rf"{marks}(_[a-z]\w*){marks}", text))


def _listens(door: Door) -> bool:
    server = door.server._listening
    return server is not None and server.is_serving()


def _heads(door: Door) -> list[float]:
    """Return since when the server waits for heads that are not complete."""
    return [each.head_since for each in door.server._open if each.head_since is not None]


def _reserving() -> bytes:
    """Return a request whose answer the market can hold back."""
    body = b'{"product_id": 106, "quantity": 1}'
    return (
        GOOD.replace(b"GET /api/ota/inventory", b"POST /api/ota/reserve")[:-2]
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )

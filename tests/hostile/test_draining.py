"""A gateway that ends tells every connection once, and lets what is under way come to its end."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.http import server
from tests.hostile.door import GOOD, HOST, Door, until


async def test_each_connection_is_answered_once_more(door: Door) -> None:
    """The answer says that it was the last one; nobody new is let in."""
    lines = [await door.open() for _ in range(3)]
    for line in lines:
        line.say(GOOD)
        heard = await line.hear()
        assert (200, None) == (heard.status, heard.headers.get("connection"))
    port = door.server.port
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(door.server.drain())
        await until(lambda: door.server.draining)
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection(HOST, port)
        for line in lines:
            assert not draining.done()
            line.say(GOOD)
            heard = await line.hear()
            assert (200, "close") == (heard.status, heard.headers["connection"])
            assert b"" == await line.ended()
    assert 0 == door.server.connections


async def test_a_head_under_way_is_waited_for(door: Door) -> None:
    """Half a request counts as one on its way."""
    line = await door.open()
    line.say(GOOD[:-2])
    await until(lambda: door.server.connections == 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(door.server.drain())
        await until(lambda: door.server.draining)
        line.say(b"\r\n")
        assert 200 == (await line.hear()).status


async def test_who_says_nothing_is_not_waited_for_for_ever(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle connection keeps the server for its time, and is closed then."""
    monkeypatch.setattr(server, "DRAIN_S", 0.1)
    line = await door.open()
    await until(lambda: door.server.connections == 1)
    await door.server.drain()
    assert 1 == door.server.connections
    await door.server.close()
    assert b"" == await line.ended()


async def test_without_draining_a_kept_connection_is_cut_off(door: Door) -> None:
    """The control: closed at once, a connection is told nothing, and its next request is lost."""
    line = await door.open()
    line.say(GOOD)
    assert 200 == (await line.hear()).status
    async with asyncio.TaskGroup() as group:
        group.create_task(door.server.close())
        assert b"" == await line.ended()

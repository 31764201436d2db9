"""Clients that behave badly: they leave, they dawdle, they sit. None of them changes any stock."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 3.0
SLOW_CLIENTS = 20
PAUSE_S = 0.4


async def hostile(
    *, urls: list[str], key: str, seconds: float, idle: int, dice: random.Random
) -> None:
    """Behave badly for so long, with so many connections that say nothing."""
    whole = (
        f"GET /api/ota/inventory HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {key}\r\n\r\n"
    ).encode()
    half = (
        f"POST /api/ota/reserve HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 400\r\n\r\n"
        '{"product_id": 106,'
    ).encode()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(idle):
                group.create_task(_sit(dice.choice(urls), b"", seconds))
            for _ in range(SLOW_CLIENTS):
                group.create_task(_sit(dice.choice(urls), half, seconds))
                group.create_task(_dawdle(dice.choice(urls), whole))
                group.create_task(_leave(dice.choice(urls), whole, dice))


async def _open(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = urlsplit(url)
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await asyncio.open_connection(place.hostname, place.port)


async def _sit(url: str, said: bytes, seconds: float) -> None:
    """Say a little or nothing and wait until the server has had enough."""
    with suppress(OSError, TimeoutError):
        reader, writer = await _open(url)
        try:
            writer.write(said)
            async with asyncio.timeout(seconds):
                await reader.read(1_000)
        finally:
            writer.transport.abort()


async def _dawdle(url: str, request: bytes) -> None:
    """Send a request one byte after the other, until turned away."""
    with suppress(OSError, TimeoutError):
        _, writer = await _open(url)
        try:
            for at in range(len(request)):
                if writer.is_closing():
                    break
                writer.write(request[at : at + 1])
                await asyncio.sleep(PAUSE_S)
        finally:
            writer.transport.abort()


async def _leave(url: str, request: bytes, dice: random.Random) -> None:
    """Ask and be gone before the answer, again and again."""
    while True:
        with suppress(OSError, TimeoutError):
            _, writer = await _open(url)
            writer.write(request)
            await asyncio.sleep(dice.uniform(0.0, 0.01))
            writer.transport.abort()
        await asyncio.sleep(PAUSE_S)

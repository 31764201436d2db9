"""A small HTTP server for the generator's tests: from a request's head to an answer's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.http1 import Site

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
Respond = Callable[[str, dict[str, str]], bytes | None]
"""From a request line and its headers to an answer's bytes; None closes the connection."""


def answer(status: int, body: str = "", *, headers: str = "") -> bytes:
    """Return an answer's bytes; *headers* are whole lines."""
    head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def reservation_id(number: int) -> str:
    """Return the number's own reservation id."""
    return "res_0" + "".join(ALPHABET[number >> 5 * place & 31] for place in range(25))


def created(number: int) -> bytes:
    """Return a 201 with the number's own reservation id."""
    return answer(201, f'{{"reservation_id": "{reservation_id(number)}"}}')


def number_of(headers: dict[str, str]) -> int:
    """Return the request's number from its idempotency key."""
    return int(headers["Idempotency-Key"].rpartition("-")[2])


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Site]:
    """Serve *respond* on a free port and yield where it is."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
                headers = dict(each.split(": ", 1) for each in lines)
                await reader.readexactly(int(headers.get("Content-Length", 0)))
                response = respond(line, headers)
                if response is None:
                    break
                writer.write(response)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield Site(host="127.0.0.1", port=server.sockets[0].getsockname()[1], api_key="key")

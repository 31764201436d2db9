"""A partner's HTTP client that never repeats a request, so that every loss is seen.

Keep-alive connections and a connection for each request, over plain sockets: client libraries
repeat in secret what a closed connection has swallowed.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

API: Final = "/api/ota"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


@dataclass(slots=True)
class Wire:
    """One client: it keeps its connection, or opens one for each request."""

    host: str
    port: int
    api_key: str
    keeps: bool
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    connections: int = field(default=0)

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> Answer:
        """Send a request once. Raises OSError or EOFError when there is no answer."""
        reader, writer = await self._connected()
        content = b"" if body is None else json.dumps(body).encode()
        head = [
            f"{method} {API}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"X-API-Key: {self.api_key}",
            f"Content-Length: {len(content)}",
            *(["Content-Type: application/json"] if content else []),
            *([f"Idempotency-Key: {key}"] if key else []),
            *([] if self.keeps else ["Connection: close"]),
        ]
        try:
            writer.write("\r\n".join((*head, "", "")).encode() + content)
            status, headers = await _head(reader)
            answer = Answer(status, await reader.readexactly(int(headers.get("content-length", 0))))
        except BaseException:
            self.close()
            raise
        if not self.keeps or headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # One that the server has closed is seen to be closed, and is no use to anybody.
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
            self.connections += 1
        return self._streams

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            with suppress(OSError):
                self._streams[1].close()
            self._streams = None


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first.split()[1]), headers

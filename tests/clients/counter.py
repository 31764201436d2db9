"""A server that answers by a script, for what a real gateway does only in trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ota_client import Answer, OtaClient, Request, RetryPolicy, Watcher

KEY = "ota_test_key_12345"
QUICK = RetryPolicy(deadline_s=10.0, try_s=5.0, pause_min_s=0.001, pause_max_s=0.002)
HANG_UP = "hang up"
SILENCE = "silence"


@dataclass(slots=True)
class Said:
    """An answer of the script."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Line = Said | str


@dataclass(slots=True)
class Counter:
    """The server and what it was asked."""

    url: str
    script: list[Line]
    asked: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def keys(self) -> list[str | None]:
        """The idempotency keys that came."""
        return [request.headers.get("Idempotency-Key") for request in self.asked]


class Seen(Watcher):
    """A watcher that keeps everything."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.pauses: list[tuple[str, float]] = []

    def sending(self, request: Request) -> None:
        """See `ota_client.Watcher`."""
        self.requests.append(request)

    def answered(self, request: Request, answer: Answer) -> None:
        """See `ota_client.Watcher`."""
        self.answers.append(answer)

    def waiting(self, request: Request, *, reason: str, pause_s: float) -> None:
        """See `ota_client.Watcher`."""
        self.pauses.append((reason, pause_s))


def refusal(status: int, code: str, *, retry_after: int | None = None, **extra: Any) -> Said:
    """Return a problem document."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Said(status, {"code": code, "detail": "because", **extra}, headers)


@asynccontextmanager
async def open_counter(script: Iterable[Line]) -> AsyncIterator[Counter]:
    """Give a server that says *script*, and its last line again and again."""
    lines = list(script)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        counter.asked.append(request)
        counter.bodies.append(await request.read())
        said = lines[min(len(counter.asked), len(lines)) - 1]
        if isinstance(said, str):
            if said == SILENCE:
                await asyncio.Event().wait()
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(
            status=said.status, headers=said.headers, body=json.dumps(said.body).encode()
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        counter = Counter(str(server.make_url("/")), lines)
        yield counter


def client(
    counter: Counter, *, watcher: Watcher | None = None, retries: RetryPolicy = QUICK
) -> OtaClient:
    """Return a client of a scripted server."""
    return OtaClient(counter.url, KEY, retries=retries, watcher=watcher)

"""The life of the partner port: when it begins to accept, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from libs.runtime.listening import inherited_socket
from services.gateway.http.server import PartnerServer

log = structlog.get_logger()

WARM_S_MAX = 30.0
READY_S_MAX = 5.0
"""On a shared socket: what is away is away for the other processes as well."""
READY_POLL_S = 0.02


async def serve_partners(
    server: PartnerServer,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    warm: asyncio.Event,
    ready: Callable[[], bool],
    stopping: Callable[[], None],
) -> None:
    """Serve the partner API until *stop*; then open connections get their last answers.

    On a socket that was passed to us (see `inherited_socket`), or else at *host* and *port*. What
    arrives at a shared socket is left to others while we are not *warm*, and not *ready*.
    *stopping* is called as soon as it begins to end.
    """
    listening = inherited_socket()
    if listening is not None:
        await _until(warm.is_set, stop, limit_s=WARM_S_MAX)
        await _until(ready, stop, limit_s=READY_S_MAX)
    try:
        await server.start(host=host, port=port, listening=listening)
        log.info("gateway.listening", host=host, port=server.port, shared=listening is not None)
        await stop.wait()
        stopping()
        await server.drain()
    finally:
        await server.close()


async def _until(condition: Callable[[], bool], stop: asyncio.Event, *, limit_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not condition() and not stop.is_set():  # noqa: ASYNC110 - once in a life
                await asyncio.sleep(READY_POLL_S)

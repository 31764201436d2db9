"""The real gateway among clients that misbehave: bounded, quiet, and there for the others."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
import pytest

from libs.kernel.ids import pool_no_of
from ota_client import OtaClient, RetryPolicy
from services.gateway.http.server import FILES_RESERVED, open_files_max
from tests.support.agency import FULL_KEY
from tests.support.deciders import Deciders, ops_page
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

IDLE = 1000
ADDRESSES = 10
GROWTH_MIB_MAX = 100
CANARY = "canary-4711"
PROMPT = RetryPolicy(deadline_s=5.0, try_s=2.0)

NASTY = (
    f"GET /api/ota/inventory?api_key={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /{CANARY} HTTP/1.1\r\nHost: x\r\nX-API-Key: {CANARY}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: {CANARY}\0\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\nX-A: {CANARY * 1000}\r\n\r\n",
    f"\x16\x03\x01{CANARY}\r\n\r\n",
    f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: {CANARY}\r\n\r\n",
)


async def status_of(host: str, port: int, raw: bytes) -> int:
    """Send bytes and return the status of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(5.0):
            writer.write(raw)
            return int((await reader.readline()).split()[1])
    finally:
        writer.transport.abort()


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


async def test_honest_clients_are_served_among_others(deciders: Deciders) -> None:
    """A thousand idle connections and as many slow heads at once cost memory, not service."""
    gateway = deciders.processes["gateway"]
    assert gateway.partner is not None
    host, port = gateway.partner.host, gateway.partner.port
    assert 2 * IDLE + FILES_RESERVED <= open_files_max(2 * IDLE + FILES_RESERVED)
    before = memory_mib(gateway.pid)
    async with contextlib.AsyncExitStack() as stack:
        kept = []  # a line that nobody keeps would be closed
        for number in range(IDLE):
            source = (f"127.0.1.{number % ADDRESSES}", 0)  # one address may not have so many
            kept.append(await asyncio.open_connection(host, port, local_addr=source))
            _, writer = kept[-1]
            stack.callback(writer.transport.abort)
            if number % 2:
                writer.write(b"GET /api/ota/inventory HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        async with OtaClient(gateway.url, FULL_KEY, retries=PROMPT) as ota:
            for _ in range(5):
                hold = await ota.reserve(106, 1)
                assert pool_no_of(hold.reservation_id)
                await ota.cancel(hold.reservation_id)
        assert memory_mib(gateway.pid) - before < GROWTH_MIB_MAX

        async def slow_heads_ended() -> bool:
            page = await ops_page(gateway, "/metrics")
            return f'refused_total{{reason="head_too_slow"}} {IDLE // 2}.0' in page

        await eventually(slow_heads_ended, timeout_s=60.0)


async def test_nothing_that_a_hostile_client_sends_is_logged(deciders: Deciders) -> None:
    """Not a key, wherever it stands, nor what cannot be read; that there was something is."""
    gateway = deciders.processes["gateway"]
    assert gateway.partner is not None
    host, port = gateway.partner.host, gateway.partner.port
    statuses = [await status_of(host, port, raw.encode("latin-1")) for raw in NASTY]
    assert [400, 404, 400, 400, 400, 400] == statuses

    async def logged() -> bool:
        text = gateway.log.read_text(encoding="utf-8")
        return all(
            reason in text for reason in ('"head_malformed"', '"head_too_large"', '"expectation"')
        )

    await eventually(logged)
    assert CANARY not in gateway.log.read_text(encoding="utf-8")
    assert CANARY not in await ops_page(gateway, "/metrics")

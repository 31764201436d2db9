"""Restarts one service of a running stack and tells how soon it serves again."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import time
from contextlib import suppress

import psutil

from bench.stack import Stack, StackMissing
from deploy.local.plan import answers_ready
from deploy.local.state import read

RESTART_TIMEOUT_S = 90.0
POLL_S = 0.02


async def restart(*, stack: Stack, service: str, by: signal.Signals = signal.SIGTERM) -> float:
    """Stop a service *by* a signal; its launcher starts it again.

    Return the seconds from that start to ready. Raises StackMissing when it is not ready in time.
    """
    state_file = stack.data_dir / "state.json"

    def pid() -> int | None:
        state = read(file=state_file)
        process = state.processes.get(service) if state is not None else None
        return process.running.pid if process is not None and process.running else None

    before = pid()
    if before is None:
        raise StackMissing(f"{service} does not run here")
    os.kill(before, by)
    deadline = time.monotonic() + RESTART_TIMEOUT_S
    while time.monotonic() < deadline:
        now = pid()
        if now is not None and now != before and await asyncio.to_thread(_ready, stack, service):
            ready_at = time.time()
            with suppress(psutil.NoSuchProcess):
                return ready_at - psutil.Process(now).create_time()
        await asyncio.sleep(POLL_S)
    raise StackMissing(f"{service} was not ready {RESTART_TIMEOUT_S:g} s after its stop")


def _ready(stack: Stack, service: str) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return answers_ready(address=stack.ops[service])
    return False

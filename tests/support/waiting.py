"""Waiting for conditions instead of sleeping for times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.03


async def eventually(
    condition: Callable[[], Awaitable[T]], *, timeout_s: float = 20.0, what: str = ""
) -> T:
    """Ask again until the answer is true in the sense of Python, and return it.

    Raises AssertionError with the last answer after *timeout_s* seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"{what or condition} is still {found!r}"
        await asyncio.sleep(POLL_S)
    return found

"""The partner's side: the Python client, and a watcher that shows what it sends and gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import aiohttp

from deploy.demo.checks import StoryBroken
from deploy.demo.screen import Screen
from ota_client import Answer, ApiError, OtaClient, Request, RetryPolicy, Watcher

PATIENCE = RetryPolicy(deadline_s=130.0)
"""A used-up minute (429) is waited for, two of them in a row at most."""

START_TIMEOUT_S = 30
ROOM_LOOKS_MAX = 14
ROOM_PAUSE_S = 5

T = TypeVar("T")


class Shown(Watcher):
    """Shows each request with its answer, unless it is told to be *quiet*.

    A request that is sent again is shown once, with its last answer.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._retried: Request | None = None
        self.quiet = False
        self.calls = 0
        self.calls_left: int | None = None
        self.last: Answer | None = None

    def sending(self, request: Request) -> None:
        """See `ota_client.Watcher`."""
        self.calls += 1
        if not self.quiet and request is not self._retried:
            self._screen.request(
                method=request.method,
                path=request.path,
                headers=request.headers,
                body=request.body,
            )

    def answered(self, request: Request, answer: Answer) -> None:
        """See `ota_client.Watcher`."""
        self.last = answer
        left = answer.headers.get("X-RateLimit-Remaining", "")
        self.calls_left = int(left) if left.isdigit() else None
        if not self.quiet:
            self._screen.answer(
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                elapsed_ms=answer.elapsed_s * 1000,
            )

    def waiting(self, request: Request, *, reason: str, pause_s: float) -> None:
        """See `ota_client.Watcher`."""
        self._retried = request
        self._screen.progress(f"{reason}: the client sends it again in {pause_s:.1f} s")


class Partner:
    """A travel agency with its key. *ota* is its client; *http* stays the caller's to close."""

    def __init__(
        self, *, http: aiohttp.ClientSession, screen: Screen, base_url: str, api_key: str
    ) -> None:
        self._http = http
        self._screen = screen
        self._base_url = base_url
        self._shown = Shown(screen)
        self.ota = self._client(api_key)

    @property
    def calls(self) -> int:
        """How many requests were sent."""
        return self._shown.calls

    @property
    def last(self) -> Answer:
        """The last answer as it came: its bytes matter, a replay must repeat them."""
        assert self._shown.last is not None
        return self._shown.last

    def stranger(self, *, api_key: str) -> OtaClient:
        """Return a client with another key."""
        return self._client(api_key)

    async def available(self, product_id: int, *, show: bool = True) -> int:
        """Return a product's available units, shown on one line unless *show* is off."""
        with self._quiet():
            units = (await self.ota.inventory(product_id)).available(product_id)
        if show:
            self._screen.brief(
                method="GET",
                path=f"/api/ota/inventory?product_ids={product_id}",
                status=self.last.status,
                what=f"available units of {product_id}: {units}",
            )
        return units

    async def make_room(self, *, calls: int) -> None:
        """Wait, at most 70 s, until so many calls are left in the minute.

        For steps in which a pause for the limit would spoil what is shown.
        """
        for _ in range(ROOM_LOOKS_MAX):
            left = self._shown.calls_left
            if left is None or left >= calls:
                return
            self._screen.progress(f"{left} calls of the minute are left, waiting for {calls}")
            await asyncio.sleep(ROOM_PAUSE_S)
            with self._quiet():
                await self.ota.inventory()

    async def await_start(self) -> None:
        """Wait until the stack answers on /healthz; raises StoryBroken after 30 s."""
        started = time.monotonic()
        while (waited_s := time.monotonic() - started) < START_TIMEOUT_S:
            try:
                async with self._http.get(f"{self._base_url}/healthz") as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            self._screen.progress(
                f"waiting for {self._base_url}/healthz, {waited_s:.0f} of {START_TIMEOUT_S} s"
            )
            await asyncio.sleep(1)
        raise StoryBroken(f"{self._base_url}/healthz does not answer; is the stack up (make up)?")

    def _client(self, api_key: str) -> OtaClient:
        return OtaClient(
            self._base_url,
            api_key,
            retries=PATIENCE,
            watcher=self._shown,
            session=self._http,
        )

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        self._shown.quiet = True
        try:
            yield
        finally:
            self._shown.quiet = False


async def refused(call: Awaitable[object]) -> ApiError:
    """Make a call that must be refused, and return why; raises StoryBroken if it is granted."""
    try:
        await call
    except ApiError as error:
        return error
    raise StoryBroken("this was granted and must not be")


async def first(rows: AsyncIterator[T], count: int) -> AsyncIterator[T]:
    """Walk through *count* rows at most, and ask for no page beyond them."""
    async for row in rows:
        yield row
        count -= 1
        if not count:
            return

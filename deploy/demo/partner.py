"""The partner's side: sends requests to the API and shows each with its answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploy.demo.checks import StoryBroken
from deploy.demo.screen import Screen

API = "/api/ota"
REQUEST_TIMEOUT_S = 10
START_TIMEOUT_S = 30
LIMITED_WAITS_MAX = 2
LIMITED_WAIT_S_MAX = 61
ROOM_LOOKS_MAX = 14
ROOM_PAUSE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it came: the body's bytes matter, a replay must repeat them."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object, empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def word(self) -> str:
        """The error word of a refusal (contract, section 6), empty for none."""
        return str(self.json.get("code", ""))


class Partner:
    """A travel agency with its key; *http* stays the caller's to close."""

    def __init__(
        self, *, http: aiohttp.ClientSession, screen: Screen, base_url: str, api_key: str
    ) -> None:
        self._http = http
        self._screen = screen
        self._base_url = base_url
        self._api_key = api_key
        self.calls = 0
        self._calls_left: int | None = None

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        api_key: str | None = None,
        show: bool = True,
    ) -> Answer:
        """Send one request below `/api/ota` and return its answer, shown unless *show* is off.

        A used-up minute (429) is waited for; raises StoryBroken when nobody answers.
        """
        headers = {"X-API-Key": api_key or self._api_key}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        data = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, ensure_ascii=False).encode()
        if show:
            self._screen.request(method=method, path=API + path, headers=headers, body=data)
        for _ in range(LIMITED_WAITS_MAX):
            answer, elapsed_ms = await self._exchange(method, API + path, headers, data)
            if answer.status != 429:
                break
            await self._wait_for_quota(answer)
        else:
            answer, elapsed_ms = await self._exchange(method, API + path, headers, data)
        if show:
            self._screen.answer(
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                elapsed_ms=elapsed_ms,
            )
        return answer

    async def available(self, product_id: int, *, show: bool = True) -> int:
        """Return a product's available units, shown on one line unless *show* is off."""
        path = f"/inventory?product_ids={product_id}"
        answer = await self.send("GET", path, show=False)
        units = answer.json.get("available_quantities", {}).get(str(product_id))
        if answer.status != 200 or not isinstance(units, int):
            raise StoryBroken(f"GET {API}{path} answered {answer.status} without a figure")
        if show:
            self._screen.brief(
                method="GET",
                path=API + path,
                status=answer.status,
                what=f"available units of {product_id}: {units}",
            )
        return units

    async def make_room(self, *, calls: int) -> None:
        """Wait, at most 70 s, until so many calls are left in the minute.

        For steps in which a pause for the limit would spoil what is shown.
        """
        for _ in range(ROOM_LOOKS_MAX):
            if self._calls_left is None or self._calls_left >= calls:
                return
            self._screen.progress(
                f"{self._calls_left} calls of the minute are left, waiting for {calls}"
            )
            await asyncio.sleep(ROOM_PAUSE_S)
            await self.send("GET", "/inventory", show=False)

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

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes
    ) -> tuple[Answer, float]:
        self.calls += 1
        started = time.perf_counter()
        try:
            async with self._http.request(
                method, self._base_url + path, headers=headers, data=data or None
            ) as response:
                body = await response.read()
                answer = Answer(status=response.status, headers=response.headers, body=body)
                left = response.headers.get("X-RateLimit-Remaining", "")
                self._calls_left = int(left) if left.isdigit() else None
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise StoryBroken(f"{method} {path} got no answer: {reason}") from error
        return answer, (time.perf_counter() - started) * 1000

    async def _wait_for_quota(self, answer: Answer) -> None:
        asked = answer.headers.get("Retry-After", "")
        wait_s = min(int(asked) if asked.isdigit() else 5, LIMITED_WAIT_S_MAX)
        for left_s in range(wait_s, 0, -1):
            self._screen.progress(f"429: this key's calls of the minute are used up, {left_s} s")
            await asyncio.sleep(1)

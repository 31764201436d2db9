"""One call with its tries: sends a request again as the contract allows, until its deadline."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

import aiohttp

from ota_client.errors import NoAnswer, error_of
from ota_client.exchange import Answer, Request, Watcher
from ota_client.positions import Positions
from ota_client.retrying import RetryPolicy, is_retryable

API = "/api/ota"
WRITES = frozenset({"POST", "DELETE"})
NO_ANSWER = "no answer in time"
POSITION = "OTA-Position"


class Caller:
    """Sends requests of one partner; *session* stays its maker's to close."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        url: str,
        api_key: str,
        retries: RetryPolicy,
        watcher: Watcher,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._retries = retries
        self._watcher = watcher
        self._random_share = random_share
        self._positions = Positions()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Request:
        """Return a request to *path*, below ``/api/ota``; a write gets an idempotency key."""
        found = {"X-API-Key": self._api_key, **(headers or {})}
        if method in WRITES:
            found["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        data = b""
        if body is not None:
            found["Content-Type"] = "application/json"
            data = json.dumps(body, ensure_ascii=False).encode()
        if position := self._positions.header:
            found[POSITION] = position
        return Request(method=method, path=API + path, headers=found, body=data)

    async def call(self, request: Request) -> Answer:
        """Return the answer to *request*, a success or 304; raises what is in `errors`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._retries.deadline_s
        tries = 0
        while True:
            tries += 1
            left_s = deadline - loop.time()
            outcome = await self._try(request, timeout_s=min(self._retries.try_s, left_s))
            answer = outcome if isinstance(outcome, Answer) else None
            if answer is not None:
                sent = request.headers.get(POSITION, "")
                self._positions.note(answer.headers.get(POSITION, ""), sent=sent)
                if answer.status < 300 or answer.status == 304:
                    return answer
                if sent and answer.json.get("parameter") == POSITION:
                    # Sealed under a key that the API has no more; nothing was done.
                    self._positions.forget(sent)
                    request = _without_position(request)
                    continue
                if not is_retryable(answer):
                    raise error_of(request, answer)
            reason = (answer.code or str(answer.status)) if answer else str(outcome) or NO_ANSWER
            pause_s = self._retries.pause_s(tries=tries, answer=answer, random=self._random_share)
            if loop.time() + pause_s >= deadline:
                if answer is not None:
                    raise error_of(request, answer)
                raise NoAnswer(f"{request.method} {request.path}: {reason}", request=request) from (
                    None if isinstance(outcome, Answer) else outcome
                )
            self._watcher.waiting(request, reason=reason, pause_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _try(
        self, request: Request, *, timeout_s: float
    ) -> Answer | aiohttp.ClientError | TimeoutError:
        self._watcher.sending(request)
        began = time.perf_counter()
        try:
            async with self._session.request(
                request.method,
                self._url + request.path,
                headers=request.headers,
                data=request.body or None,
                # A key must not follow a redirect to somebody else.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return error
        answer = Answer(
            status=response.status,
            headers=response.headers,
            body=body,
            elapsed_s=time.perf_counter() - began,
        )
        self._watcher.answered(request, answer)
        return answer


def _without_position(request: Request) -> Request:
    headers = {name: value for name, value in request.headers.items() if name != POSITION}
    return replace(request, headers=headers)

"""Calls of the load's partners: sent to any gateway, repeated until they are settled, recorded."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from chaos.history import History, kept
from chaos.model import Answer

API = "/api/ota"
TIMEOUT_S = 15.0
SETTLE_PAUSE_S = 0.5
REFUSED_REPEATS = 2
PAUSE_MAX_S = 6.0
SLOW_S = 2.0
SLOW_KEPT_MAX = 20_000
KEPT_HEADERS = (
    *("Location", "Retry-After", "OTA-Position", "OTA-Receipt", "Idempotent-Replayed"),
    *("X-Request-Id", "ETag", "X-RateLimit-Limit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A partner of the load."""

    name: str
    key: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One thing that a partner wants, whatever it takes."""

    partner: Partner
    op: str
    method: str
    path: str
    key: str | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    url: str = ""


class Caller:
    """Sends calls; keeps what the progress line and the final checks need."""

    def __init__(self, *, urls: list[str], history: History, dice: random.Random) -> None:
        self._urls = urls
        self._history = history
        self._dice = dice
        self._clients = 0
        self.session: aiohttp.ClientSession | None = None
        self.statuses: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.slow: list[dict[str, Any]] = []
        self.sent = 0
        self.open = 0
        self.give_up_at = float("inf")

    async def send(self, call: Call, *, client: str = "") -> Answer:
        """Send a call once; never raises for what the network does."""
        assert self.session is not None
        headers = {"X-API-Key": call.partner.key, **(call.headers or {})}
        if call.key is not None:
            headers["Idempotency-Key"] = call.key
        text = None if call.body is None else json.dumps(call.body, ensure_ascii=False)
        if text is not None:
            headers["Content-Type"] = "application/json"
        url = call.url or self._dice.choice(self._urls)
        line: dict[str, Any] = {
            "client": client or call.partner.name,
            "partner": call.partner.name,
            "op": call.op,
            "method": call.method,
            "path": call.path.partition("?")[0],
            "query": call.path.partition("?")[2],
            "key": call.key,
            "request": text,
            "request_headers": call.headers,
            "gateway": url.removeprefix("http://"),
            "invoked_ns": time.monotonic_ns(),
            "wall_ms": time.time_ns() // 1_000_000,
        }
        self.sent += 1
        self.open += 1
        answer = Answer(status=None)
        error: str | None = None
        raw = b""
        try:
            async with self.session.request(
                call.method, url + call.path, data=text, headers=headers
            ) as response:
                raw = await response.read()
                told = {
                    name: response.headers[name]
                    for name in KEPT_HEADERS
                    if name in response.headers
                }
                body = json.loads(raw) if raw else None
                answer = Answer(status=response.status, body=body, headers=told, at_s=time.time())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"[:200]
        finally:
            self.open -= 1
        self._record(line, answer, error, raw)
        return answer

    def _record(self, line: dict[str, Any], answer: Answer, error: str | None, raw: bytes) -> None:
        completed_ns = time.monotonic_ns()
        took_s = (completed_ns - line["invoked_ns"]) / 1e9
        self.statuses[str(answer.status or "none")] += 1
        if took_s >= SLOW_S and len(self.slow) < SLOW_KEPT_MAX:
            self.slow.append(
                {
                    **{name: line[name] for name in ("op", "path", "gateway", "invoked_ns")},
                    "completed_ns": completed_ns,
                    "status": answer.status,
                    "took_s": round(took_s, 3),
                }
            )
        self._history.add(
            {
                **line,
                "completed_ns": completed_ns,
                "status": answer.status,
                "body": kept(raw, mutation=line["method"] != "GET") if raw else None,
                "headers": dict(answer.headers),
                "error": error,
            }
        )

    async def settle(self, call: Call, *, client: str = "") -> Answer:
        """Send a call, with its key, until its outcome is known, or it was surely not carried out.

        What is still unknown when the run gives up comes back as unknown.
        """
        was_unknown, refused, attempts = False, 0, 0
        while True:
            answer = await self.send(call, client=client)
            if answer.unknown:
                was_unknown = True
                self.counts["unknown outcome"] += 1
            elif answer.not_done:
                refused += 1
                if answer.status == 503:
                    self.counts["shed 503"] += 1
                if not was_unknown and refused > REFUSED_REPEATS:
                    return answer
            else:
                if was_unknown and answer.status in (201, 204):
                    self.counts["unknown, then done with the same key"] += 1
                if answer.headers.get("Idempotent-Replayed") == "true":
                    self.counts["replayed"] += 1
                return answer
            if time.monotonic() > self.give_up_at:
                return answer
            pause_s = min(PAUSE_MAX_S, _pause_s(answer) * 1.5**attempts)
            await asyncio.sleep(pause_s * self._dice.uniform(0.8, 1.5))
            attempts += 1


def _pause_s(answer: Answer) -> float:
    told = answer.headers.get("Retry-After", "")
    return min(5.0, float(told)) if told.isdigit() else SETTLE_PAUSE_S

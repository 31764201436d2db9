"""A travel agency at the level of HTTP: calls the partner API of a running gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp

API: Final = "/api/ota"
TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 100

TEST_KEY: Final = "ota_test_key_12345"
PROD_KEY: Final = "ota_prod_key_67890"
FULL_KEY: Final = "ota_full_access_key_99999"
DIRECT_KEY: Final = "direct_web_key_11111"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Return the body's object."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def word(self) -> tuple[int, str]:
        """Return the status of a refusal with its error word."""
        return self.status, self.json["code"]

    @property
    def replayed(self) -> bool:
        """Return whether the answer had been given before."""
        return self.headers.get("Idempotent-Replayed") == "true"


@dataclass(frozen=True, slots=True)
class Agency:
    """A partner with its key, calling one gateway."""

    session: aiohttp.ClientSession
    url: str
    api_key: str | None

    def through(self, url: str) -> Agency:
        """Return the same partner, calling another gateway."""
        return replace(self, url=url)

    def with_key(self, api_key: str | None) -> Agency:
        """Return another partner, calling the same gateway."""
        return replace(self, api_key=api_key)

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> Answer:
        """Call an endpoint; *key* is the Idempotency-Key. Raises aiohttp.ClientError."""
        headers = {"X-API-Key": self.api_key} if self.api_key else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.session.request(
            method, f"{self.url}{API}{path}", json=body, headers=headers
        ) as response:
            return Answer(
                status=response.status, headers=response.headers, body=await response.read()
            )

    async def reserve(
        self, product_id: int, quantity: int, *, key: str | None = None, **fields: Any
    ) -> Answer:
        """Reserve units."""
        body = {"product_id": product_id, "quantity": quantity, **fields}
        return await self.call("POST", "/reserve", body, key=key)

    async def available(self, product_id: int) -> int:
        """Return how many units of a product this partner may hold now."""
        answer = await self.call("GET", f"/inventory?product_ids={product_id}")
        return int(answer.json["available_quantities"][str(product_id)])


@asynccontextmanager
async def open_agency(*, url: str, api_key: str) -> AsyncIterator[Agency]:
    """Give a partner with connections of its own."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
    ) as session:
        yield Agency(session, url, api_key)

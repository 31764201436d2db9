"""The benchmark's own partner and products: loaded when the stack does not have them yet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.settings import PARTNER_KEY, RUSH_PRODUCT, SECOND_PARTNER_KEY, SPREAD_PRODUCTS
from bench.stack import Stack, StackMissing

SEEDS = Path(__file__).parents[1] / "deploy" / "seed"
PARTNERS_FILE = SEEDS / "bench.toml"
CATALOGUE_FILE = SEEDS / "bench_catalogue.toml"
SEEN_TIMEOUT_S = 15
REQUEST_TIMEOUT_S = 10
PRODUCTS = (*SPREAD_PRODUCTS, RUSH_PRODUCT)


class Inventory:
    """Reads `GET /inventory` as the benchmark's partner."""

    def __init__(self, *, http: aiohttp.ClientSession, base_url: str) -> None:
        self._http = http
        self._url = f"{base_url}/api/ota/inventory"

    async def read(self, *, api_key: str = PARTNER_KEY) -> tuple[int, dict[str, Any]]:
        """Return status and body for the benchmark's products; raises StackMissing."""
        query = {"product_ids": ",".join(map(str, PRODUCTS))}
        headers = {"X-API-Key": api_key}
        try:
            async with self._http.get(self._url, params=query, headers=headers) as response:
                body = await response.json(content_type=None)
                return response.status, body if isinstance(body, dict) else {}
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise StackMissing(f"{self._url} gives no answer: {error!r}; run `make up`") from error

    async def available(self) -> dict[int, int]:
        """Return the available units of the benchmark's products; raises StackMissing."""
        status, body = await self.read()
        figures = body.get("available_quantities", {})
        if status != 200 or not all(str(product) in figures for product in PRODUCTS):
            raise StackMissing(f"{self._url} answers {status} without the benchmark's products")
        return {product: int(figures[str(product)]) for product in PRODUCTS}

    async def has_products(self) -> bool:
        """Say whether the first partner and its products are there."""
        status, body = await self.read()
        capacities = {
            row.get("product_id"): row.get("capacity", 0) for row in body.get("inventory", [])
        }
        return status == 200 and all(capacities.get(product) for product in PRODUCTS)

    async def is_seeded(self) -> bool:
        """Say whether partners and products are there."""
        second, _ = await self.read(api_key=SECOND_PARTNER_KEY)
        return second == 200 and await self.has_products()


async def ensure(*, stack: Stack, inventory: Inventory) -> bool:
    """Load the seeds unless they are loaded; return whether that was needed.

    Raises StackMissing when a command fails, or the gateway does not see them in 15 s.
    """
    if await inventory.is_seeded():
        return False
    if not await inventory.has_products():
        await stack.console("inventory", "load-catalogue", str(CATALOGUE_FILE))
    await stack.console("gateway", "load-partners", str(PARTNERS_FILE))
    deadline = time.monotonic() + SEEN_TIMEOUT_S
    while not await inventory.is_seeded():
        if time.monotonic() >= deadline:
            raise StackMissing(
                f"the gateway does not show partners and products after {SEEN_TIMEOUT_S} s"
            )
        await asyncio.sleep(0.25)
    return True

"""The catalogue that the gateway quotes and sells from: one version, replaced as a whole.

Earlier versions are read when a hold that was made in one is shown.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from libs.kernel.catalogue import AddOn, Catalogue, PoolPlan, PriceRules, Product
from services.gateway.domain.failure import StoreUnavailable

RETRY_S = 0.5


class CatalogueSource(Protocol):
    """The inventory service's published catalogue."""

    async def current_catalogue(self) -> Catalogue | None:
        """Return the current catalogue, None before the first; raises StoreUnavailable."""
        ...

    async def catalogue(self, version: int) -> Catalogue | None:
        """Return a published version, None if there is none; raises StoreUnavailable."""
        ...


class CatalogueView:
    """The newest catalogue known here, indexed for requests."""

    def __init__(self, *, source: CatalogueSource) -> None:
        self._source = source
        self._newer = asyncio.Event()
        self._wanted = 1
        self._products: dict[int, Product] = {}
        self._versions: dict[int, dict[int, Product]] = {}
        self._pools: dict[tuple[int, str], PoolPlan] = {}
        self._pools_by_number: dict[int, PoolPlan] = {}
        self._pools_by_product: dict[int, tuple[PoolPlan, ...]] = {}
        self.version = 0
        self.currency = ""
        self.addons: tuple[AddOn, ...] = ()

    @property
    def product_ids(self) -> tuple[int, ...]:
        """The ids of all products, in the catalogue's order."""
        return tuple(self._products)

    def product(self, product_id: int) -> Product | None:
        """Return a product, active or not."""
        return self._products.get(product_id)

    def pool(self, *, product_id: int, channel: str) -> PoolPlan | None:
        """Return the pool that a channel sells a product from."""
        return self._pools.get((product_id, channel))

    def pool_numbered(self, pool_no: int) -> PoolPlan | None:
        """Return the pool with that number."""
        return self._pools_by_number.get(pool_no)

    def pools_of(self, product_id: int) -> tuple[PoolPlan, ...]:
        """Return the pools of a product in all channels."""
        return self._pools_by_product.get(product_id, ())

    def pools_in(self, channel: str | None) -> tuple[PoolPlan, ...]:
        """Return the pools of a channel, or all of them."""
        return tuple(
            plan for plan in self._pools_by_number.values() if channel in (None, plan.channel)
        )

    def knows(self, version: int) -> bool:
        """Say whether a version is at hand."""
        return version in self._versions

    async def recall(self, version: int) -> None:
        """Have a published version at hand; raises StoreUnavailable."""
        if version in self._versions:
            return
        catalogue = await self._source.catalogue(version)
        if catalogue is None:
            raise LookupError(f"catalogue version {version} was never published")
        self._versions[version] = _by_id(catalogue)

    def prices(self, product_id: int, version: int) -> PriceRules:
        """Return a product's prices in a version that is at hand (`knows`, `recall`)."""
        return self._versions[version][product_id].prices

    def want(self, version: int) -> None:
        """Learn that *version* is the current one; `run` loads it."""
        if version > self._wanted:
            self._wanted = version
        if self._wanted > self.version:
            self._newer.set()

    def replace(self, catalogue: Catalogue) -> None:
        """Sell from *catalogue* from now on, unless it is older than the one held."""
        if catalogue.version < self.version:
            return
        self._products = self._versions[catalogue.version] = _by_id(catalogue)
        self._pools = {(plan.product_id, plan.channel): plan for plan in catalogue.pools}
        self._pools_by_number = {plan.pool_no: plan for plan in catalogue.pools}
        self._pools_by_product = {
            product_id: tuple(plan for plan in catalogue.pools if plan.product_id == product_id)
            for product_id in self._products
        }
        self.version = catalogue.version
        self.addons = catalogue.addons
        self.currency = catalogue.products[0].prices.currency if catalogue.products else "HKD"

    async def run(self) -> None:
        """Load whatever version is current, and again whenever a newer one is named."""
        self._newer.set()
        while True:
            await self._newer.wait()
            self._newer.clear()
            try:
                catalogue = await self._source.current_catalogue()
            except StoreUnavailable:
                catalogue = None
            if catalogue is not None:
                self.replace(catalogue)
            if self.version < self._wanted:
                self._newer.set()
                await asyncio.sleep(RETRY_S)


def _by_id(catalogue: Catalogue) -> dict[int, Product]:
    return {product.product_id: product for product in catalogue.products}

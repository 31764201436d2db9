"""Catalogue versions from inventory's read view."""

from __future__ import annotations

import asyncpg
from pydantic import TypeAdapter

from libs.kernel.catalogue import Catalogue, Product
from libs.runtime.postgres import acquire

_CATALOGUE = TypeAdapter(Catalogue)


class ViewCatalogues:
    """See `libs.events.ports.Catalogues`."""

    def __init__(self, inventory: asyncpg.Pool[asyncpg.Record]) -> None:
        self._inventory = inventory
        self._versions: dict[int, dict[int, Product]] = {}

    async def read(self, version: int) -> None:
        """See the Protocol."""
        if version in self._versions:
            return
        async with acquire(self._inventory) as connection:
            document = await connection.fetchval(
                "SELECT document FROM read_v1.catalogue WHERE version = $1", version
            )
        if document is None:
            raise LookupError(f"catalogue version {version} does not exist")
        products = _CATALOGUE.validate_json(document).products
        self._versions[version] = {product.product_id: product for product in products}

    def product(self, product_id: int, version: int) -> Product:
        """See the Protocol."""
        product = self._versions[version].get(product_id)
        if product is None:
            raise LookupError(f"product {product_id} is not in catalogue version {version}")
        return product

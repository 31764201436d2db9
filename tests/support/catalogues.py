"""Catalogue versions in the place of inventory's view."""

from __future__ import annotations

from libs.kernel.catalogue import Catalogue, Product
from tests.support import examples


class KeptCatalogues:
    """See `libs.events.ports.Catalogues`; remembers which versions were read."""

    def __init__(self, *catalogues: Catalogue) -> None:
        self._stored = {each.version: each for each in catalogues or (examples.CATALOGUE,)}
        self.read_versions: list[int] = []

    async def read(self, version: int) -> None:
        """See the Protocol."""
        if version not in self._stored:
            raise LookupError(version)
        self.read_versions.append(version)

    def product(self, product_id: int, version: int) -> Product:
        """See the Protocol."""
        assert version in self.read_versions
        return product_in(self._stored[version], product_id)


def product_in(catalogue: Catalogue, product_id: int) -> Product:
    """Return a product that must be there."""
    product = catalogue.product(product_id)
    assert product is not None, f"the catalogue has no product {product_id}"
    return product

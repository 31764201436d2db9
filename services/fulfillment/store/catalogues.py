"""Catalogue versions from inventory's read view."""

from __future__ import annotations

import asyncpg
from pydantic import TypeAdapter

from libs.kernel.catalogue import Catalogue
from libs.runtime.postgres import acquire

_CATALOGUE = TypeAdapter(Catalogue)


class ViewCatalogues:
    """See `services.fulfillment.app.behaviour.Catalogues`."""

    def __init__(self, inventory: asyncpg.Pool[asyncpg.Record]) -> None:
        self._inventory = inventory
        self._versions: dict[int, Catalogue] = {}

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
        self._versions[version] = _CATALOGUE.validate_json(document)

    def get(self, version: int) -> Catalogue:
        """See the Protocol."""
        return self._versions[version]

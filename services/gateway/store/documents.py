"""JSON columns of read views as values."""

from __future__ import annotations

from functools import lru_cache

from pydantic import TypeAdapter

from libs.events.contracts.inventory import Sealed
from libs.kernel.catalogue import Entitlement

_ENTITLEMENTS = TypeAdapter(tuple[Entitlement, ...])
_SEALED = TypeAdapter(Sealed)


@lru_cache(maxsize=512)
def entitlements_of(document: str) -> tuple[Entitlement, ...]:
    """Return what an order's tickets entitle to."""
    return _ENTITLEMENTS.validate_json(document)


def sealed_of(document: str) -> Sealed:
    """Return sealed personal data."""
    return _SEALED.validate_json(document)

"""The catalogue as values: products, their prices and entitlements, and the pools.

A catalogue is versioned data that travels in one event (`CataloguePublished`);
loading it from a file belongs to the inventory service.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """One thing a ticket entitles to, and how often."""

    function_code: str
    function_name: str
    max_uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialDate:
    """A date whose adult price is multiplied; 1500 permille is one and a half times."""

    on: date
    multiplier_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRules:
    """What a unit costs, in minor units of the currency (contract, section 3)."""

    rule_version: int
    currency: str
    adult_weekday_minor: int
    adult_weekend_minor: int
    child_minor: int
    elderly_minor: int
    special_dates: tuple[SpecialDate, ...] = ()
    holidays_are_weekend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A package that is sold, whatever the channel."""

    product_id: int
    name: str
    sku: str
    ticket_prefix: str
    active: bool
    prices: PriceRules
    entitlements: tuple[Entitlement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOn:
    """An add-on that the pricing API quotes and the venue sells."""

    addon_id: str
    name: str
    unit_price_minor: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """A pool's number, its place and its allotment.

    Number and partition are stored once and never change: reservation ids carry
    the number, topics the partition.
    """

    pool_no: int
    product_id: int
    channel: str
    partition: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything that is for sale, as of one version."""

    version: int
    products: tuple[Product, ...]
    addons: tuple[AddOn, ...]
    pools: tuple[PoolPlan, ...]

    def product(self, product_id: int) -> Product | None:
        """Return the product with that id, None if there is none."""
        return next((p for p in self.products if p.product_id == product_id), None)

"""What is for sale in the simulated world, who buys, and the keys of the installation."""

from __future__ import annotations

from datetime import UTC, date, datetime

from libs.kernel.catalogue import (
    Catalogue,
    Entitlement,
    PoolPlan,
    PriceRules,
    Product,
    SpecialDate,
)
from libs.kernel.ids import Numbers, command_id, reservation_id
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.partner import Caller

BEGINNING = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PARTITIONS = (0, 1)
SERVICES = ("inventory", "reservation", "fulfillment")
NUMBERS = Numbers(b"n" * 32)
HASHES = KeyedHashes(b"f" * 32)


def _product(product_id: int, name: str, weekday: int, weekend: int) -> Product:
    return Product(
        product_id=product_id,
        name=name,
        sku=f"CRUISE-{product_id}",
        ticket_prefix="CRUISE-2025-FERRY",
        active=True,
        prices=PriceRules(
            rule_version=1,
            currency="HKD",
            adult_weekday_minor=weekday,
            adult_weekend_minor=weekend,
            child_minor=18_800,
            elderly_minor=18_800,
            special_dates=(SpecialDate(on=date(2026, 12, 31), multiplier_permille=1500),),
        ),
        entitlements=(Entitlement(function_code="ferry", function_name="Ferry", max_uses=1),),
    )


CATALOGUE = Catalogue(
    version=1,
    products=(
        _product(106, "Premium Plan", 28_800, 31_800),
        _product(107, "Pet Plan", 18_800, 18_800),
    ),
    addons=(),
    pools=(
        PoolPlan(pool_no=1, product_id=106, channel="ota", partition=0, units=40),
        PoolPlan(pool_no=2, product_id=107, channel="ota", partition=1, units=24),
        PoolPlan(pool_no=3, product_id=106, channel="direct", partition=1, units=30),
    ),
)
POOLS = {plan.pool_no: plan for plan in CATALOGUE.pools}
_POOL_OF = {(plan.product_id, plan.channel): plan for plan in CATALOGUE.pools}

_ALL = frozenset({"inventory:read", "reserve:create", "reserve:activate", "orders:read"})
CALLERS = {
    partner_id: Caller(
        key_id=f"key-{partner_id}",
        partner_id=partner_id,
        name=partner_id,
        channel=channel,
        permissions=_ALL,
        calls_per_minute=1000,
        expires_at=None,
    )
    for partner_id, channel in (("north", "ota"), ("south", "ota"), ("web", "direct"))
}
PARTNERS = tuple(CALLERS)


def pool_of(partner_id: str, product_id: int) -> PoolPlan | None:
    """Return the pool from which a partner buys a product."""
    return _POOL_OF.get((product_id, CALLERS[partner_id].channel))


def written_id(partner_id: str, method: str, path: str, key: str) -> str:
    """Return the command id of a call, as the gateway's edge makes it."""
    return command_id(partner_id=partner_id, method=method, path=path, idempotency_key=key)


def hold_id(partner_id: str, key: str, product_id: int) -> str | None:
    """Return the id of the reservation that a reserve with this key makes, if any."""
    pool = pool_of(partner_id, product_id)
    if pool is None:
        return None
    id = written_id(partner_id, "POST", "/api/ota/reserve", key)
    return reservation_id(command_id=id, pool_no=pool.pool_no)

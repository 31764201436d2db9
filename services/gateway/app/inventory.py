"""What is for sale in the caller's channel, and how much of it: answered from memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json

from libs.kernel.catalogue import PoolPlan, Product
from libs.kernel.money import amount
from services.gateway.app import rendering
from services.gateway.app.availability import Availability
from services.gateway.app.call import Call
from services.gateway.app.catalogue import CatalogueView
from services.gateway.app.positions import PositionSeal
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.paging import (
    SIZE_MAX,
    AskedPage,
    finish_page,
    rows_of,
    start_page,
)
from services.gateway.domain.partner import ADMIN_READ
from services.gateway.domain.refusal import Refusal
from services.gateway.domain.stock import stock_status

_STATIC_PARTS_MAX = 256
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """An inventory answer and its entity tag, which changes with what it shows."""

    body: bytes
    etag: str


class Inventory:
    """The use cases around products and their stock."""

    def __init__(
        self,
        *,
        catalogue: CatalogueView,
        availability: Availability,
        hashes: KeyedHashes,
        seal: PositionSeal,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._availability = availability
        self._hashes = hashes
        self._seal = seal
        self._now = now
        self._static_parts: dict[tuple[int, tuple[int, ...]], bytes] = {}

    async def stock(self, call: Call, product_ids: Sequence[int] | None) -> Stock:
        """Return the stock of *product_ids*, or of all that the channel sells.

        Raises StoreUnavailable, ViewBehind.
        """
        channel = call.caller.channel
        plans = await self._known(call, channel)
        products, unknown = self._chosen(channel, product_ids, inactive=False)
        shown = [(product, *self._figures(product.product_id, channel)) for product in products]
        changing = to_json(
            {
                "available_quantities": {
                    str(product.product_id): available for product, available, _ in shown
                },
                "inventory": [
                    {
                        "product_id": product.product_id,
                        "name": product.name,
                        "sku": product.sku,
                        "available": available,
                        "capacity": capacity,
                        "status": stock_status(available=available, capacity=capacity),
                    }
                    for product, available, capacity in shown
                ],
                "unknown_product_ids": unknown,
            }
        )
        tag = hashlib.blake2b(
            changing + b"%d" % self._catalogue.version, digest_size=12
        ).hexdigest()
        partitions = {plan.partition for plan in plans}
        as_of = rendering.instant(self._availability.known_at(partitions) or self._now())
        position = self._seal.encode_marks(self._availability.heads(partitions))
        tail = f',"as_of":"{as_of}","position":"{position}"}}'
        body = changing[:-1] + b"," + self._static(products)[1:-1] + tail.encode()
        return Stock(body=body, etag=f'W/"{tag}"')

    async def products(
        self, call: Call, product_ids: Sequence[int] | None, page: AskedPage
    ) -> bytes | Refusal:
        """Return products and their stock by channel; raises StoreUnavailable, ViewBehind."""
        caller = call.caller
        scope = f"products/{caller.partner_id}/{product_ids}"
        request = start_page(hashes=self._hashes, scope=scope, asked=page, size_default=SIZE_MAX)
        if isinstance(request, Refusal):
            return request
        channel = None if caller.may((ADMIN_READ,)) else caller.channel
        await self._known(call, channel)
        chosen, unknown = self._chosen(channel, product_ids, inactive=True)
        shown = finish_page(
            hashes=self._hashes,
            scope=scope,
            request=request,
            rows=rows_of(
                request=request, rows=chosen, row_id=lambda product: str(product.product_id)
            ),
            total=len(chosen),
            place=lambda product: (_NO_TIME, str(product.product_id)),
        )
        rows = [self._product(product, channel) for product in shown.rows]
        return rendering.listing("products", rows, shown, unknown_product_ids=unknown)

    def _product(self, product: Product, channel: str | None) -> rendering.Json:
        pools = self._catalogue.pools_of(product.product_id)
        sold_in = [plan.channel for plan in pools] if channel is None else [channel]
        allocations: rendering.Json = {}
        for each in sold_in:
            available, allocated = self._figures(product.product_id, each)
            allocations[each] = {"allocated": allocated, "available": available}
        return {
            "product_id": product.product_id,
            "name": product.name,
            "sku": product.sku,
            "unit_price": amount(product.prices.adult_weekday_minor),
            "currency": product.prices.currency,
            "status": "active" if product.active else "inactive",
            "functions": rendering.functions(product),
            "channel_allocations": allocations,
        }

    async def _known(self, call: Call, channel: str | None) -> tuple[PoolPlan, ...]:
        """Wait until catalogue and figures may be shown to this caller; return the pools."""
        if not self._catalogue.version:
            raise StoreUnavailable("the catalogue is not loaded")
        plans = self._catalogue.pools_in(channel)
        await self._availability.wait(
            pools=[(plan.pool_no, plan.partition) for plan in plans],
            marks=call.marks,
            deadline=call.view_deadline,
        )
        return plans

    def _chosen(
        self, channel: str | None, product_ids: Sequence[int] | None, *, inactive: bool
    ) -> tuple[list[Product], list[int]]:
        """Return the products asked for, in that order, and the ids that are none.

        Unless asked for, those allotted to *channel* (None: to any channel).
        """
        if product_ids is None:
            allotted = [i for i in self._catalogue.product_ids if self._is_allotted(i, channel)]
            products = [self._catalogue.product(product_id) for product_id in sorted(allotted)]
            return [p for p in products if p is not None and (p.active or inactive)], []
        chosen: list[Product] = []
        unknown: list[int] = []
        for product_id in product_ids:
            product = self._catalogue.product(product_id)
            if product is None or not (product.active or inactive):
                unknown.append(product_id)
            else:
                chosen.append(product)
        return chosen, unknown

    def _is_allotted(self, product_id: int, channel: str | None) -> bool:
        return any(
            self._figures(product_id, plan.channel)[1] > 0
            for plan in self._catalogue.pools_of(product_id)
            if channel in (None, plan.channel)
        )

    def _figures(self, product_id: int, channel: str) -> tuple[int, int]:
        """Return what is available and the capacity; a pool that does not sell has nothing."""
        plan = self._catalogue.pool(product_id=product_id, channel=channel)
        figures = self._availability.figures(plan.pool_no) if plan is not None else None
        if figures is None:
            return 0, 0
        return (figures.available if figures.selling else 0), figures.allotted

    def _static(self, products: Sequence[Product]) -> bytes:
        """Return the parts that only a new catalogue changes, as one JSON object."""
        key = (self._catalogue.version, tuple(product.product_id for product in products))
        part = self._static_parts.get(key)
        if part is None:
            if len(self._static_parts) >= _STATIC_PARTS_MAX:
                self._static_parts.clear()
            part = self._static_parts[key] = to_json(
                {
                    "pricing_context": rendering.pricing_context(
                        products, currency=self._catalogue.currency
                    ),
                    "product_info": rendering.product_info(products),
                }
            )
        return part

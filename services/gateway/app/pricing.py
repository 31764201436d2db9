"""Prices for anybody: a product's rules, and what a visit would cost. Binds nobody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pydantic_core import to_json

from libs.kernel.catalogue import AddOn, Product
from libs.kernel.pricing import AddOnCount, CustomerCount, QuoteRefused, quote
from services.gateway.app import refusals, rendering
from services.gateway.app.catalogue import CatalogueView
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.refusal import Fault, Refusal

NOT_FOUND = Refusal(word="NOT_FOUND", detail="No product that is on sale has this id.")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRequest:
    """What a visit is to be priced for."""

    product_id: int
    booking_dates: tuple[date, ...]
    customers: tuple[CustomerCount, ...]
    addons: tuple[AddOnCount, ...]
    package_tier: str | None


class Pricing:
    """The use cases."""

    def __init__(self, *, catalogue: CatalogueView) -> None:
        self._catalogue = catalogue

    def rules(self, product_id: int) -> bytes | Refusal:
        """Return a product's price rules; raises StoreUnavailable."""
        product = self._on_sale(product_id)
        if product is None:
            return NOT_FOUND
        return to_json(rendering.price_rules(product, addons=self._catalogue.addons))

    def calculate(self, asked: QuoteRequest) -> bytes | Refusal:
        """Return what a visit costs and why; raises StoreUnavailable."""
        product = self._on_sale(asked.product_id)
        if product is None:
            return refusals.PRODUCT_NOT_FOUND
        if asked.package_tier is not None:
            return refusals.invalid_field("package_tier", "must be null: there are no tiers today")
        quoted = quote(
            rules=product.prices,
            known_addons=self._catalogue.addons,
            booking_dates=asked.booking_dates,
            customers=asked.customers,
            addons=asked.addons,
        )
        if isinstance(quoted, QuoteRefused):
            return _refused(quoted, addons=self._catalogue.addons)
        return to_json(rendering.quoted(quoted, product_id=product.product_id))

    def _on_sale(self, product_id: int) -> Product | None:
        if not self._catalogue.version:
            raise StoreUnavailable("the catalogue is not loaded")
        product = self._catalogue.product(product_id)
        return product if product is not None and product.active else None


def _refused(refused: QuoteRefused, *, addons: tuple[AddOn, ...]) -> Refusal:
    """Word the kernel's refusal; what is outside its rule by itself was refused before."""
    if refused.reason != "addon_unknown":
        raise ValueError(f"an entry got past its checks: {refused.reason}")
    known = ", ".join(addon.addon_id for addon in addons)
    rule = f"must be one of {known}" if known else "names nothing: there are no add-ons today"
    return Refusal(
        word="VALIDATION_ERROR",
        detail=f"addons.{refused.entry}.addon_id {rule}.",
        faults=(Fault(f"#/addons/{refused.entry}/addon_id", rule),),
    )

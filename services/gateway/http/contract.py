"""All endpoints of the partner port, and the document that is made of them."""

from __future__ import annotations

from typing import Any, cast

from services.gateway.app.cleanup import Cleanup
from services.gateway.app.inventory import Inventory
from services.gateway.app.orders import Orders
from services.gateway.app.pricing import Pricing
from services.gateway.app.receipts import Receipts
from services.gateway.app.reservation_reads import ReservationReads
from services.gateway.app.reservations import Reservations
from services.gateway.http.docs import docs_endpoints
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.endpoints import (
    HEALTH,
    InventoryEndpoints,
    OrderEndpoints,
    ReceiptEndpoints,
    ReservationEndpoints,
)
from services.gateway.http.openapi_document import openapi_document
from services.gateway.http.pricing import PricingEndpoints, Window


def contract_endpoints(
    *,
    inventory: Inventory,
    reservations: Reservations,
    reads: ReservationReads,
    cleanup: Cleanup,
    orders: Orders,
    receipts: Receipts,
    pricing: Pricing,
    window: Window,
) -> tuple[Endpoint, ...]:
    """Return every endpoint, in the order in which the document tells of them."""
    return (
        *InventoryEndpoints(inventory).endpoints(),
        *ReservationEndpoints(reservations=reservations, reads=reads, cleanup=cleanup).endpoints(),
        *OrderEndpoints(orders).endpoints(),
        *ReceiptEndpoints(receipts).endpoints(),
        *PricingEndpoints(pricing=pricing, window=window).endpoints(),
        HEALTH,
        *docs_endpoints(),
    )


def contract_document() -> dict[str, object]:
    """Return the document without a running gateway: to describe an endpoint calls nothing."""
    nobody = cast("Any", None)
    return openapi_document(
        contract_endpoints(
            inventory=nobody,
            reservations=nobody,
            reads=nobody,
            cleanup=nobody,
            orders=nobody,
            receipts=nobody,
            pricing=nobody,
            window=nobody,
        )
    )

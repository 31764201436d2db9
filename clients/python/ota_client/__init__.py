"""Async client of the OTA partner API. Start with `OtaClient`."""

from ota_client.client import OtaClient
from ota_client.errors import (
    AlreadyActivated,
    ApiError,
    CallFailed,
    NoAnswer,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    RateLimited,
    ReservationEnded,
    SoldOut,
    Unavailable,
    ValidationFailed,
)
from ota_client.exchange import Answer, Request, Watcher
from ota_client.records import (
    Customer,
    Entitlement,
    Inventory,
    Order,
    PriceLine,
    PriceSnapshot,
    Reservation,
    Stock,
    Ticket,
    UnitPrice,
)
from ota_client.retrying import RetryPolicy

__all__ = [
    "AlreadyActivated",
    "Answer",
    "ApiError",
    "CallFailed",
    "Customer",
    "Entitlement",
    "Inventory",
    "NoAnswer",
    "NotFound",
    "NotPermitted",
    "Order",
    "OtaClient",
    "OutcomeUnknown",
    "PriceLine",
    "PriceSnapshot",
    "RateLimited",
    "Request",
    "Reservation",
    "ReservationEnded",
    "RetryPolicy",
    "SoldOut",
    "Stock",
    "Ticket",
    "Unavailable",
    "UnitPrice",
    "ValidationFailed",
    "Watcher",
]

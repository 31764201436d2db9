"""The fulfillment service's entity tables."""

from __future__ import annotations

from pathlib import Path

from libs.events.postgres.tables import Table
from services.fulfillment.domain.order import Numbering, Order, Ticket

MIGRATIONS = Path(__file__).parent / "migrations"

TABLES = (
    Table(name="customer_order", kind=Order, key="order_id", kept_where="false"),
    Table(name="ticket", kind=Ticket, key="ticket_code", kept_where="false"),
    Table(name="numbering", kind=Numbering, key="name", kept_where="true"),
)

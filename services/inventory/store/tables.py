"""The ledger's entity tables."""

from __future__ import annotations

from pathlib import Path

from libs.events.postgres.tables import Table
from services.inventory.domain.ledger import Hold, PartnerCap, Pool, PublishedCatalogue

MIGRATIONS = Path(__file__).parent / "migrations"

TABLES = (
    Table(name="pool", kind=Pool, key="pool_no", kept_where="true"),
    Table(name="hold", kind=Hold, key="reservation_id", kept_where="status = 'held'"),
    Table(name="partner_cap", kind=PartnerCap, key="name", kept_where="true"),
    Table(name="catalogue", kind=PublishedCatalogue, key="version", kept_where="true"),
)

"""The reservation service's entity tables."""

from __future__ import annotations

from pathlib import Path

from libs.events.postgres.tables import Table
from services.reservation.domain.hold import Numbering, Reservation

MIGRATIONS = Path(__file__).parent / "migrations"

RESERVATIONS = Table(
    name="reservation", kind=Reservation, key="reservation_id", kept_where="status = 'active'"
)
TABLES = (RESERVATIONS, Table(name="numbering", kind=Numbering, key="name", kept_where="true"))

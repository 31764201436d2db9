"""Reservations that are not in memory: our own table, then the ledger's read view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from libs.events.envelope import Envelope
from libs.events.postgres.log import EVENT_COLUMNS, event_envelope
from libs.runtime.postgres import acquire
from services.reservation.domain.hold import Reservation
from services.reservation.store.tables import RESERVATIONS


class PostgresHoldsLookup:
    """See `services.reservation.app.behaviour.HoldsLookup`."""

    def __init__(
        self,
        *,
        own: asyncpg.Pool[asyncpg.Record],
        inventory: asyncpg.Pool[asyncpg.Record],
    ) -> None:
        self._own = own
        self._inventory = inventory

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        """See the Protocol."""
        async with acquire(self._own) as connection:
            rows = await connection.fetch(
                f"{RESERVATIONS.select} WHERE partition = $1 AND reservation_id = ANY($2::text[])",
                partition,
                list(reservation_ids),
            )
        found = [RESERVATIONS.entity(row) for row in rows]
        return [entity for entity in found if isinstance(entity, Reservation)]

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        """See the Protocol."""
        async with acquire(self._inventory) as connection:
            rows = await connection.fetch(
                f"SELECT {EVENT_COLUMNS} FROM read_v1.event"
                " WHERE subject = ANY($2::text[]) AND partition = $1"
                " AND type = 'ota.inventory.units_held' ORDER BY seq",
                partition,
                list(reservation_ids),
            )
        return [event_envelope(row, source="inventory") for row in rows]

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        """See the Protocol."""
        async with acquire(self._own) as connection:
            rows = await connection.fetch(
                "SELECT reservation_id, ledger_seq FROM reservation"
                " WHERE partition = $1 AND ledger_seq > $2",
                partition,
                ledger_seq,
            )
        return {row["reservation_id"]: row["ledger_seq"] for row in rows}

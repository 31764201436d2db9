"""Audit records in the gateway's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.gateway.domain.audit import AuditRow
from services.gateway.domain.records import Slice
from services.gateway.store.conditions import Conditions
from services.gateway.store.database import Pool, borrowed

_COLUMNS = ", ".join(AuditRow._fields)

# For a batch that is sent again because we did not hear of its commit: what is stored stays.
_ADD = f"""
INSERT INTO audit ({_COLUMNS})
SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::smallint[], $9::text[], $10::text[], $11::text[], $12::bool[],
                     $13::uuid[], $14::text[], $15::text[], $16::text[], $17::int[],
                     $18::smallint[], $19::bigint[], $20::bigint[])
    ON CONFLICT (at, row_id) DO NOTHING
"""

_IDS = ("request_id", "reservation_id", "order_id")
"""Columns of the index `audit_by_id`."""

_DELETE = "SELECT delete_old_audit_rows($1, $2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which rows are asked for; None is any.

    *since* is inside the period, *until* outside. *statuses* are half-open bounds.
    *before* is the place of a row: only what is older than that.
    """

    partner_id: str | None = None
    key_id: str | None = None
    request_id: str | None = None
    reservation_id: str | None = None
    order_id: str | None = None
    word: str | None = None
    address: str | None = None
    statuses: tuple[int, int] | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int] | None = None


class AuditStore:
    """Adds and deletes rows for `services.gateway.app.audit`, finds them for operators."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_rows(self, rows: Sequence[AuditRow]) -> None:
        """Store rows; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            try:
                # A third less work than an INSERT, on either side.
                await connection.copy_records_to_table(
                    "audit", records=rows, columns=AuditRow._fields
                )
            except asyncpg.UniqueViolationError:
                await connection.execute(_ADD, *map(list, zip(*rows, strict=True)))

    async def delete_old(self, *, older_than_days: int, rows_max: int) -> int:
        """Delete the oldest rows past their time; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            deleted: int = await connection.fetchval(_DELETE, older_than_days, rows_max)
            return deleted

    async def rows(self, which: AuditFilter, *, limit: int) -> Sequence[AuditRow]:
        """Return rows, newest first; raises StoreUnavailable."""
        where = Conditions()
        for column in _IDS:
            where.equal(column, getattr(which, column))
        named = f"SELECT {_COLUMNS} FROM audit {where}" if where.values else None
        rest = where if named is None else where.further()
        for column in ("partner_id", "key_id", "word", "address"):
            rest.equal(column, getattr(which, column))
        rest.period("at", which.since, which.until)
        if which.statuses is not None:
            rest.between("status", *which.statuses)
        rest.before("at", "row_id", which.before)
        query = (
            f"SELECT {_COLUMNS} FROM {'audit' if named is None else 'named'} {rest}"
            f" ORDER BY at DESC, row_id DESC {rest.limit(Slice(limit=limit))}"
        )
        async with borrowed(self._pool) as connection, connection.transaction(readonly=True):
            if named is not None:
                # The planner takes an index of block ranges for useless where values are scattered:
                # it knows nothing of Bloom filters.
                await connection.execute("SET LOCAL enable_seqscan = off")
                query = f"WITH named AS MATERIALIZED ({named}) {query}"
            found = await connection.fetch(query, *rest.values)
        return [AuditRow(**{**row, "command_id": _text(row["command_id"])}) for row in found]


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)

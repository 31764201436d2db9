"""Wrapped keys of personal data: the only copy there is (design, rule 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.records import NewKey, StoredKey
from services.gateway.store.database import Pool, borrowed

_STORED = """
SELECT key_id, wrapped, master_key_id, erased_at FROM personal_key WHERE key_id = ANY($1::uuid[])
"""

_ADD = f"""
WITH added AS (
    INSERT INTO personal_key
           (key_id, partner_id, reservation_id, wrapped, master_key_id, email_hash, phone_hash)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[],
                         $7::text[])
        ON CONFLICT (key_id) DO NOTHING
    RETURNING key_id, wrapped, master_key_id, erased_at
)
SELECT * FROM added UNION ALL {_STORED}
"""


class PersonalKeyStore:
    """See `KeyTable` and `KeyReader` in `services.gateway.app`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """Store new keys, return what is stored under all ids; raises StoreUnavailable."""
        new = {key.key_id: key for key in reversed(keys)}
        rows = new.values()
        async with borrowed(self._pool) as connection:
            stored = _by_id(
                await connection.fetch(
                    _ADD,
                    list(new),
                    [row.partner_id for row in rows],
                    [row.reservation_id for row in rows],
                    [row.wrapped for row in rows],
                    [row.master_key_id for row in rows],
                    [row.email_hash for row in rows],
                    [row.phone_hash for row in rows],
                )
            )
            # Another gateway stored them while we tried: our snapshot is older than its rows.
            if missing := [key_id for key_id in new if key_id not in stored]:
                stored |= _by_id(await connection.fetch(_STORED, missing))
        if len(stored) < len(new):
            raise StoreUnavailable("personal keys could not be stored")
        return stored

    async def stored_keys(self, key_ids: Sequence[str]) -> Mapping[str, StoredKey]:
        """Return those of the keys that are stored; raises StoreUnavailable."""
        if not key_ids:
            return {}
        async with borrowed(self._pool) as connection:
            return _by_id(await connection.fetch(_STORED, list(key_ids)))


def _by_id(rows: Iterable[asyncpg.Record]) -> dict[str, StoredKey]:
    return {
        str(row["key_id"]): StoredKey(
            wrapped=row["wrapped"],
            master_key_id=row["master_key_id"],
            erased_at=row["erased_at"],
        )
        for row in rows
    }

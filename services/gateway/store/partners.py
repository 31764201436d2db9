"""Partners and their keys as gateways read them, and when keys were last used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from services.gateway.domain.partner import Caller, DirectoryContent
from services.gateway.store.database import Pool, borrowed

_VERSION = "SELECT version FROM directory_version"

# One statement, so that version and keys are of one snapshot.
_CONTENT = """
SELECT v.version, k.key_hash, k.key_id, k.expires_at,
       p.partner_id, p.name, p.channel, p.permissions, p.calls_per_minute,
       p.suspended_at IS NOT NULL AS suspended, k.revoked_at IS NOT NULL AS revoked
  FROM directory_version v
  LEFT JOIN (api_key k JOIN partner p USING (partner_id)) ON true
"""

# In the order of the keys, so that two gateways do not wait for each other in a circle.
_NOTE_USES = """
INSERT INTO api_key_use AS known (key_id, last_used_at)
SELECT key_id, last_used_at
  FROM unnest($1::text[], $2::timestamptz[]) AS given (key_id, last_used_at)
 ORDER BY key_id
    ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at
 WHERE known.last_used_at < excluded.last_used_at
"""


class PartnerStore:
    """See `services.gateway.app.directory.DirectorySource`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self) -> int:
        """Return the directory's version; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            version: int = await connection.fetchval(_VERSION)
            return version

    async def content(self) -> DirectoryContent:
        """Return all keys; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_CONTENT)
        callers: dict[bytes, Caller] = {}
        revoked: dict[bytes, Caller] = {}
        for row in rows:
            if row["key_hash"] is not None:
                (revoked if row["revoked"] else callers)[row["key_hash"]] = _caller(row)
        return DirectoryContent(version=rows[0]["version"], callers=callers, revoked=revoked)

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Store when keys were last used, unless a later time is known; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            await connection.execute(_NOTE_USES, list(uses), list(uses.values()))


def _caller(row: asyncpg.Record) -> Caller:
    return Caller(
        key_id=row["key_id"],
        partner_id=row["partner_id"],
        name=row["name"],
        channel=row["channel"],
        permissions=frozenset(row["permissions"]),
        calls_per_minute=row["calls_per_minute"],
        expires_at=row["expires_at"],
        suspended=row["suspended"],
    )

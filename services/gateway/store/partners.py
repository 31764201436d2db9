"""Partners and their keys in the gateway's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.domain.partner import Caller, DirectoryContent
from services.gateway.store.database import Pool, borrowed

_VERSION = "SELECT version FROM directory_version"

# One statement, so that version and keys are of one snapshot.
_CONTENT = """
SELECT v.version, k.key_hash, k.key_id, k.expires_at,
       p.partner_id, p.name, p.channel, p.permissions, p.calls_per_minute
  FROM directory_version v
  LEFT JOIN (api_key k JOIN partner p USING (partner_id)) ON k.revoked_at IS NULL
"""

_PUT_PARTNERS = """
INSERT INTO partner (partner_id, name, channel, permissions, calls_per_minute)
SELECT partner_id, name, channel, string_to_array(permissions, ' '), calls_per_minute
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[])
       AS given (partner_id, name, channel, permissions, calls_per_minute)
    ON CONFLICT (partner_id) DO UPDATE
   SET name = excluded.name, channel = excluded.channel, permissions = excluded.permissions,
       calls_per_minute = excluded.calls_per_minute
"""

# A key that is stored stays as it is: a file does not bring a revoked key back.
_PUT_KEYS = """
INSERT INTO api_key (key_id, key_hash, partner_id)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[])
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRow:
    """A partner to store, with the hashes of its keys."""

    partner_id: str
    name: str
    channel: str
    permissions: tuple[str, ...]
    calls_per_minute: int
    key_hashes: tuple[bytes, ...] = field(repr=False)


class PartnerStore:
    """Reads and writes partners; see `services.gateway.app.directory.DirectorySource`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def version(self) -> int:
        """Return the directory's version; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            version: int = await connection.fetchval(_VERSION)
            return version

    async def content(self) -> DirectoryContent:
        """Return all valid keys; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_CONTENT)
        return DirectoryContent(
            version=rows[0]["version"],
            callers={
                row["key_hash"]: Caller(
                    key_id=row["key_id"],
                    partner_id=row["partner_id"],
                    name=row["name"],
                    channel=row["channel"],
                    permissions=frozenset(row["permissions"]),
                    calls_per_minute=row["calls_per_minute"],
                    expires_at=row["expires_at"],
                )
                for row in rows
                if row["key_hash"] is not None
            },
        )

    async def put(self, partners: Sequence[PartnerRow]) -> None:
        """Add or change partners and add their keys, all or nothing; raises StoreUnavailable."""
        keys = [(key, row.partner_id) for row in partners for key in row.key_hashes]
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(
                _PUT_PARTNERS,
                [row.partner_id for row in partners],
                [row.name for row in partners],
                [row.channel for row in partners],
                [" ".join(row.permissions) for row in partners],
                [row.calls_per_minute for row in partners],
            )
            await connection.execute(
                _PUT_KEYS,
                [f"key_{key.hex()[:16]}" for key, _ in keys],
                [key for key, _ in keys],
                [partner_id for _, partner_id in keys],
            )

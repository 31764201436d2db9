"""The partners' quotas in the gateway's database, each a row that one of its readers replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from pydantic_core import from_json, to_json

from services.gateway.domain.quota import UNUSED, Lease, Quota, StoredQuota
from services.gateway.store.database import Pool, borrowed

_READ = """
SELECT asked.partner_id, quota.version, quota.used_until, quota.used_calls, quota.leases,
       floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
  FROM unnest($1::text[]) AS asked (partner_id)
  LEFT JOIN quota USING (partner_id)
"""

# In the order of the partners, so that two gateways can't wait for each other.
_WRITE = """
INSERT INTO quota (partner_id, version, used_until, used_calls, leases)
SELECT partner_id, version + 1,
       ARRAY(SELECT jsonb_array_elements_text(until)::bigint),
       ARRAY(SELECT jsonb_array_elements_text(calls)::integer),
       leases
  FROM unnest($1::text[], $2::bigint[], $3::jsonb[], $4::jsonb[], $5::jsonb[])
       AS changed (partner_id, version, until, calls, leases)
 ORDER BY partner_id
    ON CONFLICT (partner_id) DO UPDATE
   SET version = excluded.version, used_until = excluded.used_until,
       used_calls = excluded.used_calls, leases = excluded.leases
 WHERE quota.version = excluded.version - 1
RETURNING partner_id
"""


class QuotaStore:
    """See `services.gateway.app.quotas.QuotaTable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read_quotas(self, partner_ids: Sequence[str]) -> Sequence[StoredQuota]:
        """Return what is stored, with the database's clock; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            return [_stored(row) for row in await connection.fetch(_READ, list(partner_ids))]

    async def write_quotas(self, changed: Sequence[StoredQuota]) -> frozenset[str]:
        """Store those that nobody else has changed; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(
                _WRITE,
                [each.partner_id for each in changed],
                [each.version for each in changed],
                [_json([until for until, _ in each.quota.used]) for each in changed],
                [_json([calls for _, calls in each.quota.used]) for each in changed],
                [_json([_row(lease) for lease in each.quota.leases]) for each in changed],
            )
        return frozenset(row["partner_id"] for row in rows)


def _stored(row: asyncpg.Record) -> StoredQuota:
    quota = UNUSED
    if row["version"] is not None:
        quota = Quota(
            used=tuple(zip(row["used_until"], row["used_calls"], strict=True)),
            leases=tuple(Lease(**lease) for lease in from_json(row["leases"])),
        )
    return StoredQuota(
        partner_id=row["partner_id"],
        version=row["version"] or 0,
        quota=quota,
        now_ms=row["now_ms"],
    )


def _row(lease: Lease) -> Mapping[str, Any]:
    return {
        "instance": lease.instance,
        "incarnation": lease.incarnation,
        "granted": lease.granted,
        "reported": lease.reported,
        "seen_ms": lease.seen_ms,
    }


def _json(value: object) -> str:
    return to_json(value).decode()

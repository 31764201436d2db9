"""Until when each partner was told of its expired holds."""

from __future__ import annotations

from datetime import datetime

from services.gateway.store.database import Pool, borrowed

_TOLD = "SELECT expired FROM cleanup_answer WHERE command_id = $1::uuid"
_MARK = "SELECT last_asked_at FROM cleanup_mark WHERE partner_id = $1"

# The mark moves only from where it was read; an answer is recorded only if it moved.
_TELL = """
WITH moved AS (
    INSERT INTO cleanup_mark AS mark (partner_id, last_asked_at) VALUES ($1, $5)
        ON CONFLICT (partner_id) DO UPDATE SET last_asked_at = excluded.last_asked_at
     WHERE mark.last_asked_at IS NOT DISTINCT FROM $4::timestamptz
    RETURNING partner_id
), forgotten AS (
    DELETE FROM cleanup_answer
     WHERE partner_id = $1 AND answered_at < clock_timestamp() - interval '7 days'
)
INSERT INTO cleanup_answer (command_id, partner_id, expired)
SELECT $2::uuid, partner_id, $3 FROM moved
    ON CONFLICT (command_id) DO NOTHING
RETURNING command_id
"""


class CleanupMarkStore:
    """See `services.gateway.app.cleanup.CleanupMarks`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def told(self, *, command_id: str) -> int | None:
        """Return what was answered to a command before; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            told: int | None = await connection.fetchval(_TOLD, command_id)
            return told

    async def mark(self, *, partner_id: str) -> datetime | None:
        """Return until when a partner was told; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            mark: datetime | None = await connection.fetchval(_MARK, partner_id)
            return mark

    async def tell(
        self,
        *,
        partner_id: str,
        command_id: str,
        expired: int,
        since: datetime | None,
        until: datetime | None,
    ) -> bool:
        """Record an answer and move the mark; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            told = await connection.fetchval(_TELL, partner_id, command_id, expired, since, until)
            return told is not None

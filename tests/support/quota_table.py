"""The partners' quotas in memory, with faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.quota import UNUSED, Quota, StoredQuota


@dataclass(slots=True)
class QuotaRows:
    """See `services.gateway.app.quotas.QuotaTable`.

    While *away* nothing is stored. While *forgetful* it is stored and the answer is lost.
    While *gate* is clear, questions wait.
    """

    now_ms: Callable[[], int]
    rows: dict[str, tuple[int, Quota]] = field(default_factory=dict)
    away: bool = False
    forgetful: bool = False
    gate: asyncio.Event | None = None
    reads: int = 0
    writes: int = 0

    async def read_quotas(self, partner_ids: Sequence[str]) -> Sequence[StoredQuota]:
        """Return what is stored."""
        self.reads += 1
        await self._pass()
        now_ms = self.now_ms()
        return [
            StoredQuota(
                partner_id=partner_id,
                version=self.rows.get(partner_id, (0, UNUSED))[0],
                quota=self.rows.get(partner_id, (0, UNUSED))[1],
                now_ms=now_ms,
            )
            for partner_id in partner_ids
        ]

    async def write_quotas(self, changed: Sequence[StoredQuota]) -> frozenset[str]:
        """Store those whose version is still the one that was read."""
        self.writes += 1
        await self._pass()
        written = set()
        for each in changed:
            if self.rows.get(each.partner_id, (0, UNUSED))[0] == each.version:
                self.rows[each.partner_id] = (each.version + 1, each.quota)
                written.add(each.partner_id)
        if self.forgetful:
            raise StoreUnavailable("the answer was lost")
        return frozenset(written)

    async def _pass(self) -> None:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreUnavailable("the database is away")

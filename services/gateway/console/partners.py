"""Partners, what they have used of their limits, and how their keys are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.gateway.domain.directory import Key, Partner
from services.gateway.domain.quota import LEASE_MS, StoredQuota
from services.gateway.store.directory import Look

ENDS_SOON = timedelta(days=7)
NEARLY_PERCENT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A key; *state* is a word that its colour repeats."""

    key: Key
    state: str
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerLine:
    """A partner; *used* calls counted in the last minute, *leased* ones gateways keep ready."""

    partner: Partner
    state: str
    used: int
    leased: int
    keys: Sequence[KeyLine]
    last_used_at: datetime | None

    @property
    def percent(self) -> float:
        """The part of the limit that is used."""
        return 100 * self.used / self.partner.calls_per_minute

    @property
    def pressure(self) -> str:
        """A word for how near the limit is."""
        if self.percent >= 100:
            return "at its limit"
        return "near its limit" if self.percent >= NEARLY_PERCENT else ""


def partner_lines(look: Look, quotas: Iterable[StoredQuota]) -> list[PartnerLine]:
    """Return all partners, those that use most of their limit first."""
    use = {quota.partner_id: calls_used(quota) for quota in quotas}
    lines = []
    for partner in look.state.partners.values():
        keys = [_key_line(look, key) for key in look.state.keys_of(partner.partner_id)]
        uses = [key.last_used_at for key in keys if key.last_used_at is not None]
        used, leased = use.get(partner.partner_id, (0, 0))
        lines.append(
            PartnerLine(
                partner=partner,
                state="suspended" if partner.suspended_at is not None else "active",
                used=used,
                leased=leased,
                keys=keys,
                last_used_at=max(uses, default=None),
            )
        )
    return sorted(lines, key=lambda line: (-line.percent, line.partner.partner_id))


def calls_used(stored: StoredQuota) -> tuple[int, int]:
    """Return the calls of the last minute that were reported, and those that gateways hold."""
    used = sum(calls for until, calls in stored.quota.used if until > stored.now_ms)
    leased = sum(
        lease.open for lease in stored.quota.leases if lease.seen_ms + LEASE_MS > stored.now_ms
    )
    return used, leased


def _key_line(look: Look, key: Key) -> KeyLine:
    if key.revoked_at is not None:
        state = "revoked"
    elif not key.active(look.now):
        state = "ended"
    elif key.expires_at is not None and key.expires_at - look.now < ENDS_SOON:
        state = "ends soon"
    else:
        state = "active"
    return KeyLine(key=key, state=state, last_used_at=look.used_at.get(key.key_id))

"""Partners as a request sees them: one caller, its channel and what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

INVENTORY_READ = "inventory:read"
RESERVE_CREATE = "reserve:create"
RESERVE_ACTIVATE = "reserve:activate"
ORDERS_READ = "orders:read"
ADMIN_READ = "admin:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A partner behind one valid key; *key_id* names the key and is no secret.

    A *suspended* partner may do nothing.
    """

    key_id: str
    partner_id: str
    name: str
    channel: str
    permissions: frozenset[str]
    calls_per_minute: int
    expires_at: datetime | None
    suspended: bool = False

    def may(self, any_of: tuple[str, ...]) -> bool:
        """Say whether the caller has one of the permissions; no names need none."""
        return not any_of or not self.permissions.isdisjoint(any_of)


@dataclass(frozen=True, slots=True)
class Ended:
    """A key that was revoked or is past its end; *caller* is for the record, never let in."""

    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryContent:
    """All keys by their hash, as of one version of the directory; *revoked* are good no longer."""

    version: int
    callers: Mapping[bytes, Caller]
    revoked: Mapping[bytes, Caller] = field(default_factory=dict)

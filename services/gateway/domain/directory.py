"""Partners and their keys: what happened, the state made from it, and what may be done.

Event classes are a storage format (`directory_event`): names and fields are for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never, get_args

Permission = Literal[
    "inventory:read",
    "reserve:create",
    "reserve:activate",
    "orders:read",
    "tickets:bulk-generate",
    "tickets:activate",
    "admin:read",
    "admin:partners:list",
]
PERMISSIONS: tuple[str, ...] = get_args(Permission)

PARTNER_ID_FORM = r"^[a-z][a-z0-9_]{1,63}$"
CHANNEL_FORM = r"^[a-z][a-z0-9-]{0,30}$"
NAME_FORM = r"^(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}(?<!\s)$"


# --- What happened ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRegistered:
    """A partner may have keys from now on; its channel is fixed for good."""

    partner_id: str
    name: str
    channel: str
    permissions: tuple[str, ...]
    calls_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerChanged:
    """Name, permissions and limit of a partner as they are from now on."""

    partner_id: str
    name: str
    permissions: tuple[str, ...]
    calls_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerSuspended:
    """All keys of a partner are refused until it is resumed."""

    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerResumed:
    """A suspended partner's keys are good again."""

    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIssued:
    """A partner got a key; *key_hash* is its keyed hash in hexadecimal."""

    partner_id: str
    key_id: str
    key_hash: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExpirySet:
    """A key ends at *expires_at*, or never."""

    partner_id: str
    key_id: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked:
    """A key has ended, for good."""

    partner_id: str
    key_id: str


Event: TypeAlias = (
    PartnerRegistered
    | PartnerChanged
    | PartnerSuspended
    | PartnerResumed
    | KeyIssued
    | KeyExpirySet
    | KeyRevoked
)


# --- The state -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A partner as of the last event."""

    partner_id: str
    name: str
    channel: str
    permissions: tuple[str, ...]
    calls_per_minute: int
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as of the last event."""

    key_id: str
    key_hash: str
    partner_id: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def active(self, now: datetime) -> bool:
        """Say whether the key is good now, its partner's suspension aside."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class DirectoryState:
    """All partners and keys by their ids; filled by `evolve`, read by `decide`."""

    def __init__(self, *, partners: Iterable[Partner] = (), keys: Iterable[Key] = ()) -> None:
        self.partners = {partner.partner_id: partner for partner in partners}
        self.keys: dict[str, Key] = {}
        self._keys_of: dict[str, list[str]] = {}
        self._id_by_hash: dict[str, str] = {}
        for key in keys:
            self.put_key(key)

    def put_key(self, key: Key) -> None:
        """Take in a new or changed key."""
        if key.key_id not in self.keys:
            self._keys_of.setdefault(key.partner_id, []).append(key.key_id)
            self._id_by_hash[key.key_hash] = key.key_id
        self.keys[key.key_id] = key

    def keys_of(self, partner_id: str) -> list[Key]:
        """Return all keys that a partner ever had."""
        return [self.keys[key_id] for key_id in self._keys_of.get(partner_id, ())]

    def active_keys(self, partner_id: str, now: datetime) -> list[Key]:
        """Return the keys of a partner that are good now."""
        return [key for key in self.keys_of(partner_id) if key.active(now)]

    def has_hash(self, key_hash: str) -> bool:
        """Say whether a key with this hash was ever issued."""
        return key_hash in self._id_by_hash


def evolve(state: DirectoryState, event: Event, *, at: datetime) -> None:
    """Take an event of time *at* into the state."""
    match event:
        case PartnerRegistered():
            state.partners[event.partner_id] = Partner(
                partner_id=event.partner_id,
                name=event.name,
                channel=event.channel,
                permissions=event.permissions,
                calls_per_minute=event.calls_per_minute,
                created_at=at,
            )
        case PartnerChanged():
            state.partners[event.partner_id] = replace(
                state.partners[event.partner_id],
                name=event.name,
                permissions=event.permissions,
                calls_per_minute=event.calls_per_minute,
            )
        case PartnerSuspended():
            before = state.partners[event.partner_id]
            state.partners[event.partner_id] = replace(before, suspended_at=at)
        case PartnerResumed():
            before = state.partners[event.partner_id]
            state.partners[event.partner_id] = replace(before, suspended_at=None)
        case KeyIssued():
            state.put_key(
                Key(
                    key_id=event.key_id,
                    key_hash=event.key_hash,
                    partner_id=event.partner_id,
                    created_at=at,
                    expires_at=event.expires_at,
                )
            )
        case KeyExpirySet():
            state.put_key(replace(state.keys[event.key_id], expires_at=event.expires_at))
        case KeyRevoked():
            state.put_key(replace(state.keys[event.key_id], revoked_at=at))
        case _:
            assert_never(event)

"""What may be done to partners and keys. A refusal is a value; a repeat changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, assert_never

from services.gateway.domain.directory import (
    CHANNEL_FORM,
    NAME_FORM,
    PARTNER_ID_FORM,
    PERMISSIONS,
    DirectoryState,
    Event,
    Key,
    KeyExpirySet,
    KeyIssued,
    KeyRevoked,
    Partner,
    PartnerChanged,
    PartnerRegistered,
    PartnerResumed,
    PartnerSuspended,
    evolve,
)

ACTIVE_KEYS_MAX = 2
"""One in use, and one that takes its place."""
CALLS_PER_MINUTE_MAX = 10_000_000
OVERLAP_MAX = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterPartner:
    """Let a partner have keys."""

    partner_id: str
    name: str
    channel: str
    permissions: tuple[str, ...]
    calls_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePartner:
    """Change what is given; a *channel* other than the partner's is refused."""

    partner_id: str
    name: str | None = None
    channel: str | None = None
    permissions: tuple[str, ...] | None = None
    calls_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendPartner:
    """Refuse all keys of a partner from now on."""

    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePartner:
    """Take a suspended partner's keys again."""

    partner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueKey:
    """Give a partner one more key."""

    partner_id: str
    key_id: str
    key_hash: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKey:
    """Give a partner a new key and let its only other one end after *overlap*."""

    partner_id: str
    key_id: str
    key_hash: str
    expires_at: datetime | None
    overlap: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKeyExpiry:
    """Let a key end at *expires_at*, or never."""

    key_id: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey:
    """End a key now, for good."""

    key_id: str


Command: TypeAlias = (
    RegisterPartner
    | ChangePartner
    | SuspendPartner
    | ResumePartner
    | IssueKey
    | RotateKey
    | SetKeyExpiry
    | RevokeKey
)

Reason = Literal[
    "partner_exists",
    "partner_unknown",
    "partner_id_has_wrong_form",
    "name_has_wrong_form",
    "channel_has_wrong_form",
    "channel_is_fixed",
    "permission_unknown",
    "limit_out_of_range",
    "key_unknown",
    "key_is_taken",
    "key_has_ended",
    "expiry_is_past",
    "overlap_out_of_range",
    "too_many_active_keys",
    "no_active_key",
]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a change was not made, and what the operator can do."""

    reason: Reason
    detail: str


def decide_all(
    state: DirectoryState, commands: Iterable[Command], *, now: datetime
) -> tuple[Event, ...] | Refused:
    """Decide commands one upon the other, all or nothing; *state* goes along."""
    happened: list[Event] = []
    for command in commands:
        decided = decide(state, command, now=now)
        if isinstance(decided, Refused):
            return decided
        for event in decided:
            evolve(state, event, at=now)
        happened += decided
    return tuple(happened)


def decide(
    state: DirectoryState, command: Command, *, now: datetime
) -> tuple[Event, ...] | Refused:
    """Decide one command; no events if it changes nothing."""
    match command:
        case RegisterPartner():
            return _register(state, command)
        case SetKeyExpiry() | RevokeKey():
            key = state.keys.get(command.key_id)
            if key is None:
                return Refused(
                    "key_unknown", f"There is no key {command.key_id}; see ota-admin key list."
                )
            return _end_key(key, command, now)
        case ChangePartner() | SuspendPartner() | ResumePartner() | IssueKey() | RotateKey():
            partner = state.partners.get(command.partner_id)
            if partner is None:
                return Refused(
                    "partner_unknown",
                    f"There is no partner {command.partner_id}; see ota-admin partner list.",
                )
            return _of_partner(state, partner, command, now)
        case _:
            assert_never(command)


def _of_partner(
    state: DirectoryState,
    partner: Partner,
    command: ChangePartner | SuspendPartner | ResumePartner | IssueKey | RotateKey,
    now: datetime,
) -> tuple[Event, ...] | Refused:
    match command:
        case ChangePartner():
            return _change(partner, command)
        case SuspendPartner():
            suspended = PartnerSuspended(partner_id=partner.partner_id)
            return () if partner.suspended_at is not None else (suspended,)
        case ResumePartner():
            resumed = PartnerResumed(partner_id=partner.partner_id)
            return () if partner.suspended_at is None else (resumed,)
        case IssueKey():
            return _issue(state, command, now)
        case RotateKey():
            return _rotate(state, command, now)
        case _:
            assert_never(command)


def _register(state: DirectoryState, command: RegisterPartner) -> tuple[Event, ...] | Refused:
    """Refuse in this order: id, name, channel, permissions, limit, a partner that is there."""
    if not re.fullmatch(PARTNER_ID_FORM, command.partner_id):
        return Refused(
            "partner_id_has_wrong_form",
            "A partner id has 2 to 64 of the characters a-z, 0-9 and _, and begins with a letter.",
        )
    if refused := _refuse_values(
        name=command.name,
        channel=command.channel,
        permissions=command.permissions,
        calls_per_minute=command.calls_per_minute,
    ):
        return refused
    if command.partner_id in state.partners:
        return Refused(
            "partner_exists",
            f"There is a partner {command.partner_id}; to change it: ota-admin partner change.",
        )
    registered = PartnerRegistered(
        partner_id=command.partner_id,
        name=command.name,
        channel=command.channel,
        permissions=_in_order(command.permissions),
        calls_per_minute=command.calls_per_minute,
    )
    return (registered,)


def _change(partner: Partner, command: ChangePartner) -> tuple[Event, ...] | Refused:
    """Refuse in this order: another channel, name, permissions, limit."""
    if command.channel not in (None, partner.channel):
        return Refused(
            "channel_is_fixed",
            f"The channel of {partner.partner_id} is {partner.channel} for good;"
            " register a second partner for another channel.",
        )
    name = partner.name if command.name is None else command.name
    permissions = partner.permissions if command.permissions is None else command.permissions
    calls = command.calls_per_minute
    calls_per_minute = partner.calls_per_minute if calls is None else calls
    if refused := _refuse_values(
        name=name,
        channel=partner.channel,
        permissions=permissions,
        calls_per_minute=calls_per_minute,
    ):
        return refused
    if (name, set(permissions), calls_per_minute) == (
        partner.name,
        set(partner.permissions),
        partner.calls_per_minute,
    ):
        return ()
    changed = PartnerChanged(
        partner_id=partner.partner_id,
        name=name,
        permissions=_in_order(permissions),
        calls_per_minute=calls_per_minute,
    )
    return (changed,)


def _refuse_values(
    *, name: str, channel: str, permissions: tuple[str, ...], calls_per_minute: int
) -> Refused | None:
    if not re.fullmatch(NAME_FORM, name):
        return Refused(
            "name_has_wrong_form",
            "A name has 1 to 100 characters on one line, no space at its ends.",
        )
    if not re.fullmatch(CHANNEL_FORM, channel):
        return Refused(
            "channel_has_wrong_form",
            "A channel has up to 31 of the characters a-z, 0-9 and -, and begins with a letter.",
        )
    if unknown := sorted(set(permissions) - set(PERMISSIONS)):
        return Refused(
            "permission_unknown",
            f"There is no permission {unknown[0]}; there are: {', '.join(PERMISSIONS)}.",
        )
    if not 1 <= calls_per_minute <= CALLS_PER_MINUTE_MAX:
        return Refused(
            "limit_out_of_range", f"A limit is 1 to {CALLS_PER_MINUTE_MAX} calls a minute."
        )
    return None


def _issue(
    state: DirectoryState, command: IssueKey | RotateKey, now: datetime
) -> tuple[Event, ...] | Refused:
    """Refuse in this order: expiry, a key that is there, two active keys."""
    if command.expires_at is not None and command.expires_at <= now:
        return Refused("expiry_is_past", "A key must end later than now.")
    if command.key_id in state.keys or state.has_hash(command.key_hash):
        return Refused("key_is_taken", f"The key {command.key_id} was issued before.")
    active = state.active_keys(command.partner_id, now)
    if len(active) >= ACTIVE_KEYS_MAX:
        ids = " and ".join(key.key_id for key in active)
        return Refused(
            "too_many_active_keys",
            f"{command.partner_id} has {len(active)} active keys, {ids}; more than"
            f" {ACTIVE_KEYS_MAX} are not allowed: wait until one ends, or ota-admin key revoke.",
        )
    issued = KeyIssued(
        partner_id=command.partner_id,
        key_id=command.key_id,
        key_hash=command.key_hash,
        expires_at=command.expires_at,
    )
    return (issued,)


def _rotate(
    state: DirectoryState, command: RotateKey, now: datetime
) -> tuple[Event, ...] | Refused:
    """Refuse in this order: overlap, no active key, what forbids a new key."""
    if not timedelta(0) <= command.overlap <= OVERLAP_MAX:
        return Refused("overlap_out_of_range", f"An overlap is 0 to {OVERLAP_MAX.days} days.")
    active = state.active_keys(command.partner_id, now)
    if not active:
        return Refused(
            "no_active_key",
            f"{command.partner_id} has no active key to end: ota-admin key issue"
            f" {command.partner_id}.",
        )
    issued = _issue(state, command, now)
    if isinstance(issued, Refused):
        return issued
    old, ends_at = active[0], now + command.overlap
    if old.expires_at is not None and old.expires_at <= ends_at:
        return issued
    ends = KeyExpirySet(partner_id=old.partner_id, key_id=old.key_id, expires_at=ends_at)
    return (*issued, ends)


def _end_key(
    key: Key, command: SetKeyExpiry | RevokeKey, now: datetime
) -> tuple[Event, ...] | Refused:
    """Refuse in this order: a key that has ended, an expiry that is past."""
    if isinstance(command, RevokeKey):
        revoked = KeyRevoked(partner_id=key.partner_id, key_id=key.key_id)
        return () if key.revoked_at is not None else (revoked,)
    if not key.active(now):
        return Refused(
            "key_has_ended",
            f"The key {key.key_id} has ended for good: ota-admin key issue {key.partner_id}.",
        )
    if command.expires_at is not None and command.expires_at <= now:
        return Refused("expiry_is_past", "A key must end later than now; or ota-admin key revoke.")
    if command.expires_at == key.expires_at:
        return ()
    ends = KeyExpirySet(partner_id=key.partner_id, key_id=key.key_id, expires_at=command.expires_at)
    return (ends,)


def _in_order(permissions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in PERMISSIONS if each in permissions)

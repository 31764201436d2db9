"""The record of partners and keys: events under one lock, and the tables made from them.

A change is one transaction: lock the version, decide on the state as it is then, append
the events (their numbers are the versions), write the rows that they change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, cast

import asyncpg
from pydantic_core import to_json

from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash
from libs.events.registry import Message, Registry, Unreadable
from services.gateway.domain.directory import (
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
from services.gateway.domain.directory_decisions import Refused
from services.gateway.store.database import Connection, Pool, borrowed

Decide: TypeAlias = Callable[[DirectoryState, datetime], tuple[Event, ...] | Refused]

EVENTS = Registry(
    Message(name=f"ota.gateway.{name}", version=1, shape=shape)
    for name, shape in (
        ("partner_registered", PartnerRegistered),
        ("partner_changed", PartnerChanged),
        ("partner_suspended", PartnerSuspended),
        ("partner_resumed", PartnerResumed),
        ("key_issued", KeyIssued),
        ("key_expiry_set", KeyExpirySet),
        ("key_revoked", KeyRevoked),
    )
)

_LOCK = "SELECT version FROM directory_version FOR UPDATE"
_LAST = "SELECT hash, at FROM directory_event WHERE seq = $1"
# Never back, so that the order of times is the order of events.
_NOW = "SELECT greatest(clock_timestamp(), $1::timestamptz)"
_RAISE = "UPDATE directory_version SET version = $1"

_APPEND = """
INSERT INTO directory_event
       (seq, type, version, partner_id, data, actor, at, previous_hash, hash)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::json[],
                     $6::text[], $7::timestamptz[], $8::bytea[], $9::bytea[])
"""

_RECORDED = """
SELECT seq, type, version, partner_id, data, actor, at, previous_hash, hash FROM directory_event
"""

_PARTNERS = """
SELECT partner_id, name, channel, permissions, calls_per_minute, created_at, suspended_at
  FROM partner ORDER BY partner_id
"""
_KEYS = """
SELECT key_id, encode(key_hash, 'hex') AS key_hash, partner_id, created_at, expires_at, revoked_at
  FROM api_key ORDER BY created_at, key_id
"""
_USES = "SELECT key_id, last_used_at FROM api_key_use"

# The application role may change only these columns.
_PUT_PARTNERS = """
INSERT INTO partner
       (partner_id, name, channel, permissions, calls_per_minute, created_at, suspended_at)
SELECT partner_id, name, channel, string_to_array(permissions, ' '), calls_per_minute, created_at,
       suspended_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[],
              $7::timestamptz[])
       AS given (partner_id, name, channel, permissions, calls_per_minute, created_at, suspended_at)
    ON CONFLICT (partner_id) DO UPDATE
   SET name = excluded.name, permissions = excluded.permissions,
       calls_per_minute = excluded.calls_per_minute, suspended_at = excluded.suspended_at
"""
_PUT_KEYS = """
INSERT INTO api_key (key_id, key_hash, partner_id, created_at, expires_at, revoked_at)
SELECT key_id, decode(key_hash, 'hex'), partner_id, created_at, expires_at, revoked_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
              $6::timestamptz[])
       AS given (key_id, key_hash, partner_id, created_at, expires_at, revoked_at)
    ON CONFLICT (key_id) DO UPDATE
   SET expires_at = excluded.expires_at, revoked_at = excluded.revoked_at
"""


class DirectoryBroken(Exception):
    """The record contradicts itself; the message says where. Restore it from a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event with what was stored beside it."""

    seq: int
    event: Event
    actor: str
    at: datetime
    previous_hash: bytes
    hash: bytes
    expected_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The directory at one moment, with when each key was last used."""

    state: DirectoryState
    used_at: Mapping[str, datetime]
    now: datetime


class DirectoryStore:
    """Changes and reads the directory for operators; gateways read it by `PartnerStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def change(self, decide: Decide, *, actor: str) -> tuple[Event, ...] | Refused:
        """Decide on the state as of now, record the events; raises StoreUnavailable.

        *decide* takes the events into the state that it is given.
        """
        async with borrowed(self._pool) as connection, connection.transaction():
            version: int = await connection.fetchval(_LOCK)
            last = await connection.fetchrow(_LAST, version)
            now: datetime = await connection.fetchval(_NOW, last and last["at"])
            state = await _stored_state(connection)
            events = decide(state, now)
            if isinstance(events, Refused) or not events:
                return events
            previous = last["hash"] if last else GENESIS
            await _append(connection, version, previous, events, actor=actor, at=now)
            await _put(connection, state, events)
            await connection.execute(_RAISE, version + len(events))
            return events

    async def look(self) -> Look:
        """Return all partners and keys as of now; raises StoreUnavailable."""
        async with borrowed(self._pool) as connection:
            return Look(
                state=await _stored_state(connection),
                used_at={
                    row["key_id"]: row["last_used_at"] for row in await connection.fetch(_USES)
                },
                now=await connection.fetchval(_NOW, None),
            )

    async def recorded(self, *, partner_id: str, limit: int) -> list[Recorded]:
        """Return a partner's newest events, newest first; raises StoreUnavailable."""
        query = f"{_RECORDED} WHERE partner_id = $1 ORDER BY seq DESC LIMIT $2"
        async with borrowed(self._pool) as connection:
            return [_recorded(row) for row in await connection.fetch(query, partner_id, limit)]

    async def check(self) -> int:
        """Follow the record from its beginning and compare the tables; return its length.

        Raises DirectoryBroken naming the first contradiction, StoreUnavailable.
        """
        async with borrowed(self._pool) as connection, connection.transaction():
            version: int = await connection.fetchval(_LOCK)
            made = await _made_state(connection, version)
            stored = await _stored_state(connection)
        if different := sorted(
            id
            for made_rows, stored_rows in (
                (made.partners, stored.partners),
                (made.keys, stored.keys),
            )
            for id in made_rows.keys() | stored_rows.keys()
            if made_rows.get(id) != stored_rows.get(id)
        ):
            raise DirectoryBroken(
                f"the row of {different[0]} is not what the record says"
                f" ({len(different)} such rows): ota-admin directory rebuild"
            )
        return version

    async def rebuild(self) -> int:
        """Make the tables anew from the record; return its length.

        Only the owner's role may do it. The version stays, so gateways that run see it when
        they start or with the next change. Raises DirectoryBroken, StoreUnavailable.
        """
        async with borrowed(self._pool) as connection, connection.transaction():
            version: int = await connection.fetchval(_LOCK)
            made = await _made_state(connection, version)
            await connection.execute("DELETE FROM api_key")
            await connection.execute("DELETE FROM partner")
            await _put_rows(connection, list(made.partners.values()), list(made.keys.values()))
            return version


async def _stored_state(connection: Connection) -> DirectoryState:
    return DirectoryState(
        partners=[
            Partner(**{**row, "permissions": tuple(row["permissions"])})
            for row in await connection.fetch(_PARTNERS)
        ],
        keys=[Key(**row) for row in await connection.fetch(_KEYS)],
    )


async def _made_state(connection: Connection, version: int) -> DirectoryState:
    """Fold the record; raises DirectoryBroken."""
    state, previous, expected_seq = DirectoryState(), GENESIS, 0
    for row in await connection.fetch(f"{_RECORDED} ORDER BY seq"):
        expected_seq += 1
        if row["seq"] != expected_seq:
            raise DirectoryBroken(f"event {expected_seq} is missing")
        recorded = _recorded(row)
        if recorded.previous_hash != previous or recorded.hash != recorded.expected_hash:
            raise DirectoryBroken(f"event {expected_seq} or the one before it was changed")
        evolve(state, recorded.event, at=recorded.at)
        previous = recorded.hash
    if expected_seq != version:
        raise DirectoryBroken(f"the version is {version}, the last event {expected_seq}")
    return state


async def _append(
    connection: Connection,
    version: int,
    previous: bytes,
    events: Iterable[Event],
    *,
    actor: str,
    at: datetime,
) -> None:
    rows = []
    for seq, event in enumerate(events, version + 1):
        message = EVENTS.message_of(event)
        data = EVENTS.write(event).decode()
        row = (seq, message.name, message.version, event.partner_id, data, actor, at)
        hash = _hash(previous, *row)
        rows.append((*row, previous, hash))
        previous = hash
    await connection.execute(_APPEND, *map(list, zip(*rows, strict=True)))


async def _put(connection: Connection, state: DirectoryState, events: Sequence[Event]) -> None:
    partners, keys = {}, {}
    for event in events:
        match event:
            case KeyIssued() | KeyExpirySet() | KeyRevoked():
                keys[event.key_id] = state.keys[event.key_id]
            case _:
                partners[event.partner_id] = state.partners[event.partner_id]
    await _put_rows(connection, list(partners.values()), list(keys.values()))


async def _put_rows(
    connection: Connection, partners: Sequence[Partner], keys: Sequence[Key]
) -> None:
    await connection.execute(
        _PUT_PARTNERS,
        [row.partner_id for row in partners],
        [row.name for row in partners],
        [row.channel for row in partners],
        [" ".join(row.permissions) for row in partners],
        [row.calls_per_minute for row in partners],
        [row.created_at for row in partners],
        [row.suspended_at for row in partners],
    )
    await connection.execute(
        _PUT_KEYS,
        [row.key_id for row in keys],
        [row.key_hash for row in keys],
        [row.partner_id for row in keys],
        [row.created_at for row in keys],
        [row.expires_at for row in keys],
        [row.revoked_at for row in keys],
    )


def _recorded(row: asyncpg.Record) -> Recorded:
    """Read an event; raises DirectoryBroken for one that cannot be read."""
    try:
        event = EVENTS.read(name=row["type"], version=row["version"], body=row["data"])
    except Unreadable as error:
        raise DirectoryBroken(f"event {row['seq']} cannot be read: {error}") from error
    seq, type, version, partner_id, data, actor, at, previous, hash = row
    return Recorded(
        seq=seq,
        event=cast(Event, event),
        actor=actor,
        at=at,
        previous_hash=previous,
        hash=hash,
        expected_hash=_hash(previous, seq, type, version, partner_id, data, actor, at),
    )


def _hash(
    previous: bytes,
    seq: int,
    type: str,
    version: int,
    partner_id: str,
    data: str,
    actor: str,
    at: datetime,
) -> bytes:
    return chain_hash(
        previous=previous,
        source="gateway",
        position=Position(1, 0, seq),
        type=type,
        version=version,
        subject=partner_id,
        decided_at=at,
        meta=to_json(actor).decode(),
        data=data,
    )

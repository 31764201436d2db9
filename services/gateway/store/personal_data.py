"""Erasing and wrapping anew, as the role that owns the database.

Every change and the event that records it are one transaction. Batches keep a change of very
many rows from holding locks for long; whatever is interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import asyncpg
from pydantic_core import to_json

from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash
from libs.events.registry import Message, Registry
from services.gateway.domain.personal_data import (
    CustomerErased,
    FoundKey,
    Handle,
    MasterKeyRotated,
    PersonalDataEvent,
)

BATCH: Final = 500
_FIRST_KEY: Final = "00000000-0000-0000-0000-000000000000"
_LOCK_KEY: Final = 0x4F54_4150_4453  # "OTAPDS"; one writer of the record at a time
EVENTS: Final = Registry(
    (
        Message(name="ota.gateway.customer_erased", version=1, shape=CustomerErased),
        Message(name="ota.gateway.master_key_rotated", version=1, shape=MasterKeyRotated),
    )
)

# A partner's own reference has a key without hashes: it belongs to whoever its reservation is for.
_FIND: Final = """
WITH found AS (SELECT * FROM personal_key WHERE {column} = $1)
SELECT key_id, partner_id, reservation_id, erased_at FROM found
 UNION
SELECT k.key_id, k.partner_id, k.reservation_id, k.erased_at
  FROM personal_key k JOIN found f USING (partner_id, reservation_id)
 WHERE k.email_hash IS NULL AND k.phone_hash IS NULL
 ORDER BY key_id
"""
_COLUMNS: Final[Mapping[Handle, str]] = {
    "email": "email_hash",
    "phone": "phone_hash",
    "order": "reservation_id",
    "reservation": "reservation_id",
}
_ERASE: Final = """
UPDATE personal_key
   SET wrapped = NULL, email_hash = NULL, phone_hash = NULL, erased_at = clock_timestamp()
 WHERE key_id = ANY($1::uuid[]) AND erased_at IS NULL
RETURNING key_id, partner_id, reservation_id, erased_at
"""
_OTHERS: Final = """
SELECT key_id, wrapped, master_key_id FROM personal_key
 WHERE key_id > $1::uuid AND wrapped IS NOT NULL AND master_key_id <> $2
 ORDER BY key_id LIMIT $3 FOR UPDATE
"""
_REWRAP: Final = """
UPDATE personal_key k SET wrapped = n.wrapped, master_key_id = $1
  FROM unnest($2::uuid[], $3::bytea[]) AS n (key_id, wrapped) WHERE k.key_id = n.key_id
"""
_RECORDED: Final = """
SELECT seq, type, version, data, actor, at, previous_hash, hash
  FROM personal_data_event ORDER BY seq
"""
_LAST: Final = "SELECT seq, hash FROM personal_data_event ORDER BY seq DESC LIMIT 1"
_APPEND: Final = """
INSERT INTO personal_data_event (seq, type, version, data, actor, at, previous_hash, hash)
VALUES ($1, $2, 1, $3::json, $4, $5, $6, $7)
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class RecordBroken(Exception):
    """The record contradicts itself; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event with who did it and when."""

    seq: int
    at: datetime
    actor: str
    event: PersonalDataEvent


class PersonalDataStore:
    """Personal keys and the record of what was done to them; *connection* is the owner's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, *, by: Handle, value: str) -> list[FoundKey]:
        """Return the keys of a customer, erased ones too where they can still be found.

        *value* is a hash of an e-mail address or telephone number, or a reservation id.
        """
        return _found(await self._connection.fetch(_FIND.format(column=_COLUMNS[by]), value))

    async def erase(self, keys: Sequence[FoundKey], *, by: Handle, actor: str) -> list[FoundKey]:
        """Empty keys and record it, in batches; return those that were not empty before."""
        erased: list[FoundKey] = []
        for first in range(0, len(keys), BATCH):
            ids = [key.key_id for key in keys[first : first + BATCH]]
            async with self._connection.transaction():
                done = _found(await self._connection.fetch(_ERASE, ids))
                if done:
                    event = CustomerErased(
                        looked_for_by=by,
                        key_ids=tuple(key.key_id for key in done),
                        partner_ids=tuple(sorted({key.partner_id for key in done})),
                        reservations=len({key.reservation_id for key in done}),
                    )
                    await self._append(event, actor)
            erased += done
        return erased

    async def rewrap(
        self,
        *,
        current_id: str,
        rewrap: Callable[[bytes, str], bytes],
        actor: str,
        progress: Callable[[int], None],
    ) -> int:
        """Wrap all keys under the current master key that are not; return how many were.

        *rewrap* gets what is wrapped and the id of its master key. *progress* is told how many
        are done. Running gateways may add keys under an older one meanwhile: call it again
        until it returns 0.
        """
        total, last = 0, _FIRST_KEY
        while True:
            async with self._connection.transaction():
                rows = await self._connection.fetch(_OTHERS, last, current_id, BATCH)
                if rows:
                    wrapped = [rewrap(row["wrapped"], row["master_key_id"]) for row in rows]
                    keys = [row["key_id"] for row in rows]
                    await self._connection.execute(_REWRAP, current_id, keys, wrapped)
                    event = MasterKeyRotated(master_key_id=current_id, keys=len(rows))
                    await self._append(event, actor)
            if not rows:
                return total
            last = str(rows[-1]["key_id"])
            total += len(rows)
            progress(total)

    async def in_use(self) -> Mapping[str, int]:
        """Return how many keys are wrapped under each master key, by its id."""
        rows = await self._connection.fetch(
            "SELECT master_key_id, count(*) AS keys FROM personal_key WHERE wrapped IS NOT NULL"
            " GROUP BY master_key_id ORDER BY master_key_id"
        )
        return {row["master_key_id"]: row["keys"] for row in rows}

    async def recorded(self) -> list[Recorded]:
        """Return what was ever done, the oldest first; raises RecordBroken."""
        found: list[Recorded] = []
        previous = GENESIS
        for row in await self._connection.fetch(_RECORDED):
            seq = len(found) + 1
            hash = personal_data_hash(
                previous=previous,
                seq=seq,
                type=row["type"],
                at=row["at"],
                actor=row["actor"],
                data=row["data"],
            )
            if (row["seq"], row["previous_hash"], row["hash"]) != (seq, previous, hash):
                raise RecordBroken(f"event {seq}, or the one before it, was changed or is missing")
            event = EVENTS.read(name=row["type"], version=row["version"], body=row["data"])
            assert isinstance(event, PersonalDataEvent)
            found.append(Recorded(seq=seq, at=row["at"], actor=row["actor"], event=event))
            previous = hash
        return found

    async def _append(self, event: PersonalDataEvent, actor: str) -> None:
        """Add an event to the chain; its writers take turns until their transactions end."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
        last = await self._connection.fetchrow(_LAST)
        seq, previous = (last["seq"] + 1, last["hash"]) if last else (1, GENESIS)
        at = (await self._connection.fetchval("SELECT clock_timestamp()")).astimezone(UTC)
        type, data = EVENTS.message_of(event).name, EVENTS.write(event).decode()
        hash = personal_data_hash(
            previous=previous, seq=seq, type=type, at=at, actor=actor, data=data
        )
        await self._connection.execute(_APPEND, seq, type, data, actor, at, previous, hash)


def personal_data_hash(
    *, previous: bytes, seq: int, type: str, at: datetime, actor: str, data: str
) -> bytes:
    """Return the hash of an event of the record, which covers the one before."""
    return chain_hash(
        previous=previous,
        source="gateway",
        position=Position(1, 0, seq),
        type=type,
        version=1,
        subject="personal_data",
        decided_at=at,
        meta=to_json(actor).decode(),
        data=data,
    )


def _found(rows: Sequence[asyncpg.Record]) -> list[FoundKey]:
    return [
        FoundKey(
            key_id=str(row["key_id"]),
            partner_id=row["partner_id"],
            reservation_id=row["reservation_id"],
            erased_at=row["erased_at"],
        )
        for row in rows
    ]

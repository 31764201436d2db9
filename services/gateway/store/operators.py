"""Operators of the console in the gateway's database, and the record of what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.gateway.domain.operators import CODE_AGE_MAX, Operator, Role
from services.gateway.store.database import Connection, Pool, borrowed

_COLUMNS = "name, role, generation, password_hash, created_at, removed_at"
_NOTE = """
INSERT INTO operator_action (operator, action, subject, detail, address) VALUES ($1, $2, $3, $4, $5)
"""
# Whoever was removed may be added again; sessions of before stay over.
_PUT = """
INSERT INTO operator AS known (name, role, password_hash) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE
   SET role = excluded.role, generation = known.generation + 1, removed_at = NULL,
       password_hash = excluded.password_hash, code_hash = NULL, code_expires_at = NULL
 WHERE known.removed_at IS NOT NULL
RETURNING name
"""
_REPLACE_HASH = """
UPDATE operator SET password_hash = $2, generation = generation + 1
 WHERE name = $1 AND removed_at IS NULL RETURNING name
"""
_SET_CODE = """
UPDATE operator SET code_hash = $2, code_expires_at = clock_timestamp() + $3
 WHERE name = $1 AND removed_at IS NULL RETURNING code_expires_at
"""
_TAKE_CODE = f"""
UPDATE operator SET code_hash = NULL, code_expires_at = NULL
 WHERE name = $1 AND removed_at IS NULL AND code_hash = $2 AND code_expires_at > clock_timestamp()
RETURNING {_COLUMNS}
"""
_REMOVE = """
UPDATE operator
   SET removed_at = clock_timestamp(), generation = generation + 1, password_hash = NULL,
       code_hash = NULL, code_expires_at = NULL
 WHERE name = $1 AND removed_at IS NULL RETURNING name
"""
_ACTIONS = """
SELECT at, operator, action, subject, detail FROM operator_action
 WHERE $1::text IS NULL OR action = $1 ORDER BY action_no DESC LIMIT $2
"""
_DONE = """
SELECT subject, max(at) AS at FROM operator_action
 WHERE action = $1 AND subject = ANY($2::text[]) GROUP BY subject
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that an operator did, or tried."""

    at: datetime
    operator: str
    action: str
    subject: str
    detail: str


class OperatorStore:
    """Changes are recorded in the same transaction; everything raises StoreUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def operator(self, name: str) -> Operator | None:
        """Return an operator who may sign in, None if there is none of that name."""
        query = f"SELECT {_COLUMNS} FROM operator WHERE name = $1 AND removed_at IS NULL"
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(query, name)
        return None if row is None else _operator(row)

    async def operators(self) -> Sequence[Operator]:
        """Return all of them, the removed ones too."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(f"SELECT {_COLUMNS} FROM operator ORDER BY name")
        return [_operator(row) for row in rows]

    async def add(self, name: str, *, role: Role, password_hash: str | None, by: str) -> bool:
        """Add an operator; say whether there was none of that name."""
        async with borrowed(self._pool) as connection, connection.transaction():
            added = await connection.fetchval(_PUT, name, role, password_hash)
            if added is not None:
                await _note(connection, by, "operator_added", name, detail=role)
        return added is not None

    async def set_password(self, name: str, *, password_hash: str, by: str) -> bool:
        """Replace a password and end all sessions; say whether there is such an operator."""
        async with borrowed(self._pool) as connection, connection.transaction():
            found = await connection.fetchval(_REPLACE_HASH, name, password_hash)
            if found is not None:
                await _note(connection, by, "password_set", name)
        return found is not None

    async def set_code(self, name: str, *, code_hash: bytes, by: str) -> datetime | None:
        """Give an operator a code that signs in once; return when it is over."""
        async with borrowed(self._pool) as connection, connection.transaction():
            ends: datetime | None = await connection.fetchval(
                _SET_CODE, name, code_hash, CODE_AGE_MAX
            )
            if ends is not None:
                await _note(connection, by, "code_made", name)
        return ends

    async def take_code(self, name: str, *, code_hash: bytes) -> Operator | None:
        """Use up a code that is good; return whose it was, None for any other."""
        async with borrowed(self._pool) as connection:
            row = await connection.fetchrow(_TAKE_CODE, name, code_hash)
        return None if row is None else _operator(row)

    async def remove(self, name: str, *, by: str) -> bool:
        """End an operator's access, sessions included; say whether there is such an operator."""
        async with borrowed(self._pool) as connection, connection.transaction():
            found = await connection.fetchval(_REMOVE, name)
            if found is not None:
                await _note(connection, by, "operator_removed", name)
        return found is not None

    async def note(
        self, by: str, action: str, subject: str, *, detail: str = "", address: str = ""
    ) -> None:
        """Record what an operator does, before it is done."""
        async with borrowed(self._pool) as connection:
            await _note(connection, by, action, subject, detail=detail, address=address)

    async def done(self, action: str, subjects: Sequence[str]) -> Mapping[str, datetime]:
        """Return when *action* was last recorded for each subject that it was recorded for."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_DONE, action, list(subjects))
        return {row["subject"]: row["at"] for row in rows}

    async def actions(self, *, action: str | None = None, limit: int) -> Sequence[Action]:
        """Return what was done, newest first."""
        async with borrowed(self._pool) as connection:
            rows = await connection.fetch(_ACTIONS, action, limit)
        return [Action(**dict(row)) for row in rows]


async def _note(
    connection: Connection,
    by: str,
    action: str,
    subject: str,
    *,
    detail: str = "",
    address: str = "",
) -> None:
    await connection.execute(_NOTE, by, action, subject, detail, address)


def _operator(row: asyncpg.Record) -> Operator:
    return Operator(**dict(row))

"""Borrowing connections, and the one place where driver errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from libs.runtime.postgres import acquire
from services.gateway.domain.failure import StoreUnavailable

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_TIMEOUT_S = 1.0

_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, until we are led to the new primary
)
"""What passes by itself or with the operator's help; anything else is a defect."""


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection; raises StoreUnavailable when the database cannot be asked in time."""
    try:
        async with acquire(pool, timeout_s=ACQUIRE_TIMEOUT_S) as connection:
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError, OSError):
                # Its statement may run on: handing it back would wait for the server's word,
                # beyond the time in which the request must be answered.
                connection.terminate()
                raise
    except _PASSING as error:
        raise StoreUnavailable(f"the database cannot be asked: {type(error).__name__}") from error

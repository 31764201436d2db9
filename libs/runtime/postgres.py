"""Connections to PostgreSQL, all with explicit time limits.

Reads go through a pool; a partition's writer, locks and LISTEN need a connection of their
own, because a pool resets a session when it takes the connection back. JSON, UUID and
other codecs are the driver's own.
"""

from __future__ import annotations

import asyncpg
from asyncpg.pool import PoolAcquireContext

CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 2.0
ACQUIRE_TIMEOUT_S = 2.0
LOCK_TIMEOUT_S = 1.0
IDLE_IN_TRANSACTION_TIMEOUT_S = 5.0

_SCHEMA_LACKS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)


def _session(
    *, application_name: str, statement_timeout_s: float, lock_timeout_s: float
) -> dict[str, str]:
    """Return the settings of a session; times go over the wire in milliseconds."""
    return {
        "application_name": application_name,
        "statement_timeout": str(round(statement_timeout_s * 1000)),
        "lock_timeout": str(round(lock_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": str(round(IDLE_IN_TRANSACTION_TIMEOUT_S * 1000)),
        "TimeZone": "UTC",
        "jit": "off",  # compiles for longer than any of our queries runs
        # The server notices a vanished client, and frees its locks, in about ten seconds.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "client_connection_check_interval": "1000",
    }


async def create_pool(
    dsn: str,
    *,
    application_name: str,
    size_max: int,
    size_min: int = 1,
    read_only: bool = True,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    command_timeout_s: float = COMMAND_TIMEOUT_S,
) -> asyncpg.Pool[asyncpg.Record]:
    """Open a pool of connections, for reads unless *read_only* is False.

    Take connections from it with `acquire`: the pool's own shortcuts (``pool.fetch``) wait
    for a free connection for ever. Raises OSError, TimeoutError or asyncpg.PostgresError
    when the server cannot be reached.
    """
    session = _session(
        application_name=application_name,
        statement_timeout_s=command_timeout_s,
        lock_timeout_s=LOCK_TIMEOUT_S,
    )
    if read_only:
        session["default_transaction_read_only"] = "on"
    return await asyncpg.create_pool(
        dsn,
        min_size=size_min,
        max_size=size_max,
        timeout=connect_timeout_s,
        command_timeout=command_timeout_s,
        server_settings=session,
    )


def advice(error: asyncpg.PostgresError | asyncpg.InterfaceError) -> str:
    """Return one line for an operator whose command has met *error*: what it is, what to do.

    Details and hints of the server stay out: they can quote what was stored.
    """
    said = (str(error).splitlines() or [""])[0]
    if isinstance(error, _SCHEMA_LACKS):
        return f"the database is not up to date ({said}): run the service's migrate command first"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"this database role may not do it ({said}): is it the right OTA_..._DSN? The service's"
            " migrate command grants its role what it needs"
        )
    return f"the database cannot do it ({type(error).__name__}: {said})"


def acquire(
    pool: asyncpg.Pool[asyncpg.Record], *, timeout_s: float = ACQUIRE_TIMEOUT_S
) -> PoolAcquireContext[asyncpg.Record]:
    """Borrow a connection (``async with acquire(pool) as connection``).

    Raises TimeoutError when none is free within *timeout_s*.
    """
    return pool.acquire(timeout=timeout_s)


async def connect(
    dsn: str,
    *,
    application_name: str,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    statement_timeout_s: float = COMMAND_TIMEOUT_S,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    command_timeout_s: float | None = None,
) -> asyncpg.Connection[asyncpg.Record]:
    """Open a connection that one task owns: a writer, a lock holder, a listener.

    The server gives up a statement after *statement_timeout_s*; the client waits half a
    second longer unless told otherwise, so that the server's verdict, which is certain,
    comes first. A dead server is noticed only by a command: send one each second on a
    connection that is otherwise idle. Raises as `create_pool`.
    """
    return await asyncpg.connect(
        dsn,
        timeout=connect_timeout_s,
        command_timeout=(
            statement_timeout_s + 0.5 if command_timeout_s is None else command_timeout_s
        ),
        server_settings=_session(
            application_name=application_name,
            statement_timeout_s=statement_timeout_s,
            lock_timeout_s=lock_timeout_s,
        ),
    )

"""Databases as operators' commands reach them, and what is said when one can't be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

import asyncpg

from libs.runtime.cli import CommandFailed
from libs.runtime.postgres import connect, create_pool
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.database import Pool

NAME = "ota-admin"
STATEMENT_TIMEOUT_S = 30.0
LOCK_TIMEOUT_S = 10.0

T = TypeVar("T")


@contextmanager
def _told(variable: str, hint: str = "") -> Iterator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandFailed(f"the role of {variable} may not do it: {error}") from error
    except asyncpg.UndefinedTableError as error:
        raise CommandFailed(f"{error}: bring the database of {variable} up to date") from error
    except (OSError, TimeoutError, StoreUnavailable, asyncpg.PostgresError) as error:
        raise CommandFailed(
            f"the database cannot be asked, is it up and {variable} right?{hint}"
            f" ({type(error).__name__}: {error})"
        ) from error


@asynccontextmanager
async def reading(dsn: str, *, variable: str, hint: str = "") -> AsyncIterator[Pool]:
    """Give connections that only read; *variable* is told to who has to mend the address.

    *hint* is told as well when the database cannot be asked. Raises CommandFailed.
    """
    with _told(variable, hint):
        async with await create_pool(
            dsn, application_name=NAME, size_max=2, command_timeout_s=STATEMENT_TIMEOUT_S
        ) as pool:
            yield pool


@asynccontextmanager
async def reading_any(*dsns: str, variables: str, hint: str = "") -> AsyncIterator[list[Pool]]:
    """Give connections to several databases, of which only those that are asked must be up.

    For the rest as `reading`.
    """
    with _told(variables, hint):
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    await create_pool(
                        dsn,
                        application_name=NAME,
                        size_min=0,
                        size_max=1,
                        command_timeout_s=STATEMENT_TIMEOUT_S,
                    )
                )
                for dsn in dsns
            ]


def with_database(
    dsn: str, work: Callable[[Pool], Awaitable[T]], *, variable: str, hint: str = ""
) -> T:
    """Run *work* on a connection that may change what its role may; raises CommandFailed.

    *hint* is told as well when the database was there and then did not answer to *work*.
    """

    async def run() -> T:
        with _told(variable):
            async with await create_pool(
                dsn,
                application_name=NAME,
                size_max=1,
                read_only=False,
                command_timeout_s=STATEMENT_TIMEOUT_S,
            ) as pool:
                with _told(variable, hint):
                    return await work(pool)

    return asyncio.run(run())


@asynccontextmanager
async def changing(dsn: str, *, variable: str) -> AsyncIterator[Pool]:
    """Give connections that may change what their role may; raises CommandFailed."""
    with _told(variable):
        async with await create_pool(
            dsn,
            application_name=NAME,
            size_max=1,
            read_only=False,
            command_timeout_s=STATEMENT_TIMEOUT_S,
        ) as pool:
            yield pool


@asynccontextmanager
async def owning(dsn: str, *, variable: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Give a connection that may change what applications may not; raises CommandFailed."""
    with _told(variable):
        connection = await connect(
            dsn,
            application_name=NAME,
            statement_timeout_s=STATEMENT_TIMEOUT_S,
            lock_timeout_s=LOCK_TIMEOUT_S,
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=2)

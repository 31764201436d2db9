"""How operators' commands reach the gateway's database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from libs.runtime.cli import CommandFailed
from libs.runtime.postgres import create_pool
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.database import Pool

STATEMENT_TIMEOUT_S = 30.0

T = TypeVar("T")


def with_database(dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Run *work* on a connection to the database at *dsn*; raises CommandFailed."""
    return asyncio.run(_with_database(dsn, work))


async def _with_database(dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    try:
        async with await create_pool(
            dsn,
            application_name="ota-admin",
            size_max=1,
            read_only=False,
            command_timeout_s=STATEMENT_TIMEOUT_S,
        ) as pool:
            return await work(pool)
    except asyncpg.InsufficientPrivilegeError as error:
        raise CommandFailed(f"the database does not allow it to this role: {error}") from error
    except asyncpg.UndefinedTableError as error:
        raise CommandFailed(f"{error}: bring it up to date with ota-gateway migrate") from error
    except (OSError, TimeoutError, StoreUnavailable, asyncpg.PostgresError) as error:
        raise CommandFailed(
            "the gateway's database cannot be asked, is it up and OTA_GATEWAY_DSN right?"
            f" ({type(error).__name__}: {error})"
        ) from error

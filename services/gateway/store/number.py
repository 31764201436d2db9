"""The number of this gateway among those that run: an advisory lock in our database.

It chooses the partition of the replies and names our share of the partners' limits. Two
gateways with one number would do no harm: each takes no notice of the other's replies, and
limits get stricter, never wider.
"""

from __future__ import annotations

import asyncio
import secrets

import asyncpg
import structlog

from libs.runtime.postgres import connect

log = structlog.get_logger()

NUMBERS = 64
CHECK_S = 5.0
CONNECT_TIMEOUT_S = 1.2
_LOCK_SPACE = 0x4F544147  # "OTAG": the advisory locks of gateways' numbers
_CLAIM = """
SELECT number FROM generate_series(0, $2::int - 1) AS number
 WHERE pg_try_advisory_lock($1, number) LIMIT 1
"""
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class GatewayNumber:
    """Claims a number once, unless one is *given*, and holds on to it as long as `keep` runs."""

    def __init__(self, given: int | None = None, *, dsn: str) -> None:
        self._given = given
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._number = 0

    async def claim(self) -> int:
        """Return a number that nobody has; a large random one while the database is away."""
        if self._given is not None:
            return self._given
        try:
            found = await (await self._connected()).fetchval(_CLAIM, _LOCK_SPACE, NUMBERS)
        except _AWAY as error:
            log.warning("gateway.number.not_claimed", reason=repr(error))
            found = None
        self._number = NUMBERS + secrets.randbelow(1_000_000) if found is None else int(found)
        log.info("gateway.number", number=self._number)
        return self._number

    async def keep(self) -> None:
        """Claim the same number again whenever the session is lost, until cancelled."""
        try:
            while True:
                await asyncio.sleep(CHECK_S)
                if self._given is None and self._number < NUMBERS:
                    await self._hold()
        finally:
            if self._connection is not None:
                self._connection.terminate()

    async def _hold(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            return
        connection = await self._connected()
        if not await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", _LOCK_SPACE, self._number
        ):
            connection.terminate()
            log.warning("gateway.number.shared", number=self._number)

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        self._connection = await connect(
            self._dsn,
            application_name="ota-gateway-number",
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
        return self._connection

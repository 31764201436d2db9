"""Who may call: all valid keys in memory, confirmed against the database each second.

A revoked key is refused within 2 s. While the database cannot confirm the keys, those
known go on for 60 s; after that they still read, and do nothing else (design, rule 13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import structlog

from services.gateway.domain.api_key import is_mistyped
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import api_key_hash
from services.gateway.domain.partner import Caller, DirectoryContent, Ended

POLL_S = 0.8
CONFIRMED_FOR_S = 60.0
NOTE_USES_S = 5.0
FIRST_PARTNER = (
    "nobody can call yet; make the first partner and its key: ota-admin partner create ID"
    " --name NAME --channel ota --calls 300 --permission inventory:read ...,"
    " then ota-admin key issue ID"
)

log = structlog.get_logger()


class DirectorySource(Protocol):
    """The gateway's own table of partners."""

    async def version(self) -> int:
        """Return the directory's version, which every change raises; raises StoreUnavailable."""
        ...

    async def content(self) -> DirectoryContent:
        """Return all keys; raises StoreUnavailable."""
        ...

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Store when keys were last used, by their ids; raises StoreUnavailable."""
        ...


class Directory:
    """The partners' keys; *monotonic* is a clock in seconds."""

    def __init__(
        self, *, source: DirectorySource, pepper: bytes, monotonic: Callable[[], float]
    ) -> None:
        self._source = source
        self._pepper = pepper
        self._monotonic = monotonic
        self._content = DirectoryContent(version=-1, callers={})
        self._confirmed_at = float("-inf")
        self._uses: dict[str, datetime] = {}

    def caller(self, *, api_key: str, now: datetime) -> Caller | Ended | None:
        """Return who is behind a key; whose it was if it is revoked or past its end; else None.

        Whatever the key is, it is hashed once and looked up as a whole; only what can never
        have been a key of ours is refused before, by its own checksum. So the time that an
        answer takes says nothing about the keys that there are.
        """
        if is_mistyped(api_key):
            return None
        key_hash = api_key_hash(pepper=self._pepper, api_key=api_key)
        caller = self._content.callers.get(key_hash)
        if caller is None:
            revoked = self._content.revoked.get(key_hash)
            return None if revoked is None else Ended(revoked)
        if caller.expires_at is not None and now >= caller.expires_at:
            return Ended(caller)
        self._uses[caller.key_id] = now
        return caller

    @property
    def callers(self) -> Mapping[bytes, Caller]:
        """All keys that are not revoked, with who is behind them.

        The same object until something changes.
        """
        return self._content.callers

    @property
    def version(self) -> int:
        """The directory's version, -1 before it was ever read."""
        return self._content.version

    @property
    def loaded(self) -> bool:
        """Whether the keys were ever read; before that, none is known to be wrong."""
        return self._content.version >= 0

    @property
    def unconfirmed_s(self) -> float:
        """For how many seconds the keys have not been confirmed."""
        return self._monotonic() - self._confirmed_at

    @property
    def confirmed(self) -> bool:
        """Whether the keys were confirmed lately enough for more than reading."""
        return self.unconfirmed_s <= CONFIRMED_FOR_S

    async def refresh(self) -> None:
        """Confirm the keys, loading them when they have changed; raises StoreUnavailable."""
        asked_at = self._monotonic()
        if await self._source.version() != self._content.version:
            self._content = await self._source.content()
            log.info(
                "gateway.directory.loaded",
                version=self._content.version,
                keys=len(self._content.callers),
            )
            if not self._content.callers:
                log.warning("gateway.directory.empty", hint=FIRST_PARTNER)
        self._confirmed_at = asked_at

    async def run(self) -> None:
        """Refresh for ever, each 0.8 s."""
        reachable = True
        while True:
            try:
                await self.refresh()
                reachable = True
            except StoreUnavailable as error:
                if reachable:
                    log.warning("gateway.directory.unconfirmed", reason=str(error))
                reachable = False
            await asyncio.sleep(POLL_S)

    async def write_uses(self) -> None:
        """Store which keys were used since the last time; raises StoreUnavailable."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._source.note_uses(uses)
        except StoreUnavailable:
            self._uses = uses | self._uses
            raise

    async def run_uses(self) -> None:
        """Store the keys' uses for ever, each 5 s; the next time does what one could not."""
        while True:
            await asyncio.sleep(NOTE_USES_S)
            with suppress(StoreUnavailable):
                await self.write_uses()

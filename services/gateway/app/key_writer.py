"""Stores personal keys of many requests in one statement.

Whoever comes while nothing is being written writes all that wait, then hands on: many
activations at once cost few round trips, and one alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.records import NewKey, StoredKey

BATCH_MAX = 200
WAITING_MAX = 4096


class KeyTable(Protocol):
    """The table of personal keys."""

    async def add_keys(self, keys: Sequence[NewKey]) -> Mapping[str, StoredKey]:
        """Store those that are new and return what is stored now under all their ids.

        Committed when it returns; raises StoreUnavailable.
        """
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A key on its way; its answer is what is stored, or None: it is your turn to write."""

    key: NewKey
    answer: asyncio.Future[StoredKey | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class KeyWriter:
    """Writes keys in batches, without a task of its own."""

    def __init__(self, *, table: KeyTable) -> None:
        self._table = table
        self._queue: list[_Waiting] = []
        self._writing = False

    async def add(self, key: NewKey, *, deadline: float) -> StoredKey:
        """Store *key* unless its id is stored already; return what is stored.

        Raises StoreUnavailable, also when its turn does not come until *deadline* (the
        event loop's clock).
        """
        if len(self._queue) >= WAITING_MAX:
            raise StoreUnavailable("too many personal keys are waiting to be stored")
        waiting = _Waiting(key)
        self._queue.append(waiting)
        try:
            async with asyncio.timeout_at(deadline):
                if self._writing:
                    stored = await self._turn(waiting)
                    if stored is not None:
                        return stored
                self._writing = True
                return await self._write(waiting)
        except TimeoutError as error:
            raise StoreUnavailable("the personal key could not be stored in time") from error

    async def _turn(self, waiting: _Waiting) -> StoredKey | None:
        try:
            return await waiting.answer
        except BaseException:
            if waiting in self._queue:
                self._queue.remove(waiting)
                if waiting.answer.done() and not waiting.answer.cancelled():
                    self._hand_on()  # it was this one's turn
            raise

    async def _write(self, own: _Waiting) -> StoredKey:
        """Write a batch that begins with *own*, and tell the others."""
        batch = [own, *(each for each in self._queue if each is not own)][:BATCH_MAX]
        written = set(map(id, batch))
        self._queue = [each for each in self._queue if id(each) not in written]
        try:
            stored = await self._table.add_keys([each.key for each in batch])
        except BaseException:
            for each in batch:
                if each is not own and not each.answer.done():
                    each.answer.set_exception(StoreUnavailable("the key was not stored"))
            raise
        else:
            for each in batch:
                if each is not own and not each.answer.done():
                    each.answer.set_result(stored[each.key.key_id])
            return stored[own.key.key_id]
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        for each in self._queue:
            if not each.answer.done():
                each.answer.set_result(None)
                return
        self._writing = False

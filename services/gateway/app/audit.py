"""The audit trail and the access log: written beside the requests, never on their way.

A call leaves one note in memory. Twice a second the notes become lines of the access log
and rows of the audit table; a crash loses less than a second of them. Everything is
bounded: while the database is away rows wait, then the newest are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import structlog

from services.gateway.domain.audit import AuditRow, CallNote, rows_of
from services.gateway.domain.failure import StoreUnavailable

TICK_S = 0.5
NOTES_MAX = 50_000
"""Calls of one tick; more than a gateway can answer in a second, by a wide margin."""
SLICE_CALLS = 100
"""Calls that are worked on before requests have their turn again."""
BATCH_ROWS_MAX = 1_000
BACKLOG_ROWS_MAX = 20_000
REFUSALS_WAITING_MAX = BACKLOG_ROWS_MAX // 2
"""Room in the backlog that refusals may take: a flood must not push mutations out."""
RETRY_S = 1.0
CLOSE_TIMEOUT_S = 2.0

PURGE_EVERY_S = 3600.0
PURGE_ROWS_MAX = 500
PURGE_PAUSE_S = 0.2

log = structlog.get_logger()


class AuditTable(Protocol):
    """The gateway's own table of audit records."""

    async def add_rows(self, rows: Sequence[AuditRow]) -> None:
        """Store rows, those that are stored already left as they are.

        Committed when it returns; raises StoreUnavailable.
        """
        ...

    async def delete_old(self, *, older_than_days: int, rows_max: int) -> int:
        """Delete the oldest rows that are past their time, and say how many it were.

        Raises StoreUnavailable.
        """
        ...


class CallLines(Protocol):
    """The access log."""

    def write(self, notes: Sequence[CallNote]) -> None:
        """Write a line for each call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWatch:
    """Where the trail tells how it does: rows written, calls dropped, rows that wait."""

    written: Callable[[float], None]
    dropped: Callable[[float], None]
    waiting: Callable[[float], None]


class AuditTrail:
    """Takes notes of calls and gets them stored; *random* returns so many random bytes."""

    def __init__(
        self,
        *,
        table: AuditTable,
        lines: CallLines,
        watch: AuditWatch,
        random: Callable[[int], bytes],
    ) -> None:
        self._table = table
        self._lines = lines
        self._watch = watch
        # Unique over all gateways and their restarts, and rising within one.
        self._row_ids = count(int.from_bytes(random(4), "big") >> 1 << 32)
        self._notes: list[CallNote] = []
        self._without_line: deque[CallNote] = deque(maxlen=NOTES_MAX)
        self._lines_lost = 0
        self._mutations: list[AuditRow] = []
        self._refusals: list[AuditRow] = []
        self._due = asyncio.Event()
        self._dropping = False

    def note(self, note: CallNote) -> None:
        """Take note of a call at its end."""
        if len(self._notes) < NOTES_MAX:
            self._notes.append(note)
        else:
            self._drop(1)

    @property
    def backlog(self) -> int:
        """How many rows wait to be stored."""
        return len(self._mutations) + len(self._refusals)

    async def run(self) -> None:
        """Write for ever; ends only by cancellation or a defect."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collect(), name="audit-collect")
            group.create_task(self._store(), name="audit-store")

    async def close(self) -> None:
        """Write what is left, for at most two seconds; call it when no request runs any more."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.collect()
                while self.backlog:
                    await self.store()
        except (StoreUnavailable, TimeoutError):
            log.warning("gateway.audit.left", rows=self.backlog)

    async def collect(self) -> None:
        """Turn the notes into rows that wait to be stored, then into lines.

        Rows come first and at once: no failing log and no cancellation costs any. Calls that
        a cancellation leaves without a line have theirs the next time.
        """
        notes, self._notes = self._notes, []
        self._without_line += notes
        try:
            rows = rows_of(notes, row_ids=self._row_ids)
        except Exception:
            self._drop(len(notes))
            raise
        if rows:
            self._enqueue(rows)
        while self._without_line:
            part = [
                self._without_line.popleft()
                for _ in range(min(SLICE_CALLS, len(self._without_line)))
            ]
            self._write_lines(part)
            await asyncio.sleep(0)

    async def store(self) -> None:
        """Store the oldest rows that wait, in one statement; raises StoreUnavailable.

        Rows that the database will never take are dropped before the error is raised.
        """
        mutations = self._mutations[:BATCH_ROWS_MAX]
        refusals = self._refusals[: BATCH_ROWS_MAX - len(mutations)]
        batch = [*mutations, *refusals]
        if not batch:
            return
        try:
            await self._table.add_rows(batch)
        except StoreUnavailable:
            raise
        except Exception:
            self._forget(len(mutations), len(refusals))
            self._drop(len(batch))
            raise
        self._forget(len(mutations), len(refusals))
        self._watch.written(len(batch))
        if self._dropping and self.backlog < BACKLOG_ROWS_MAX // 2:
            self._dropping = False
            log.info("gateway.audit.recovered")

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.collect()

    async def _store(self) -> None:
        reachable = True
        while True:
            if not self.backlog:
                self._due.clear()
                await self._due.wait()
            try:
                await self.store()
                reachable = True
            except StoreUnavailable as error:
                if reachable:
                    log.warning("gateway.audit.delayed", reason=str(error), rows=self.backlog)
                reachable = False
                await asyncio.sleep(RETRY_S)

    def _enqueue(self, rows: Sequence[AuditRow]) -> None:
        mutations = [row for row in rows if row.is_mutation]
        refusals = [row for row in rows if not row.is_mutation]
        room = BACKLOG_ROWS_MAX - REFUSALS_WAITING_MAX - len(self._mutations)
        left = REFUSALS_WAITING_MAX - len(self._refusals)
        dropped = [*mutations[room:], *refusals[left:]]
        self._mutations += mutations[:room]
        self._refusals += refusals[:left]
        self._watch.waiting(self.backlog)
        self._due.set()
        if dropped:
            self._drop(sum(row.calls for row in dropped))

    def _write_lines(self, notes: Sequence[CallNote]) -> None:
        """Write lines if the log takes them; a disk that is full is told once, not each time."""
        try:
            self._lines.write(notes)
        except Exception as error:
            if not self._lines_lost:
                with suppress(OSError, ValueError):  # the log itself is likely what is broken
                    log.error("gateway.access_log.failing", reason=repr(error))
            self._lines_lost += len(notes)
            return
        if self._lines_lost:
            lost, self._lines_lost = self._lines_lost, 0
            log.warning("gateway.access_log.recovered", calls_without_line=lost)

    def _forget(self, mutations: int, refusals: int) -> None:
        del self._mutations[:mutations]
        del self._refusals[:refusals]
        self._watch.waiting(self.backlog)

    def _drop(self, calls: int) -> None:
        self._watch.dropped(calls)
        if not self._dropping:
            self._dropping = True
            with suppress(OSError, ValueError):
                log.error("gateway.audit.dropping", hint="is our database reachable, is it fast?")


async def purge_for_ever(table: AuditTable, *, retention_days: int) -> None:
    """Delete rows that are past *retention_days*, each hour, a few at a time."""
    while True:
        try:
            if deleted := await purge(table, retention_days=retention_days):
                log.info("gateway.audit.purged", rows=deleted)
        except StoreUnavailable as error:
            log.warning("gateway.audit.not_purged", reason=str(error))
        await asyncio.sleep(PURGE_EVERY_S)


async def purge(table: AuditTable, *, retention_days: int) -> int:
    """Delete all rows past *retention_days* and say how many; raises StoreUnavailable."""
    deleted = 0
    while True:
        batch = await table.delete_old(older_than_days=retention_days, rows_max=PURGE_ROWS_MAX)
        deleted += batch
        if batch < PURGE_ROWS_MAX:
            return deleted
        await asyncio.sleep(PURGE_PAUSE_S)

"""What is recorded of a call, and that recording it is bounded whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import cast

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from libs.events.envelope import Position
from libs.kernel.ids import reservation_id
from services.gateway.app import audit
from services.gateway.app.audit import SLICE_CALLS, AuditTrail, AuditWatch, CallLines, purge
from services.gateway.domain.audit import (
    SINGLE_REFUSALS_MAX,
    AuditRow,
    CallNote,
    rows_of,
    shortened,
)
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.audit import AuditStore
from services.gateway.store.database import Pool
from tests.support.waiting import eventually

NOW = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
COMMAND = "8387f940-df72-8003-bd91-80bdf6177b15"
RESERVATION = reservation_id(command_id=COMMAND, pool_no=7)


def note(number: int = 0, **changes: object) -> CallNote:
    """Return a refused read by a stranger, but for *changes*."""
    refused = CallNote(
        at=NOW + timedelta(milliseconds=number),
        method="GET",
        route="/api/ota/inventory",
        status=401,
        word="INVALID_API_KEY",
        partner_id=None,
        key_id=None,
        request_id=f"req_{number}",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        address="203.0.113.9",
        replayed=False,
        command_id=None,
        path_id=None,
        made_id=None,
        source=None,
        position=None,
        duration_s=0.0021,
    )
    return refused._replace(**changes)  # type: ignore[arg-type]  # any field


def mutation(number: int = 0, **changes: object) -> CallNote:
    """Return a reserve that was carried out."""
    done = {
        "method": "POST",
        "route": "/api/ota/reserve",
        "status": 201,
        "word": None,
        "partner_id": "p",
        "key_id": "k",
        "command_id": COMMAND,
    }
    return note(number, **(done | changes))


def recorded(*notes: CallNote) -> list[AuditRow]:
    """Return the rows of one batch."""
    return rows_of(notes, row_ids=count(1))


@pytest.mark.parametrize(
    "address, network",
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77:443", "203.0.113.0/24"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:socket", ""),
    ],
)
def test_an_address_loses_its_last_part(address: str, network: str) -> None:
    """A record tells where a call came from, not from whom."""
    assert network == shortened(address)


def test_mutations_and_refusals_are_recorded_and_reads_are_not() -> None:
    """A read that was answered needs no record."""
    read = note(2, status=200, word=None, partner_id="p")
    rows = recorded(note(1), read, mutation(3))
    assert [("req_1", 401), ("req_3", 201)] == [(row.request_id, row.status) for row in rows]


def test_a_mutation_names_what_it_was_about_and_where_its_event_is() -> None:
    """Reservation, order, command, and the answering log's position are in the row."""
    [row] = recorded(
        mutation(
            path_id=RESERVATION,
            made_id="ORD-0123456789012",
            replayed=True,
            source="fulfillment",
            position=Position(1, 2, 77),
        )
    )
    assert (RESERVATION, "ORD-0123456789012", COMMAND) == (
        row.reservation_id,
        row.order_id,
        row.command_id,
    )
    assert ("fulfillment", 1, 2, 77) == (row.answered_by, row.generation, row.partition, row.seq)
    assert (True, 2100, "203.0.113.0/24") == (row.replayed, row.duration_us, row.address)


@pytest.mark.parametrize("path_id", ["ada@example.com", "res_", "ORD-1", "138 0000 0001\0"])
def test_ids_of_another_form_are_not_kept(path_id: str) -> None:
    """A path may hold anything, personal data included."""
    [row] = recorded(note(path_id=path_id))
    assert (None, None) == (row.reservation_id, row.order_id)


def test_made_up_methods_are_not_kept() -> None:
    """The row has one of a few words, as everything that a caller can choose."""
    [row] = recorded(note(method="BREW"))
    assert "OTHER" == row.method


def test_a_flood_of_one_kind_shares_a_row() -> None:
    """More than ten alike are one row with a count; what differs keeps its own."""
    flood = [note(number) for number in range(SINGLE_REFUSALS_MAX + 1)]
    near = note(100, address="203.0.113.250")
    elsewhere = note(101, address="198.51.100.1")
    others = [note(102, word="API_KEY_REQUIRED"), note(103, route="/api/ota/orders")]
    rows = recorded(*flood, elsewhere, near, *others)
    assert [1, SINGLE_REFUSALS_MAX + 2, 1, 1] == [row.calls for row in rows]
    assert (None, near.at) == (rows[1].request_id, rows[1].at)


def test_a_few_refusals_keep_rows_of_their_own() -> None:
    """A control of the test above: at the limit nothing is summed up."""
    rows = recorded(*(note(number) for number in range(SINGLE_REFUSALS_MAX)))
    assert [1] * SINGLE_REFUSALS_MAX == [row.calls for row in rows]


def test_mutations_are_never_summed_up() -> None:
    """However often a partner is told that all is sold, each try has its row."""
    tries = [mutation(number, status=409, word="SOLD_OUT") for number in range(500)]
    assert [f"req_{number}" for number in range(500)] == [
        row.request_id for row in recorded(*tries)
    ]


NOTES = st.builds(
    lambda number, mutates, kind, status: (mutation if mutates else note)(
        number, route=kind, status=status, word="SOME" if status >= 400 else None
    ),
    st.integers(0, 99),
    st.booleans(),
    st.sampled_from(["/a", "/b"]),
    st.sampled_from([200, 401, 409]),
)


@given(st.lists(NOTES, max_size=60))
def test_every_call_is_counted_once(notes: list[CallNote]) -> None:
    """Whatever comes together: mutations one by one, refusals alone or in a sum."""
    rows = recorded(*notes)
    kept = [each for each in notes if each.command_id is not None or each.status >= 400]
    assert len(kept) == sum(row.calls for row in rows)
    assert [each.request_id for each in kept if each.command_id is not None] == [
        row.request_id for row in rows if row.is_mutation
    ]
    assert len(rows) == len({row.row_id for row in rows})


@dataclass(slots=True)
class Table:
    """The audit table in memory; *failure* is raised instead of storing."""

    rows: list[AuditRow] = field(default_factory=list)
    failure: Exception | None = None
    old: int = 0
    deletes: list[int] = field(default_factory=list)

    async def add_rows(self, rows: Sequence[AuditRow]) -> None:
        """See `services.gateway.app.audit.AuditTable`."""
        if self.failure is not None:
            raise self.failure
        self.rows += rows

    async def delete_old(self, *, older_than_days: int, rows_max: int) -> int:
        """See `services.gateway.app.audit.AuditTable`."""
        deleted = min(self.old, rows_max)
        self.old -= deleted
        self.deletes.append(deleted)
        return deleted


class NoLines:
    """An access log that nobody wants."""

    def write(self, notes: Sequence[CallNote]) -> None:
        """See `services.gateway.app.audit.CallLines`."""


@dataclass(slots=True)
class Counts:
    """What the trail has told."""

    written: float = 0
    dropped: float = 0
    waiting: float = 0

    def watch(self) -> AuditWatch:
        """Return the watch that counts here."""

        def write(rows: float) -> None:
            self.written += rows

        def drop(calls: float) -> None:
            self.dropped += calls

        def wait(rows: float) -> None:
            self.waiting = rows

        return AuditWatch(written=write, dropped=drop, waiting=wait)


def trail_on(table: Table, counts: Counts, lines: CallLines | None = None) -> AuditTrail:
    """Return a trail."""
    return AuditTrail(
        table=table,
        lines=lines or NoLines(),
        watch=counts.watch(),
        random=lambda size: b"\7" * size,
    )


@dataclass(slots=True)
class Lines:
    """An access log; *failure* is raised instead of writing."""

    notes: list[CallNote] = field(default_factory=list)
    failure: Exception | None = None

    def write(self, notes: Sequence[CallNote]) -> None:
        """See `services.gateway.app.audit.CallLines`."""
        if self.failure is not None:
            raise self.failure
        self.notes += notes


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")]
)
async def test_a_log_that_fails_costs_no_rows(failure: Exception) -> None:
    """It is told once, with the number of calls that have no line when it is well again."""
    table, counts, lines = Table(), Counts(), Lines(failure=failure)
    trail = trail_on(table, counts, lines)
    with capture_logs() as told:
        for tick in range(3):
            for number in range(SLICE_CALLS + 1):
                trail.note(mutation(tick * 1_000 + number))
            await trail.collect()
            await trail.store()
        lines.failure = None
        trail.note(mutation(9_999))
        await trail.collect()
        await trail.store()
    assert (3 * (SLICE_CALLS + 1) + 1, 0) == (len(table.rows), counts.dropped)
    assert ["req_9999"] == [each.request_id for each in lines.notes]
    assert ["gateway.access_log.failing", "gateway.access_log.recovered"] == [
        each["event"] for each in told
    ]
    assert 3 * (SLICE_CALLS + 1) == told[1]["calls_without_line"]


async def test_a_collection_that_is_cut_off_costs_nothing() -> None:
    """All rows are there, each once; the lines that are left come the next time."""
    table, lines = Table(), Lines()
    trail = trail_on(table, Counts(), lines)
    wanted = [f"req_{number}" for number in range(3 * SLICE_CALLS)]
    for number in range(3 * SLICE_CALLS):
        trail.note(mutation(number))
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(trail.collect())
        await asyncio.sleep(0)
        collecting.cancel()
    assert SLICE_CALLS == len(lines.notes)
    await trail.close()
    assert wanted == [row.request_id for row in table.rows]
    assert wanted == [each.request_id for each in lines.notes]


async def test_a_database_that_only_reads_is_waited_for() -> None:
    """After a failover a connection may lead to the old primary: no row is given up for that."""

    class Standby:
        """A pool whose server takes no writes."""

        def acquire(self, *, timeout: float) -> Standby:
            """Lend this one."""
            return self

        async def __aenter__(self) -> Standby:
            return self

        async def __aexit__(self, *_: object) -> None:
            return

        async def copy_records_to_table(self, *_: object, **__: object) -> None:
            """Refuse it as the server does."""
            raise asyncpg.ReadOnlySQLTransactionError("cannot execute COPY FROM")

    counts = Counts()
    trail = AuditTrail(
        table=AuditStore(cast("Pool", Standby())),
        lines=NoLines(),
        watch=counts.watch(),
        random=lambda size: b"\7" * size,
    )
    trail.note(mutation())
    await trail.collect()
    with pytest.raises(StoreUnavailable):
        await trail.store()
    assert (1, 0) == (trail.backlog, counts.dropped)


async def test_a_database_that_is_away_delays() -> None:
    """Rows wait, and are stored once, in their order, when it is back."""
    table, counts = Table(failure=StoreUnavailable("away")), Counts()
    trail = trail_on(table, counts)
    trail.note(mutation(1))
    await trail.collect()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await trail.store()
    trail.note(mutation(2))
    await trail.collect()
    assert (0, 2, 2) == (counts.written, counts.waiting, trail.backlog)
    table.failure = None
    await trail.store()
    assert ["req_1", "req_2"] == [row.request_id for row in table.rows]
    assert (2, 0, 0) == (counts.written, counts.dropped, counts.waiting)


async def test_a_flood_while_the_database_is_away_leaves_room_for_mutations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The backlog is bounded: refusals without room are dropped and counted, not mutations."""
    monkeypatch.setattr(audit, "BACKLOG_ROWS_MAX", 20)
    monkeypatch.setattr(audit, "REFUSALS_WAITING_MAX", 10)
    table, counts = Table(failure=StoreUnavailable("away")), Counts()
    trail = trail_on(table, counts)
    for number in range(30):
        trail.note(note(number, address=f"10.0.{number}.1"))
    for number in range(30, 35):
        trail.note(mutation(number))
    await trail.collect()
    assert (15, 20) == (trail.backlog, counts.dropped)
    for number in range(35, 45):
        trail.note(mutation(number))
    await trail.collect()
    assert (20, 25) == (trail.backlog, counts.dropped)
    table.failure = None
    await trail.store()
    kept = [row.request_id for row in table.rows if row.is_mutation]
    assert [f"req_{number}" for number in range(30, 40)] == kept


async def test_notes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trail that nobody collects from does not grow for ever."""
    monkeypatch.setattr(audit, "NOTES_MAX", 5)
    counts = Counts()
    trail = trail_on(Table(), counts)
    for number in range(8):
        trail.note(mutation(number))
    await trail.collect()
    assert (5, 3) == (trail.backlog, counts.dropped)


async def test_rows_that_cannot_be_stored_are_given_up() -> None:
    """A defect shows itself once and does not stop what comes after it."""
    table, counts = Table(failure=ValueError("a column too many")), Counts()
    trail = trail_on(table, counts)
    trail.note(mutation(1))
    await trail.collect()
    with pytest.raises(ValueError, match="a column too many"):
        await trail.store()
    table.failure = None
    trail.note(mutation(2))
    await trail.collect()
    await trail.store()
    assert (["req_2"], 1) == ([row.request_id for row in table.rows], counts.dropped)


async def test_row_ids_rise() -> None:
    """Rows of one instant keep their order, also over batches."""
    table = Table()
    trail = trail_on(table, Counts())
    for batch in range(3):
        trail.note(mutation(batch))
        trail.note(mutation(batch))
        await trail.collect()
        await trail.store()
    ids = [row.row_id for row in table.rows]
    assert sorted(set(ids)) == ids
    assert all(0 < each < 2**63 for each in ids)


async def test_what_is_noted_is_stored_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the trail runs, nobody has to ask; what is left at the end is written by `close`."""
    monkeypatch.setattr(audit, "TICK_S", 0.001)
    table = Table()
    trail = trail_on(table, Counts())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(trail.run())
        for number in range(3):
            trail.note(mutation(number))
            await eventually(partial(has_rows, table, number + 1))
        running.cancel()
    trail.note(mutation(9))
    await trail.close()
    assert ["req_0", "req_1", "req_2", "req_9"] == [row.request_id for row in table.rows]


async def has_rows(table: Table, number: int) -> bool:
    """Say whether so many rows are stored."""
    return len(table.rows) >= number


async def test_closing_does_not_wait_for_a_database_that_is_away() -> None:
    """The process ends all the same."""
    trail = trail_on(Table(failure=StoreUnavailable("away")), Counts())
    trail.note(mutation())
    await trail.close()
    assert 1 == trail.backlog


async def test_old_rows_go_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement deletes more than a few, so that none holds others up."""
    monkeypatch.setattr(audit, "PURGE_PAUSE_S", 0)
    table = Table(old=1_200)
    assert 1_200 == await purge(table, retention_days=400)
    assert [500, 500, 200] == table.deletes

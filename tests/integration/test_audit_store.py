"""Audit records in a real PostgreSQL: stored once, found again, deleted only when they are old."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import asyncpg
import pytest

from libs.events.envelope import Position
from libs.kernel.ids import reservation_id
from libs.runtime.postgres import create_pool
from services.gateway.admin.audit import Follower
from services.gateway.app.audit import PURGE_ROWS_MAX, purge
from services.gateway.domain.audit import AuditRow, CallNote, row_of
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.audit import AuditFilter, AuditStore
from services.gateway.store.database import Pool
from tests.support.stack import Databases, Stack

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
COMMAND = "8387f940-df72-8003-bd91-80bdf6177b15"
RESERVATION = reservation_id(command_id=COMMAND, pool_no=7)
ORDER = "ORD-0123456789012"
ROW_IDS = count(1)


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Iterator[Databases]:
    """A gateway's database, migrated."""
    made = stack.fresh_databases(services=["gateway"])
    yield made
    made.drop()


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    """The gateway's own role on an empty table."""
    owner = await asyncpg.connect(databases.env["OTA_GATEWAY_OWNER_DSN"])
    await owner.execute("TRUNCATE audit")
    await owner.close()
    made = await create_pool(
        databases.env["OTA_GATEWAY_DSN"], application_name="ota-test", size_max=2, read_only=False
    )
    yield made
    await made.close()


def row(*, ago: timedelta = timedelta(), **changes: object) -> AuditRow:
    """Return the record of an activation, so long ago."""
    note = CallNote(
        at=NOW - ago,
        method="POST",
        route="/api/ota/reservations/{reservation_id}/activate",
        status=201,
        word=None,
        partner_id="p",
        key_id="k",
        request_id="req_1",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        address="203.0.113.9",
        replayed=True,
        command_id=COMMAND,
        path_id=RESERVATION,
        made_id=ORDER,
        source="fulfillment",
        position=Position(1, 2, 2**40),
        duration_s=0.012345,
    )
    return row_of(note, row_id=next(ROW_IDS))._replace(**changes)  # type: ignore[arg-type]  # any


async def test_what_is_stored_is_found_as_it_was(pool: Pool) -> None:
    """Every field, also those that are empty."""
    full = row()
    bare = row(
        **dict.fromkeys(
            ("partner_id", "key_id", "word", "request_id", "command_id", "reservation_id")
        ),
        **dict.fromkeys(("order_id", "answered_by", "generation", "partition", "seq")),
        calls=70_000,
        address="",
    )
    store = AuditStore(pool)
    await store.add_rows([full, bare])
    assert [bare, full] == list(await store.rows(AuditFilter(), limit=10))


async def test_a_batch_that_is_sent_again_is_stored_once(pool: Pool) -> None:
    """An acknowledgement that got lost makes no doubles."""
    rows = [row(), row()]
    store = AuditStore(pool)
    await store.add_rows(rows[:1])
    await store.add_rows(rows)
    assert 2 == len(await store.rows(AuditFilter(), limit=10))


FILTERS = {
    "partner": AuditFilter(partner_id="other"),
    "key": AuditFilter(key_id="other"),
    "request id": AuditFilter(request_id="req_other"),
    "reservation": AuditFilter(reservation_id="res_other"),
    "order": AuditFilter(order_id="ORD-other"),
    "word": AuditFilter(word="SOLD_OUT"),
    "address": AuditFilter(address="2001:db8::/48"),
    "status": AuditFilter(statuses=(409, 410)),
    "class of status": AuditFilter(statuses=(400, 500)),
    "since": AuditFilter(since=NOW + timedelta(seconds=1)),
    "all at once": AuditFilter(
        partner_id="other", word="SOLD_OUT", until=NOW + timedelta(minutes=1)
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_rows_are_found_by_what_they_say(pool: Pool, name: str) -> None:
    """Each condition finds the one row that fits and not the other."""
    wanted = row(
        ago=-timedelta(seconds=1),
        partner_id="other",
        key_id="other",
        request_id="req_other",
        reservation_id="res_other",
        order_id="ORD-other",
        word="SOLD_OUT",
        address="2001:db8::/48",
        status=409,
    )
    store = AuditStore(pool)
    await store.add_rows([row(), wanted])
    assert [wanted] == list(await store.rows(FILTERS[name], limit=10))


async def test_pages_walk_through_all_rows_newest_first(pool: Pool) -> None:
    """Also through rows of one instant, none twice and none left out."""
    rows = [row(ago=timedelta(seconds=number // 3)) for number in range(20)]
    store = AuditStore(pool)
    await store.add_rows(rows)
    found: list[AuditRow] = []
    which = AuditFilter()
    while page := await store.rows(which, limit=6):
        found += page
        which = replace(which, before=(page[-1].at, page[-1].row_id))
    assert sorted(rows, key=lambda each: (each.at, each.row_id), reverse=True) == found


async def test_following_finds_rows_that_come_out_of_order(pool: Pool) -> None:
    """Another gateway's rows may be of an earlier moment than those that were shown."""
    store = AuditStore(pool)
    follower = Follower(lambda which: store.rows(which, limit=2), AuditFilter(partner_id="p"))
    first = [row(ago=timedelta(milliseconds=each)) for each in (400, 300, 200)]
    await store.add_rows([*first, row(ago=timedelta(minutes=1)), row(partner_id="other")])
    assert first == await follower.fresh(now=NOW)
    late, newest = row(ago=timedelta(seconds=1)), row()
    await store.add_rows([newest, late])
    assert [late, newest] == await follower.fresh(now=NOW + timedelta(seconds=1))
    assert [] == await follower.fresh(now=NOW + timedelta(seconds=1))


async def test_old_rows_are_deleted_and_others_stay(pool: Pool) -> None:
    """Retention goes by the row's own moment, in batches."""
    store = AuditStore(pool)
    kept = [row(), row(ago=timedelta(days=399))]
    old = [row(ago=timedelta(days=401, seconds=each)) for each in range(PURGE_ROWS_MAX + 3)]
    await store.add_rows([*kept, *old])
    assert PURGE_ROWS_MAX + 3 == await purge(store, retention_days=400)
    assert kept == list(await store.rows(AuditFilter(), limit=10))


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit",
        "UPDATE audit SET partner_id = 'somebody else'",
        "TRUNCATE audit",
        "ALTER TABLE audit DISABLE ROW LEVEL SECURITY",
    ],
)
async def test_the_gateway_cannot_change_what_it_recorded(pool: Pool, change: str) -> None:
    """Whoever has taken over a gateway can't wipe out the trail."""
    await AuditStore(pool).add_rows([row()])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(change)


async def test_not_even_retention_deletes_what_is_new(pool: Pool) -> None:
    """The database itself keeps a week."""
    with pytest.raises(asyncpg.RaiseError, match="7 days at least"):
        await AuditStore(pool).delete_old(older_than_days=0, rows_max=10)


async def test_a_database_that_is_away_is_said_to_be_away(databases: Databases) -> None:
    """The trail tells this from a defect, and waits."""
    pool = await create_pool(
        re.sub(r":\d+/", ":1/", databases.env["OTA_GATEWAY_DSN"]),
        application_name="ota-test",
        size_min=0,
        size_max=1,
        read_only=False,
    )
    with pytest.raises(StoreUnavailable):
        await AuditStore(pool).add_rows([row()])
    pool.terminate()

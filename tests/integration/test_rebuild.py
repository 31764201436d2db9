"""After a busy run: state is what the events say, and every check of the books can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import asyncpg
import pytest

from libs.events.contracts.inventory import HoldPlaced, UnitsHeld
from libs.events.envelope import Position
from libs.events.messages import MESSAGES
from libs.events.postgres.tables import Table
from libs.kernel.state import Entity, State
from services.fulfillment.domain import order
from services.fulfillment.store import tables as fulfillment
from services.inventory.domain import ledger
from services.inventory.store import tables as inventory
from services.reservation.domain import hold
from services.reservation.store import tables as reservation
from tests.support.client import Partner, Stock
from tests.support.deciders import Deciders
from tests.support.ledger import (
    DECIDING,
    Books,
    StoredEvent,
    broken_promises,
    service_dsn,
    violations,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

HOLDS = 60
UNITS = 150
TABLES: dict[str, Sequence[Table]] = {
    "inventory": inventory.TABLES,
    "reservation": reservation.TABLES,
    "fulfillment": fulfillment.TABLES,
}


@pytest.fixture(scope="module")
async def busy(all_deciders: Deciders) -> AsyncIterator[tuple[Partner, Books]]:
    """What is stored after hundreds of commands in three pools, and who sent them."""
    all_deciders.ensure()
    async with all_deciders.partner() as partner:
        stocks = [await partner.open_pool(units=UNITS, partition=number) for number in (0, 1, 3)]
        # One pool has a cap that is met, one a cap that is lifted again.
        await partner.cap(stocks[0], units=40)
        await partner.held(stocks[1], quantity=3)
        await partner.cap(stocks[1], units=20)
        await partner.held(stocks[1], quantity=2)
        await partner.cap(stocks[1], units=None)
        async with asyncio.TaskGroup() as group:
            for stock in stocks:
                for number in range(HOLDS):
                    group.create_task(trade(partner, stock, number))
        await expired(all_deciders, stocks)
        yield partner, await all_deciders.audit(partner)


async def trade(partner: Partner, stock: Stock, number: int) -> None:
    """Hold up to five units, then activate, cancel, let expire or keep; some of it twice."""
    request = partner.hold(stock, quantity=number % 5 + 1, hold_s=1 if number % 4 == 3 else None)
    placed = (await partner.insist(request)).answer
    if number % 7 == 0:
        assert placed == (await partner.insist(request)).answer
    if not isinstance(placed, HoldPlaced):
        return
    end = {0: partner.activate, 1: partner.cancel}.get(number % 4)
    if end is not None:
        for _ in range(1 + number % 2):
            await partner.insist(end(placed.reservation_id))


async def expired(deciders: Deciders, stocks: Sequence[Stock]) -> None:
    """Wait until all short holds have run out."""
    connection = await asyncpg.connect(service_dsn(deciders.env, "inventory"))
    await eventually(
        lambda: connection.fetchval(
            "SELECT count(*) = 0 FROM hold WHERE pool_no = ANY($1::int[]) AND status = 'held'"
            " AND expires_at < held_at + interval '1 minute'",
            [stock.pool_no for stock in stocks],
        )
    )
    await connection.close()


def rebuilt(service: str, books: Books) -> dict[tuple[type, str], Entity]:
    """Replay a service's events from the first one, through its own domain.

    Reservations open with the ledger's events, so these come first.
    """
    events = books.events[service]
    if service == "reservation":
        events = [*books.events_of("inventory", type="units_held"), *events]
    states: dict[int, State] = {}
    found: dict[tuple[type, str], Entity] = {}
    for event in events:
        state = states.setdefault(event.partition, State(partition=event.partition))
        data = cast(Any, MESSAGES.read(name=event.type, version=event.version, body=event.data))
        if service == "inventory":
            position = Position(event.generation, event.partition, event.seq)
            ledger.evolve(state, data, position, event.decided_at)
        elif isinstance(data, UnitsHeld):
            state.put(hold.opened(data, held_at=event.decided_at, ledger_seq=event.seq))
        elif service == "reservation":
            cause = json.loads(event.meta)["correlation_id"]
            hold.evolve(state, data, cause, event.decided_at)
        else:
            order.evolve(state, data, event.decided_at)
        for change in state.staged():
            found[type(change.entity), change.entity.key] = change.entity
        state.commit()
    return found


@pytest.mark.parametrize("service", DECIDING)
async def test_the_tables_are_what_a_replay_gives(
    all_deciders: Deciders, busy: tuple[Partner, Books], service: str
) -> None:
    """All events from genesis lead to the very rows that are stored, JSON text included."""
    _, books = busy
    entities = rebuilt(service, books)
    connection = await asyncpg.connect(service_dsn(all_deciders.env, service))
    for table in TABLES[service]:
        rows = await connection.fetch(f"{table.select} ORDER BY {table.key}")
        ours = [entity for (kind, _), entity in entities.items() if kind is table.kind]
        expected = {row[table.columns.index(table.key)]: row for row in as_rows(table, ours)}
        assert expected == {row[table.key]: tuple(row) for row in rows}
        assert len(expected) > 0
    await connection.close()


def as_rows(table: Table, entities: Sequence[Entity]) -> list[tuple[Any, ...]]:
    """Return what a write would store."""
    return list(zip(*table.arrays(entities), strict=True))


def edited(body: dict[str, Any], **changes: Any) -> str:
    """Return an event's data with other values."""
    return json.dumps({**body, **changes}, separators=(",", ":"))


def rewrite(
    service: str, type: str, change: Callable[[StoredEvent], list[StoredEvent]]
) -> Callable[[Books], Books]:
    """Return a forgery: the last event of a type is replaced by others."""

    def forge(books: Books) -> Books:
        victim = books.events_of(service, type=type)[-1]
        events: list[StoredEvent] = []
        for event in books.events[service]:
            events += change(event) if event is victim else [event]
        return books.with_events(service, events)

    return forge


def other_quantity(event: StoredEvent) -> list[StoredEvent]:
    """One unit more than there was."""
    return [replace(event, data=edited(event.body, quantity=event.body["quantity"] + 1))]


def huge_quantity(event: StoredEvent) -> list[StoredEvent]:
    """More units than the pool has."""
    return [replace(event, data=edited(event.body, quantity=UNITS + 1))]


def other_count(event: StoredEvent) -> list[StoredEvent]:
    """A cap that began with a unit more than its partner held."""
    return [replace(event, data=edited(event.body, held=event.body["held"] + 1))]


def cap_of_none(event: StoredEvent) -> list[StoredEvent]:
    """A cap of no unit at all."""
    return [replace(event, data=edited(event.body, units=0))]


def twice(event: StoredEvent) -> list[StoredEvent]:
    """The same event once more."""
    return [event, event]


def gone(event: StoredEvent) -> list[StoredEvent]:
    """No event."""
    return []


def early(event: StoredEvent) -> list[StoredEvent]:
    """An expiry that was decided when the hold still had time."""
    return [replace(event, data=edited(event.body, due_at="2999-01-01T00:00:00Z"))]


def other_actor(event: StoredEvent) -> list[StoredEvent]:
    """The same event, said to be somebody else's."""
    return [replace(event, meta=event.meta.replace("partner", "another", 1))]


FORGERIES = {
    "an edited quantity": (rewrite("inventory", "units_held", other_quantity), "chain breaks"),
    "an edited actor": (rewrite("inventory", "units_held", other_actor), "chain breaks"),
    "a removed event": (rewrite("inventory", "units_sold", gone), "stands where"),
    "a cut tail": (rewrite("fulfillment", "order_created", gone), "its log ends at"),
    "more units than there are": (rewrite("inventory", "units_held", huge_quantity), "oversold"),
    "units that move twice": (rewrite("inventory", "units_released", twice), "are not held"),
    "units that are kept": (rewrite("inventory", "units_released", gone), "its units as None"),
    "a wrong count under a cap": (
        rewrite("inventory", "partner_cap_set", other_count),
        "begins with",
    ),
    "a cap that is not met": (
        rewrite("inventory", "partner_cap_set", cap_of_none),
        "above the cap",
    ),
    "two ends": (rewrite("reservation", "reservation_activated", twice), "lived"),
    "an early end": (rewrite("reservation", "reservation_expired", early), "before its time"),
    "two orders": (rewrite("fulfillment", "order_created", twice), "has 2 orders"),
    "no order": (rewrite("fulfillment", "order_created", gone), "activation has no order"),
    "no hold": (rewrite("inventory", "units_held", gone), "held and opened differ"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_shows(busy: tuple[Partner, Books], forgery: str) -> None:
    """Control: each rule finds its own kind of wrong books, and nothing in the true ones."""
    _, books = busy
    forge, complaint = FORGERIES[forgery]
    assert [] == violations(books)
    assert any(complaint in found for found in violations(forge(books)))


@pytest.mark.parametrize(
    ("service", "type"),
    [
        ("inventory", "units_held"),
        ("inventory", "units_released"),
        ("fulfillment", "order_created"),
    ],
)
async def test_a_broken_promise_shows(busy: tuple[Partner, Books], service: str, type: str) -> None:
    """Control: an answer whose event is not there is found."""
    partner, books = busy
    kept = [e for e in books.events[service] if e not in books.events_of(service, type=type)]
    assert [] == broken_promises(books, partner.history)
    assert [] != broken_promises(books.with_events(service, kept), partner.history)

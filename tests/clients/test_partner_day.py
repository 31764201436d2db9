"""The client against the real partner API on ports in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ota_client import (
    AlreadyActivated,
    Customer,
    NotFound,
    NotPermitted,
    OtaClient,
    ReservationEnded,
    SoldOut,
    ValidationFailed,
)
from tests.clients.counter import QUICK, Seen
from tests.http.world import DUDU_KEY, TEST_KEY, World, running_world

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
CUSTOMER = Customer(name="陳大文", email="tai.man@example.com", phone="+86 138 0000 0001")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A partner API of the test's own."""
    async with running_world() as world:
        yield world


@pytest.fixture
def seen() -> Seen:
    """What the client has sent and received."""
    return Seen()


@pytest.fixture
async def ota(world: World, seen: Seen) -> AsyncIterator[OtaClient]:
    """A client of that API."""
    async with OtaClient(url(world), TEST_KEY, retries=QUICK, watcher=seen) as ota:
        yield ota


def url(world: World) -> str:
    """Return where the API listens."""
    return str(world.client.make_url("/"))


async def test_receipts_are_kept_and_proven(ota: OtaClient) -> None:
    """The hash is recomputed here; a server that shows something else is not believed."""
    hold = await ota.reserve(106, 2)
    order = await ota.activate(hold.reservation_id, CUSTOMER, payment_reference="PAY-1")
    assert (await ota.reservation(hold.reservation_id)).receipt is None
    for receipt in (hold.receipt, order.receipt):
        assert receipt is not None
        found = await ota.check_receipt(receipt)
        assert ("recorded", True) == (found.status, found.proven)
        assert not replace(found, hashed=f"{found.hashed} ").proven


async def test_from_stock_to_tickets(ota: OtaClient) -> None:
    """The main job, with every field typed."""
    stock = await ota.inventory(106)
    assert (200, "Premium Plan") == (stock.available(106), stock.stock[106].name)
    assert 0 == stock.available(999)
    hold = await ota.reserve(106, 2, visit_date=date(2026, 2, 7), customer_reference="our-1")
    assert ("active", 2) == (hold.status, hold.quantity)
    assert Decimal(288) == hold.prices.base_price
    assert Decimal(188) == hold.prices.unit_prices["child"].unit_price
    assert hold.expires_at > hold.created_at
    order = await ota.activate(
        hold.reservation_id,
        CUSTOMER,
        payment_reference="PAY-1",
        customer_types=["adult", "child"],
        special_requests="a window",
    )
    assert (Decimal(318 + 188), "HKD") == (order.total_amount, order.currency)
    assert ["adult", "child"] == [ticket.customer_type for ticket in order.tickets]
    assert [1, 10] == [use.remaining_uses for use in order.tickets[0].entitlements]
    assert order.tickets[0].qr_png
    assert Decimal(188) == order.price_breakdown[1].subtotal
    read = await ota.order(order.order_id)
    assert (CUSTOMER.name, "PAY-1", "a window") == (
        read.customer_name,
        read.payment_reference,
        read.special_requests,
    )
    tickets = [ticket async for ticket in ota.tickets(order.order_id, images=False)]
    assert [None, None] == [ticket.qr_code for ticket in tickets]
    assert {ticket.ticket_code for ticket in order.tickets} == {t.ticket_code for t in tickets}
    sold = await ota.reservation(hold.reservation_id)
    assert ("activated", order.order_id, date(2026, 2, 7)) == (
        sold.status,
        sold.order_id,
        sold.visit_date,
    )


async def test_a_hold_given_back(ota: OtaClient) -> None:
    """Cancelling twice is fine; a cancelled hold is not to be sold."""
    hold = await ota.reserve(106, 3, expires_at=datetime(2026, 1, 5, 5, 0, tzinfo=UTC))
    assert datetime(2026, 1, 5, 5, 0, tzinfo=UTC) == hold.expires_at
    await ota.cancel(hold.reservation_id)
    await ota.cancel(hold.reservation_id)
    with pytest.raises(ReservationEnded) as caught:
        await ota.activate(hold.reservation_id, CUSTOMER, payment_reference="PAY-1")
    assert "RESERVATION_CANCELLED" == caught.value.code
    assert 200 == (await ota.inventory(106)).available(106)


async def test_a_repeat_is_told_as_one(ota: OtaClient, seen: Seen) -> None:
    """A stored key gives the first answer again, also in another process's life."""
    first = await ota.reserve(106, 1, idempotency_key="stored")
    assert first == await ota.reserve(106, 1, idempotency_key="stored")
    assert [False, True] == [answer.replayed for answer in seen.answers]
    assert seen.answers[0].body == seen.answers[1].body


async def test_refusals_say_what_to_do(ota: OtaClient, world: World) -> None:
    """Each by its class, with the figures of the problem document."""
    with pytest.raises(SoldOut) as sold_out:
        await ota.reserve(101, 1)
    assert 0 == sold_out.value.available
    with pytest.raises(ValidationFailed, match="between 1 and 100") as invalid:
        await ota.reserve(106, 101)
    assert invalid.value.request_id
    assert {"#/quantity"} == set(invalid.value.field_errors)
    hold = await ota.reserve(106, 1)
    order = await ota.activate(hold.reservation_id, CUSTOMER, payment_reference="PAY-1")
    with pytest.raises(AlreadyActivated) as again:
        await ota.activate(hold.reservation_id, CUSTOMER, payment_reference="PAY-2")
    assert order.order_id == again.value.order_id
    with pytest.raises(NotFound):
        await ota.order("ORD-0000000000000")
    async with OtaClient(url(world), DUDU_KEY) as other:
        with pytest.raises(NotPermitted, match="reserve:create"):
            await other.reserve(106, 1)


async def test_lists_are_walked(ota: OtaClient, seen: Seen) -> None:
    """Every row once, newest first, over as many pages as it takes."""
    made = [(await ota.reserve(106, 1)).reservation_id for _ in range(7)]
    walked = [hold.reservation_id async for hold in ota.reservations(page_size=3)]
    assert sorted(made) == sorted(walked)
    assert 3 == sum(request.method == "GET" for request in seen.requests)
    orders = set()
    for id in made[:4]:
        order = await ota.activate(id, CUSTOMER, payment_reference="PAY-1", images=False)
        orders.add(order.order_id)
    assert orders == {order.order_id async for order in ota.orders(product_id=106, page_size=2)}
    assert [] == [order async for order in ota.orders(product_id=107)]
    assert 4 == len([hold async for hold in ota.reservations(status="activated")])


async def test_unchanged_inventory_is_not_sent_again(ota: OtaClient, seen: Seen) -> None:
    """304 gives what is remembered; a change is seen."""
    first = await ota.inventory(106)
    assert first is await ota.inventory(106)
    await ota.reserve(106, 1)
    assert 199 == (await ota.inventory(106)).available(106)
    assert [200, 304, 201, 200] == [answer.status for answer in seen.answers]


async def test_an_endpoint_without_a_method(ota: OtaClient) -> None:
    """Everything of the API can be called."""
    assert 200 == (await ota.send("GET", "/products")).status


async def test_a_client_that_is_not_open() -> None:
    """It says how to use it."""
    with pytest.raises(RuntimeError, match="async with"):
        await OtaClient("http://127.0.0.1:1", "key").inventory()


async def test_the_readme_is_true(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code runs as it stands, is 20 lines or fewer inside, and sells two units."""
    main, watcher = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    calls: list[Any] = []
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        # The example starts an event loop of its own; here one runs already.
        patch.setattr(asyncio, "run", calls.append)
        exec(main, names)
        exec(watcher, {})
    calls.pop().close()
    await names["main"](url(world), TEST_KEY)
    said = capsys.readouterr().out
    assert "200 units of Premium Plan" in said
    assert re.search(r"ORD-\d{13} CONF-\w{8} 576 HKD", said)
    assert 2 == said.count("adult ACTIVE")
    assert len([line for line in main.splitlines() if line.strip()]) <= 20

"""One key, one effect; one hold, one end: whoever asks twice, at once, or from elsewhere."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace

import pytest

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.inventory import HoldPlaced, HoldRefused, HoldReleased
from libs.events.contracts.reservation import ReservationRefused
from libs.events.requests import Reply, Request
from tests.support.client import Partner, Stock, connected_partner
from tests.support.deciders import Deciders
from tests.support.ledger import Books

pytestmark = pytest.mark.integration


def units(books: Books, *stocks: Stock) -> list[tuple[int, int]]:
    """Return what is held and sold of pools."""
    rows = {row["pool_no"]: row for row in books.rows["pool"]}
    return [(rows[stock.pool_no]["held"], rows[stock.pool_no]["sold"]) for stock in stocks]


async def at_once(*calls: tuple[Partner, Request]) -> list[Reply]:
    """Send commands at the same moment and return their answers."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(partner.insist(request)) for partner, request in calls]
    return [task.result() for task in tasks]


async def test_a_repeat_has_the_first_answer(deciders: Deciders) -> None:
    """Holds, refusals, orders and cancellations are answered again as they were, once done."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=3)
        placed = await partner.held(stock, quantity=2)
        other = await partner.held(stock)
        requests = [
            partner.hold(stock),
            partner.activate(placed.reservation_id),
            partner.cancel(other.reservation_id),
            partner.cancel(placed.reservation_id),
        ]
        first = [await partner.insist(request) for request in requests]
        again = [await partner.insist(request) for request in requests]
        expected = [HoldRefused, OrderConfirmed, HoldReleased, ReservationRefused]
        assert expected == [type(reply.answer) for reply in first]
        assert [reply.answer for reply in first] == [reply.answer for reply in again]
        assert [True] * 4 == [reply.replayed for reply in again]
        assert [(0, 2)] == units(await deciders.audit(partner), stock)


async def test_a_repeat_through_another_gateway_has_one_effect(deciders: Deciders) -> None:
    """The same command at the same moment through two gateways: one hold, one answer for both."""
    elsewhere = connected_partner(bootstrap=deciders.stack.broker.bootstrap, instance=1)
    async with deciders.partner() as partner, elsewhere as other:
        stock = await partner.open_pool(units=50)
        for _ in range(10):
            request = partner.hold(stock)
            here, there = await at_once((partner, request), (other, request))
            assert here.answer == there.answer
        assert [(10, 0)] == units(await deciders.audit(partner, other), stock)


@pytest.mark.parametrize("partitions", [(1, 1), (1, 2)], ids=["same partition", "another one"])
async def test_a_key_is_good_for_one_request(
    deciders: Deciders, partitions: tuple[int, int]
) -> None:
    """The key of a hold does not hold anything else, in whichever partition."""
    async with deciders.partner() as partner:
        stocks = [await partner.open_pool(units=5, partition=number) for number in partitions]
        key = uuid.uuid4().hex
        first, second = [partner.hold(stock, key=key) for stock in stocks]
        second = replace(second, fingerprint="another")
        assert isinstance((await partner.insist(first)).answer, HoldPlaced)
        reply = await partner.insist(second)
        assert KeyReused(command_id=first.command_id) == reply.answer
        partner.history.pop()
        assert [(1, 0), (0, 0)] == units(await deciders.audit(partner), *stocks)


async def test_a_key_used_twice_at_once_holds_once(deciders: Deciders) -> None:
    """Two requests under one key at the same moment in two partitions: one hold, one refusal."""
    async with deciders.partner() as partner:
        stocks = [await partner.open_pool(units=20, partition=number) for number in (0, 3)]
        for _ in range(10):
            key = uuid.uuid4().hex
            first, second = [partner.hold(stock, key=key) for stock in stocks]
            replies = await at_once((partner, first), (partner, replace(second, fingerprint="2")))
            kinds = Counter(type(reply.answer) for reply in replies)
            assert {HoldPlaced: 1, KeyReused: 1} == kinds
        partner.history.clear()
        (held_here, _), (held_there, _) = units(await deciders.audit(partner), *stocks)
        assert 10 == held_here + held_there


async def test_a_hold_is_activated_once(deciders: Deciders) -> None:
    """Ten activations of one hold at once under ten keys: one order, the others name it."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=5)
        placed = await partner.held(stock, quantity=2)
        calls = [(partner, partner.activate(placed.reservation_id)) for _ in range(10)]
        answers = [reply.answer for reply in await at_once(*calls)]
        orders = {answer.order_id for answer in answers if isinstance(answer, OrderConfirmed)}
        refused = [answer for answer in answers if isinstance(answer, ReservationRefused)]
        assert (1, 9) == (len(orders), len(refused))
        assert {("already_activated", *orders)} == {(r.reason, r.order_id) for r in refused}
        assert [(0, 2)] == units(await deciders.audit(partner), stock)


async def test_a_hold_is_activated_or_cancelled(deciders: Deciders) -> None:
    """Activation and cancellation at the same moment: one has its way, the other is told so."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=20)
        for _ in range(10):
            id = (await partner.held(stock)).reservation_id
            calls = [(partner, partner.activate(id)), (partner, partner.cancel(id))]
            activated, cancelled = [reply.answer for reply in await at_once(*calls)]
            if isinstance(activated, OrderConfirmed):
                assert isinstance(cancelled, ReservationRefused)
                assert "cannot_cancel_activated" == cancelled.reason
            else:
                assert isinstance(activated, ReservationRefused)
                assert "reservation_cancelled" == activated.reason
                assert isinstance(cancelled, HoldReleased)
        ((held, _),) = units(await deciders.audit(partner), stock)
        assert 0 == held


async def test_the_last_units_are_held_once(deciders: Deciders) -> None:
    """A hundred holds of 3 at once from a pool of 100: 33 are placed, 1 unit stays."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=100)
        calls = [(partner, partner.hold(stock, quantity=3)) for _ in range(100)]
        answers = [reply.answer for reply in await at_once(*calls)]
        assert {HoldPlaced: 33, HoldRefused: 67} == Counter(map(type, answers))
        refused = {(a.reason, a.available) for a in answers if isinstance(a, HoldRefused)}
        assert {("sold_out", 1)} == refused
        assert [(99, 0)] == units(await deciders.audit(partner), stock)

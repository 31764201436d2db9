"""What goes wrong between the services: lost logs, stale and poisoned records, a broker away."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from libs.events import codec
from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.inventory import HoldPlaced, HoldReleased, PlaceHold
from libs.events.envelope import Envelope
from libs.events.requests import OutcomeUnknown, Request
from libs.events.topics import (
    DEAD_LETTERS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    RESERVATION_COMMANDS,
    RESERVATION_EVENTS,
    Topic,
)
from tests.support import topics
from tests.support.client import Partner, seconds_from_now
from tests.support.deciders import Deciders, ops_page
from tests.support.ledger import Books, read_books, read_heads, settled
from tests.support.stack import ServiceProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

FAILURES = 'ota_partition_failures_total{partition="3"}'


async def metric(process: ServiceProcess, name: str) -> float:
    """Return a metric's value, as it is written with its labels."""
    lines = (await ops_page(process, "/metrics")).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def about(books: Books, request: Request) -> list[str]:
    """Return the events that a command has led to, in any service."""
    return [
        event.type
        for events in books.events.values()
        for event in events
        if request.command_id in event.meta
    ]


@pytest.mark.parametrize("topic", [INVENTORY_COMMANDS, RESERVATION_COMMANDS])
async def test_commands_are_decided_after_their_log_was_lost(
    deciders: Deciders, topic: Topic
) -> None:
    """With the command topic gone and made anew, new commands work and repeats have no effect."""
    bootstrap = deciders.stack.broker.bootstrap
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10, partition=1)
        before = partner.hold(stock, quantity=2)
        placed = await partner.insist(before)
        assert isinstance(placed.answer, HoldPlaced)
        cancelled = partner.cancel(placed.answer.reservation_id)
        assert isinstance((await partner.insist(cancelled)).answer, HoldReleased)
        await settled(deciders.env)
        books = await read_books(deciders.env)
        await topics.recreate(bootstrap=bootstrap, topic=topic)
        kept = await partner.held(stock, quantity=3)
        await partner.insist(partner.activate(kept.reservation_id))
        again = await partner.insist(before)
        assert (placed.answer, True) == (again.answer, again.replayed)
        assert (await partner.insist(cancelled)).replayed
        found = await deciders.audit(partner)
    service = topic.name.split(".")[1]
    assert 1 + log_epoch(books, service, topic) == log_epoch(found, service, topic)
    assert about(books, before) == about(found, before)
    assert about(books, cancelled) == about(found, cancelled)


def log_epoch(books: Books, service: str, topic: Topic) -> int:
    """Return the log epoch that partition 1 of a service has stored for a topic."""
    return int(books.heads[service][1].inputs[topic.name]["log_epoch"])


async def test_a_stale_command_is_dropped(deciders: Deciders) -> None:
    """What nobody waits for any more is neither decided nor recorded; the same in time is."""
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10)
        request = partner.hold(stock)
        stale = replace(request, issued_at=datetime.now(UTC) - timedelta(seconds=10))
        with pytest.raises(OutcomeUnknown):
            await partner.client.submit(stale, timeout_s=0.3)
        await partner.held(stock)
        assert [] == about(await deciders.audit(partner), request)
        assert 1 <= await metric(
            deciders.processes["inventory"], "ota_stale_commands_dropped_total"
        )
        reply = await partner.insist(request)
        assert isinstance(reply.answer, HoldPlaced)
        assert not reply.replayed


def wire(data: object, **headers: str) -> tuple[codec.Headers, bytes]:
    """Return a command as a gateway writes it, with other headers if they are given."""
    command = Envelope(
        id="poison",
        source="gateway",
        time=datetime.now(UTC),
        data=data,
        correlation_id="poison",
        causation_id="poison",
        reply_to=0,
    )
    found, value = codec.encode(command)
    return [(name, headers[name].encode() if name in headers else v) for name, v in found], value


def poison(partner: Partner, kind: str, request: Request) -> tuple[codec.Headers, bytes]:
    """Return a record that can't be decided, made from a command that can."""
    match kind:
        case "no headers":
            return [], b"{}"
        case "bytes that are no text":
            return [("ce_type", b"\xff\xfe")], b"\x00\xff"
        case "bytes that are no JSON":
            return wire(request.data)[0], b"\x00\xff{"
        case "an unknown type":
            return wire(request.data, ce_type="ota.inventory.print_money")
        case "an event":
            return wire(request.data, ce_type="ota.inventory.units_held")
        case "a version to come":
            return wire(request.data, ce_dataversion="99")
        case "a negative quantity":
            assert isinstance(request.data, PlaceHold)
            return wire(replace(request.data, quantity=-1))
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "no headers",
        "bytes that are no text",
        "bytes that are no JSON",
        "an unknown type",
        "an event",
        "a version to come",
        "a negative quantity",
    ],
)
async def test_a_poisoned_command_is_put_aside(deciders: Deciders, kind: str) -> None:
    """It lands in the dead letters, tells why, and the next command is answered within 1 s."""
    bootstrap = deciders.stack.broker.bootstrap
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10)
        headers, value = poison(partner, kind, partner.hold(stock))
        known = await topics.read_all(bootstrap=bootstrap, topic=DEAD_LETTERS, partition=0)
        started = time.monotonic()
        await topics.append(
            bootstrap=bootstrap,
            topic=INVENTORY_COMMANDS,
            partition=stock.partition,
            value=value,
            headers=headers,
        )
        reply = await partner.send(partner.hold(stock))
        assert isinstance(reply.answer, HoldPlaced)
        assert time.monotonic() - started < 1
        letters = await topics.read_all(bootstrap=bootstrap, topic=DEAD_LETTERS, partition=0)
        (letter,) = letters[len(known) :]
        assert value == letter.value
        assert INVENTORY_COMMANDS.name == dict(letter.headers)["x-dlq-topic"].decode()
        assert dict(letter.headers)["x-dlq-reason"]
        await deciders.audit(partner)


async def test_an_unreadable_event_halts_its_partition_alone(deciders: Deciders) -> None:
    """It is not skipped, other partitions go on; with the log made anew everything is taken in."""
    bootstrap = deciders.stack.broker.bootstrap
    inventory = deciders.processes["inventory"]
    async with deciders.partner() as partner:
        halted, free = [await partner.open_pool(units=10, partition=number) for number in (3, 0)]
        placed, earlier = [await partner.held(halted) for _ in range(2)]
        await partner.send(partner.cancel(earlier.reservation_id))
        await settled(deciders.env)
        offset = await topics.append(
            bootstrap=bootstrap,
            topic=RESERVATION_EVENTS,
            partition=3,
            value=b"?",
            headers=[("ce_id", b"?")],
        )
        await eventually(lambda: is_halted(inventory))
        failures = await metric(inventory, FAILURES)
        epoch = (await read_heads(deciders.env, "inventory"))[3].epoch
        request = partner.cancel(placed.reservation_id)
        with pytest.raises(OutcomeUnknown):
            await partner.send(request, timeout_s=0.5)
        other = await partner.held(free)
        reply = await partner.send(partner.cancel(other.reservation_id))
        assert isinstance(reply.answer, HoldReleased)
        # It tries again and again, and stays in front of the record.
        await eventually(lambda: has_restarted(deciders, since=epoch + 1))
        assert failures < await metric(inventory, FAILURES)
        inputs = (await read_heads(deciders.env, "inventory"))[3].inputs
        assert inputs.get(RESERVATION_EVENTS.name, {"offset": -1})["offset"] < offset
        assert "[3]" in await ops_page(inventory, "/readyz?verbose")
        await topics.recreate(bootstrap=bootstrap, topic=RESERVATION_EVENTS)
        assert isinstance((await partner.insist(request)).answer, HoldReleased)
        await asyncio.to_thread(inventory.wait_ready)
        await deciders.audit(partner)


async def is_halted(process: ServiceProcess) -> bool:
    """Say whether partition 3, and no other, has told that it is halted."""
    states = [await metric(process, f'ota_partition_state{{partition="{n}"}}') for n in range(4)]
    return [1, 1, 1, 2] == states


async def has_restarted(deciders: Deciders, *, since: int) -> bool:
    """Say whether partition 3 of inventory has been owned anew since an epoch."""
    return (await read_heads(deciders.env, "inventory"))[3].epoch > since


async def test_what_is_recorded_while_kafka_is_away_is_published_later(
    deciders: Deciders,
) -> None:
    """Holds run out without Kafka; when it is back, their events are in the topic, in order."""
    bootstrap = deciders.stack.broker.bootstrap
    kafka = deciders.stack.kafka
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10, partition=2)
        placed = [await partner.held(stock, expires_at=seconds_from_now(2)) for _ in range(3)]
        await settled(deciders.env)
        await asyncio.to_thread(kafka.kill)
        ids = [each.reservation_id for each in placed]
        await eventually(lambda: all_expired(deciders, ids))
        kafka.start()
        await asyncio.to_thread(kafka.wait_ready)
        await deciders.audit(partner)
        await eventually(lambda: is_published(deciders, bootstrap, ids))
        await partner.ordered(stock, quantity=10)
        await deciders.audit(partner)


async def all_expired(deciders: Deciders, ids: list[str]) -> bool:
    """Say whether these reservations have expired by their own service's books."""
    books = await read_books(deciders.env)
    return all("reservation_expired" in books.about("reservation", id) for id in ids)


async def is_published(deciders: Deciders, bootstrap: str, ids: list[str]) -> bool:
    """Say whether a partition's topic has all that its log has about these, in the log's order."""
    records = await topics.read_all(bootstrap=bootstrap, topic=RESERVATION_EVENTS, partition=2)
    seqs = [
        envelope.position.seq
        for record in records
        if (envelope := codec.decode(record.headers, record.value, interests=())).position
    ]
    books = await read_books(deciders.env)
    ours = [e.seq for e in books.events["reservation"] if e.partition == 2 and e.subject in ids]
    arrived = list(dict.fromkeys(seq for seq in seqs if seq in ours))
    assert arrived == sorted(arrived)
    return arrived == ours


@pytest.mark.parametrize("later", [False, True], ids=["nothing follows", "an event follows"])
async def test_an_event_that_never_arrives_is_read_from_its_owner(
    deciders: Deciders, later: bool
) -> None:
    """A cancellation that Kafka has lost gives its units back all the same."""
    bootstrap = deciders.stack.broker.bootstrap
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=10)
        lost, following = [await partner.held(stock), await partner.held(stock)]
        await settled(deciders.env)
        deciders.kill("inventory")
        with pytest.raises(OutcomeUnknown):
            await partner.send(partner.cancel(lost.reservation_id), timeout_s=0.5)
        await eventually(lambda: is_cancelled(deciders, lost.reservation_id))
        await topics.forget(bootstrap=bootstrap, topic=RESERVATION_EVENTS, partition=0)
        if later:
            with pytest.raises(OutcomeUnknown):
                await partner.send(partner.cancel(following.reservation_id), timeout_s=0.5)
        await deciders.restart("inventory")
        books = await deciders.audit(partner)
    assert ["units_held", "units_released"] == books.about("inventory", lost.reservation_id)
    assert 1 <= await metric(deciders.processes["inventory"], "ota_event_gap_fills_total")


async def is_cancelled(deciders: Deciders, id: str) -> bool:
    """Say whether a cancellation is recorded."""
    return "reservation_cancelled" in (await read_books(deciders.env)).about("reservation", id)


async def test_a_hold_that_was_never_announced_can_be_sold(deciders: Deciders) -> None:
    """The ledger's event is lost on the way; an activation opens the reservation all the same."""
    bootstrap = deciders.stack.broker.bootstrap
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=5, partition=2)
        await settled(deciders.env)
        deciders.kill("reservation")
        placed = await partner.held(stock, quantity=2)
        await topics.forget(bootstrap=bootstrap, topic=INVENTORY_EVENTS, partition=2)
        await deciders.restart("reservation")
        reply = await partner.insist(partner.activate(placed.reservation_id))
        assert isinstance(reply.answer, OrderConfirmed)
        books = await deciders.audit(partner)
    assert ["reservation_activated"] == books.about("reservation", placed.reservation_id)

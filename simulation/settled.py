"""What must hold once every fault is healed: everybody answers, and all that is kept agrees."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from libs.events.codec import parse_position
from libs.events.contracts.inventory import UnitsHeld
from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash
from libs.events.topics import FULFILLMENT_EVENTS, INVENTORY_EVENTS, RESERVATION_EVENTS
from libs.kernel.state import Entity, State
from services.fulfillment.domain import order
from services.fulfillment.domain.order import Order, Ticket
from services.inventory.domain import audit, ledger
from services.inventory.domain.ledger import Hold, PartnerCap, Pool
from services.reservation.domain import hold
from services.reservation.domain.hold import Reservation
from simulation.actions import Broker, Reserve
from simulation.market import PARTITIONS, SERVICES
from simulation.views import entities
from simulation.world import World

ROUND_S = 0.1
ROUNDS = 25
LATER_S = 100.0
QUESTIONS_MAX = 4
EVENT_TOPICS = {
    "inventory": INVENTORY_EVENTS.name,
    "reservation": RESERVATION_EVENTS.name,
    "fulfillment": FULFILLMENT_EVENTS.name,
}
UNITS_OF_LIFE = {
    "active": "held",
    "activated": "sold",
    "cancelled": "released",
    "expired": "released",
}


def settle(world: World) -> None:
    """Heal everything, let clients ask what they don't know, let holds run out; then check."""
    world.views.away.clear()
    world.play([Broker(down=False)])
    for process in world.processes:
        process.free = True
        process.fate = None
        process.wake()
    for gateway in world.gateways:
        gateway.client.fate = None
    _run(world, ROUNDS)
    _ask(world)
    _published(world, running=True)
    _restart(world)
    _ask(world)
    _sell(world)
    world.wall_offset_s += LATER_S
    _restart(world)
    for find in (_ends, _orders, _rows, _chains, _rebuilt):
        find(world)
    _published(world, running=False)
    world.check()


def _restart(world: World) -> None:
    """Start every process anew, and let all that is on its way arrive."""
    for process in world.processes:
        process.kill()
    _run(world, ROUNDS)


def _run(world: World, rounds: int) -> None:
    for _ in range(rounds):
        for process in world.processes:
            if process.feed is not None:
                process.feed.look()
        world.scheduler.advance(ROUND_S)
        for gateway in world.gateways:
            gateway.client.deliver(1 << 30)
            gateway.take_figures()
        world.scheduler.run_ready()
        world.check()


def _ask(world: World) -> None:
    """Let clients repeat what they had no answer to, until they know (I26)."""
    for _ in range(QUESTIONS_MAX):
        questions = sorted(world.promises.open_questions())
        if not questions:
            return
        for question in questions:
            world.clients.write(replace(world.clients.asked[question], fate=None))
        _run(world, ROUNDS)
    left = sorted(world.promises.open_questions())
    if left:
        action = world.clients.asked[left[0]]
        world.broken("I26 recovery", f"{len(left)} calls stay without an answer, so {action}")
    world.check()


def _sell(world: World) -> None:
    """All is well again: every partner gets a definite answer to something new."""
    for partner, product_id in (("north", 106), ("south", 107), ("web", 106)):
        world.clients.write(Reserve(0, partner, "after all", product_id, 1, 5.0))
    _run(world, ROUNDS)
    if world.promises.open_questions() or world.clients.open_calls:
        world.broken("I26 recovery", "new calls are not answered after all faults are healed")
    world.check()


def _ends(world: World) -> None:
    """I7, I8, I9: each hold has one life, its units are where that says, none outlives its time."""
    orders = {each["reservation_id"] for each in world.ledger.orders.values()}
    late = world.now() - timedelta(seconds=1)
    for id, each in world.ledger.holds.items():
        if each.life is None or UNITS_OF_LIFE[each.life] != each.units:
            world.broken("I9 moved once", f"{id} is {each.life}, its units are {each.units}")
        if each.life == "active" and each.expires_at < late:
            world.broken("I8 expiry", f"{id} should have ended at {each.expires_at}")
        if (each.life == "activated") != (id in orders):
            world.broken("I7 orders", f"{id} is {each.life}, it has an order: {id in orders}")


def _orders(world: World) -> None:
    tickets = Counter(each.order_id for each in entities(world.databases["fulfillment"], Ticket))
    stored = entities(world.databases["fulfillment"], Order)
    if {each.order_id for each in stored} != world.ledger.orders.keys():
        world.broken("I16 projections", "stored orders are not those of the log")
    for each in stored:
        if tickets[each.order_id] != each.quantity:
            world.broken("I7 orders", f"{each.order_id} has {tickets[each.order_id]} tickets")


def _rows(world: World) -> None:
    """I1, I2: the stored rows say what the log says."""
    database = world.databases["inventory"]
    holds = entities(database, Hold)
    for found in audit.violations(entities(database, Pool), holds, entities(database, PartnerCap)):
        world.broken("I2 conservation", found)
    for pool in entities(database, Pool):
        known = world.ledger.pools[pool.pool_no]
        stored = (pool.allotted, pool.held, pool.sold, pool.selling)
        if stored != (known.allotted, known.held, known.sold, known.selling):
            world.broken(
                "I2 conservation", f"pool {pool.pool_no} is {stored}, the log says {known}"
            )
    lives = {
        each.reservation_id: each.status
        for each in entities(world.databases["reservation"], Reservation)
    }
    if lives != {id: each.life for id, each in world.ledger.holds.items()}:
        world.broken("I16 projections", "stored reservations are not those of the log")


def _chains(world: World) -> None:
    """I22: every event carries the hash of the one before, and its own."""
    for service, database in world.databases.items():
        for partition, events in database.events.items():
            previous = GENESIS
            for stored in events:
                row = stored.row
                expected = chain_hash(
                    previous=previous,
                    source=service,
                    position=Position(stored.generation, partition, row.seq),
                    type=row.type,
                    version=row.version,
                    subject=row.subject,
                    decided_at=stored.decided_at,
                    meta=row.meta,
                    data=row.data,
                )
                if row.previous_hash != previous or row.hash != expected:
                    world.broken("I22 chain", f"{service}-{partition}-{row.seq}")
                previous = row.hash


def _rebuilt(world: World) -> None:
    """I16: what is stored is what the events give, played once more from the first one."""
    for service in SERVICES:
        database = world.databases[service]
        for partition in PARTITIONS:
            state = State(partition=partition)
            built: dict[tuple[type[Entity], str], Entity] = {}
            events = database.envelopes(partition, after_seq=0, limit=1 << 30)
            if service == "reservation":  # it opens with the ledger's events (ADR 17)
                held = world.databases["inventory"].envelopes(partition, after_seq=0, limit=1 << 30)
                events = [*(e for e in held if isinstance(e.data, UnitsHeld)), *events]
            for event in events:
                _evolve(service, state, event)
                for change in state.staged():
                    built[type(change.entity), change.entity.key] = change.entity
                # Ended things leave memory with the write: here every event is one.
                state.commit()
            stored = {key: row for key, (at, row) in database.rows.items() if at == partition}
            if built != stored:
                wrong = {
                    key for key in built.keys() | stored.keys() if built.get(key) != stored.get(key)
                }
                world.broken("I16 projections", f"{service}-{partition} differs in {wrong}")


def _evolve(service: str, state: State, event: Any) -> None:
    if service == "inventory":
        ledger.evolve(state, cast(Any, event.data), event.position, event.time)
    elif isinstance(event.data, UnitsHeld):
        state.put(hold.opened(event.data, held_at=event.time, ledger_seq=event.position.seq))
    elif service == "reservation":
        hold.evolve(state, cast(Any, event.data), event.correlation_id, event.time)
    else:
        order.evolve(state, cast(Any, event.data), event.time)


def _published(world: World, *, running: bool) -> None:
    """I17: every recorded event is at the broker.

    A *running* relay learns of a lost tail by its next batch only, and not if somebody else
    has filled its place: then the next owner's look at the topic finds it.
    """
    for service, topic in EVENT_TOPICS.items():
        for partition in PARTITIONS:
            if running and (topic, partition) in world.shortened | world.blurred:
                continue
            there = set()
            for stored in world.broker.log(topic, partition):
                for name, value in stored.headers:
                    if name == "ce_position":
                        there.add(parse_position(value.decode()).seq)
            head = world.databases[service].heads[partition]
            missing = sorted(set(range(1, head.seq + 1)) - there)
            if missing:
                world.broken("I17 published", f"{topic} partition {partition} lacks {missing}")
    world.check()

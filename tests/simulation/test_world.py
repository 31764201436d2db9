"""Random histories with crashes, zombies, lost and repeated records: what must hold after them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from libs.events.contracts.fulfillment import OrderConfirmed
from libs.events.contracts.gateway import KeyReused
from libs.events.contracts.inventory import HoldPlaced, HoldReleased, PlaceHold, UnitsHeld
from libs.events.memory.log import MemoryLog
from libs.events.topics import INVENTORY_COMMANDS
from services.fulfillment.domain.order import Order, Ticket
from services.inventory.domain.audit import violations
from services.inventory.domain.ledger import Hold, PartnerCap, Pool
from services.reservation.domain.hold import Reservation
from tests.support.world import PARTITION_OF_POOL, PRICES, World

SEEDS = range(60)
STEPS = 400


def rows(world: World, service: str, kind: type) -> list[Any]:
    """Return a service's stored entities of a kind."""
    return [entity for _, entity in world.databases[service].rows.values() if type(entity) is kind]


def problems(world: World) -> list[str]:
    """Return every broken promise, one sentence each."""
    found = violations(
        rows(world, "inventory", Pool),
        rows(world, "inventory", Hold),
        rows(world, "inventory", PartnerCap),
    )
    holds = {hold.reservation_id: hold for hold in rows(world, "inventory", Hold)}
    reservations = {r.reservation_id: r for r in rows(world, "reservation", Reservation)}
    orders = {order.reservation_id: order for order in rows(world, "fulfillment", Order)}
    expected = {
        "active": "held",
        "activated": "sold",
        "cancelled": "released",
        "expired": "released",
    }
    if holds.keys() != reservations.keys():
        found.append(
            f"holds without a life or lives without a hold: {holds.keys() ^ reservations.keys()}"
        )
    for id, reservation in reservations.items():
        if id in holds and holds[id].status != expected[reservation.status]:
            found.append(f"{id} is {reservation.status}, its units are {holds[id].status}")
        if (reservation.status == "activated") != (id in orders):
            found.append(f"{id} is {reservation.status}, orders: {id in orders}")
    tickets = Counter(ticket.order_id for ticket in rows(world, "fulfillment", Ticket))
    for order in orders.values():
        if tickets[order.order_id] != order.quantity:
            found.append(
                f"{order.order_id} has {tickets[order.order_id]} tickets for {order.quantity}"
            )
    found += answer_problems(world, holds, orders, reservations)
    found += log_problems(world)
    if world.watch.counts.get("conflicts"):
        found.append("the ledger met a terminal event that it could not apply")
    return found


def answer_problems(
    world: World, holds: dict[str, Hold], orders: dict[str, Order], reservations: dict[str, Any]
) -> list[str]:
    """I3 and I5: what was answered is there, and repeats are answered alike."""
    found = []
    for at, answers in world.answers.items():
        final = [a for a in answers if not isinstance(a, KeyReused)]
        decided = {
            repr(a) for a in final if isinstance(a, HoldPlaced | HoldReleased | OrderConfirmed)
        }
        if len(decided) > 1:
            found.append(f"{at} was answered in {len(decided)} ways")
        for answer in final:
            if isinstance(answer, HoldPlaced) and answer.reservation_id not in holds:
                found.append(f"{answer.reservation_id} was acknowledged and is lost")
            if isinstance(answer, OrderConfirmed):
                order = orders.get(answer.reservation_id)
                if order is None or order.order_id != answer.order_id:
                    found.append(f"order {answer.order_id} was acknowledged and is lost")
            if isinstance(answer, HoldReleased):
                found += _not_cancelled(reservations[answer.reservation_id])
    return found


def _not_cancelled(reservation: Reservation) -> list[str]:
    if reservation.status == "cancelled":
        return []
    return [f"{reservation.reservation_id} was answered 204 and is {reservation.status}"]


def log_problems(world: World) -> list[str]:
    """I5, I6 and I13: gapless logs, one hold and one end each."""
    found = []
    for name, database in world.databases.items():
        for partition in PARTITION_OF_POOL.values():
            events = database.envelopes(partition, after_seq=0, limit=10**9)
            seqs = [event.position.seq for event in events if event.position]
            if seqs != list(range(1, len(seqs) + 1)):
                found.append(f"{name} partition {partition} has gaps or repeats")
            times = [event.time for event in events]
            if times != sorted(times):
                found.append(f"{name} partition {partition}: time goes back")
            held = Counter(e.data.reservation_id for e in events if isinstance(e.data, UnitsHeld))
            found += [f"{id} was held {n} times" for id, n in held.items() if n > 1]
    return found


async def play(seed: int, *, steps: int = STEPS) -> World:
    """Play one history."""
    world = World(seed=seed)
    await world.run(steps)
    return world


@pytest.mark.parametrize("seed", SEEDS)
async def test_random_history_keeps_every_promise(seed: int) -> None:
    """Whatever crashes, is lost or repeated: nothing is oversold, lost or done twice."""
    assert [] == problems(await play(seed))


async def test_histories_are_worth_their_name() -> None:
    """The faults really happen, and really are met: repeats, fencing, gaps, expiries, crashes.

    Stock and caps really run out.
    """
    counts: Counter[str] = Counter()
    for seed in range(20):
        counts.update((await play(seed)).watch.counts)
    faults = ("replayed", "Fenced", "gaps", "expired", "tails lost", "stale", "Crash")
    wanted = (*faults, "refused sold_out", "refused hold_limit")
    assert [] == [name for name in wanted if counts[name] == 0]


async def test_checks_notice_a_missing_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: with the head's condition gone, zombies write, and the checks say so."""
    genuine = MemoryLog.write

    async def unfenced(self: MemoryLog, write: Any) -> Any:
        head = self._database.heads[self._partition]
        self._database.heads[self._partition] = write.before
        try:
            return await genuine(self, write)
        except BaseException:
            self._database.heads[self._partition] = head
            raise

    monkeypatch.setattr(MemoryLog, "write", unfenced)
    caught = 0
    for seed in range(30):
        try:
            caught += bool(problems(await play(seed)))
        except Exception:
            caught += 1
    assert caught > 0


async def test_repeat_gets_its_answer_although_it_would_be_refused_now() -> None:
    """A hold that was placed for a moment is still the answer after its time, and a restart.

    The refusal that the command would get now leaves no record, so nothing collides.
    """
    world = World(seed=1, chaos=False)
    await world.start()
    command = PlaceHold(
        reservation_id="",
        pool_no=1,
        partner_id="p",
        quantity=1,
        prices=PRICES,
        expires_at=world.clock.at + timedelta(seconds=1),
    )
    for _ in range(2):
        await world.send(INVENTORY_COMMANDS.name, 1, command, key="once")
        await world.settle()
        await world.restart("inventory", 0)
    (answers,) = [a for at, a in world.answers.items() if at[1].startswith("PlaceHold")]
    assert 2 == len(answers)
    assert isinstance(answers[0], HoldPlaced)
    assert answers[0] == answers[1]

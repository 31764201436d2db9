"""The seeded choice of what happens: one seed, one list of actions."""

from __future__ import annotations

import random
from typing import Literal

from libs.events.topics import GATEWAY_REPLIES
from simulation.actions import (
    COMMAND_TOPICS,
    EVENT_TOPICS,
    GATEWAYS,
    Action,
    Activate,
    Advance,
    Approach,
    Away,
    Broker,
    Cancel,
    Deliver,
    Fetch,
    Garble,
    HandOver,
    Hold,
    Jump,
    Kill,
    KillGateway,
    LoseTail,
    Operate,
    Read,
    Reading,
    Repeat,
    Reserve,
    Stop,
    Usurp,
    Wake,
    Which,
)
from simulation.market import CALLERS, PARTITIONS, PARTNERS, POOLS, SERVICES, pool_of
from simulation.process import FATES

_FATE_RATES = (0.0, 0.03, 0.1, 0.25)
_FAULT_RATES = (0.0, 0.01, 0.03, 0.08)


class Chooser:
    """Chooses the actions of one seed; seeds differ in temper, not only in dice."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        dice = self._dice
        self._fates = dice.choice(_FATE_RATES)
        self._faults = dice.choice(_FAULT_RATES)
        self._repeats = dice.choice((0.05, 0.2, 0.5))
        self._keys = dice.choice((30, 120, 1000))
        self._quantity_max = dice.choice((2, 4, 9))
        self._seconds = dice.choice(((1.5, 4.0), (3.0, 9.0), (20.0, 60.0), (1.0, 60.0)))
        self._advances = dice.choice(((0.001, 0.02), (0.005, 0.1), (0.01, 0.4), (0.1, 1.2)))
        self._reserves: list[Reserve] = []
        self._writes: list[Reserve | Activate | Cancel] = []
        self._down = False
        self._away: set[str] = set()
        self._operations = 0
        self._planned: list[Action] = []

    def choose(self, steps: int) -> list[Action]:
        """Return the next *steps* actions."""
        return [self._next() for _ in range(steps)]

    def _next(self) -> Action:
        dice = self._dice
        if self._planned:
            return self._planned.pop()
        if dice.random() < self._faults:
            return self._fault()
        roll = dice.random()
        if roll < 0.20:
            return self._write()
        if roll < 0.26:
            return self._read()
        if roll < 0.74:
            return self._fetch()
        if roll < 0.88:
            return Deliver(dice.randrange(GATEWAYS), dice.choice((1, 3, 20)))
        if roll < 0.90:
            return self._operate()
        if roll < 0.92 and self._reserves:
            return self._race()
        return Advance(round(dice.uniform(*self._advances), 3))

    def _race(self) -> Action:
        """Let an activation and the deadline meet: asked before it or after, decided around it."""
        dice = self._dice
        hold = self._hold()
        plan = pool_of(hold.partner, hold.product_id)
        approach = Approach(hold, dice.choice((-0.05, -0.001, 0.0, 0.001, 0.05)))
        if plan is None or dice.random() < 0.3:
            return approach
        gateway, key = dice.randrange(GATEWAYS), f"a{dice.randrange(3)}"
        activate = Activate(gateway, hold.partner, key, hold, "adult")
        fetch = Fetch("reservation", plan.partition, "owner", 64, 64)
        race: list[Action] = [approach, activate]
        dice.shuffle(race)
        self._planned = [fetch, race[1]]
        return race[0]

    def _fetch(self) -> Fetch:
        dice = self._dice
        fate = dice.choice(FATES) if dice.random() < self._fates else None
        return Fetch(
            service=dice.choice(SERVICES),
            partition=dice.choice(PARTITIONS),
            which="other" if dice.random() < 0.08 else "owner",
            events=dice.choice((0, 1, 8, 64, 64)),
            commands=dice.choice((0, 1, 3, 64, 64)),
            fate=fate,
            parts=dice.randrange(6) if fate is not None else 0,
        )

    def _write(self) -> Action:
        dice = self._dice
        if self._writes and dice.random() < self._repeats:
            return self._again(dice.choice(self._writes[-12:]))
        write = self._first()
        self._writes.append(write)
        if isinstance(write, Reserve):
            self._reserves.append(write)
        return write

    def _again(self, write: Reserve | Activate | Cancel) -> Action:
        """Repeat a call with its key, perhaps at another gateway, perhaps with another body."""
        dice = self._dice
        gateway = dice.randrange(GATEWAYS)
        other = dice.random() < 0.15
        if isinstance(write, Reserve):
            quantity = write.quantity + 1 if other else write.quantity
            product_id = write.product_id
            if other and dice.random() < 0.3:
                product_id = 106 if product_id == 107 else 107
            return Reserve(
                gateway, write.partner, write.key, product_id, quantity, write.seconds, write.visit
            )
        if isinstance(write, Activate):
            types = "child" if other else write.types
            return Activate(gateway, write.partner, write.key, write.hold, types)
        return Cancel(gateway, write.partner, write.key, write.hold)

    def _first(self) -> Reserve | Activate | Cancel:
        dice = self._dice
        gateway = dice.randrange(GATEWAYS)
        fate = dice.choice(("lost", "sent twice")) if dice.random() < self._fates else None
        roll = dice.random()
        if roll < 0.5 or not self._reserves:
            partner = dice.choice(PARTNERS)
            products = [p for p in (106, 107) if pool_of(partner, p) is not None]
            return Reserve(
                gateway,
                partner,
                f"r{dice.randrange(self._keys)}",
                dice.choice(products),
                dice.randint(1, self._quantity_max),
                round(dice.uniform(*self._seconds), 1) if dice.random() < 0.95 else None,
                dice.choice((None, None, "2026-11-28", "2026-12-31")),
                fate,
            )
        hold = self._hold()
        partner = hold.partner if dice.random() < 0.93 else dice.choice(PARTNERS)
        key = f"k{dice.randrange(3)}"
        if roll < 0.8:
            types: str | tuple[str, ...] = dice.choice(("adult", "child", ("adult", "elderly")))
            return Activate(gateway, partner, key, hold, types, fate)
        return Cancel(gateway, partner, key, hold, fate)

    def _hold(self) -> Hold:
        """Name a hold, rather one of the last."""
        recent = self._reserves[-8:] if self._dice.random() < 0.7 else self._reserves
        reserve = self._dice.choice(recent)
        return Hold(reserve.partner, reserve.key, reserve.product_id)

    def _read(self) -> Read:
        dice = self._dice
        what: Reading = dice.choice(
            ("inventory", "inventory", "reservation", "reservations", "order", "orders", "tickets")
        )
        hold = self._hold() if self._reserves else None
        if what in ("reservation", "order", "tickets") and hold is None:
            what = "inventory"
        own = hold.partner if hold is not None else "north"
        partner = own if dice.random() < 0.8 else dice.choice(PARTNERS)
        return Read(dice.randrange(GATEWAYS), partner, what, hold, dice.random() < 0.5)

    def _operate(self) -> Operate:
        dice = self._dice
        self._operations += 1
        pool_no = dice.choice(tuple(POOLS))
        what: Literal["allot", "cap", "stop", "resume"] = dice.choice(
            ("allot", "cap", "cap", "stop", "resume", "resume", "resume")
        )
        units = POOLS[pool_no].units
        partner = dice.choice(
            [p for p, c in CALLERS.items() if c.channel == POOLS[pool_no].channel]
        )
        chosen = {
            "allot": units + dice.randint(-12, 12),
            "cap": dice.choice((None, 3, 8, 20)),
        }.get(what)
        return Operate(what, pool_no, chosen, partner, f"o{self._operations}")

    def _fault(self) -> Action:
        dice = self._dice
        service, partition = dice.choice(SERVICES), dice.choice(PARTITIONS)
        which: Which = dice.choice(("owner", "owner", "other"))
        match dice.randrange(15):
            case 0 | 1:
                return Kill(service, partition, which)
            case 2:
                return Stop(service, partition, which)
            case 3 | 4:
                return Wake(service, partition, dice.choice(("owner", "other")))
            case 5 | 6:
                return Usurp(service, partition)
            case 7:
                return KillGateway(dice.randrange(GATEWAYS))
            case 8:
                topic = dice.choice((*EVENT_TOPICS, *COMMAND_TOPICS))
                return LoseTail(topic, partition, dice.randint(1, 5))
            case 9 | 10:
                return self._repeated(partition)
            case 11:
                topic = dice.choice((*COMMAND_TOPICS, GATEWAY_REPLIES.name))
                return Garble(topic, partition, dice.choice(("bytes", "type", "undecidable")))
            case 12:
                if dice.random() < 0.5:
                    self._down = not self._down
                    return Broker(self._down)
                self._away ^= {service}
                return Away(service, service in self._away)
            case 13:
                return HandOver(service, partition)
            case _:
                return Jump(dice.choice((-30.0, -1.5, -0.4, 0.4, 1.5, 30.0, 7200.0)))

    def _repeated(self, partition: int) -> Repeat:
        dice = self._dice
        topics = (*EVENT_TOPICS[:2], *COMMAND_TOPICS, GATEWAY_REPLIES.name)
        return Repeat(dice.choice(topics), partition, dice.randint(1, 30))

"""The world: three databases, a broker, services with standbys, two gateways, one clock.

`play` carries out actions; nothing here chooses. The same actions give the same history,
whose digest covers every recorded event and every answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.events.contracts.inventory import (
    SetAllotment,
)
from libs.events.memory.broker import MemoryBroker, MemoryGapReader
from libs.events.memory.log import MemoryDatabase
from libs.events.ports import Halted, Head, InputPosition, Outgoing, Write
from libs.events.topics import (
    INVENTORY_EVENTS,
    RESERVATION_EVENTS,
)
from simulation import actions
from simulation.actions import GATEWAYS, Action
from simulation.clients import Clients
from simulation.gateway import Gateway, KeyTable
from simulation.ledger import Ledger
from simulation.market import (
    BEGINNING,
    CATALOGUE,
    PARTITIONS,
    SERVICES,
    hold_id,
)
from simulation.operators import Operators
from simulation.process import Process
from simulation.promises import Answer, Asked, Promises
from simulation.scheduler import Scheduler
from simulation.services import Counting, behaviour_of
from simulation.views import Views

APPROACH_MAX_S = 5.0
GATEWAY_SKEWS_S = (0.2, -0.2)
"""How far the gateways' clocks are from the databases'."""


class Broken(Exception):
    """A check has failed: its name, and what it saw."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(f"{check}: {detail}")
        self.check = check


class World:
    """Everything, before its first action."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[Broken] = []
        self.wall_offset_s = 0.0
        self._digest = hashlib.blake2b(digest_size=16)
        self._owners: dict[tuple[str, int], Process] = {}
        self._random = 0
        self.closed = False
        self.shortened: set[tuple[str, int]] = set()
        self.blurred: set[tuple[str, int]] = set()
        self.scheduler = Scheduler()  # type: ignore[abstract]
        self.ledger = Ledger(sent=self._sent, broken=self.broken, count=self.count)
        self.promises = Promises(ledger=self.ledger, broken=self.broken, count=self.count)
        self.broker = MemoryBroker(clock=self.now)
        self.databases = {name: MemoryDatabase(source=name, clock=self.now) for name in SERVICES}
        self.views = Views(self.databases)
        self._keys = KeyTable()
        self.gateways = [self._gateway(instance) for instance in range(GATEWAYS)]
        self.clients = Clients(
            scheduler=self.scheduler,
            gateways=self.gateways,
            ledger=self.ledger,
            promises=self.promises,
            now=self.now,
            broken=self.broken,
            heard=self._heard,
        )
        self.processes = [
            self._process(service, partition, slot)
            for service in SERVICES
            for partition in PARTITIONS
            for slot in "ab"
        ]
        self._operators = Operators(
            scheduler=self.scheduler, broker=self.broker, processes=self.processes, now=self.now
        )

    def now(self) -> datetime:
        """Return the time on the wall: the databases', the broker's and the gateways'."""
        return BEGINNING + timedelta(seconds=self.scheduler.time() + self.wall_offset_s)

    def broken(self, check: str, detail: str) -> None:
        """Take note of a broken promise."""
        self.problems.append(Broken(check, detail))

    def count(self, name: str, by: int = 1) -> None:
        """See `simulation.process.Observer`."""
        self.counts[name] += by

    @property
    def digest(self) -> str:
        """The history so far in one word."""
        return self._digest.hexdigest()

    def _sent(self, command_id: str, fingerprint: str | None) -> bool:
        return self.promises.sent(command_id, fingerprint)

    def _heard(self, asked: Asked, answer: Answer | None) -> None:
        if self.closed:
            return
        self._digest.update(repr((self.scheduler.time(), asked.action, answer)).encode())

    # Composition

    def _gateway(self, instance: int) -> Gateway:
        def random(size: int) -> bytes:
            self._random += 1
            return hashlib.blake2b(b"%d" % self._random, digest_size=size).digest()

        return Gateway(
            instance=instance,
            scheduler=self.scheduler,
            broker=self.broker,
            views=self.views,
            keys=self._keys,
            now=lambda: self.now() + timedelta(seconds=GATEWAY_SKEWS_S[instance]),
            random=random,
        )

    def _process(self, service: str, partition: int, slot: str) -> Process:
        watch = Counting(self.counts)
        return Process(
            service=service,
            partition=partition,
            slot=slot,
            scheduler=self.scheduler,
            database=self.databases[service],
            broker=self.broker,
            gaps=MemoryGapReader(
                {
                    INVENTORY_EVENTS.name: self.databases["inventory"],
                    RESERVATION_EVENTS.name: self.databases["reservation"],
                }
            ),
            behaviour=lambda process: behaviour_of(
                process.service, databases=self.databases, watch=watch
            ),
            watch=watch,
            observer=self,
        )

    # What processes tell

    def owned(self, process: Process, head: Head) -> None:
        """See `simulation.process.Observer`."""
        before = self._owners.get((process.service, process.partition))
        if before is not None:
            self.count("take-overs" if before is not process else "owned again")
        self._owners[process.service, process.partition] = process

    def opened(self, process: Process, inputs: Mapping[str, InputPosition]) -> None:
        """I19: where a process goes on to read, nothing may be left out."""
        behaviour, feed = process.behaviour, process.feed
        assert feed is not None
        topics = [*behaviour.event_inputs, *filter(None, [behaviour.command_input])]
        for topic in topics:
            done = inputs.get(topic.name) or InputPosition()
            if feed.next_offset(topic.name) > done.offset + 1:
                self.broken(
                    "I19 positions",
                    f"{process.name} goes on at {topic.name} offset"
                    f" {feed.next_offset(topic.name)}, done is {done.offset}",
                )
            if feed.next_offset(topic.name) < done.offset + 1:
                self.count("input rewinds")

    def written(self, process: Process, write: Write, before: Head) -> None:
        """See `simulation.process.Observer`."""
        self.ledger.written(process.service, process.partition, write, before)
        for row in write.events:
            self._digest.update(row.hash)

    def publishing(self, process: Process, records: Sequence[Outgoing]) -> None:
        """See `simulation.process.Observer`."""
        for record in records:
            where = (record.topic, record.partition)
            event = any(name == "ce_position" for name, _ in record.headers)
            if process.owner and event:
                self.shortened.discard(where)
            elif where in self.shortened:
                self.blurred.add(where)

    def failed(self, process: Process, error: BaseException) -> None:
        """A run that fails is started again; only some reasons are to be expected."""
        for each in _leaves(error):
            self.count(f"run ended by {type(each).__name__}")
            if isinstance(each, Halted | AssertionError) or not isinstance(each, Exception):
                self.broken("halted", f"{process.name}: {each!r}")

    # Playing

    def start(self) -> None:
        """Start everything and allot the stock."""
        for process in self.processes:
            process.start()
            self.scheduler.run_ready()
        for instance in PARTITIONS:
            for slot in (0, 1):
                self._operators.report_from(instance, slot)
        for plan in CATALOGUE.pools:
            data = SetAllotment(
                pool_no=plan.pool_no,
                product_id=plan.product_id,
                channel=plan.channel,
                units=plan.units,
            )
            self._operators.operate(data, plan.pool_no, f"seed-{plan.pool_no}")
        for process in self.processes:
            if process.service == "inventory" and process.feed is not None:
                process.feed.grant(events=0, commands=10)
        self.scheduler.advance(0.6)
        for gateway in self.gateways:
            gateway.take_figures()

    def play(self, history: Iterable[Action]) -> None:
        """Carry out actions; raises Broken at the first broken promise."""
        for action in history:
            self._carry_out(action)
            self.scheduler.run_ready()
            self.check()

    def close(self) -> None:
        """End everything that still runs."""
        self.closed = True
        self.counts["late answers"] += sum(gateway.client.late for gateway in self.gateways)
        for process in self.processes:
            process.kill()
        for task in asyncio.all_tasks(self.scheduler):
            task.cancel()
        self.scheduler.run_ready()

    def check(self) -> None:
        """Raise the first broken promise."""
        if self.scheduler.faults:
            raise Broken("unobserved error", self.scheduler.faults[0])
        if self.problems:
            raise self.problems[0]

    def find(self, service: str, partition: int, which: str) -> Process | None:
        """Return the process that owns a partition, or the one that does not."""
        both = [p for p in self.processes if (p.service, p.partition) == (service, partition)]
        owner = next((p for p in both if p.owner), None)
        if which == "owner":
            return owner
        return next((p for p in both if p is not owner), None)

    def _carry_out(self, action: Action) -> None:
        handler = _HANDLERS[type(action)]
        handler(self, action)

    def _fetch(self, action: actions.Fetch) -> None:
        process = self.find(action.service, action.partition, action.which)
        if process is None or process.feed is None or not process.alive:
            return
        process.fate, process.parts = action.fate, action.parts
        process.feed.grant(events=action.events, commands=action.commands)

    def _deliver(self, action: actions.Deliver) -> None:
        gateway = self.gateways[action.gateway]
        gateway.client.deliver(action.records)
        gateway.take_figures()

    def _kill(self, action: actions.Kill) -> None:
        if process := self.find(action.service, action.partition, action.which):
            process.kill()
            self.count("kills")

    def _stop(self, action: actions.Stop) -> None:
        if process := self.find(action.service, action.partition, action.which):
            process.stop()
            self.count("stops")

    def _wake(self, action: actions.Wake) -> None:
        if process := self.find(action.service, action.partition, action.which):
            process.wake()

    def _usurp(self, action: actions.Usurp) -> None:
        if process := self.find(action.service, action.partition, "owner"):
            process.release()
            self.count("second owners")

    def _hand_over(self, action: actions.HandOver) -> None:
        if process := self.find(action.service, action.partition, "owner"):
            process.ask()
            self.count("hand-overs")

    def _kill_gateway(self, action: actions.KillGateway) -> None:
        for task in list(self.gateways[action.gateway].tasks):
            task.cancel()
        self.scheduler.run_ready()
        self.clients.forget(action.gateway)
        self.gateways[action.gateway] = self._gateway(action.gateway)
        self.count("gateway kills")

    def _lose_tail(self, action: actions.LoseTail) -> None:
        log = self.broker.log(action.topic, action.partition)
        if log:
            self.broker.lose_tail(action.topic, action.partition, min(action.records, len(log)))
            self.shortened.add((action.topic, action.partition))
            self.count("tails lost")
            self._look()

    def _repeat(self, action: actions.Repeat) -> None:
        log = self.broker.log(action.topic, action.partition)
        if log:
            log.append(log[-1 - action.back % len(log)])
            if (action.topic, action.partition) in self.shortened:
                self.blurred.add((action.topic, action.partition))
            self.count("records repeated")
            self._look()

    def _garble(self, action: actions.Garble) -> None:
        self._operators.garble(action)
        self._look()

    def _switch_broker(self, action: actions.Broker) -> None:
        self.broker.down = action.down
        self.count("broker outages", action.down)
        self._look()

    def _away(self, action: actions.Away) -> None:
        (self.views.away.add if action.away else self.views.away.discard)(action.service)

    def _advance(self, action: actions.Advance) -> None:
        self.scheduler.advance(action.seconds)

    def _approach(self, action: actions.Approach) -> None:
        target = action.hold
        id = hold_id(target.partner, target.key, target.product_id) or ""
        hold = self.ledger.holds.get(id)
        if hold is None:
            return
        left_s = (hold.expires_at - self.now()).total_seconds() + action.offset_s
        if 0 < left_s <= APPROACH_MAX_S:
            self.scheduler.advance(left_s)
            self.count("deadlines approached")

    def _jump(self, action: actions.Jump) -> None:
        self.wall_offset_s += action.seconds
        self.count("clock jumps")

    def _look(self) -> None:
        for process in self.processes:
            if process.feed is not None:
                process.feed.look()


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


_HANDLERS: dict[type, Any] = {
    actions.Reserve: lambda world, action: world.clients.write(action),
    actions.Activate: lambda world, action: world.clients.write(action),
    actions.Cancel: lambda world, action: world.clients.write(action),
    actions.Read: lambda world, action: world.clients.read(action),
    actions.Operate: lambda world, action: world._operators.change_pool(action),
    actions.Fetch: World._fetch,
    actions.Deliver: World._deliver,
    actions.Kill: World._kill,
    actions.Stop: World._stop,
    actions.Wake: World._wake,
    actions.Usurp: World._usurp,
    actions.HandOver: World._hand_over,
    actions.KillGateway: World._kill_gateway,
    actions.LoseTail: World._lose_tail,
    actions.Repeat: World._repeat,
    actions.Garble: World._garble,
    actions.Broker: World._switch_broker,
    actions.Away: World._away,
    actions.Advance: World._advance,
    actions.Approach: World._approach,
    actions.Jump: World._jump,
}

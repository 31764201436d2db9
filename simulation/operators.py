"""What reaches the services beside partners' calls: operators, reports, garbage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from libs.events import codec
from libs.events.contracts.inventory import (
    CapPartner,
    PlaceHold,
    ResumeSales,
    SetAllotment,
    StopSales,
)
from libs.events.envelope import Actor, Envelope
from libs.events.memory.broker import MemoryBroker, Stored
from libs.events.topics import INVENTORY_AVAILABILITY, INVENTORY_COMMANDS
from services.inventory.app.behaviour import InventoryBehaviour
from simulation.actions import Garble, Operate
from simulation.market import CATALOGUE, POOLS, written_id
from simulation.process import Process
from simulation.scheduler import Scheduler

REPORT_S = 0.5


class Operators:
    """All of them."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        broker: MemoryBroker,
        processes: Sequence[Process],
        now: Callable[[], datetime],
    ) -> None:
        self._scheduler = scheduler
        self._broker = broker
        self._processes = processes
        self._now = now

    def garble(self, action: Garble) -> None:
        """Put something among the commands or answers that nobody can read or decide."""
        stored = Stored([("ce_id", b"\xff")], b"\x00\xff{", self._now())
        if action.how != "bytes":
            quantity = 0 if action.how == "undecidable" else 1
            data = PlaceHold(
                reservation_id="res_none",
                pool_no=1,
                partner_id="north",
                quantity=quantity,
                rule_version=CATALOGUE.version,
            )
            headers, value = codec.encode(self._command(data, f"garbled-{self._scheduler.time()}"))
            if action.how == "type":
                headers = [(n, b"ota.unknown" if n == "ce_type" else v) for n, v in headers]
            stored = Stored(headers, value, self._now())
        self._broker.log(action.topic, action.partition).append(stored)

    def change_pool(self, action: Operate) -> None:
        """Carry out what an operator asks for."""
        plan = POOLS[action.pool_no]
        data: object
        match action.what:
            case "allot":
                data = SetAllotment(
                    pool_no=plan.pool_no,
                    product_id=plan.product_id,
                    channel=plan.channel,
                    units=action.units or 0,
                )
            case "cap":
                data = CapPartner(
                    pool_no=plan.pool_no, partner_id=action.partner, units=action.units
                )
            case "stop":
                data = StopSales(pool_no=plan.pool_no, reason="asked")
            case "resume":
                data = ResumeSales(pool_no=plan.pool_no)
        self.operate(data, action.pool_no, action.key)

    def operate(self, data: object, pool_no: int, key: str) -> None:
        """Send a command to the ledger."""
        if self._broker.down:
            return
        headers, value = codec.encode(self._command(data, key))
        self._broker.log(INVENTORY_COMMANDS.name, POOLS[pool_no].partition).append(
            Stored(headers, value, self._now())
        )

    def _command(self, data: object, key: str) -> Envelope:
        id = written_id("operator", "POST", "/ledger", key)
        return Envelope(
            id=id,
            source="gateway",
            time=self._now(),
            data=data,
            correlation_id=id,
            causation_id=id,
            actor=Actor(partner_id="operator", key_id="console", request_id=key),
            fingerprint=key,
        )

    def report_from(self, partition: int, slot: int) -> None:
        """Let an inventory process report its figures, again and again."""
        process = [
            p for p in self._processes if (p.service, p.partition) == ("inventory", partition)
        ][slot]
        self._scheduler.call_later(REPORT_S, self.report_from, partition, slot)
        if not process.alive or process.stopped or self._broker.down:
            return
        behaviour = process.behaviour
        assert isinstance(behaviour, InventoryBehaviour)
        report = behaviour.report(full=True)
        if report is None:
            return
        id = f"report-{process.name}-{self._scheduler.time()}"
        envelope = Envelope(
            id=id,
            source="inventory",
            time=self._now(),
            data=report,
            correlation_id=id,
            causation_id=id,
        )
        headers, value = codec.encode(envelope)
        log = self._broker.log(INVENTORY_AVAILABILITY.name, partition)
        log.append(Stored(headers, value, self._now()))

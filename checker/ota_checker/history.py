"""Reads the client history once, and gives each call to whoever judges it."""

from __future__ import annotations

from array import array
from dataclasses import replace

from ota_checker.calls import MUTATIONS, Call, call_of
from ota_checker.commands import Commands
from ota_checker.entities import ENDED, EXISTS, EntityReads
from ota_checker.isolation import Isolation
from ota_checker.limits import Limits
from ota_checker.model import Model
from ota_checker.privacy import Needles
from ota_checker.reading import Export
from ota_checker.reads import Reads, Sweep, Told
from ota_checker.realtime import check_order, effects_of
from ota_checker.verdicts import Verdicts

SOLD_OUT = "SOLD_OUT"
HOLD_LIMIT_REACHED = "HOLD_LIMIT_REACHED"


class History:
    """The clients' side of the run."""

    def __init__(
        self,
        *,
        model: Model,
        verdicts: Verdicts,
        channels: dict[str, str],
        limits: dict[str, int],
        words: Needles,
    ) -> None:
        self._model = model
        self._verdicts = verdicts
        self._channels = channels
        self._commands = Commands(model=model, verdicts=verdicts, channels=channels)
        self._entities = EntityReads(model=model, verdicts=verdicts)
        self._isolation = Isolation(model=model, verdicts=verdicts, words=words)
        self._limits = Limits(limits=limits, verdicts=verdicts)
        self._reads = Reads()
        self._told = Told()
        self._offsets = array("q")
        self._began_us = 0
        self.calls = 0

    def read(self, export: Export) -> None:
        """Take all calls."""
        for line, row in enumerate(export.rows("history.jsonl"), 1):
            call = call_of(row, line)
            began_us = row["wall_ms"] * 1000
            self._offsets.append(began_us - call.invoked_ns // 1000)
            self._began_us = min(self._began_us or began_us, began_us)
            self.calls += 1
            try:
                self._take(call)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                rule = f"an answer to {call.op} has another shape than the contract's: {error!r}"
                self._verdicts.violate("I15", rule, calls=(line,))

    @property
    def offset_us(self) -> int | None:
        """What must be added to the clients' monotonic clock to get the time of day."""
        ordered = sorted(self._offsets)
        return ordered[len(ordered) // 2] if ordered else None

    def _take(self, call: Call) -> None:
        self._limits.take(call)
        self._isolation.take(call)
        self._told.inherit(call)
        if call.op in MUTATIONS:
            self._take_mutation(call)
        elif call.op == "inventory":
            channel = self._channels.get(call.partner or "")
            self._reads.take(call, model=self._model, channel=channel)
        else:
            self._entities.take(call)

    def _take_mutation(self, call: Call) -> None:
        command = self._commands.take(call)
        if call.status == 404 and call.word == "RESERVATION_NOT_FOUND":
            self._entities.take(call)
        if command is None or call.status is None:
            return
        if call.op == "reserve" and call.word == SOLD_OUT:
            self._take_sold_out(call, command.line, command.invoked_ns)
        elif call.word == HOLD_LIMIT_REACHED:
            self._take_hold_limit(call)
        if call.status >= 300:
            return
        hold = (
            self._model.held_by.get(command.id)
            if call.op == "reserve"
            else self._model.ended_by.get(command.id)
        )
        if hold is None:
            return
        self._entities.tell(call, hold, EXISTS if call.op == "reserve" else ENDED)
        if call.op != "activate":
            self._told.take(call, hold)

    def _take_sold_out(self, call: Call, first_line: int, invoked_ns: int) -> None:
        """A refusal names what the ledger had; one that is given again, what it had then."""
        request, channel = call.request, self._channels.get(call.partner or "")
        pool = self._model.pool_of.get((request.get("product_id", 0), channel or ""))
        if pool is None or call.replayed or call.line != first_line:
            return
        asked = request.get("quantity")
        available = call.body.get("available") if isinstance(call.body, dict) else None
        if not isinstance(asked, int) or not isinstance(available, int) or available >= asked:
            rule = f"{asked} units were refused as sold out with {available} available"
            self._verdicts.violate("I15", rule, calls=(call.line,))
            return
        self._reads.take_refusal(replace(call, invoked_ns=invoked_ns), pool)

    def _take_hold_limit(self, call: Call) -> None:
        """A refusal for a cap names one that there was, and is right by its own figures."""
        request, channel = call.request, self._channels.get(call.partner or "")
        pool = self._model.pool_of.get((request.get("product_id", 0), channel or ""))
        if pool is None or not isinstance(call.body, dict):
            return
        self._verdicts.look("I15")
        limit, held = call.body.get("limit", 0), call.body.get("held", 0)
        known = (pool.number, call.partner or "", limit) in self._model.caps_seen
        if not known or held + request.get("quantity", 0) <= limit:
            rule = f"{call.partner} was refused for a cap of {limit} with {held} units held"
            self._verdicts.violate("I15", rule, pool_no=pool.number, calls=(call.line,))

    def finish(self, *, complete: bool) -> None:
        """Judge what needs the whole history."""
        self._commands.finish(complete=complete, began_us=self._began_us)
        effects = effects_of(self._commands.by_id, self._model)
        check_order(effects=effects, verdicts=self._verdicts)
        Sweep(
            reads=self._reads,
            told=self._told,
            model=self._model,
        ).run(self._verdicts)
        self._entities.finish()
        self._limits.finish()
        self._verdicts.figures["calls"] = self.calls
        self._verdicts.figures["commands"] = len(self._commands.by_id)

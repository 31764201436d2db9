"""What became of each command: its calls, its one answer, its one effect.

I3, I4, I5, and that what an answer says is what the logs hold (I7, I10, I20).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ota_checker.answers import Answers, asked_hold
from ota_checker.calls import STATE_REFUSALS, Call
from ota_checker.identity import command_id
from ota_checker.model import Hold, Model
from ota_checker.verdicts import Verdicts

_TRANSIENT = frozenset({401, 403, 408, 429, 503})


@dataclass(slots=True)
class Command:
    """All calls of one partner with one key on one path."""

    id: str
    op: str
    invoked_ns: int
    answer: int | None = None
    """Digest of the recorded answer, with the request that got it."""
    request: int = 0
    status: int = 0
    line: int = 0
    completed_ns: int = 0
    unknown: bool = False
    refused: bool = False
    bodies: dict[int, tuple[object, ...]] = field(default_factory=dict)
    """What was asked, by digest of the request."""


class Commands:
    """Takes the calls of mutations, in any order, and judges them at the end."""

    def __init__(self, *, model: Model, verdicts: Verdicts, channels: dict[str, str]) -> None:
        self._model = model
        self._channels = channels
        self._verdicts = verdicts
        self._answers = Answers(model=model, verdicts=verdicts)
        self._late: list[tuple[Call, int]] = []
        self._counts: Counter[str] = Counter()
        self.by_id: dict[str, Command] = {}

    def take(self, call: Call) -> Command | None:
        """Take a call of a mutation; None if it belongs to no command of ours."""
        if call.partner is None or call.key is None:
            self._verdicts.figures["mutations_without_key"] = "some: they are not judged"
            return None
        id = command_id(partner_id=call.partner, method=call.method, path=call.path, key=call.key)
        command = self.by_id.get(id)
        if command is None:
            command = self.by_id[id] = Command(id=id, op=call.op, invoked_ns=call.invoked_ns)
        command.invoked_ns = min(command.invoked_ns, call.invoked_ns)
        request = call.request_digest()
        if request not in command.bodies:
            command.bodies[request] = asked_hold(call) if call.op == "reserve" else ()
        self._outcome(command, call, request)
        return command

    def _outcome(self, command: Command, call: Call, request: int) -> None:
        status = call.status
        if call.unknown:
            command.unknown = True
            self._counts["unknown"] += 1
        elif self._is_gateways(call):
            command.refused = True
        elif status is not None and (status < 300 or call.word in STATE_REFUSALS):
            self._decided(command, call, request)
        elif call.word == "IDEMPOTENCY_KEY_REUSED":
            self._counts["key reused"] += 1
            self._verdicts.look("I5")
            if len(command.bodies) == 1 and command.answer is not None:
                rule = "a repeat with the same body was refused as another request"
                self._verdicts.violate("I5", rule, calls=(command.line, call.line))
        elif call.word != "IDEMPOTENCY_IN_PROGRESS":
            command.refused = True
            if status not in _TRANSIENT:
                self._late.append((call, request))
            self._answers.refused(call)

    def _is_gateways(self, call: Call) -> bool:
        """Say whether no ledger stands behind a refusal: the channel has none of that product."""
        channel = self._channels.get(call.partner or "", "")
        product_id = call.request.get("product_id", 0) if call.word == "SOLD_OUT" else 0
        return call.word == "SOLD_OUT" and (product_id, channel) not in self._model.pool_of

    def _decided(self, command: Command, call: Call, request: int) -> None:
        """A 2xx or a recorded refusal: the same again for every repeat."""
        answer = call.answer_digest()
        self._verdicts.look("I5")
        first = command.answer is None
        if first or call.completed_ns < command.completed_ns:
            command.completed_ns = call.completed_ns
        if first:
            command.answer, command.request = answer, request
            command.status, command.line = call.status or 0, call.line
            self._answers.decided(call, command.id)
            if command.op == "reserve" and call.word in ("SOLD_OUT", "HOLD_LIMIT_REACHED"):
                self._counts["sold out"] += 1
            return
        self._counts["repeated"] += 1
        if request == command.request:
            if answer != command.answer:
                rule = "one key and one body were answered in two ways"
                self._verdicts.violate("I5", rule, calls=(command.line, call.line))
        else:
            rule = "one key with two bodies was accepted twice"
            self._verdicts.violate("I5", rule, calls=(command.line, call.line))

    def finish(self, *, complete: bool, began_us: int) -> None:
        """Judge what can be known only at the end."""
        for call, request in self._late:
            self._check_late(call, request)
        for command in self.by_id.values():
            self._check_effect(command)
        for hold in self._model.holds.values():
            self._check_phantom(hold, complete, began_us)
        figures = self._verdicts.figures
        for name, count in self._counts.items():
            figures[f"mutations {name}"] = count

    def _check_late(self, call: Call, request: int) -> None:
        """After a recorded answer the same request gets no other, definite one."""
        command = self.by_id[
            command_id(
                partner_id=call.partner or "",
                method=call.method,
                path=call.path,
                key=call.key or "",
            )
        ]
        after = command.answer is not None and call.invoked_ns > command.completed_ns
        if after and request == command.request:
            rule = f"a repeat was answered {call.status} {call.word} after {command.status}"
            self._verdicts.violate("I5", rule, calls=(command.line, call.line))

    def _effect(self, command: Command) -> Hold | None:
        if command.op == "reserve":
            return self._model.held_by.get(command.id)
        return self._model.ended_by.get(command.id)

    def _check_effect(self, command: Command) -> None:
        hold, verdicts = self._effect(command), self._verdicts
        verdicts.look("I4")
        if command.answer is None and command.unknown:
            self._counts["unknown, had happened" if hold else "unknown, had not happened"] += 1
        if hold is None:
            return
        ids = (hold.reservation_id,)
        if command.answer is None and not command.unknown:
            rule = f"every call of a command was refused, and it had an effect on {ids[0]}"
            verdicts.violate("I4", rule, until=hold.place, reservations=ids)
        elif command.answer is not None and command.status >= 400:
            rule = f"a command was refused with {command.status}, and it had an effect on {ids[0]}"
            verdicts.violate("I4", rule, reservations=ids, calls=(command.line,))
        if command.op != "reserve":
            return
        accepted = command.answer is not None and command.status < 300
        asked = [command.bodies[command.request]] if accepted else list(command.bodies.values())
        told = (hold.pool.product_id, hold.quantity, hold.visit_date)
        if told not in asked:
            rule = f"{ids[0]} holds {told}, asked was {asked}"
            verdicts.violate("I4", rule, until=hold.place, reservations=ids, calls=(command.line,))

    def _check_phantom(self, hold: Hold, complete: bool, began_us: int) -> None:
        """Whatever a client's command did, some client sent that command."""
        ids = (hold.reservation_id,)
        ends = hold.life_end in ("activated", "cancelled")
        for id, at, judged in (
            (hold.command_id, hold.held_at, True),
            (hold.life_command_id, hold.life_end_at, ends),
        ):
            if judged and id not in self.by_id and (complete or at > began_us):
                rule = f"nobody has sent command {id}, which had an effect on {ids[0]}"
                self._verdicts.violate("I4", rule, until=hold.place, reservations=ids)

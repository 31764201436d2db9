"""Real-time order of commands (I14): what was answered before another was sent stands before it."""

from __future__ import annotations

from array import array

from ota_checker.commands import Command
from ota_checker.model import Hold, Model
from ota_checker.verdicts import EventPlace, Verdicts

Lane = tuple[str, int]
"""A service's log and a pool in it."""


class Effects:
    """The events of commands, by when their commands were sent and answered."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.invoked = array("q")
        self.completed = array("q")
        self.seqs = array("q")
        self.lines = array("q")
        self.places: list[EventPlace] = []

    def add(self, command: Command, hold: Hold, place: EventPlace | None, done: bool) -> None:
        """Note the event at *place*; *done* says that somebody was told of it."""
        if place is None:
            return
        if place[0] == "inventory":
            hold.pool.sent[hold.pool.version_at(place[2])] = command.invoked_ns
        self.lanes.append((place[0], hold.pool.number))
        self.invoked.append(command.invoked_ns)
        self.completed.append(command.completed_ns if done else 0)
        self.seqs.append(place[2])
        self.lines.append(command.line)
        self.places.append(place)


def effects_of(commands: dict[str, Command], model: Model) -> Effects:
    """Return the events that commands led to: holds, ends of holds, and units moved by them.

    Pools learn when their versions can have come about at the earliest.
    """
    effects = Effects()
    for command in commands.values():
        done = command.answer is not None and command.status < 300
        if command.op == "reserve":
            hold = model.held_by.get(command.id)
            if hold is not None:
                effects.add(command, hold, hold.place, done)
        else:
            hold = model.ended_by.get(command.id)
            if hold is not None:
                effects.add(command, hold, hold.life_end_place, done)
                told = done and hold.life_end == "cancelled"
                effects.add(command, hold, hold.ledger_end_place, told)
    for pool in model.pools.values():
        pool.settle_sent()
    return effects


def check_order(*, effects: Effects, verdicts: Verdicts) -> None:
    """Sweep over the moments at which commands were sent, and what had been answered by then."""
    count = len(effects.places)
    sent = sorted(range(count), key=effects.invoked.__getitem__)
    done = sorted(
        (index for index in range(count) if effects.completed[index]),
        key=effects.completed.__getitem__,
    )
    newest: dict[Lane, int] = {}
    answered = 0
    for index in sent:
        while answered < len(done) and effects.completed[done[answered]] < effects.invoked[index]:
            earlier = done[answered]
            lane = effects.lanes[earlier]
            known = newest.get(lane)
            if known is None or effects.seqs[known] < effects.seqs[earlier]:
                newest[lane] = earlier
            answered += 1
        before = newest.get(effects.lanes[index])
        if before is None:
            continue
        verdicts.look("I14")
        if effects.seqs[before] >= effects.seqs[index] and before != index:
            verdicts.violate(
                "I14",
                f"what was answered in line {effects.lines[before]} of the history stands behind"
                " what was sent only then",
                until=effects.places[before],
                events=(effects.places[index], effects.places[before]),
                calls=tuple(filter(None, (effects.lines[before], effects.lines[index]))),
            )

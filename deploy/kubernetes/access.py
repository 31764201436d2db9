"""Who may do what with which topic, from what the services read and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from libs.events.topics import (
    ALL,
    ANCHORS,
    DEAD_LETTERS,
    GATEWAY_REPLIES,
    INVENTORY_AVAILABILITY,
    INVENTORY_COMMANDS,
    RESERVATION_COMMANDS,
    Topic,
)
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.inventory.app.behaviour import InventoryBehaviour
from services.reservation.app.behaviour import ReservationBehaviour


class Decider(Protocol):
    """The topics of a deciding service; see `libs.events.behaviour.Behaviour`."""

    events_out: Topic
    command_input: Topic | None
    event_inputs: Sequence[Topic]


@dataclass(frozen=True, slots=True)
class Access:
    """What one user reads and writes, and nothing else."""

    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]


COMMANDS: Final = (INVENTORY_COMMANDS, RESERVATION_COMMANDS)


def _decider(service: type, *, writes: tuple[Topic, ...] = ()) -> Access:
    declared = {field: _default(service, field) for field in Decider.__annotations__}
    commands = declared["command_input"]
    inputs = (*declared["event_inputs"], *([commands] if commands else []))
    out = declared["events_out"]
    # It looks at the end of its own events to see what the broker still holds.
    parked = (DEAD_LETTERS,) if commands else ()
    return Access((*inputs, out), (out, GATEWAY_REPLIES, ANCHORS, *parked, *writes))


def _default(service: type, field: str) -> Any:
    return service.__dataclass_fields__[field].default  # type: ignore[attr-defined]


ACCESS: Final[Mapping[str, Access]] = {
    # The console shows dead letters, and sends one again.
    "gateway": Access((GATEWAY_REPLIES, INVENTORY_AVAILABILITY, DEAD_LETTERS), COMMANDS),
    "inventory": _decider(InventoryBehaviour, writes=(INVENTORY_AVAILABILITY,)),
    "reservation": _decider(ReservationBehaviour),
    "fulfillment": _decider(FulfillmentBehaviour),
    # ota-admin and the loading of a catalogue: they command as a gateway does.
    "operator": Access((GATEWAY_REPLIES, INVENTORY_AVAILABILITY, DEAD_LETTERS), COMMANDS),
    # ota-verify exports all topics, and changes nothing.
    "verifier": Access(ALL, ()),
}

"""What can happen in the simulated world, as values.

A history is a list of these. Each says all of itself: a hold is named by the reserve that
makes it, never by its place in the list, so that any part of a history can be played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from libs.events.topics import (
    FULFILLMENT_EVENTS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    RESERVATION_COMMANDS,
    RESERVATION_EVENTS,
)

Which = Literal["owner", "other"]
GATEWAYS = 2
EVENT_TOPICS = (INVENTORY_EVENTS.name, RESERVATION_EVENTS.name, FULFILLMENT_EVENTS.name)
COMMAND_TOPICS = (INVENTORY_COMMANDS.name, RESERVATION_COMMANDS.name)


@dataclass(frozen=True, slots=True)
class Hold:
    """The hold that a partner's reserve with this key makes."""

    partner: str
    key: str
    product_id: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """A partner asks for units; *fate* is what its command meets on the way."""

    gateway: int
    partner: str
    key: str
    product_id: int
    quantity: int
    seconds: float | None
    visit: str | None = None
    fate: str | None = None


@dataclass(frozen=True, slots=True)
class Activate:
    """A partner activates a hold, its own or another's."""

    gateway: int
    partner: str
    key: str
    hold: Hold
    types: str | tuple[str, ...]
    fate: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """A partner cancels a hold, its own or another's."""

    gateway: int
    partner: str
    key: str
    hold: Hold
    fate: str | None = None


Reading = Literal["inventory", "reservation", "reservations", "order", "orders", "tickets"]


@dataclass(frozen=True, slots=True)
class Read:
    """A partner reads; *told* says whether it sends back the positions that it was given."""

    gateway: int
    partner: str
    what: Reading
    hold: Hold | None
    told: bool


@dataclass(frozen=True, slots=True)
class Operate:
    """An operator changes a pool."""

    what: Literal["allot", "cap", "stop", "resume"]
    pool_no: int
    units: int | None
    partner: str
    key: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """A process gets records, and decides them; *fate* is what it meets while it does."""

    service: str
    partition: int
    which: Which
    events: int
    commands: int
    fate: str | None = None
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Deliver:
    """A gateway gets answers and figures."""

    gateway: int
    records: int


@dataclass(frozen=True, slots=True)
class Kill:
    """A process dies."""

    service: str
    partition: int
    which: Which


@dataclass(frozen=True, slots=True)
class Stop:
    """A process is paused."""

    service: str
    partition: int
    which: Which


@dataclass(frozen=True, slots=True)
class Wake:
    """A paused process goes on."""

    service: str
    partition: int
    which: Which


@dataclass(frozen=True, slots=True)
class Usurp:
    """The owner loses its partition without learning of it: a second one begins."""

    service: str
    partition: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """The owner is asked to give its partition up, as a rolling restart does."""

    service: str
    partition: int


@dataclass(frozen=True, slots=True)
class KillGateway:
    """A gateway dies with all its calls; the next one begins at once."""

    gateway: int


@dataclass(frozen=True, slots=True)
class LoseTail:
    """The broker forgets its newest records of a topic."""

    topic: str
    partition: int
    records: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """A record comes once more, at the end of its topic."""

    topic: str
    partition: int
    back: int


@dataclass(frozen=True, slots=True)
class Garble:
    """Somebody puts something unreadable or undecidable among the commands or answers."""

    topic: str
    partition: int
    how: Literal["bytes", "type", "undecidable"]


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker goes away, or comes back."""

    down: bool


@dataclass(frozen=True, slots=True)
class Away:
    """A service's read views can't be asked, or can be again."""

    service: str
    away: bool


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Approach:
    """Time passes until a hold's deadline, and *offset_s* more, if it is near."""

    hold: Hold
    offset_s: float


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock on the wall steps."""

    seconds: float


Action = (
    Reserve
    | Activate
    | Cancel
    | Read
    | Operate
    | Fetch
    | Deliver
    | Kill
    | Stop
    | Wake
    | Usurp
    | HandOver
    | KillGateway
    | LoseTail
    | Repeat
    | Garble
    | Broker
    | Away
    | Advance
    | Approach
    | Jump
)

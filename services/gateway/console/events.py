"""The stream of events: which are asked for, and pages of them put together from all logs.

Each log is a partition of a service. A page is the newest events of all logs together; what a
search has not read yet must not be passed over, so a page ends where the first log was not
read further. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from urllib.parse import urlencode

from libs.events.messages import EVENTS
from libs.kernel.ids import pool_no_of
from services.gateway.domain.directory import PARTNER_ID_FORM

SERVICES = ("inventory", "reservation", "fulfillment")
TYPES = tuple(sorted(message.name for message in EVENTS))
PAGE_SIZE = 50
_CURSOR = re.compile(r"(?:[a-z]+\.[0-9]{1,3}\.[0-9]{1,18}(?:-(?!\Z)|\Z)){1,200}\Z")

Place = Mapping[tuple[str, int], int]
"""For each log, by service and partition, the number that an event must be below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are asked for; None is any."""

    service: str | None = None
    type: str | None = None
    product_id: int | None = None
    partner_id: str | None = None
    reservation_id: str | None = None
    before: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether the newest events are asked for, so that the page goes on by itself."""
        return self.before is None

    @property
    def services(self) -> tuple[str, ...]:
        """The services whose logs may have such events."""
        named = {self.service, self.type.split(".")[1] if self.type else None} - {None}
        if len(named) > 1:
            return ()
        return tuple(each for each in SERVICES if not named or each in named)

    @property
    def is_search(self) -> bool:
        """Whether events have to be looked at that are not shown."""
        return any((self.type, self.product_id, self.partner_id))

    def query(self, **changed: object) -> str:
        """Return it as the query of an address."""
        wanted = replace(self, **changed)  # type: ignore[arg-type]  # our own templates
        pairs = ((field.name, getattr(wanted, field.name)) for field in fields(wanted))
        return urlencode([(name, value) for name, value in pairs if value is not None])


def read_filter(given: Mapping[str, str]) -> tuple[EventFilter, list[str]]:
    """Return the filter that an address asks for, and what in it could not be used."""
    text = {name: given.get(name, "").strip() or None for name in EventFilter.__dataclass_fields__}
    checks: Mapping[str, Callable[[str], bool]] = {
        "service": SERVICES.__contains__,
        "type": TYPES.__contains__,
        "product_id": lambda value: value.isascii() and value.isdecimal() and len(value) <= 9,
        "partner_id": lambda value: re.match(PARTNER_ID_FORM, value) is not None,
        "reservation_id": lambda value: pool_no_of(value) is not None,
        "before": lambda value: _CURSOR.match(value) is not None,
    }
    wrong = [name for name, value in text.items() if value is not None and not checks[name](value)]
    good = {name: None if name in wrong else value for name, value in text.items()}
    product = good.pop("product_id")
    asked = EventFilter(**good, product_id=None if product is None else int(product))
    return asked, [name.replace("_", " ").removesuffix(" id") for name in wrong]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """An event without its body: of that only what is a number or a word of ours."""

    at: datetime
    service: str
    generation: int
    partition: int
    seq: int
    type: str
    subject: str
    partner_id: str | None
    key_id: str | None
    request_id: str | None
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None
    pool_no: int | None
    quantity: int | None
    units: int | None
    reason: str | None
    order_id: str | None

    @property
    def position(self) -> str:
        """The position as everybody writes it."""
        return f"{self.generation}-{self.partition}-{self.seq}"

    @property
    def word(self) -> str:
        """The type without what all types share."""
        return self.type.rsplit(".", 1)[-1].replace("_", " ")

    @property
    def trace_id(self) -> str | None:
        """The trace that it belongs to."""
        return self.traceparent.split("-")[1] if self.traceparent else None

    @property
    def reservation_id(self) -> str | None:
        """The reservation that it is about, if it is about one."""
        return self.subject if pool_no_of(self.subject) is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScan:
    """What was found in one log below the page's place: *lines* newest first.

    Everything from *low* on was looked at; *low_at* is when that event was decided, None if
    the log has nothing before it.
    """

    service: str
    partition: int
    lines: Sequence[EventLine]
    low: int
    low_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """A page of the stream; *older* leads to the next, None at the beginning of all logs."""

    lines: Sequence[EventLine]
    older: str | None
    searched_to: datetime | None


def page_of(scans: Iterable[LogScan], *, limit: int = PAGE_SIZE) -> EventPage:
    """Put the logs together, newest first."""
    scans = list(scans)
    horizon = max((scan.low_at for scan in scans if scan.low_at is not None), default=None)
    found = sorted(
        (line for scan in scans for line in scan.lines),
        key=lambda line: (line.at, line.service, line.partition, line.seq),
        reverse=True,
    )
    lines = [line for line in found if horizon is None or line.at >= horizon][:limit]
    last = lines[-1].at if len(lines) == limit else horizon
    place: dict[tuple[str, int], int] = {}
    for scan in scans:
        key = (scan.service, scan.partition)
        shown = {line.seq for line in lines if (line.service, line.partition) == key}
        left = [line.seq for line in scan.lines if line.seq not in shown]
        # Below what was shown; if something found was not, from there on; else from the search on.
        place[key] = max(left) + 1 if left else scan.low
    more = any(below > 1 for below in place.values())
    return EventPage(
        lines=lines,
        older=write_place(place) if more else None,
        searched_to=last if more else None,
    )


def write_place(place: Place) -> str:
    """Return a place as part of an address."""
    return "-".join(
        f"{service}.{partition}.{below}" for (service, partition), below in sorted(place.items())
    )


def read_place(text: str | None) -> dict[tuple[str, int], int]:
    """Return the place in an address; nothing for none."""
    found = {}
    for part in (text or "").split("-") if text else ():
        service, partition, below = part.split(".")
        found[service, int(partition)] = int(below)
    return found

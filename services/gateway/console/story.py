"""One reservation's whole story: calls and events of all services on one line of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.gateway.console.events import EventLine
from services.gateway.domain.audit import AuditRow

SLOW_S = 2.0
"""Longer than that between a call and an event that it led to is worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFacts:
    """A hold as the ledger knows it."""

    product_id: int
    channel: str
    partner_id: str
    quantity: int
    status: str
    held_at: datetime
    expires_at: datetime
    visit_date: date | None
    pool_no: int
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeFacts:
    """The same hold as the reservation service knows it."""

    status: str
    ended_at: datetime | None
    order_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFacts:
    """A ticket, without the token that opens doors."""

    ticket_code: str
    customer_type: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """An order without whom it is for."""

    order_id: str
    confirmation_code: str
    status: str
    quantity: int
    total_minor: int
    currency: str
    visit_date: date | None
    day_class: str
    created_at: datetime
    tickets: Sequence[TicketFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was found; None and nothing where a service has nothing."""

    reservation_id: str
    hold: HoldFacts | None
    life: LifeFacts | None
    order: OrderFacts | None
    events: Sequence[EventLine]
    calls: Sequence[AuditRow]
    away: Sequence[str]
    """Services that could not be asked: the story may lack their part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A call or an event; *after_s* is the time since the step above."""

    at: datetime
    after_s: float | None
    event: EventLine | None = None
    call: AuditRow | None = None
    slow: bool = False

    @property
    def duration_s(self) -> float | None:
        """How long a call took."""
        return self.call.duration_us / 1_000_000 if self.call is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a page tells."""

    told: Told
    steps: Sequence[Step]
    warnings: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """Whether nobody has ever heard of it."""
        return not (self.told.events or self.told.calls or self.told.hold)


def tell(told: Told, *, now: datetime) -> Story:
    """Put calls (where they began) and events in order, and say what looks wrong."""
    entries: list[tuple[datetime, int, EventLine | None, AuditRow | None]] = [
        *((call_began(call), 0, None, call) for call in told.calls),
        *((event.at, 1, event, None) for event in told.events),
    ]
    entries.sort(key=lambda entry: entry[:2])
    began = {call.command_id: call_began(call) for call in reversed(told.calls) if call.command_id}
    steps: list[Step] = []
    for at, _, event, call in entries:
        asked_at = began.get(event.correlation_id or "") if event is not None else None
        steps.append(
            Step(
                at=at,
                after_s=(at - steps[-1].at).total_seconds() if steps else None,
                event=event,
                call=call,
                slow=asked_at is not None and (at - asked_at).total_seconds() > SLOW_S,
            )
        )
    return Story(told=told, steps=steps, warnings=list(_warnings(told, now)))


def call_began(call: AuditRow) -> datetime:
    """Return when a call began: its row has the moment of its end."""
    return call.at - timedelta(microseconds=call.duration_us)


def _warnings(told: Told, now: datetime) -> Iterable[str]:
    words = [event.word for event in told.events]
    hold, life = told.hold, told.life
    for service in told.away:
        yield f"{service} can't be asked now: its part of the story may be missing."
    if "ledger conflict found" in words:
        yield "The ledger found a conflict here and moved nothing; sales of the pool are stopped."
    if hold is not None and hold.status == "held" and hold.expires_at < now:
        late_s = (now - hold.expires_at).total_seconds()
        if late_s > SLOW_S:
            yield "Its time is over, and the units were not given back yet."
    if told.away or hold is None:
        return
    if life is None and (now - hold.held_at).total_seconds() > SLOW_S:
        yield "The reservation service has not heard of this hold yet."
    if life is not None and life.status == "activated":
        recently = life.ended_at is not None and (now - life.ended_at).total_seconds() <= SLOW_S
        if hold.status != "sold" and not recently:
            yield "It was activated, but the ledger has not counted the units as sold."
        if told.order is None and not recently:
            yield "It was activated, but there is no order."

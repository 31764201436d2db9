"""The story's events as the services recorded them, read from their published read views."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

SERVICES = ("inventory", "reservation", "fulfillment")
CONNECT_TIMEOUT_S = 5
QUERY_TIMEOUT_S = 10
AWAIT_TIMEOUT_S = 10
EVENTS_MAX = 200

_QUERY = """
SELECT generation, partition, seq, type, decided_at, data::text AS data
FROM read_v1.event
WHERE decided_at >= $1
  AND (subject = ANY($2::text[]) OR data::jsonb ->> 'reservation_id' = ANY($2::text[]))
ORDER BY decided_at, partition, seq
LIMIT $3
"""


class LedgerUnreadable(Exception):
    """A service's read views could not be read; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """One event of a service's log."""

    service: str
    position: str
    type: str
    decided_at: datetime
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The last part of the type, such as ``units_held``."""
        return self.type.rpartition(".")[2]

    @property
    def reservation_id(self) -> str:
        """The reservation that it is about."""
        return str(self.data.get("reservation_id", ""))


async def read_events(
    *, dsns: Mapping[str, str], reservation_ids: Sequence[str], since: datetime
) -> list[RecordedEvent]:
    """Return the events of these reservations in all three services, oldest first.

    Raises LedgerUnreadable when a database does not answer.
    """
    events: list[RecordedEvent] = []
    for service in SERVICES:
        try:
            events += await _read(service, dsns[service], reservation_ids, since)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error) or type(error).__name__
            raise LedgerUnreadable(f"{service}: {reason}") from error
    # A cause before its effect, also where two servers' clocks agree to the microsecond.
    return sorted(events, key=lambda event: event.decided_at)


async def await_events(
    *, dsns: Mapping[str, str], reservation_ids: Sequence[str], since: datetime, count: int
) -> list[RecordedEvent]:
    """Read until *count* events are there, at most 10 s; raises LedgerUnreadable."""
    deadline = time.monotonic() + AWAIT_TIMEOUT_S
    while True:
        events = await read_events(dsns=dsns, reservation_ids=reservation_ids, since=since)
        if len(events) >= count or time.monotonic() >= deadline:
            return events
        await asyncio.sleep(0.25)


def names_of(events: Iterable[RecordedEvent], *, reservation_id: str) -> dict[str, list[str]]:
    """Return the names of a reservation's events by service, in order."""
    names: dict[str, list[str]] = {service: [] for service in SERVICES}
    for event in events:
        if event.reservation_id == reservation_id:
            names[event.service].append(event.name)
    return names


def units_moved(events: Iterable[RecordedEvent]) -> dict[str, int]:
    """Return how many units the ledger's events held, sold and released."""
    moved = {"units_held": 0, "units_sold": 0, "units_released": 0}
    for event in events:
        if event.service == "inventory" and event.name in moved:
            moved[event.name] += int(event.data["quantity"])
    return moved


def summary(event: RecordedEvent) -> str:
    """Say in a few words what an event records."""
    data = event.data
    parts = []
    if event.name not in ("order_created", "reservation_expired") and "quantity" in data:
        parts.append(f"{data['quantity']} units")
    if data.get("pool_no") is not None and event.service == "inventory":
        parts.append(f"pool {data['pool_no']}")
    if event.name == "units_held" and data.get("expires_at"):
        parts.append(f"until {_instant(data['expires_at'])}")
    if event.name == "reservation_expired" and data.get("due_at"):
        parts.append(f"was due {_instant(data['due_at'])}")
    parts += [str(data[key]) for key in ("reason", "order_id", "confirmation_code") if key in data]
    if "tickets" in data:
        parts.append(f"{len(data['tickets'])} tickets")
    if "total_minor" in data:
        parts.append(f"{data.get('currency', '')} {data['total_minor'] / 100:.2f}".strip())
    return ", ".join(parts)


async def _read(
    service: str, dsn: str, reservation_ids: Sequence[str], since: datetime
) -> list[RecordedEvent]:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=QUERY_TIMEOUT_S
    )
    try:
        rows = await connection.fetch(_QUERY, since, list(reservation_ids), EVENTS_MAX)
    finally:
        await connection.close()
    return [
        RecordedEvent(
            service=service,
            position=f"{row['generation']}-{row['partition']}-{row['seq']}",
            type=row["type"],
            decided_at=row["decided_at"],
            data=json.loads(row["data"]),
        )
        for row in rows
    ]


def _instant(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S")

"""Events in the story's table: what they say, and that the books balance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.demo.ledger import RecordedEvent, names_of, summary, units_moved

AT = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
HELD = {
    "reservation_id": "res_1",
    "pool_no": 1,
    "quantity": 2,
    "expires_at": "2026-12-02T10:00:00Z",
}


def event(service: str, name: str, data: dict[str, Any]) -> RecordedEvent:
    """Return an event of a service."""
    return RecordedEvent(
        service=service, position="0-0-1", type=f"ota.{service}.{name}", decided_at=AT, data=data
    )


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (
            event("inventory", "units_held", HELD),
            "2 units, pool 1, until 2026-12-02 10:00:00",
        ),
        (
            event("inventory", "units_released", {**HELD, "reason": "expired"}),
            "2 units, pool 1, expired",
        ),
        (
            event("reservation", "reservation_expired", {"due_at": "2026-12-02T10:00:00+00:00"}),
            "was due 2026-12-02 10:00:00",
        ),
        (
            event(
                "fulfillment",
                "order_created",
                {
                    "quantity": 2,
                    "order_id": "ORD-1",
                    "confirmation_code": "CONF-1",
                    "tickets": [{}, {}],
                    "total_minor": 47650,
                    "currency": "HKD",
                },
            ),
            "ORD-1, CONF-1, 2 tickets, HKD 476.50",
        ),
        (event("inventory", "unheard_of", {}), ""),
    ],
)
def test_summary(recorded: RecordedEvent, expected: str) -> None:
    """An event is summed up by what it moved, for how long, and why."""
    assert expected == summary(recorded)


def test_names_by_service() -> None:
    """Only the reservation's own events count, in their order."""
    events = [
        event("inventory", "units_held", HELD),
        event("reservation", "reservation_activated", HELD),
        event("inventory", "units_held", {**HELD, "reservation_id": "res_2"}),
        event("inventory", "units_sold", HELD),
    ]
    expected = {
        "inventory": ["units_held", "units_sold"],
        "reservation": ["reservation_activated"],
        "fulfillment": [],
    }
    assert expected == names_of(events, reservation_id="res_1")


def test_units_moved() -> None:
    """Units are counted in the ledger only; the reservation's events repeat them."""
    events = [
        event("inventory", "units_held", HELD),
        event("reservation", "reservation_activated", HELD),
        event("inventory", "units_held", {**HELD, "quantity": 3}),
        event("inventory", "units_sold", HELD),
        event("inventory", "units_released", {**HELD, "quantity": 3}),
    ]
    assert {"units_held": 5, "units_sold": 2, "units_released": 3} == units_moved(events)

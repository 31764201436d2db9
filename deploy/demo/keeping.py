"""The story's second half: what is refused, how units come back, and what the books say."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

from deploy.demo import ledger
from deploy.demo.partner import refused
from deploy.demo.selling import CUSTOMER, UNITS
from deploy.demo.story import PRODUCT, Step, Story
from ota_client import Order

CANCELLED_UNITS = 3
EXPIRED_UNITS = 2
SHORT_HOLD_S = 4
EXPIRY_WAIT_S = 20
POLL_S = 0.5
EXPIRY_CALLS_MAX = 15
PRODUCT_OF_OTHER_CHANNEL = 101
UNKNOWN_KEY = "ota_nobody_key_00000"

EXPECTED_EVENTS = {
    "sold": {
        "inventory": ["units_held", "units_sold"],
        "reservation": ["reservation_activated"],
        "fulfillment": ["order_created"],
    },
    "cancelled": {
        "inventory": ["units_held", "units_released"],
        "reservation": ["reservation_cancelled"],
        "fulfillment": [],
    },
    "expired": {
        "inventory": ["units_held", "units_released"],
        "reservation": ["reservation_expired"],
        "fulfillment": [],
    },
}


def _activate(story: Story, reservation_id: str, *, purpose: str) -> Awaitable[Order]:
    return story.partner.ota.activate(
        reservation_id,
        CUSTOMER,
        payment_reference=f"DEMO-{story.run.upper()}-2",
        idempotency_key=story.key(purpose),
    )


async def activate_again(story: Story) -> None:
    """Try to sell the same hold a second time."""
    refusal = await refused(_activate(story, story.sold, purpose="activate-again"))
    story.checks.equal(
        "refused: 409 ALREADY_ACTIVATED, naming the one order",
        expected=(409, "ALREADY_ACTIVATED", story.order_id),
        actual=(refusal.status, refusal.code, refusal.problem.get("order_id")),
    )


async def cancel(story: Story) -> None:
    """Hold three units and give them back."""
    partner = story.partner
    before = story.available - UNITS
    hold = await partner.ota.reserve(
        PRODUCT, CANCELLED_UNITS, idempotency_key=story.key("to-cancel")
    )
    story.checks.need("three units are held (201)", expected=201, actual=partner.last.status)
    story.cancelled = hold.reservation_id
    story.checks.equal(
        "three units fewer are available",
        expected=before - CANCELLED_UNITS,
        actual=await partner.available(PRODUCT),
    )
    await partner.ota.cancel(story.cancelled, idempotency_key=story.key("cancel"))
    story.checks.equal("the cancellation answers 204", expected=204, actual=partner.last.status)
    story.checks.equal(
        "the units are back with that answer",
        expected=before,
        actual=await partner.available(PRODUCT),
    )


async def expire(story: Story) -> None:
    """Hold two units for a few seconds and do nothing."""
    partner = story.partner
    await partner.make_room(calls=EXPIRY_CALLS_MAX)
    before = await partner.available(PRODUCT)
    # Whole seconds, rounded up, so that at least SHORT_HOLD_S - 1 of them are left to look.
    ends_at = datetime.fromtimestamp(math.ceil(time.time()) + SHORT_HOLD_S, tz=UTC)
    hold = await partner.ota.reserve(
        PRODUCT, EXPIRED_UNITS, expires_at=ends_at, idempotency_key=story.key("to-expire")
    )
    story.checks.need(
        "two units are held for a moment (201)", expected=201, actual=partner.last.status
    )
    story.expired = hold.reservation_id
    story.checks.equal(
        "meanwhile two units fewer are available",
        expected=before - EXPIRED_UNITS,
        actual=await partner.available(PRODUCT),
    )
    await _await_return(story, units=before, ends_at=ends_at)
    found = await partner.ota.reservation(story.expired)
    story.checks.equal(
        "the reservation's status is expired", expected="expired", actual=found.status
    )
    refusal = await refused(_activate(story, story.expired, purpose="too-late"))
    story.checks.equal(
        "too late: 409 RESERVATION_EXPIRED",
        expected=(409, "RESERVATION_EXPIRED"),
        actual=(refusal.status, refusal.code),
    )


async def _await_return(story: Story, *, units: int, ends_at: datetime) -> None:
    """Watch the stock until the units are back; nobody asks for them, the clock does the work."""
    deadline = ends_at + timedelta(seconds=EXPIRY_WAIT_S)
    while True:
        left_s = (ends_at - datetime.now(UTC)).total_seconds()
        available = await story.partner.available(PRODUCT, show=False)
        if available == units or datetime.now(UTC) >= deadline:
            break
        waiting = f"{left_s:.1f} s left" if left_s > 0 else "its time is up"
        story.screen.progress(f"available units of {PRODUCT}: {available}; the hold: {waiting}")
        # Calls are counted: one look halfway, then often from the deadline on.
        await asyncio.sleep(max(POLL_S, left_s / 2))
    late_s = (datetime.now(UTC) - ends_at).total_seconds()
    story.screen.note(f"available units of {PRODUCT}: {available}, {late_s:.1f} s after the end")
    story.checks.equal("the units came back by themselves", expected=units, actual=available)
    story.checks.true(
        "not before the hold's time was up",
        passed=late_s >= 0,
        otherwise=f"{-late_s:.1f} s early",
    )


async def refuse(story: Story) -> None:
    """Three requests that must not work."""
    ota = story.partner.ota
    async with story.partner.stranger(api_key=UNKNOWN_KEY) as stranger:
        refusal = await refused(stranger.inventory())
    story.checks.equal(
        "an unknown key: 401 INVALID_API_KEY",
        expected=(401, "INVALID_API_KEY"),
        actual=(refusal.status, refusal.code),
    )
    refusal = await refused(ota.reserve(PRODUCT, 101))
    story.checks.equal(
        "101 units: 422 VALIDATION_ERROR",
        expected=(422, "VALIDATION_ERROR"),
        actual=(refusal.status, refusal.code),
    )
    story.checks.true(
        "its message names the limit, between 1 and 100",
        passed="between 1 and 100" in refusal.detail and "limit" in refusal.detail,
        otherwise=refusal.detail,
    )
    refusal = await refused(ota.reserve(PRODUCT_OF_OTHER_CHANNEL, 1))
    story.checks.equal(
        "stock of another channel is none of ours: 409 SOLD_OUT, available 0",
        expected=(409, "SOLD_OUT", 0),
        actual=(refusal.status, refusal.code, refusal.problem.get("available")),
    )
    story.checks.equal(
        "refusals move nothing: the stock is short of the two sold units only",
        expected=story.available - UNITS,
        actual=await story.partner.available(PRODUCT),
    )


async def open_books(story: Story) -> None:
    """Read what the three services recorded about this story."""
    missing = [name for name in ledger.SERVICES if name not in story.stack.read_dsns]
    if missing:
        story.checks.true(
            "the event logs can be read",
            passed=False,
            otherwise=f"no database address for {', '.join(missing)} (OTA_<SERVICE>_READ_DSN)",
        )
        return
    ids = {"sold": story.sold, "cancelled": story.cancelled, "expired": story.expired}
    expected_count = sum(len(names) for by in EXPECTED_EVENTS.values() for names in by.values())
    try:
        events = await ledger.await_events(
            dsns=story.stack.read_dsns,
            reservation_ids=[*ids.values(), story.order_id],
            # The databases' clocks may differ a little from ours.
            since=story.started_at - timedelta(minutes=1),
            count=expected_count,
        )
    except ledger.LedgerUnreadable as error:
        story.checks.true("the event logs can be read", passed=False, otherwise=str(error))
        return
    story.screen.table(
        header=("service", "position", "time (UTC)", "type", "summary"),
        rows=[
            (
                event.service,
                event.position,
                f"{event.decided_at.astimezone(UTC):%H:%M:%S.%f}"[:-3],
                event.type,
                ledger.summary(event),
            )
            for event in events
        ],
    )
    story.screen.line()
    for role, reservation_id in ids.items():
        story.checks.equal(
            f"the {role} reservation left exactly its own trail",
            expected=EXPECTED_EVENTS[role],
            actual=ledger.names_of(events, reservation_id=reservation_id),
        )
    held = UNITS + CANCELLED_UNITS + EXPIRED_UNITS
    story.checks.equal(
        "the books balance: units held = sold + released",
        expected={"units_held": held, "units_sold": UNITS, "units_released": held - UNITS},
        actual=ledger.units_moved(events),
    )
    text = "".join(str(event.data) for event in events)
    story.checks.true(
        "the customer stands in no event in the clear",
        passed=not any(word in text for word in (CUSTOMER.name, CUSTOMER.email, CUSTOMER.phone)),
    )


STEPS = (
    Step(
        "Sell it twice?",
        "A second activation of the same hold is refused and told which order exists: one order"
        " for one reservation, whoever retries.",
        activate_again,
    ),
    Step(
        "Second thoughts: cancel",
        "A cancelled hold gives its units back before the answer is sent, so the next customer can"
        " have them.",
        cancel,
    ),
    Step(
        "Nobody pays: a hold runs out",
        "A hold of a few seconds ends by itself; its units return without anybody asking, and a"
        " late payment is refused.",
        expire,
    ),
    Step(
        "What is refused",
        "Wrong key, too many units, another channel's stock: each refusal is a problem document"
        " with a word for machines and a sentence for people.",
        refuse,
    ),
    Step(
        "Open the books",
        "Every movement is an event in its service's own log; positions have no gaps, and the"
        " three logs tell the same story.",
        open_books,
    ),
)

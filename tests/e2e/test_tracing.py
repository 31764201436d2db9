"""Spans of the four real processes, as a collector gets them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from libs.runtime.tracing import ENDPOINTS
from tests.e2e.conftest import PARTNERS
from tests.support.agency import API, FULL_KEY, Agency, open_agency
from tests.support.collector import Collector, Span, running_collector
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

CALLER = "00f067aa0ba902b7"
ACTIVATION = {
    "customer_details": {"name": "Tracy", "email": "t@example.com", "phone": "+852 5550 1234"},
    "payment_reference": "PAY-TRACE",
}


@pytest.fixture(scope="module")
def collector(all_deciders: Deciders) -> Iterator[Collector]:
    """A collector that all four processes know; they end with it."""
    with running_collector() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINTS[0], running.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        all_deciders.fresh()
        all_deciders.stack.run_command("gateway", "load-partners", PARTNERS)
        all_deciders.start("gateway").wait_ready()
        yield running
        all_deciders.stack.stop_services()
        all_deciders.processes.clear()


@pytest.fixture
async def agency(collector: Collector, all_deciders: Deciders) -> AsyncIterator[Agency]:
    """A partner of the traced processes."""
    url = all_deciders.processes["gateway"].url
    async with open_agency(url=url, api_key=FULL_KEY) as made:
        yield made


async def call(agency: Agency, path: str, body: object, traceparent: str) -> str:
    """Make a call in a trace, and return the id of what was made."""
    headers = {"X-API-Key": FULL_KEY, "traceparent": traceparent}
    async with agency.session.post(f"{agency.url}{API}{path}", json=body, headers=headers) as told:
        assert 201 == told.status
        made = await told.json()
        return str(made.get("reservation_id") or made["order_id"])


async def test_one_trace_has_the_spans_of_all_four_services(
    agency: Agency, collector: Collector
) -> None:
    """The gateway's hang below the caller's, all others below the gateway's of their call."""
    trace, unwanted = uuid.uuid4().hex, uuid.uuid4().hex
    stock = {"product_id": 107, "quantity": 1}
    await call(agency, "/reserve", stock, f"00-{unwanted}-{CALLER}-00")
    held = await call(agency, "/reserve", stock, f"00-{trace}-{CALLER}-01")
    await call(agency, f"/reservations/{held}/activate", ACTIVATION, f"00-{trace}-{CALLER}-01")

    async def whole() -> list[Span]:
        found = collector.of_trace(trace)
        told = {(span.service, span.name) for span in found}
        return found if expected() <= told else []

    spans = await eventually(whole, what="the trace")
    requests = {span.span_id: span for span in spans if span.service == "gateway"}
    assert {"/api/ota/reserve", "/api/ota/reservations/{reservation_id}/activate"} == {
        span.attributes["http.route"] for span in requests.values()
    }
    assert {CALLER} == {span.parent_id for span in requests.values()}
    steps = [span for span in spans if span.service != "gateway"]
    for span in steps:
        request = requests[span.parent_id]
        conversation = "messaging.message.conversation_id"
        assert request.attributes[conversation] == span.attributes[conversation]
    assert 0 < min(span.took_ns for span in spans)
    assert [] == collector.of_trace(unwanted), "its caller asked for none"


def expected() -> set[tuple[str, str]]:
    """Return who does what for a hold that is sold, at least."""
    return {
        ("gateway", "POST /api/ota/reserve"),
        ("gateway", "POST /api/ota/reservations/{reservation_id}/activate"),
        ("inventory", "ota.inventory.place_hold"),
        ("inventory", "ota.reservation.reservation_activated"),
        ("reservation", "ota.inventory.units_held"),
        ("reservation", "ota.reservation.activate_reservation"),
        ("fulfillment", "ota.reservation.reservation_activated"),
    }

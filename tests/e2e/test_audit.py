"""Who did what can be found afterwards: in the records of calls, in the events, in the log."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import uuid
from functools import partial
from typing import Any

import asyncpg
import pytest

from deploy.local.plan import own_environment
from deploy.local.settings import CHECKOUT
from libs.events.topics import (
    ALL,
    FULFILLMENT_EVENTS,
    GATEWAY_REPLIES,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    RESERVATION_COMMANDS,
    RESERVATION_EVENTS,
)
from tests.support import topics
from tests.support.admin import run_admin
from tests.support.agency import API, FULL_KEY, Agency
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PRODUCT = 107
CUSTOMER = {"name": "Canary Wan Ying", "email": "canary@example.com", "phone": "+852 5550 1234"}
ACTIVATION = {"customer_details": CUSTOMER, "payment_reference": "PAY-CANARY"}
PARTNER = "ota_full_access_partner"


async def admin(deciders: Deciders, *words: str) -> tuple[int, str]:
    """Run ``ota-admin audit`` and return its exit code and what it printed."""
    ended = await asyncio.to_thread(run_admin, deciders.env, "audit", *words)
    return ended.returncode, ended.stdout + ended.stderr


async def rows_of(deciders: Deciders, *words: str) -> list[dict[str, Any]]:
    """Return what a search finds."""
    code, printed = await admin(deciders, "search", "--json", *words)
    assert 0 == code, printed
    return list(json.loads(printed))


async def call(
    agency: Agency, path: str, body: object, *, request_id: str, trace_id: str
) -> dict[str, Any]:
    """Make a call under an id and in a trace of the caller's own; the answer names both."""
    headers = {
        "X-API-Key": FULL_KEY,
        "X-Request-Id": request_id,
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
    }
    async with agency.session.post(f"{agency.url}{API}{path}", json=body, headers=headers) as told:
        assert (201, request_id) == (told.status, told.headers["X-Request-Id"])
        assert trace_id == told.headers["traceparent"].split("-")[1]
        return dict(await told.json())


async def meta_of(
    deciders: Deciders, service: str, type: str, reservation_id: str
) -> dict[str, Any]:
    """Wait for a reservation's event of a type, and return what is kept beside its data."""
    connection = await asyncpg.connect(deciders.env[f"OTA_{service.upper()}_READ_DSN"])
    try:
        meta = await eventually(
            lambda: connection.fetchval(
                "SELECT meta::text FROM read_v1.event WHERE subject = $1 AND type = $2",
                reservation_id,
                type,
            ),
            what=f"{type} of {reservation_id}",
        )
        return dict(json.loads(meta))
    finally:
        await connection.close()


async def records_of(deciders: Deciders, correlation_id: str) -> dict[str, set[str]]:
    """Return for each topic the trace ids of all records that go back to one call."""
    found: dict[str, set[str]] = {}
    for topic in ALL:
        for partition in range(topic.partitions):
            for record in await topics.read_all(
                bootstrap=deciders.stack.broker.bootstrap, topic=topic, partition=partition
            ):
                headers = dict(record.headers)
                if headers.get("ce_correlationid") == correlation_id.encode():
                    trace_id = headers["traceparent"].decode().split("-")[1]
                    found.setdefault(topic.name, set()).add(trace_id)
    return found


async def lines_of(deciders: Deciders, trace_id: str) -> list[dict[str, Any]]:
    """Return what the gateway has logged of a trace."""
    text = deciders.processes["gateway"].log.read_text()
    return [json.loads(line) for line in text.splitlines() if trace_id in line]


async def test_trace_and_request_id_reach_the_last_event(
    agency: Agency, deciders: Deciders
) -> None:
    """Four services and four topics on, records, events and the log name the call they go back to.

    So do its answers.
    """
    reserve, activate = uuid.uuid4().hex, uuid.uuid4().hex
    held = await call(
        agency,
        "/reserve",
        {"product_id": PRODUCT, "quantity": 1},
        request_id="agency/reserve.1",
        trace_id=reserve,
    )
    reservation_id = held["reservation_id"]
    path = f"/reservations/{reservation_id}/activate"
    await call(agency, path, ACTIVATION, request_id="agency/activate.1", trace_id=activate)
    for service, type, request_id, trace_id in (
        ("inventory", "ota.inventory.units_held", "agency/reserve.1", reserve),
        ("reservation", "ota.reservation.reservation_activated", "agency/activate.1", activate),
        ("inventory", "ota.inventory.units_sold", "agency/activate.1", activate),
        ("fulfillment", "ota.fulfillment.order_created", "agency/activate.1", activate),
    ):
        meta = await meta_of(deciders, service, type, reservation_id)
        assert (type, request_id, trace_id, PARTNER) == (
            type,
            meta["request_id"],
            meta["traceparent"].split("-")[1],
            meta["partner_id"],
        )
    for trace_id, passed in (
        (reserve, [INVENTORY_COMMANDS, INVENTORY_EVENTS, GATEWAY_REPLIES]),
        (
            activate,
            [
                *(RESERVATION_COMMANDS, RESERVATION_EVENTS),
                *(INVENTORY_EVENTS, FULFILLMENT_EVENTS, GATEWAY_REPLIES),
            ],
        ),
    ):
        (line,) = await eventually(partial(lines_of, deciders, trace_id))
        assert ("gateway.call.answered", trace_id) == (line["event"], line["trace_id"])
        on_the_way = await records_of(deciders, line["correlation_id"])
        assert {topic.name: {trace_id} for topic in passed} == on_the_way


async def test_an_operator_finds_a_call_and_what_it_led_to(
    agency: Agency, deciders: Deciders
) -> None:
    """By reservation, by request id, by what was refused; the events stand beside the calls."""
    request_id = f"agency/{uuid.uuid4().hex}"
    body = {"product_id": PRODUCT, "quantity": 2}
    held = await call(agency, "/reserve", body, request_id=request_id, trace_id=uuid.uuid4().hex)
    reservation_id = held["reservation_id"]
    assert 204 == (await agency.call("DELETE", f"/reservations/{reservation_id}")).status
    refused = await agency.call("POST", f"/reservations/{reservation_id}/activate", ACTIVATION)
    assert (409, "RESERVATION_CANCELLED") == refused.word
    calls = await eventually(lambda: all_three(deciders, reservation_id))
    assert [("POST", 409), ("DELETE", 204), ("POST", 201)] == [
        (row["method"], row["status"]) for row in calls
    ]
    assert {(PARTNER, "127.0.0.0/24", 1)} == {
        (row["partner_id"], row["address"], row["calls"]) for row in calls
    }
    assert calls[:1] == await rows_of(
        deciders, "--word", "reservation_cancelled", "--status", "4xx", "--since", "10m",
        "--partner", PARTNER, "--address", "127.0.0.1", "--reservation", reservation_id,
    )  # fmt: skip
    code, printed = await admin(deciders, "search", "--reservation", reservation_id, "--limit=2")
    assert ("there are more" in printed, 0) == (True, code)
    rest = ["--reservation", reservation_id, *printed.split()[-2:]]
    assert calls[2:] == await rows_of(deciders, *rest)
    code, printed = await admin(deciders, "show", request_id, "--json")
    shown = json.loads(printed)
    assert (0, [calls[2]]) == (code, shown["calls"])
    assert ["ota.inventory.units_held"] == [event["type"] for event in shown["events"]]
    first = shown["events"][0]
    assert (request_id, PARTNER, calls[2]["key_id"]) == (
        first["request_id"],
        first["partner_id"],
        first["key_id"],
    )
    code, printed = await admin(deciders, "show", reservation_id)
    assert 0 == code
    for word in ("units_held", "reservation_cancelled", "units_released", "RESERVATION_CANCELLED"):
        assert word in printed


async def all_three(deciders: Deciders, reservation_id: str) -> list[dict[str, Any]]:
    """Return a reservation's calls, nothing before there are three."""
    rows = await rows_of(deciders, "--reservation", reservation_id)
    return rows if len(rows) >= 3 else []


async def test_an_operator_follows_what_is_refused(agency: Agency, deciders: Deciders) -> None:
    """A record shows up as it is written; an interrupt ends the command in order."""
    following = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.gateway.admin", "audit", "search", "--follow", "--json"),
        *("--word", "RESERVATION_NOT_FOUND", "--partner", PARTNER),
        cwd=CHECKOUT,
        env=own_environment(environment=deciders.env, service="gateway", owner=False),
        stdout=asyncio.subprocess.PIPE,
        # Tests may run in the background of a shell, where interrupts are ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert following.stdout is not None
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        line = group.create_task(following.stdout.readline())
        while not line.done():
            assert 404 == (await agency.call("GET", "/reservations/nobody-s")).status
            await asyncio.wait({line}, timeout=0.5)
    row = json.loads(line.result())
    assert ("RESERVATION_NOT_FOUND", 404, PARTNER) == (
        row["word"],
        row["status"],
        row["partner_id"],
    )
    following.send_signal(signal.SIGINT)
    await following.stdout.read()
    assert 0 == await following.wait()


async def test_what_nobody_recorded_is_said_to_be_unknown(deciders: Deciders) -> None:
    """An exit code for scripts, and a hint for people."""
    code, printed = await admin(deciders, "show", "req_never")
    assert 1 == code
    assert "there is no record of req_never" in printed


async def test_a_gateway_that_ends_writes_its_last_records(
    agency: Agency, deciders: Deciders
) -> None:
    """Stopped within the half second in which its record still waits."""
    gateway = deciders.stack.service("gateway", env={"OTA_GATEWAY_INSTANCE": "1"})
    gateway.start()
    await asyncio.to_thread(gateway.wait_ready)
    held = (await agency.through(gateway.url).reserve(PRODUCT, 1)).json
    assert 0 == await asyncio.to_thread(gateway.stop)
    rows = await rows_of(deciders, "--reservation", held["reservation_id"])
    assert [201] == [row["status"] for row in rows]


async def test_a_gateway_that_is_killed_loses_less_than_a_second(
    agency: Agency, deciders: Deciders
) -> None:
    """What was recorded before stays; the event of what was not names its caller all the same."""
    gateway = deciders.stack.service("gateway", env={"OTA_GATEWAY_INSTANCE": "1"})
    gateway.start()
    await asyncio.to_thread(gateway.wait_ready)
    other = agency.through(gateway.url)
    early = (await other.reserve(PRODUCT, 1)).json["reservation_id"]
    await eventually(lambda: rows_of(deciders, "--reservation", early))
    late = (await other.reserve(PRODUCT, 1)).json["reservation_id"]
    await asyncio.to_thread(gateway.kill)
    assert 1 == len(await rows_of(deciders, "--reservation", early))
    meta = await meta_of(deciders, "inventory", "ota.inventory.units_held", late)
    assert PARTNER == meta["partner_id"]


async def test_the_log_has_a_line_for_each_call_and_no_personal_data(
    agency: Agency, deciders: Deciders
) -> None:
    """The access log is part of the service's log, and knows nobody's name."""
    held = (await agency.reserve(PRODUCT, 1, customer_reference="canary reference")).json
    path = f"/reservations/{held['reservation_id']}/activate?note=canary"
    order = await agency.call("POST", path, ACTIVATION)
    request_id = order.headers["X-Request-Id"]
    await agency.call("GET", "/orders?payment_reference=PAY-CANARY")
    log = deciders.processes["gateway"].log

    async def line() -> dict[str, Any] | None:
        found = [each for each in log.read_text().splitlines() if request_id in each]
        return json.loads(found[0]) if found else None

    told = await eventually(line)
    assert ("gateway.call.answered", 201, "/api/ota/reservations/{reservation_id}/activate") == (
        told["event"],
        told["status"],
        told["route"],
    )
    text = log.read_text()
    assert not any(canary in text for canary in ("anary", "CANARY", "5550", "example.com"))
    assert FULL_KEY not in text
    assert PARTNER in text

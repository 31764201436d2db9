"""The main job over HTTP with four real processes: hold, sell, give back, run out."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from libs.events.topics import INVENTORY_COMMANDS, RESERVATION_COMMANDS
from libs.tickets.token import TicketClaims, verify
from tests.support import topics
from tests.support.agency import DIRECT_KEY, PROD_KEY, Agency, Answer
from tests.support.client import seconds_from_now
from tests.support.deciders import Deciders, ops_page
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PRODUCT = 108
CUSTOMER = {"name": "陳大文", "email": "canary@example.com", "phone": "+86 138 0000 0001"}
CANARIES = ("陳大文", "canary", "138 0000", "PAY-2077", "window seat", "our-reference")


def next_saturday() -> date:
    """Return a Saturday more than a week ahead that is no special date."""
    day = datetime.now(UTC).date() + timedelta(days=8)
    while day.weekday() != 5 or (day.month, day.day) in {(12, 31), (2, 6)}:
        day += timedelta(days=1)
    return day


async def test_the_main_job(agency: Agency, deciders: Deciders) -> None:
    """A partner sees stock, holds, sells, gives back and lets run out, as the contract says."""
    assert 1500 == await agency.available(PRODUCT)
    reservation_id = await hold_three(agency)
    assert 1497 == await agency.available(PRODUCT)
    order = await sell(agency, reservation_id)
    await check_tickets(deciders, order)
    await read_back(agency, reservation_id, order)
    await refuse_what_is_sold(agency, reservation_id, order)
    await give_back(agency)
    assert 1497 == await agency.available(PRODUCT)
    await run_out(agency)
    assert 1497 == await agency.available(PRODUCT)
    assert 300 == await agency.with_key(DIRECT_KEY).available(PRODUCT)
    await deciders.audit()
    await no_personal_data(deciders)


async def hold_three(agency: Agency) -> str:
    """Reserve three units for a Saturday and check the answer."""
    saturday = next_saturday().isoformat()
    answer = await agency.reserve(
        PRODUCT, 3, visit_date=saturday, customer_reference="our-reference"
    )
    assert 201 == answer.status
    body = answer.json
    id = str(body["reservation_id"])
    assert re.fullmatch(r"res_[0-9A-HJKMNP-TV-Z]{26}", id)
    assert f"/api/ota/reservations/{id}" == answer.headers["Location"]
    assert (PRODUCT, 3, "active") == (body["product_id"], body["quantity"], body["status"])
    held_for = at(body["expires_at"]) - at(body["created_at"])
    assert timedelta(hours=24) == held_for
    assert (788, 100) == (
        body["pricing_snapshot"]["base_price"],
        body["pricing_snapshot"]["weekend_premium"],
    )
    listed = (await agency.call("GET", "/reservations?customer_reference=our-reference")).json
    assert [id] == [row["reservation_id"] for row in listed["reservations"]]
    read = (await agency.call("GET", f"/reservations/{id}")).json
    assert (body["expires_at"], "active") == (read["expires_at"], read["status"])
    return id


def at(text: str) -> datetime:
    """Return the instant that a text tells."""
    return datetime.fromisoformat(text)


async def sell(agency: Agency, reservation_id: str) -> dict[str, Any]:
    """Activate a hold for two adults and a child, twice under one key; return the order."""
    body = {
        "customer_details": CUSTOMER,
        "payment_reference": "PAY-2077",
        "special_requests": "window seat",
        "customer_type": ["adult", "child", "adult"],
    }
    path = f"/reservations/{reservation_id}/activate"
    first = await agency.call("POST", path, body, key="sell-three")
    again = await agency.call("POST", path, body, key="sell-three")
    assert (201, 201) == (first.status, again.status)
    assert (False, True) == (first.replayed, again.replayed)
    assert first.body == again.body
    order = first.json
    assert (2 * 888 + 188, "HKD") == (order["total_amount"], order["currency"])
    assert "confirmed" == order["status"]
    assert re.fullmatch(r"ORD-[0-9]{13}", order["order_id"])
    assert re.fullmatch(r"CONF-[2-9A-HJKMNP-Z]{8}", order["confirmation_code"])
    return order


async def check_tickets(deciders: Deciders, order: dict[str, Any]) -> None:
    """Every ticket is scannable, signed with the published key, and no two are alike."""
    keys = await published_keys(deciders)
    assert ["adult", "child", "adult"] == [t["customer_type"] for t in order["tickets"]]
    assert 3 == len({ticket["ticket_code"] for ticket in order["tickets"]})
    for ticket in order["tickets"]:
        _, _, image = ticket["qr_code"].partition("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(image))) as picture:
            picture.load()
            (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
        assert ticket["qr_token"] == found.text
        claims = verify(found.text, keys)
        assert isinstance(claims, TicketClaims)
        assert ticket["ticket_code"] == claims.ticket_code(prefix="CRUISE-2025-FERRY")
        entitlements = {e["function_code"]: e["remaining_uses"] for e in ticket["entitlements"]}
        expected = {"vip_ferry": 2, "monchhichi_gift_x2": 2, "playground_tokens": 20, "tea_set": 1}
        assert expected == entitlements


async def published_keys(deciders: Deciders) -> dict[str, bytes]:
    """Return the public keys that gates verify tickets with."""
    page = json.loads(await ops_page(deciders.processes["fulfillment"], "/ticket-keys"))
    return {key["key_id"]: bytes.fromhex(key["public_key"]) for key in page["keys"]}


async def read_back(agency: Agency, reservation_id: str, order: dict[str, Any]) -> None:
    """Order, tickets and reservation are read as they were answered, by their owner alone."""
    path = f"/orders/{order['order_id']}"
    read = (await agency.call("GET", path)).json
    assert order["total_amount"] == read["total_amount"]
    assert tuple(CUSTOMER.values()) == (
        read["customer_name"],
        read["customer_email"],
        read["customer_phone"],
    )
    assert ("PAY-2077", "window seat") == (read["payment_reference"], read["special_requests"])
    tickets = (await agency.call("GET", f"{path}/tickets")).json
    assert order["tickets"] == tickets["tickets"]
    code = order["confirmation_code"]
    listed = (await agency.call("GET", f"/orders?confirmation_code={code}")).json
    assert [order["order_id"]] == [row["order_id"] for row in listed["orders"]]
    reservation = (await agency.call("GET", f"/reservations/{reservation_id}")).json
    assert ("activated", order["order_id"]) == (reservation["status"], reservation["order_id"])
    stranger = agency.with_key(PROD_KEY)
    assert (404, "ORDER_NOT_FOUND") == (await stranger.call("GET", path)).word
    assert (404, "RESERVATION_NOT_FOUND") == (
        await stranger.call("GET", f"/reservations/{reservation_id}")
    ).word


async def refuse_what_is_sold(agency: Agency, reservation_id: str, order: dict[str, Any]) -> None:
    """What is sold can't be sold or given back again, and asking costs nothing."""
    again = await activate(agency, reservation_id)
    assert (409, "ALREADY_ACTIVATED") == again.word
    assert order["order_id"] == again.json["order_id"]
    cancelled = await agency.call("DELETE", f"/reservations/{reservation_id}")
    assert (409, "CANNOT_CANCEL_ACTIVATED") == cancelled.word
    assert (422, "VALIDATION_ERROR") == (await agency.reserve(PRODUCT, 101)).word
    assert (401, "API_KEY_REQUIRED") == (await agency.with_key(None).reserve(PRODUCT, 1)).word


async def activate(agency: Agency, reservation_id: str, *, key: str | None = None) -> Answer:
    """Activate a hold for adults."""
    body = {"customer_details": CUSTOMER, "payment_reference": "PAY-2077"}
    return await agency.call("POST", f"/reservations/{reservation_id}/activate", body, key=key)


async def give_back(agency: Agency) -> None:
    """A cancelled hold's units are back with the answer; it can't be sold any more."""
    id = (await agency.reserve(PRODUCT, 5)).json["reservation_id"]
    before = await agency.available(PRODUCT)
    assert 204 == (await agency.call("DELETE", f"/reservations/{id}")).status
    assert before + 5 == await agency.available(PRODUCT)
    assert 204 == (await agency.call("DELETE", f"/reservations/{id}")).status
    assert before + 5 == await agency.available(PRODUCT)
    assert (409, "RESERVATION_CANCELLED") == (await activate(agency, id)).word
    assert "cancelled" == (await agency.call("GET", f"/reservations/{id}")).json["status"]


async def run_out(agency: Agency) -> None:
    """A hold whose time has run out gives its units back by itself."""
    expires_at = seconds_from_now(1.5).isoformat()
    answer = await agency.reserve(PRODUCT, 4, reservation_expires_at=expires_at)
    assert 201 == answer.status
    path = f"/reservations/{answer.json['reservation_id']}"
    before = await agency.available(PRODUCT)

    async def is_back() -> bool:
        return before + 4 == await agency.available(PRODUCT)

    await eventually(is_back)
    assert (409, "RESERVATION_EXPIRED") == (
        await activate(agency, answer.json["reservation_id"])
    ).word
    assert (409, "RESERVATION_EXPIRED") == (await agency.call("DELETE", path)).word
    assert "expired" == (await agency.call("GET", path)).json["status"]
    cleaned = await agency.call("POST", "/reservations/cleanup")
    assert (200, 1) == (cleaned.status, cleaned.json["expired_reservations"])


async def no_personal_data(deciders: Deciders) -> None:
    """What a customer has told is in no event and no command in the clear."""
    books = await deciders.audit()
    texts = [event.data + event.meta for events in books.events.values() for event in events]
    for topic in (INVENTORY_COMMANDS, RESERVATION_COMMANDS):
        for partition in range(topic.partitions):
            bootstrap = deciders.stack.broker.bootstrap
            records = await topics.read_all(bootstrap=bootstrap, topic=topic, partition=partition)
            texts += [f"{record.value!r} {record.headers!r}" for record in records]
    assert any(str(PRODUCT) in text for text in texts)
    for canary in CANARIES:
        assert not [text for text in texts if canary in text or repr(canary.encode()) in text]


async def test_four_hundred_at_once_get_what_there_is(agency: Agency, deciders: Deciders) -> None:
    """2,000 units, 400 calls for 10 at once: 200 have them, all others are told SOLD_OUT."""
    direct = agency.with_key(DIRECT_KEY)
    calls = [(partner, f"rush-{n}") for n in range(200) for partner in rivals(agency)]
    assert (2000, 1000) == (await agency.available(106), await direct.available(106))
    answers = await reserve_at_once(calls)
    assert Counter({(201, ""): 200, (409, "SOLD_OUT"): 200}) == Counter(map(outcome, answers))
    assert {0} == {answer.json["available"] for answer in answers if answer.status == 409}
    assert (0, 1000) == (await agency.available(106), await direct.available(106))
    again = await reserve_at_once(calls)
    assert [said(answer) for answer in answers] == [said(answer) for answer in again]
    assert all(answer.replayed for answer in again)
    assert 10 == (await direct.reserve(106, 10)).json["quantity"]
    books = await deciders.audit()
    pools = {row["pool_no"]: row for row in books.rows["pool"]}
    assert [(2000, 2000), (1000, 10)] == [
        (pools[number]["allotted"], pools[number]["held"]) for number in (1, 4)
    ]


def rivals(agency: Agency) -> list[Agency]:
    """Return two partners of one channel, who draw from the same pool."""
    return [agency, agency.with_key(PROD_KEY)]


async def reserve_at_once(calls: list[tuple[Agency, str]]) -> list[Answer]:
    """Reserve 10 units for each partner and key, all at the same moment."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(who.reserve(106, 10, key=key)) for who, key in calls]
    return [task.result() for task in tasks]


def said(answer: Answer) -> tuple[int, dict[str, Any]]:
    """Return status and body."""
    return answer.status, answer.json


def outcome(answer: Answer) -> tuple[int, str]:
    """Return status and error word."""
    return answer.status, answer.json.get("code", "")

"""Personal data on the four processes: in nobody's reach, and erased for good."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import pytest

from libs.events.topics import DEAD_LETTERS
from tests.support import topics
from tests.support.admin import admin, run_admin
from tests.support.agency import FULL_KEY, PROD_KEY, Agency
from tests.support.canaries import database_of, log_folder, sightings
from tests.support.customers import Customer, a_customer, expected, hold, read, sell, told
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e


async def operator(deciders: Deciders, *words: str, given: str = "") -> Any:
    """Run ``ota-admin data`` and return its JSON."""
    printed = await asyncio.to_thread(
        admin, deciders.env, "data", *words, "--json", given=given, owner=True
    )
    return json.loads(printed)


# Nowhere in the clear


async def test_no_word_of_a_customer_is_found_anywhere(agency: Agency, deciders: Deciders) -> None:
    """Not in a dump, a file, a topic, a log or a metric; also not of calls that were refused.

    Controls: the owner reads it all, and a word that was planted in each of them is found.
    """
    began = time.time()
    customer, planted = a_customer(), f"planted {secrets.token_hex(6)} 金絲雀"
    order = await sell(agency, customer)
    await misuse(agency, customer)
    await cancelled(agency, customer)
    assert expected(customer) == told(await read(agency, order))
    await only_its_owner_sees_it(agency, order, customer)
    await deciders.audit()
    # What is written behind the calls: audit rows, lines of the log, last use of keys.
    await asyncio.sleep(2)
    words = {**customer.canaries, "it": planted}
    assert [] == await sightings(deciders, words, since=began)
    await plant(deciders, planted)
    found = await sightings(deciders, {"it": planted}, since=began)
    where = {sighting.removeprefix("it in ") for sighting in found}
    assert {"database of gateway", f"topic {DEAD_LETTERS.name}", "file log"} <= where
    assert {"file postgres", "file kafka"} <= where


async def misuse(agency: Agency, customer: Customer) -> None:
    """Put personal data where calls fail: broken bodies, wrong fields, filters, unknown paths."""
    details, reservation_id = dict(customer.details), await hold(agency, customer)
    path = f"/reservations/{reservation_id}/activate"
    broken = {**details, "email": f"{details['email']} {customer.special_requests}"}
    for body in (
        {"customer_details": broken, "payment_reference": customer.payment_reference},
        {"customer_details": details, "payment_reference": 5},
        {"customer_details": details, "note": customer.special_requests},
        {"customer_details": [details], "special_requests": customer.special_requests * 50},
    ):
        assert (await agency.call("POST", path, body)).status in {400, 422}
    wrong_id = reservation_id[:-1] + ("0" if reservation_id[-1] != "0" else "1")
    body = {"customer_details": details, "payment_reference": customer.payment_reference}
    answer = await agency.call("POST", f"/reservations/{wrong_id}/activate", body)
    assert 404 == answer.status
    asked = {"payment_reference": customer.payment_reference, "note": customer.special_requests}
    async with agency.session.get(
        f"{agency.url}/api/ota/orders", params=asked, headers={"X-API-Key": FULL_KEY}
    ) as found:
        assert 1 == (await found.json())["total_count"]
    asked = {"customer_reference": customer.customer_reference}
    async with agency.session.get(
        f"{agency.url}/api/ota/reservations", params=asked, headers={"X-API-Key": FULL_KEY}
    ) as found:
        assert 1 == (await found.json())["total_count"]
    async with agency.session.post(
        f"{agency.url}/api/ota/reserve",
        data=f'{{"customer_reference": "{customer.customer_reference}", ',
        headers={"X-API-Key": FULL_KEY, "Content-Type": "application/json"},
    ) as malformed:
        assert 400 == malformed.status


async def cancelled(agency: Agency, customer: Customer) -> None:
    """A hold with a reference that never becomes an order."""
    reservation_id = await hold(agency, customer)
    assert 204 == (await agency.call("DELETE", f"/reservations/{reservation_id}")).status


async def only_its_owner_sees_it(
    agency: Agency, order: Mapping[str, Any], customer: Customer
) -> None:
    """To another partner of the same channel the order does not exist, found by whatever."""
    other = agency.with_key(PROD_KEY)
    for path in (f"/orders/{order['order_id']}", f"/orders/{order['order_id']}/tickets"):
        assert (404, "ORDER_NOT_FOUND") == (await other.call("GET", path)).word
    listed = await other.call("GET", f"/orders?payment_reference={customer.payment_reference}")
    assert 0 == listed.json["total_count"]


async def plant(deciders: Deciders, word: str) -> None:
    """Leave a word in a database, a topic and a log."""
    stack = deciders.stack
    statement = f"CREATE TABLE planted AS SELECT '{word}' AS word;"
    await asyncio.to_thread(
        stack.cluster.run_sql, script=statement, database=database_of(stack, "gateway")
    )
    await topics.append(
        bootstrap=stack.broker.bootstrap,
        topic=DEAD_LETTERS,
        partition=0,
        value=json.dumps({"name": word}).encode(),
        headers=[],
    )
    (log_folder(stack) / "planted.log").write_text(f"served {word}\n", encoding="utf-8")


# Erased


async def test_an_erased_customer_is_gone_and_the_business_stays(
    agency: Agency, deciders: Deciders
) -> None:
    """In all orders of the address, whoever sold them: null fields; money and tickets as before."""
    ann, bob = a_customer(), a_customer()
    prod = agency.with_key(PROD_KEY)
    first, second = await sell(agency, ann, key="first"), await sell(prod, ann)
    bobs = await sell(agency, bob)
    before = [await read(agency, first), await read(prod, second)]
    address = ann.details["email"].upper()
    report = await operator(
        deciders, "erase", "--email", "-", "--yes", "--as", "night shift", given=f"{address}\n"
    )
    assert (4, 4, 0) == (
        report["records_found"],
        report["records_erased"],
        report["erased_before"],
    )
    assert ["ota_full_access_partner", "prod_partner"] == report["partners"]
    assert sorted([first["order_id"], second["order_id"]]) == report["orders"]

    for who, order, was in ((agency, first, before[0]), (prod, second, before[1])):
        now = await read(who, order)
        assert [None] * 5 == told(now)
        assert now.pop("erased_at").endswith("Z")
        kept = {name for name, value in now.items() if value is not None}
        assert {name: was[name] for name in kept} == {name: now[name] for name in kept}
        tickets = await who.call("GET", f"/orders/{order['order_id']}/tickets?qr=token")
        assert "qr_code" not in tickets.json["tickets"][0]
        assert order["tickets"][0]["qr_token"] == tickets.json["tickets"][0]["qr_token"]
    assert expected(bob) == told(await read(agency, bobs))

    repeat = await operator(deciders, "erase", "--email", ann.details["email"], "--yes")
    assert (0, 0) == (repeat["records_found"], repeat["records_erased"])
    (event,) = await operator(deciders, "history")
    assert ("CustomerErased", "night shift") == (event["type"], event["actor"])
    assert ann.details["email"] not in json.dumps(event)
    await deciders.audit()


async def test_an_erased_customer_stays_erased_when_a_request_is_repeated(
    agency: Agency, deciders: Deciders
) -> None:
    """The partner's retry gets its answer again, and brings no data back."""
    ann = a_customer()
    reservation_id = await hold(agency, ann)
    body = {"customer_details": dict(ann.details), "payment_reference": ann.payment_reference}
    path = f"/reservations/{reservation_id}/activate"
    first = await agency.call("POST", path, body, key="again")
    report = await operator(deciders, "erase", "--phone", ann.details["phone"], "--yes")
    assert (2, 2) == (report["records_found"], report["records_erased"])
    second = await agency.call("POST", path, body, key="again")
    assert (201, first.body) == (second.status, second.body)
    assert [None] * 5 == told(await read(agency, first.json))


async def test_by_order_and_by_reservation(agency: Agency, deciders: Deciders) -> None:
    """An order's customer and the reference beside it; a hold's reference; what is unknown."""
    ann, bob = a_customer(), a_customer()
    order, reservation_id = await sell(agency, ann), await hold(agency, bob)
    report = await operator(deciders, "erase", "--order", order["order_id"], "--yes")
    assert (2, [order["order_id"]]) == (report["records_erased"], report["orders"])
    report = await operator(deciders, "erase", "--order", order["order_id"], "--yes")
    assert (2, 2, 0) == (
        report["records_found"],
        report["erased_before"],
        report["records_erased"],
    )
    report = await operator(deciders, "erase", "--reservation", reservation_id, "--yes")
    assert (1, []) == (report["records_erased"], report["orders"])
    for words, complaint in (
        (("--order", "ORD-0000000000000"), "there is no order"),
        (("--order", "0815"), "ORD- and 13 digits"),
        (("--reservation", "0815"), "26 characters"),
        (("--email", ""), "is empty"),
    ):
        ended = run_admin(deciders.env, "data", "erase", *words, "--yes", owner=True)
        assert 1 == ended.returncode
        assert complaint in ended.stderr


async def test_nobody_erases_by_accident(agency: Agency, deciders: Deciders) -> None:
    """Without --yes somebody has to be asked; without the owner's address it does not begin."""
    order = await sell(agency, ann := a_customer())
    words = ("data", "erase", "--order", order["order_id"])
    ended = await asyncio.to_thread(run_admin, deciders.env, *words, owner=True)
    assert (1, True) == (ended.returncode, "add --yes" in ended.stderr)
    ended = await asyncio.to_thread(run_admin, deciders.env, *words, "--yes")
    assert (2, True) == (ended.returncode, "OTA_GATEWAY_OWNER_DSN: is not set" in ended.stderr)
    app = {**deciders.env, "OTA_GATEWAY_OWNER_DSN": deciders.env["OTA_GATEWAY_DSN"]}
    ended = await asyncio.to_thread(run_admin, app, *words, "--yes", owner=True)
    assert (1, True) == (ended.returncode, "may not do it" in ended.stderr)
    assert expected(ann) == told(await read(agency, order))

"""``ota-admin stock`` on the four processes: what the ledger decides is what partners see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from libs.events.contracts.inventory import PartnerCapSet
from libs.events.messages import MESSAGES
from tests.support.admin import admin, run_admin
from tests.support.agency import PROD_KEY, Agency, Answer
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PRODUCT = "107"
PARTNER = "ota_full_access_partner"
CUSTOMER = {"name": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000"}


async def operator(deciders: Deciders, *words: str, refused: bool = False) -> str:
    """Run ``ota-admin`` and return what it printed; what it complains about, if *refused*."""
    if not refused:
        return await asyncio.to_thread(admin, deciders.env, *words)
    ended = await asyncio.to_thread(run_admin, deciders.env, *words)
    assert 1 == ended.returncode, ended
    return ended.stderr


async def stock(deciders: Deciders, channel: str = "ota") -> dict[str, Any]:
    """Return a pool as the console shows it."""
    shown = json.loads(await operator(deciders, "stock", "show", "--product", PRODUCT, "--json"))
    (pool,) = [each for each in shown["pools"] if each["channel"] == channel]
    return {**pool, "caps": shown["caps"]}


async def test_allotment_stop_and_resume(agency: Agency, deciders: Deciders) -> None:
    """Each change is seen by partners at once, and says what it did; impossible ones are told."""
    before = (await stock(deciders))["allotted"]
    held = await agency.reserve(int(PRODUCT), 2)
    try:
        printed = await operator(deciders, "stock", "allot", PRODUCT, "ota", "700", "--as", "ada")
        assert f"product 107 in channel ota: 700 units allotted, {before} before\n" == printed
        assert "2 units are held" in await operator(
            deciders, "stock", "allot", PRODUCT, "ota", "1", refused=True
        )
        assert 700 == (await stock(deciders))["allotted"]
        assert "only in direct, ota" in await operator(
            deciders, "stock", "allot", PRODUCT, "venue", "1", refused=True
        )
        assert "there is no product 999" in await operator(
            deciders, "stock", "show", "--product", "999", refused=True
        )
        stop = ("stock", "stop", PRODUCT, "ota", "--reason", "typhoon signal 8")
        assert "sales are stopped;" in await operator(deciders, *stop)
        assert "as they were before" in await operator(deciders, *stop)
        assert (409, "SOLD_OUT") == (await agency.reserve(int(PRODUCT), 1)).word
        assert "sales are open\n" in await operator(deciders, "stock", "resume", PRODUCT, "ota")
        again = await agency.reserve(int(PRODUCT), 1)
        assert 201 == again.status
        await give_back(agency, again.json["reservation_id"])
    finally:
        await give_back(agency, held.json["reservation_id"])
        await operator(deciders, "stock", "allot", PRODUCT, "ota", str(before))
    books = await deciders.audit()
    last = books.events_of("inventory", type="sales_stopped")[-1]
    assert "typhoon signal 8" == last.body["reason"]
    first = [e for e in books.events_of("inventory", type="allotment_set") if '"ada"' in e.meta]
    assert [700] == [event.body["units"] for event in first]


async def give_back(agency: Agency, reservation_id: str) -> None:
    """Cancel a hold."""
    assert 204 == (await agency.call("DELETE", f"/reservations/{reservation_id}")).status


async def test_a_cap_holds_until_units_are_free_again(agency: Agency, deciders: Deciders) -> None:
    """Refused with limit and held, the same again for a repeat; others are not concerned."""
    first = (await agency.reserve(int(PRODUCT), 3)).json["reservation_id"]
    cap = ("stock", "cap", PARTNER, PRODUCT)
    assert "may hold 5 units at once" in await operator(deciders, *cap, "5")
    refused = await agency.reserve(int(PRODUCT), 3, key="over")
    assert (409, "HOLD_LIMIT_REACHED") == refused.word
    assert (5, 3) == (refused.json["limit"], refused.json["held"])
    second = await agency.reserve(int(PRODUCT), 2)
    assert 201 == second.status
    other = await agency.with_key(PROD_KEY).reserve(int(PRODUCT), 10)
    assert 201 == other.status
    (shown,) = (await stock(deciders))["caps"]
    assert (PARTNER, 5, 5) == (shown["partner_id"], shown["units"], shown["held"])
    await give_back(agency, first)
    assert (409, "HOLD_LIMIT_REACHED") == (await agency.reserve(int(PRODUCT), 3, key="over")).word
    third = await agency.reserve(int(PRODUCT), 3)
    assert 201 == third.status
    assert "as many units as there are" in await operator(deciders, *cap, "none")
    fourth = await agency.reserve(int(PRODUCT), 50)
    assert 201 == fourth.status
    assert [] == (await stock(deciders))["caps"]
    for answer in (second, third, fourth):
        await give_back(agency, answer.json["reservation_id"])
    await give_back(agency.with_key(PROD_KEY), other.json["reservation_id"])
    assert "there is no partner nobody" in await operator(
        deciders, "stock", "cap", "nobody", PRODUCT, "5", refused=True
    )
    books = await deciders.audit()
    caps = books.events_of("inventory", type="partner_cap_set")
    set_to = [MESSAGES.read(name=e.type, version=e.version, body=e.data) for e in caps]
    assert [(5, 3), (None, 5)] == [
        (event.units, event.held) for event in set_to if isinstance(event, PartnerCapSet)
    ]


async def insist(agency: Agency, quantity: int) -> Answer:
    """Reserve as a partner does who comes back when told to: a burst may be shed."""
    async with asyncio.timeout(60):
        while (answer := await agency.reserve(int(PRODUCT), quantity)).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return answer


async def test_all_holds_of_a_suspended_partner_are_given_back(
    agency: Agency, deciders: Deciders
) -> None:
    """By its operator's command, each through the reservation service; orders and others stay."""
    sold = (await agency.reserve(int(PRODUCT), 1)).json["reservation_id"]
    body = {"customer_details": CUSTOMER, "payment_reference": "PAY"}
    assert 201 == (await agency.call("POST", f"/reservations/{sold}/activate", body)).status
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(insist(agency, 2)) for _ in range(150)]
    theirs = await agency.with_key(PROD_KEY).reserve(int(PRODUCT), 4)
    before = await stock(deciders)
    release = ("stock", "release", PARTNER)
    told = await operator(deciders, *release, refused=True)
    assert "not suspended" in told
    await operator(deciders, "partner", "suspend", PARTNER)
    try:
        assert "add --yes" in await operator(deciders, *release, refused=True)
        assert 300 + 4 == before["held"] == (await stock(deciders))["held"]
        report = json.loads(
            await operator(deciders, *release, "--yes", "--json", "--as", "night shift")
        )
        assert (PARTNER, 150, 300, 0) == (
            report["partner_id"],
            report["holds"],
            report["units"],
            report["left"],
        )
        after = await stock(deciders)
        assert (4, before["sold"]) == (after["held"], after["sold"])
        assert "0 holds with 0 units" in await operator(deciders, *release, "--yes")
    finally:
        await operator(deciders, "partner", "resume", PARTNER)

    async def admitted() -> bool:
        return (await agency.call("GET", "/reservations")).status == 200

    await eventually(admitted)
    reservation_id = held[0].result().json["reservation_id"]
    shown = (await agency.call("GET", f"/reservations/{reservation_id}")).json
    assert "cancelled" == shown["status"]
    await give_back(agency.with_key(PROD_KEY), theirs.json["reservation_id"])
    books = await deciders.audit()
    cancelled = books.events_of("reservation", type="reservation_cancelled")
    by_operator = [event for event in cancelled if '"night shift"' in event.meta]
    assert {task.result().json["reservation_id"] for task in held} == {
        event.subject for event in by_operator
    }


async def test_a_release_that_was_interrupted_goes_on(agency: Agency, deciders: Deciders) -> None:
    """The console is killed in the middle; the next run gives back the rest, nothing twice."""
    async with asyncio.TaskGroup() as group:
        for _ in range(120):
            group.create_task(insist(agency, 1))
    open_units = (await stock(deciders))["held"]
    release = ("stock", "release", PARTNER, "--force", "--yes")
    deciders.kill("reservation")
    first = asyncio.create_task(  # noqa: TID251 - to be left alone while the service comes back
        operator(deciders, *release)
    )
    await deciders.restart("reservation")
    await first
    assert open_units - 120 == (await stock(deciders))["held"]
    assert "0 holds with 0 units" in await operator(deciders, *release)
    await deciders.audit()


async def test_what_is_away_is_named(deciders: Deciders) -> None:
    """The operator is told which address to look at, and that nothing was done."""
    words = ("stock", "stop", PRODUCT, "ota", "--reason", "a test")
    for variable, text, complaint in (
        ("OTA_KAFKA_BOOTSTRAP", "127.0.0.1:1", "OTA_KAFKA_BOOTSTRAP"),
        ("OTA_INVENTORY_READ_DSN", "postgresql://x@127.0.0.1:1/x", "OTA_INVENTORY_READ_DSN"),
    ):
        env = {**deciders.env, variable: text}
        ended = await asyncio.to_thread(run_admin, env, *words)
        assert (1, True) == (ended.returncode, complaint in ended.stderr), ended.stderr
        assert "Traceback" not in ended.stderr

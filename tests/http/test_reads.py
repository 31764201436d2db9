"""Reservations, orders, tickets and products as their partner reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.domain.records import StoredKey
from tests.http.world import CATALOGUE, CUSTOMER, DIRECT_KEY, FULL_KEY, PROD_KEY, World


async def test_a_reservation_is_read_through_its_life(world: World) -> None:
    """Its end is shown with its time, and the order that it became."""
    held, cancelled, expired = [await world.held() for _ in range(3)]
    active = await world.call("GET", f"/reservations/{held}")
    world.later(minutes=1)
    order_id = (await world.activate(held)).json["order_id"]
    await world.call("DELETE", f"/reservations/{cancelled}")
    world.market.expire(expired)
    ends = [await world.call("GET", f"/reservations/{r}") for r in (held, cancelled, expired)]
    at = "2026-01-05T04:01:00.000000Z"
    assert {
        "reservation_id": held,
        "product_id": 106,
        "quantity": 2,
        "status": "active",
        "reserved_until": "2026-01-06T04:00:00.000000Z",
        "expires_at": "2026-01-06T04:00:00.000000Z",
        "created_at": "2026-01-05T04:00:00.000000Z",
    } == {name: value for name, value in active.json.items() if name != "pricing_snapshot"}
    assert 288 == active.json["pricing_snapshot"]["base_price"]
    assert [("activated", at), ("cancelled", at), ("expired", at)] == [
        (end.json["status"], end.json[f"{end.json['status']}_at"]) for end in ends
    ]
    assert order_id == ends[0].json["order_id"]


async def test_a_repeat_of_reserve_and_a_read_agree(world: World) -> None:
    """What GET shows of prices is what the 201 had."""
    answered = await world.reserve(2)
    read = await world.call("GET", f"/reservations/{answered.json['reservation_id']}")
    assert answered.json == read.json


async def test_a_hold_keeps_its_prices_when_others_are_published(world: World) -> None:
    """For a read, a list and a repeat; others are read when a hold of theirs is shown."""
    before = await world.reserve(1, headers={"Idempotency-Key": "first"})
    for version, weekday in ((2, 300_00), (3, 400_00)):
        product = CATALOGUE.products[0]
        rules = replace(product.prices, rule_version=version, adult_weekday_minor=weekday)
        newer = replace(CATALOGUE, version=version, products=(replace(product, prices=rules),))
        world.market.published[version] = newer
        if version == 2:
            world.gateway.catalogue.replace(newer)
    world.later(minutes=1)
    after = await world.reserve(1)
    world.later(minutes=1)
    elsewhere = await world.held()  # on a gateway that knows version 3 already
    hold = world.market.holds[elsewhere]
    hold.record = replace(hold.record, rule_version=3)

    assert before.raw == (await world.reserve(1, headers={"Idempotency-Key": "first"})).raw
    for id, base_price in (
        (before.json["reservation_id"], 288),
        (after.json["reservation_id"], 300),
        (elsewhere, 400),
    ):
        read = await world.call("GET", f"/reservations/{id}")
        assert base_price == read.json["pricing_snapshot"]["base_price"]
    listed = await world.call("GET", "/reservations")
    assert [400, 300, 288] == [
        each["pricing_snapshot"]["base_price"] for each in listed.json["reservations"]
    ]


async def test_foreign_reservations_do_not_exist(world: World) -> None:
    """Neither by id nor in lists, whatever the channel."""
    held = await world.held()
    for key in (PROD_KEY, DIRECT_KEY):
        answered = await world.call("GET", f"/reservations/{held}", key=key)
        listed = await world.call("GET", "/reservations", key=key)
        assert (404, "RESERVATION_NOT_FOUND", 0) == (
            answered.status,
            answered.json["code"],
            listed.json["total_count"],
        )


async def test_the_list_shows_active_ones_newest_first(world: World) -> None:
    """Under both names, with the counts of both generations."""
    held = []
    for _ in range(3):
        held.append(await world.held())
        world.later(seconds=1)
    await world.call("DELETE", f"/reservations/{held[1]}")
    listed = (await world.call("GET", "/reservations")).json
    assert [held[2], held[0]] == [row["reservation_id"] for row in listed["reservations"]]
    assert listed["reservations"] == listed["items"]
    assert (2, 2, 1, 20, False, None) == (
        listed["total_count"],
        listed["total"],
        listed["page"],
        listed["page_size"],
        listed["has_more"],
        listed["next_cursor"],
    )
    counts = {
        status: (await world.call("GET", f"/reservations?status={status}")).json["total"]
        for status in ("active", "cancelled", "expired", "activated", "all")
    }
    assert {"active": 2, "cancelled": 1, "expired": 0, "activated": 0, "all": 3} == counts


async def test_the_list_is_filtered(world: World) -> None:
    """By product, and by the partner's own reference, which is found though it is sealed."""
    held = await world.held(fields={"customer_reference": "Room 7"})
    other = await world.held(product_id=107)
    by_reference = await world.call("GET", "/reservations?customer_reference=Room%207")
    by_product = await world.call("GET", "/reservations?product_id=107")
    nothing = await world.call("GET", "/reservations?customer_reference=Room%208")
    assert ([held], [other], []) == tuple(
        [row["reservation_id"] for row in listed.json["items"]]
        for listed in (by_reference, by_product, nothing)
    )


async def test_pages_and_cursors_walk_the_same_way(world: World) -> None:
    """A cursor goes on after the last row, also when rows have come since."""
    for _ in range(5):
        await world.held()
        world.later(seconds=1)
    first = (await world.call("GET", "/reservations?limit=2")).json
    await world.held()
    second = (await world.call("GET", f"/reservations?limit=2&cursor={first['next_cursor']}")).json
    third = (await world.call("GET", f"/reservations?limit=2&cursor={second['next_cursor']}")).json
    walked = [
        row["reservation_id"] for page in (first, second, third) for row in page["reservations"]
    ]
    assert 5 == len(set(walked)) == len(walked)
    assert (True, 2, 3, False) == (
        first["has_more"],
        second["page"],
        third["page"],
        third["has_more"],
    )
    by_page = (await world.call("GET", "/reservations?page=2&page_size=2")).json
    assert [walked[1], walked[2]] == [row["reservation_id"] for row in by_page["items"]]


async def test_a_cursor_belongs_to_its_list(world: World) -> None:
    """It can't be taken to other filters, another partner, or be made."""
    for _ in range(3):
        await world.held()
        await world.held(key=PROD_KEY)
    cursor = (await world.call("GET", "/reservations?limit=1")).json["next_cursor"]
    tampered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    attempts = [
        await world.call("GET", f"/reservations?status=all&cursor={cursor}"),
        await world.call("GET", f"/reservations?cursor={cursor}", key=PROD_KEY),
        await world.call("GET", f"/orders?cursor={cursor}"),
        await world.call("GET", f"/reservations?cursor={tampered}"),
        await world.call("GET", "/reservations?cursor=%21%21"),
        await world.call("GET", "/reservations?cursor="),
        await world.call("GET", f"/reservations?page=2&cursor={cursor}"),
    ]
    assert [(422, "INVALID_PARAMETER")] * 7 == [(a.status, a.json["code"]) for a in attempts]
    assert 200 == (await world.call("GET", f"/reservations?cursor={cursor}")).status


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "limit=-5",
        "page_size=101",
        "page_size=x",
        "page=1.5",
        "page=",
        "page=99999999999999999999",
        "page=1&page=2",
        "limit=5&page_size=6",
        "status=open",
        "product_id=abc",
        "product_id=99999999999",
        "customer_reference=%00",
    ],
)
async def test_bad_parameters_are_422(world: World, query: str) -> None:
    """A known parameter with a value that it can't have is an error, and named."""
    answered = await world.call("GET", f"/reservations?{query}")
    assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])
    assert answered.json["parameter"] in query


async def test_unknown_parameters_are_ignored_and_named(world: World) -> None:
    """They never fail a request."""
    answered = await world.call("GET", "/reservations?sort=asc&status=all")
    assert (200, "sort") == (answered.status, answered.headers["OTA-Ignored"])


async def test_an_order_is_read_with_its_customer(world: World) -> None:
    """What was sealed at the activation is shown to the partner that sent it."""
    order_id = await world.ordered(
        fields={"special_requests": "Window, please", "visit_date": "2026-01-09"}
    )
    order = (await world.call("GET", f"/orders/{order_id}")).json
    code, held = order.pop("confirmation_code"), order.pop("reservation_id")
    assert code.startswith("CONF-")
    assert held.startswith("res_")
    assert {
        "order_id": order_id,
        "product_id": 106,
        "quantity": 2,
        "customer_name": CUSTOMER["name"],
        "customer_email": CUSTOMER["email"],
        "customer_phone": CUSTOMER["phone"],
        "payment_reference": "PAY-1",
        "total_amount": 576,
        "currency": "HKD",
        "status": "confirmed",
        "created_at": "2026-01-05T04:00:00.000000Z",
        "visit_date": "2026-01-09",
        "special_requests": "Window, please",
    } == order


async def test_after_an_erasure_the_customer_is_gone(world: World) -> None:
    """The order stays, its person's fields are null, and it says since when."""
    order_id = await world.ordered()
    [key_id] = world.tables.keys
    world.tables.keys[key_id] = StoredKey(
        wrapped=None, master_key_id="gone", erased_at=world.market.now
    )
    order = (await world.call("GET", f"/orders/{order_id}")).json
    assert (None, None, None, None, None) == tuple(
        order[name]
        for name in (
            "customer_name",
            "customer_email",
            "customer_phone",
            "payment_reference",
            "special_requests",
        )
    )
    assert ("2026-01-05T04:00:00.000000Z", 576) == (order["erased_at"], order["total_amount"])


async def test_orders_are_listed_and_filtered(world: World) -> None:
    """By product, time, payment and confirmation code; times are a half-open period."""
    first = await world.ordered(fields={"payment_reference": "A"})
    world.later(hours=1)
    second = await world.ordered(fields={"payment_reference": "B"})
    code = (await world.call("GET", f"/orders/{first}")).json["confirmation_code"]
    queries = {
        "": [second, first],
        "?payment_reference=A": [first],
        f"?confirmation_code={code}": [first],
        "?confirmation_code=CONF-NONE": [],
        "?product_id=107": [],
        "?created_after=2026-01-05T05:00:00Z": [second],
        "?created_before=2026-01-05T05:00:00Z": [first],
        "?created_after=2026-01-05T12:30:00+08:00": [second],
        "?created_after=2026-01-05": [second, first],
        "?created_after=2026-01-06": [],
    }
    found = {
        query: [
            row["order_id"] for row in (await world.call("GET", f"/orders{query}")).json["orders"]
        ]
        for query in queries
    }
    assert queries == found


async def test_bad_times_are_422(world: World) -> None:
    """What is no time can't be compared."""
    for value in ("yesterday", "2026-13-01", "2026-01-01T25:00:00Z", "2026", ""):
        answered = await world.call("GET", f"/orders?created_after={value}")
        assert (422, "created_after") == (answered.status, answered.json["parameter"])


async def test_foreign_and_unknown_orders_are_404(world: World) -> None:
    """An order of another partner, an unknown one, and what is no order id."""
    order_id = await world.ordered()
    for path in (order_id, f"{order_id}/tickets"):
        answered = await world.call("GET", f"/orders/{path}", key=PROD_KEY)
        assert (404, "ORDER_NOT_FOUND") == (answered.status, answered.json["code"])
    for path in ("ORD-0000000000000", "ORD-1", "x", "ORD-0000000000000/tickets"):
        assert 404 == (await world.call("GET", f"/orders/{path}")).status


async def test_tickets_are_those_of_the_activation(world: World) -> None:
    """The list has all of an order's tickets, as the 201 had them."""
    activated = (await world.activate(await world.held(30))).json
    path = f"/orders/{activated['order_id']}/tickets"
    listed = (await world.call("GET", path)).json
    assert activated["tickets"] == listed["tickets"] == listed["items"]
    assert (30, False) == (listed["total_count"], listed["has_more"])
    tokens = (await world.call("GET", f"{path}?qr=token")).json
    assert not any("qr_code" in ticket for ticket in tokens["tickets"])
    part = (await world.call("GET", f"{path}?page_size=20")).json
    rest = (await world.call("GET", f"{path}?page_size=20&cursor={part['next_cursor']}")).json
    assert activated["tickets"] == part["tickets"] + rest["tickets"]


async def test_clean_up_counts_what_ran_out_since_last_time(world: World) -> None:
    """Each expiry is told once; a repeat with the same key is told the same."""
    for held in [await world.held() for _ in range(2)]:
        world.market.expire(held)
    await world.held(key=PROD_KEY)
    path = "/reservations/cleanup"
    first = await world.call("POST", path, headers={"Idempotency-Key": "c-1"})
    again = await world.call("POST", path, headers={"Idempotency-Key": "c-1"}, json={})
    then = await world.call("POST", path)
    world.later(minutes=1)
    world.market.expire(await world.held())
    last = await world.call("POST", path)
    assert [2, 2, 0, 1] == [a.json["expired_reservations"] for a in (first, again, then, last)]
    assert first.json["message"].startswith("Cleanup completed")
    assert (200, first.raw, "true") == (
        again.status,
        again.raw,
        again.headers["Idempotent-Replayed"],
    )


async def test_products_show_the_callers_channel(world: World) -> None:
    """With admin:read all channels, and what no channel of one's own sells."""
    await world.held(10)
    own = (await world.call("GET", "/products")).json
    everything = (await world.call("GET", "/products?product_ids=106,101,9", key=FULL_KEY)).json
    assert [105, 106, 107] == [row["product_id"] for row in own["products"]]
    assert {
        "product_id": 106,
        "name": "Premium Plan",
        "sku": "CRUISE-106",
        "unit_price": 288,
        "currency": "HKD",
        "status": "active",
        "functions": [
            {"function_code": "ferry", "function_name": "Ferry ride", "max_uses": 1},
            {"function_code": "tokens", "function_name": "Playground token", "max_uses": 10},
        ],
        "channel_allocations": {"ota": {"allocated": 200, "available": 190}},
    } == own["products"][1]
    assert "inactive" == own["products"][0]["status"]
    assert [
        {
            "ota": {"allocated": 200, "available": 190},
            "direct": {"allocated": 100, "available": 100},
        },
        {
            "direct": {"allocated": 1000, "available": 1000},
            "ota": {"allocated": 0, "available": 0},
        },
    ] == [row["channel_allocations"] for row in everything["products"]]
    assert ([9], 2) == (everything["unknown_product_ids"], everything["total_count"])

"""POST /reservations/{id}/activate: the order, and every way in which there is none."""

from __future__ import annotations

from typing import Any

import pytest

from libs.kernel.ids import reservation_id
from services.gateway.http import customer
from tests.http.world import CUSTOMER, DIRECT_KEY, PROD_KEY, SEAL, World


async def test_an_activation_is_answered_with_order_and_tickets(world: World) -> None:
    """The answer has the total, how it came about, and a ticket for each unit."""
    held = await world.held(3)
    answered = await world.activate(
        held, fields={"customer_type": ["adult", "child", "adult"], "visit_date": "2026-01-10"}
    )
    assert 201 == answered.status
    order = answered.json
    tickets = order.pop("tickets")
    order_id = order["order_id"]
    assert {
        "order_id": order_id,
        "reservation_id": held,
        "product_id": 106,
        "quantity": 3,
        "confirmation_code": order["confirmation_code"],
        "status": "confirmed",
        "visit_date": "2026-01-10",
        "created_at": "2026-01-05T04:00:00.000000Z",
        "total_amount": 824,
        "currency": "HKD",
        "price_breakdown": [
            {"customer_type": "adult", "count": 2, "unit_price": 318, "subtotal": 636},
            {"customer_type": "child", "count": 1, "unit_price": 188, "subtotal": 188},
        ],
    } == order
    assert {
        "ticket_code": "CRUISE-2025-FERRY-0000000100001",
        "qr_code": "data:image/png;base64,VE9LRU4tMS0x",
        "qr_token": "TOKEN-1-1",
        "entitlements": [
            {
                "function_code": "ferry",
                "function_name": "Ferry ride",
                "max_uses": 1,
                "used_count": 0,
                "remaining_uses": 1,
            },
            {
                "function_code": "tokens",
                "function_name": "Playground token",
                "max_uses": 10,
                "used_count": 0,
                "remaining_uses": 10,
            },
        ],
        "status": "ACTIVE",
        "customer_type": "child",
        "product_id": 106,
        "order_id": order_id,
        "visit_date": "2026-01-10",
    } == tickets[1]
    assert ["adult", "child", "adult"] == [ticket["customer_type"] for ticket in tickets]
    assert f"/api/ota/orders/{order_id}" == answered.headers["Location"]
    assert {("fulfillment", 0): (1, 1)} == SEAL.decode_marks(answered.headers["OTA-Position"])


async def test_a_hold_of_a_hundred_yields_a_hundred_tickets(world: World) -> None:
    """All tickets are in the one answer."""
    answered = await world.activate(await world.held(100))
    assert 100 == len(answered.json["tickets"])


async def test_qr_token_leaves_the_images_out(world: World) -> None:
    """A client that draws its own codes takes the tokens only."""
    answered = await world.activate(await world.held(), "?qr=token")
    assert ["TOKEN-1-0", "TOKEN-1-1"] == [t["qr_token"] for t in answered.json["tickets"]]
    assert not any("qr_code" in ticket for ticket in answered.json["tickets"])


async def test_an_unknown_value_of_qr_is_422(world: World) -> None:
    """A parameter that is known must have a value that is."""
    answered = await world.activate(await world.held(), "?qr=svg")
    assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])


async def test_a_reservation_is_activated_once(world: World) -> None:
    """Whoever activates again, with a key of its own, is told the order."""
    held = await world.held()
    order_id = (await world.activate(held)).json["order_id"]
    again = await world.activate(held)
    assert (409, "ALREADY_ACTIVATED", order_id) == (
        again.status,
        again.json["code"],
        again.json["order_id"],
    )


async def test_what_has_ended_is_not_activated(world: World) -> None:
    """Expired and cancelled reservations are refused in words of their own."""
    expired, cancelled = await world.held(), await world.held()
    world.market.expire(expired)
    await world.call("DELETE", f"/reservations/{cancelled}")
    answers = [await world.activate(held) for held in (expired, cancelled)]
    assert [(409, "RESERVATION_EXPIRED"), (409, "RESERVATION_CANCELLED")] == [
        (answered.status, answered.json["code"]) for answered in answers
    ]


async def test_foreign_and_unknown_reservations_are_404(world: World) -> None:
    """Another partner's reservation looks as if it did not exist, in this channel or another."""
    held, direct = await world.held(), await world.held(key=DIRECT_KEY)
    unknown = reservation_id(command_id="x", pool_no=1)
    for key, each in ((PROD_KEY, held), (PROD_KEY, direct), (PROD_KEY, unknown)):
        answered = await world.activate(each, key=key)
        assert (404, "RESERVATION_NOT_FOUND") == (answered.status, answered.json["code"])
    assert 404 == (await world.activate("res_1")).status


@pytest.mark.parametrize(
    ("details", "fields"),
    [
        ({**CUSTOMER, "email": "not-an-address"}, ["email"]),
        ({**CUSTOMER, "email": "a@b"}, ["email"]),
        ({**CUSTOMER, "email": ""}, ["email"]),
        ({**CUSTOMER, "name": ""}, ["name"]),
        ({**CUSTOMER, "name": "   "}, ["name"]),
        ({**CUSTOMER, "name": "x" * 201}, ["name"]),
        ({**CUSTOMER, "name": "a\x00b"}, ["name"]),
        ({**CUSTOMER, "phone": "abc"}, ["phone"]),
        ({**CUSTOMER, "phone": "1234"}, ["phone"]),
        ({**CUSTOMER, "phone": "1" * 41}, ["phone"]),
        ({**CUSTOMER, "phone": 13800000001}, ["phone"]),
        ({}, ["name", "email", "phone"]),
        ({"name": "A", "email": None, "phone": "x"}, ["email", "phone"]),
    ],
)
async def test_each_invalid_customer_field_is_named(
    world: World, details: dict[str, Any], fields: list[str]
) -> None:
    """What is wrong with the customer is 422 under a word of its own, field by field."""
    answered = await world.activate(await world.held(), fields={"customer_details": details})
    assert (422, "INVALID_CUSTOMER_DETAILS") == (answered.status, answered.json["code"])
    assert [f"#/customer_details/{field}" for field in fields] == [
        error["pointer"] for error in answered.json["errors"]
    ]
    assert all(f"customer_details.{field}" in answered.json["message"] for field in fields)


async def test_an_endless_address_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty thousand characters are refused by their number, and not looked at."""
    seen: list[str] = []
    monkeypatch.setattr(customer, "validate_email", lambda address, **_: seen.append(address))
    longest = "a" * 242 + "@example.com"
    for email in (longest, "a" + longest, "a@" + "b." * 20_000 + "com"):
        details = {**CUSTOMER, "email": email}
        answered = await world.activate(await world.held(), fields={"customer_details": details})
        if email != longest:
            assert 422 == answered.status
            assert "must have at most 254 characters" in answered.json["message"]
    assert [longest] == seen


@pytest.mark.parametrize(
    "details",
    [
        {"name": "Ὀδυσσεύς", "email": "o@xn--hxajbheg2az3al.gr", "phone": "0030 210 1234567"},
        {"name": "محمد", "email": "用户@例子.中国", "phone": "٠١٢٣٤٥٦٧٨"},
        {"name": "X Æ A-12", "email": "guest@ferry.test", "phone": "(02) 9999-9999 ext. 5"},
    ],
)
async def test_people_of_all_the_world_may_travel(world: World, details: dict[str, str]) -> None:
    """Names, addresses and numbers are taken in any script."""
    answered = await world.activate(await world.held(), fields={"customer_details": details})
    assert 201 == answered.status


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"payment_reference": ""}, 422, "VALIDATION_ERROR"),
        ({"payment_reference": "x" * 101}, 422, "VALIDATION_ERROR"),
        ({"payment_reference": None}, 400, "INVALID_REQUEST"),
        ({"payment_reference": 7}, 400, "INVALID_REQUEST"),
        ({"customer_details": None}, 400, "INVALID_REQUEST"),
        ({"customer_details": "Tai Man"}, 400, "INVALID_REQUEST"),
        ({"customer_type": "senior"}, 422, "VALIDATION_ERROR"),
        ({"customer_type": []}, 422, "VALIDATION_ERROR"),
        ({"customer_type": ["child"]}, 422, "VALIDATION_ERROR"),
        ({"customer_type": ["adult"] * 3}, 422, "VALIDATION_ERROR"),
        ({"customer_type": 3}, 400, "INVALID_REQUEST"),
        ({"customer_type": ["adult", 3]}, 400, "INVALID_REQUEST"),
        ({"visit_date": "2026-01-04"}, 422, "VALIDATION_ERROR"),
        ({"visit_date": "2027-01-07"}, 422, "VALIDATION_ERROR"),
        ({"special_requests": "x" * 1001}, 422, "VALIDATION_ERROR"),
    ],
)
async def test_other_bad_fields(
    world: World, fields: dict[str, Any], status: int, word: str
) -> None:
    """Whatever is wrong beside the customer is 422, or 400 if it can't be read."""
    answered = await world.activate(await world.held(), fields=fields)
    assert (status, word, f"#/{next(iter(fields))}") == (
        answered.status,
        answered.json["code"],
        answered.json["errors"][0]["pointer"],
    )


async def test_the_body_is_refused_before_the_state(world: World) -> None:
    """A bad body of an unknown reservation is 422, not 404."""
    assert 422 == (await world.activate("nonsense", fields={"payment_reference": ""})).status
    assert 422 == (await world.activate("nonsense", fields={"visit_date": "2020-01-01"})).status


async def test_ignored_fields_of_the_customer_are_named(world: World) -> None:
    """A misspelt field of the customer is named with its path."""
    answered = await world.activate(
        await world.held(), fields={"customer_details": {**CUSTOMER, "nickname": "x"}, "note": "y"}
    )
    assert "note, customer_details.nickname" == answered.headers["OTA-Ignored"]


async def test_cancelling_gives_the_units_back_at_once(world: World) -> None:
    """The next look at the inventory shows them; cancelling again is 204 again."""
    held = await world.held(10)
    for _ in range(2):
        answered = await world.call("DELETE", f"/reservations/{held}")
        assert (204, b"") == (answered.status, answered.raw)
        assert "Content-Type" not in answered.headers
    stock = await world.call("GET", "/inventory?product_ids=106")
    assert {"106": 200} == stock.json["available_quantities"]


async def test_what_has_ended_otherwise_is_not_cancelled(world: World) -> None:
    """Expired, activated, foreign and unknown reservations each have their word."""
    expired, activated, foreign = [await world.held() for _ in range(3)]
    world.market.expire(expired)
    await world.activate(activated)
    answers = [
        await world.call("DELETE", f"/reservations/{expired}"),
        await world.call("DELETE", f"/reservations/{activated}"),
        await world.call("DELETE", f"/reservations/{foreign}", key=PROD_KEY),
        await world.call("DELETE", "/reservations/res_0"),
    ]
    assert [
        (409, "RESERVATION_EXPIRED"),
        (409, "CANNOT_CANCEL_ACTIVATED"),
        (404, "RESERVATION_NOT_FOUND"),
        (404, "RESERVATION_NOT_FOUND"),
    ] == [(answered.status, answered.json["code"]) for answered in answers]

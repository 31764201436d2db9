"""POST /reserve: what is answered, and what is refused in which word."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events.contracts.inventory import PlaceHold
from tests.http.world import DIRECT_KEY, DUDU_KEY, SEAL, World


async def test_a_hold_is_answered_with_its_frozen_prices(world: World) -> None:
    """A hold says until when it stands and what each kind of customer will pay."""
    answered = await world.reserve(3)
    reservation_id = answered.json["reservation_id"]
    assert 201 == answered.status
    assert {
        "reservation_id": reservation_id,
        "product_id": 106,
        "quantity": 3,
        "status": "active",
        "reserved_until": "2026-01-06T04:00:00.000000Z",
        "expires_at": "2026-01-06T04:00:00.000000Z",
        "created_at": "2026-01-05T04:00:00.000000Z",
        "pricing_snapshot": {
            "base_price": 288,
            "weekend_premium": 30,
            "customer_discounts": {"child": 100, "elderly": 100},
            "customer_type_pricing": [
                {"customer_type": "adult", "unit_price": 288, "discount_applied": 0},
                {"customer_type": "child", "unit_price": 188, "discount_applied": 100},
                {"customer_type": "elderly", "unit_price": 188, "discount_applied": 100},
            ],
            "currency": "HKD",
            "rule_version": 1,
            "captured_at": "2026-01-05T04:00:00.000000Z",
        },
    } == answered.json
    assert f"/api/ota/reservations/{reservation_id}" == answered.headers["Location"]
    assert {("inventory", 0): (1, 1)} == SEAL.decode_marks(answered.headers["OTA-Position"])
    assert "application/json" == answered.headers["Content-Type"]


async def test_a_hold_is_kept_as_long_as_the_partner_says(world: World) -> None:
    """A time with any offset is taken, one without is UTC, and 48 hours are the most."""
    for asked, kept in (
        ("2026-01-05T06:00:00Z", "2026-01-05T06:00:00.000000Z"),
        ("2026-01-05T14:30:00.25+08:00", "2026-01-05T06:30:00.250000Z"),
        ("2026-01-05T07:00:00", "2026-01-05T07:00:00.000000Z"),
        ("2099-01-01T00:00:00Z", "2026-01-07T04:00:00.000000Z"),
    ):
        answered = await world.reserve(1, fields={"reservation_expires_at": asked})
        assert kept == answered.json["expires_at"]


async def test_the_command_names_the_current_prices(world: World) -> None:
    """The hold is priced by the version that the command names, also for a visit date."""
    await world.reserve(1, fields={"visit_date": "2026-01-10"})
    command = world.market.sent[0].data
    assert isinstance(command, PlaceHold)
    assert (1, "test_partner", 1, "2026-01-10") == (
        command.pool_no,
        command.partner_id,
        command.rule_version,
        str(command.visit_date),
    )


async def test_channels_do_not_share_units(world: World) -> None:
    """The same product is held from the caller's own channel's pool."""
    await world.reserve(100, key=DIRECT_KEY)
    assert (100, 0) == (world.market.pools_by_no[4].held, world.market.pools_by_no[1].held)


async def test_sold_out_says_what_is_left(world: World) -> None:
    """Asking for more than there is takes nothing and names the rest."""
    await world.reserve(100)
    await world.reserve(95)
    answered = await world.reserve(6)
    assert (409, "SOLD_OUT", 5) == (
        answered.status,
        answered.json["code"],
        answered.json["available"],
    )
    assert 195 == world.market.pools_by_no[1].held


@pytest.mark.parametrize("product_id", [101, 105])
async def test_a_product_without_stock_in_the_channel(world: World, product_id: int) -> None:
    """A product that the channel has no units of is sold out, an inactive one is unknown."""
    answered = await world.reserve(1, product_id=product_id)
    expected = {101: (409, "SOLD_OUT"), 105: (404, "PRODUCT_NOT_FOUND")}[product_id]
    assert expected == (answered.status, answered.json["error"])


async def test_a_product_whose_channel_has_no_pool_is_sold_out(world: World) -> None:
    """No pool at all is answered like an empty one, without asking the ledger."""
    answered = await world.reserve(1, product_id=107, key=DIRECT_KEY)
    assert (409, "SOLD_OUT", 0) == (
        answered.status,
        answered.json["code"],
        answered.json["available"],
    )
    assert [] == world.market.sent


async def test_stopped_sales_look_sold_out(world: World) -> None:
    """A pool that does not sell has nothing available."""
    world.market.pools_by_no[1].selling = False
    answered = await world.reserve(1)
    assert (409, "SOLD_OUT", 0) == (
        answered.status,
        answered.json["code"],
        answered.json["available"],
    )


@pytest.mark.parametrize(
    "product_id", [999, 0, -1, 10**30], ids=["unknown", "zero", "negative", "huge"]
)
async def test_an_unknown_product_is_404(world: World, product_id: int) -> None:
    """Any whole number that is no product is not found."""
    answered = await world.reserve(1, product_id=product_id)
    assert (404, "PRODUCT_NOT_FOUND") == (answered.status, answered.json["error"])


@pytest.mark.parametrize("quantity", [0, 101, -3, 2.5, 1e400, 10**30])
async def test_a_quantity_outside_its_rule_is_422(world: World, quantity: float) -> None:
    """The message names the limit, for every number that is outside it."""
    body = f'{{"product_id": 106, "quantity": {quantity if quantity < 1e300 else "1e400"}}}'
    answered = await world.call(
        "POST", "/reserve", data=body, headers={"Content-Type": "application/json"}
    )
    assert (422, "VALIDATION_ERROR") == (answered.status, answered.json["code"])
    assert "between 1 and 100" in answered.json["message"]
    assert "limit" in answered.json["message"]
    assert "#/quantity" == answered.json["errors"][0]["pointer"]


@pytest.mark.parametrize("quantity", ["5", True, None, [1], {"a": 1}])
async def test_a_quantity_of_the_wrong_type_is_400(world: World, quantity: Any) -> None:
    """Types are strict: a text is no number, and neither is true."""
    answered = await world.call("POST", "/reserve", json={"product_id": 106, "quantity": quantity})
    assert (400, "INVALID_REQUEST") == (answered.status, answered.json["code"])
    assert [{"pointer": "#/quantity", "detail": "must be a whole number"}] == answered.json[
        "errors"
    ]


async def test_missing_fields_are_all_named(world: World) -> None:
    """A body without its fields is 400 and says which are missing."""
    answered = await world.call("POST", "/reserve", json={})
    assert 400 == answered.status
    assert ["#/product_id", "#/quantity"] == [e["pointer"] for e in answered.json["errors"]]


async def test_a_wrong_type_goes_before_a_wrong_value(world: World) -> None:
    """Where one field can't be read, the answer is 400 whatever else is wrong."""
    answered = await world.call("POST", "/reserve", json={"product_id": "x", "quantity": 500})
    assert (400, ["#/product_id"]) == (
        answered.status,
        [error["pointer"] for error in answered.json["errors"]],
    )


async def test_a_whole_number_may_be_written_as_5_0(world: World) -> None:
    """JSON has one kind of number: 2.0 is 2."""
    answered = await world.call(
        "POST",
        "/reserve",
        data=b'{"product_id": 106.0, "quantity": 2.0}',
        headers={"Content-Type": "application/json"},
    )
    assert (201, 2) == (answered.status, answered.json["quantity"])


@pytest.mark.parametrize(
    "fields",
    [
        {"reservation_expires_at": "2026-01-05T03:59:00Z"},
        {"reservation_expires_at": "tomorrow"},
        {"reservation_expires_at": "2026-01-06"},
        {"reservation_expires_at": "9999-12-31T23:59:59-12:00"},
        {"visit_date": "2026-01-04"},
        {"visit_date": "2027-02-01"},
        {"visit_date": "2026-02-30"},
        {"visit_date": "20260201"},
        {"customer_reference": "x" * 101},
    ],
    ids=lambda fields: "-".join(map(str, *fields.items()))[:50],
)
async def test_values_outside_their_rule_are_422(world: World, fields: dict[str, str]) -> None:
    """Dates that are none or can't be booked, times in the past, texts too long."""
    answered = await world.reserve(1, fields=fields)
    assert (422, "VALIDATION_ERROR") == (answered.status, answered.json["code"])
    assert f"#/{next(iter(fields))}" == answered.json["errors"][0]["pointer"]


@pytest.mark.parametrize(
    "fields", [{"visit_date": 5}, {"customer_reference": 5}, {"reservation_expires_at": 17}]
)
async def test_optional_fields_of_the_wrong_type_are_400(
    world: World, fields: dict[str, int]
) -> None:
    """Optional does not mean loose."""
    answered = await world.reserve(1, fields=fields)
    assert (400, f"#/{next(iter(fields))}") == (
        answered.status,
        answered.json["errors"][0]["pointer"],
    )


async def test_nothing_optional_may_be_null(world: World) -> None:
    """A field that is null counts as not given."""
    answered = await world.reserve(
        1,
        fields={"visit_date": None, "customer_reference": None, "reservation_expires_at": None},
    )
    assert 201 == answered.status


async def test_today_is_that_of_hong_kong(world: World) -> None:
    """At 20:00 UTC the visit of that UTC day is over in Hong Kong."""
    world.later(hours=16)
    assert 422 == (await world.reserve(1, fields={"visit_date": "2026-01-05"})).status
    assert 201 == (await world.reserve(1, fields={"visit_date": "2026-01-06"})).status


async def test_unknown_fields_and_parameters_are_named(world: World) -> None:
    """What is ignored is named in a header, so that a misspelt field can be seen."""
    answered = await world.call(
        "POST",
        "/reserve?dry_run=1&ü=2",
        json={"product_id": 106, "quantity": 1, "visit_dat": "2026-01-09", "a\r\nb": 1},
    )
    assert 201 == answered.status
    assert "visit_dat, a%0D%0Ab, dry_run, %C3%BC" == answered.headers["OTA-Ignored"]


async def test_the_permission_is_needed(world: World) -> None:
    """A key without reserve:create is told so, before anybody looks at the body."""
    answered = await world.call("POST", "/reserve", key=DUDU_KEY, data=b"not json")
    assert (403, "INSUFFICIENT_PERMISSIONS", "reserve:create") == (
        answered.status,
        answered.json["code"],
        answered.json["required_permission"],
    )
    assert "reserve:create" in answered.json["message"]


async def test_a_hold_above_a_cap_is_refused_with_limit_and_held(world: World) -> None:
    """The ledger's refusal in the contract's words, the same bytes for a repeat."""
    await world.held(8)
    world.market.cap = 10
    first = await world.reserve(3, headers={"Idempotency-Key": "k"})
    assert (409, "HOLD_LIMIT_REACHED", 10, 8) == (
        first.status,
        first.json["code"],
        first.json["limit"],
        first.json["held"],
    )
    assert first.json["title"] == "The limit of open holds is reached"
    again = await world.reserve(3, headers={"Idempotency-Key": "k"})
    assert (first.status, first.raw) == (again.status, again.raw)
    assert "true" == again.headers["Idempotent-Replayed"]

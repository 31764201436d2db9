"""The pricing API: anybody may ask what a visit costs, and why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.world import World

ADULT = {"customer_type": "adult", "count": 2}
ASKED: dict[str, Any] = {
    "product_id": 106,
    "booking_dates": ["2026-01-31", "2026-12-31"],
    "customer_breakdown": [ADULT, {"customer_type": "child", "count": 1}],
    "addons": [{"addon_id": "tokens", "quantity": 3}],
}


async def calculate(world: World, body: object) -> tuple[int, dict[str, Any]]:
    """Ask for a price, without any key."""
    async with world.client.post("/pricing/calculate", json=body) as response:
        return response.status, await response.json()


async def test_a_quote_adds_up(world: World) -> None:
    """Dates are summed, the premium is in the base price, add-ons count once."""
    status, quote = await calculate(world, ASKED)
    assert 200 == status
    # Saturday 318, a special weekday 288 x 1.5 = 432; a child pays 188 on any day.
    assert (2 * (318 + 432) + 2 * 188, 300) == (quote["base_price"], quote["addons_total"])
    assert quote["base_price"] + quote["addons_total"] == quote["final_total"]
    assert [] == quote["adjustments"]
    assert [("2026-01-31", "weekend", 60), ("2026-12-31", "special", 288)] == [
        (day["date"], day["day_type"], day["amount"])
        for day in quote["breakdown"]["time_adjustments"]
    ]
    assert [1500, 376] == [row["subtotal"] for row in quote["breakdown"]["per_customer_costs"]]
    assert ["tokens"] == [row["addon_id"] for row in quote["breakdown"]["addon_details"]]


async def test_without_a_date_the_weekday_price_holds(world: World) -> None:
    """As for a reservation; there is an empty row for each thing not asked."""
    status, quote = await calculate(world, {"product_id": 106, "customer_breakdown": [ADULT]})
    assert (200, 576) == (status, quote["final_total"])
    assert {"time_adjustments": [], "addon_details": []}.items() <= quote["breakdown"].items()


@pytest.mark.parametrize("on", ["1999-01-01", "2026-02-28", "9999-12-31"])
async def test_any_calendar_date_is_priced(world: World, on: str) -> None:
    """Past and far ones too: nothing is booked."""
    assert 200 == (await calculate(world, ASKED | {"booking_dates": [on]}))[0]


@pytest.mark.parametrize(
    ("change", "status", "word", "pointer"),
    [
        ({"product_id": None}, 400, "INVALID_REQUEST", "#/product_id"),
        ({"product_id": "106"}, 400, "INVALID_REQUEST", "#/product_id"),
        ({"product_id": 999}, 404, "PRODUCT_NOT_FOUND", None),
        ({"product_id": 105}, 404, "PRODUCT_NOT_FOUND", None),
        ({"customer_breakdown": None}, 400, "INVALID_REQUEST", "#/customer_breakdown"),
        ({"customer_breakdown": []}, 422, "INVALID_COUNT", "#/customer_breakdown"),
        ({"customer_breakdown": [5]}, 400, "INVALID_REQUEST", "#/customer_breakdown/0"),
        (
            {"customer_breakdown": [ADULT, {"customer_type": "adult"}]},
            400,
            "INVALID_REQUEST",
            "#/customer_breakdown/1/count",
        ),
        (
            {"customer_breakdown": [{**ADULT, "customer_type": "baby"}]},
            422,
            "INVALID_CUSTOMER_TYPE",
            "#/customer_breakdown/0/customer_type",
        ),
        ({"booking_dates": ["2026-02-30"]}, 422, "INVALID_DATE", "#/booking_dates/0"),
        ({"booking_dates": ["20260201"]}, 422, "INVALID_DATE", "#/booking_dates/0"),
        ({"booking_dates": [20260201]}, 400, "INVALID_REQUEST", "#/booking_dates/0"),
        ({"booking_dates": "2026-02-01"}, 400, "INVALID_REQUEST", "#/booking_dates"),
        (
            {"addons": [{"addon_id": "none", "quantity": 1}]},
            422,
            "VALIDATION_ERROR",
            "#/addons/0/addon_id",
        ),
        (
            {"addons": [{"addon_id": "tokens", "quantity": 0}]},
            422,
            "INVALID_COUNT",
            "#/addons/0/quantity",
        ),
        ({"package_tier": "gold"}, 422, "VALIDATION_ERROR", "#/package_tier"),
    ],
)
async def test_what_cannot_be_priced_is_named(
    world: World, change: dict[str, Any], status: int, word: str, pointer: str | None
) -> None:
    """The word says what kind of thing is wrong, the pointer where."""
    answered, problem = await calculate(world, ASKED | change)
    assert (status, word) == (answered, problem["code"])
    assert pointer is None or pointer == problem["errors"][0]["pointer"]


@pytest.mark.parametrize(
    ("count", "status", "word"),
    [
        (0, 422, "INVALID_COUNT"),
        (101, 422, "INVALID_COUNT"),
        (2.5, 422, "INVALID_COUNT"),
        (-1, 422, "INVALID_COUNT"),
        ("2", 400, "INVALID_REQUEST"),
        (True, 400, "INVALID_REQUEST"),
    ],
)
async def test_a_count_is_a_whole_number_up_to_100(
    world: World, count: object, status: int, word: str
) -> None:
    """Types are strict: a text is no number, a fraction is one outside the rule."""
    body = ASKED | {"customer_breakdown": [{**ADULT, "count": count}]}
    answered, problem = await calculate(world, body)
    assert (status, word) == (answered, problem["code"])


async def test_unknown_fields_are_named(world: World) -> None:
    """Those of entries as well: a misspelt one would change the price."""
    body = ASKED | {"dates": [], "customer_breakdown": [{**ADULT, "age": 7}]}
    async with world.client.post("/pricing/calculate?x=1", json=body) as response:
        assert 200 == response.status
        assert "dates, customer_breakdown[].age, x" == response.headers["OTA-Ignored"]


async def test_the_rules_are_spelled_out(world: World) -> None:
    """Prices by type, the weekend's premium, special dates, add-ons, no tiers."""
    async with world.client.get("/pricing/rules/106") as response:
        rules = await response.json()
    assert {"adult": 288, "child": 188, "elderly": 188} == rules["base_prices"]
    assert [(318, 30)] == [(rule["unit_price"], rule["premium"]) for rule in rules["time_rules"]]
    assert [("2026-12-31", 1.5, 432)] == [
        (day["date"], day["multiplier"], day["adult_price"]) for day in rules["special_dates"]
    ]
    assert [("tokens", 100)] == [
        (addon["addon_id"], addon["unit_price"]) for addon in rules["available_addons"]
    ]
    assert ([], 1) == (rules["package_tiers"], rules["rule_version"])


@pytest.mark.parametrize(
    ("product_id", "status", "word"),
    [
        ("abc", 400, "INVALID_PRODUCT_ID"),
        ("0", 400, "INVALID_PRODUCT_ID"),
        ("-1", 400, "INVALID_PRODUCT_ID"),
        ("1.5", 400, "INVALID_PRODUCT_ID"),
        ("9" * 19, 400, "INVALID_PRODUCT_ID"),
        ("999", 404, "NOT_FOUND"),
        ("105", 404, "NOT_FOUND"),
    ],
)
async def test_a_product_that_has_no_rules(
    world: World, product_id: str, status: int, word: str
) -> None:
    """An id that is no number is 400, one that nobody sells 404."""
    async with world.client.get(f"/pricing/rules/{product_id}") as response:
        assert (status, word) == (response.status, (await response.json())["code"])


async def test_an_address_has_120_calls_a_minute(world: World) -> None:
    """A burst of them is fine; the next is told when to come again; both endpoints count."""
    for _ in range(119):
        async with world.client.get("/pricing/rules/106") as response:
            assert 200 == response.status
    assert 200 == (await calculate(world, ASKED))[0]
    async with world.client.get("/pricing/rules/106") as response:
        assert 429 == response.status
        assert "60" == response.headers["Retry-After"]
    world.wait(60)
    assert 200 == (await calculate(world, ASKED))[0]


async def test_before_the_catalogue_nothing_is_priced(world: World) -> None:
    """503: come again."""
    world.gateway.catalogue.version = 0
    assert 503 == (await calculate(world, ASKED))[0]


async def test_a_key_in_the_address_is_400(world: World) -> None:
    """No key is needed here, and none is to stand in anybody's log."""
    async with world.client.post("/pricing/calculate?api_key=x", json={}) as response:
        assert (400, "INVALID_REQUEST") == (response.status, (await response.json())["code"])

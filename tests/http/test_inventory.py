"""GET /inventory: figures, prices, entity tags."""

from __future__ import annotations

import pytest

from libs.events.contracts.inventory import AvailabilityReported
from tests.http.world import DIRECT_KEY, PROD_KEY, SEAL, World


async def test_the_inventory_shows_what_the_channel_sells(world: World) -> None:
    """Figures, prices and products of everything that is allotted to the caller's channel."""
    await world.held(10)
    answered = await world.call("GET", "/inventory")
    assert 200 == answered.status
    assert {"106": 190, "107": 150} == answered.json["available_quantities"]
    assert [
        {
            "product_id": 106,
            "name": "Premium Plan",
            "sku": "CRUISE-106",
            "available": 190,
            "capacity": 200,
            "status": "available",
        },
        {
            "product_id": 107,
            "name": "Pet Plan",
            "sku": "CRUISE-107",
            "available": 150,
            "capacity": 150,
            "status": "available",
        },
    ] == answered.json["inventory"]
    assert {
        "base_prices": {
            "106": {"weekday": 288, "weekend": 318},
            "107": {"weekday": 188, "weekend": 188},
        },
        "customer_types": ["adult", "child", "elderly"],
        "customer_discounts": {
            "106": {"child": 100, "elderly": 100},
            "107": {"child": 0, "elderly": 0},
        },
        "special_dates": {"2026-12-31": {"multiplier": 1.5}},
        "currency": "HKD",
    } == answered.json["pricing_context"]
    assert ("Pet Plan", "CRUISE-107") == (
        answered.json["product_info"]["107"]["name"],
        answered.json["product_info"]["107"]["sku"],
    )
    assert "2026-01-05T04:00:00.000000Z" == answered.json["as_of"]
    told = SEAL.decode_marks(answered.json["position"])
    assert told is not None
    assert ("inventory", 0) in told


async def test_products_are_shown_in_the_order_asked(world: World) -> None:
    """Each once; without stock in the channel with 0; unknown and inactive ones are named."""
    answered = await world.call("GET", "/inventory?product_ids=107,101,%20106,107,999,105")
    rows = answered.json["inventory"]
    assert [(107, 150, "available"), (101, 0, "sold_out"), (106, 200, "available")] == [
        (row["product_id"], row["available"], row["status"]) for row in rows
    ]
    assert [999, 105] == answered.json["unknown_product_ids"]


@pytest.mark.parametrize("ids", ["", "abc", "106,", "106;107", "-1", "0", "1.5", "1e3", "٣"])
async def test_malformed_ids_are_422(world: World, ids: str) -> None:
    """An id is a positive whole number."""
    answered = await world.call("GET", f"/inventory?product_ids={ids}")
    assert (422, "INVALID_PRODUCT_IDS") == (answered.status, answered.json["code"])


async def test_sold_out_products_stay_visible(world: World) -> None:
    """A tenth of the capacity or less is low, nothing is sold out, stopped sales are nothing."""
    shown = []
    for quantity in (90, 90, 20):
        await world.held(quantity)
        row = (await world.call("GET", "/inventory")).json["inventory"][0]
        shown.append((row["available"], row["status"]))
    assert [(110, "available"), (20, "low"), (0, "sold_out")] == shown


async def test_every_partner_of_the_channel_sees_a_hold_at_once(world: World) -> None:
    """And no other channel does."""
    await world.held(7)
    other = (await world.call("GET", "/inventory", key=PROD_KEY)).json
    direct = (await world.call("GET", "/inventory", key=DIRECT_KEY)).json
    assert (193, 100) == (
        other["available_quantities"]["106"],
        direct["available_quantities"]["106"],
    )


async def test_an_unchanged_inventory_is_304(world: World) -> None:
    """The tag stays until a figure changes, and is that of the products asked for."""
    first = await world.call("GET", "/inventory")
    tag = first.headers["ETag"]
    world.later(seconds=5)
    same = await world.call("GET", "/inventory", headers={"If-None-Match": f'"x", {tag}'})
    assert (304, b"", tag) == (same.status, same.raw, same.headers["ETag"])
    assert 304 == (await world.call("GET", "/inventory", headers={"If-None-Match": "*"})).status
    other = await world.call("GET", "/inventory?product_ids=106", headers={"If-None-Match": tag})
    await world.held(1)
    changed = await world.call("GET", "/inventory", headers={"If-None-Match": tag})
    assert (200, 200) == (other.status, changed.status)
    assert tag != changed.headers["ETag"]


async def test_the_feed_moves_the_figures(world: World) -> None:
    """What the ledger reports is shown; older reports are not."""
    pool = world.market.pools_by_no[1]
    world.market.heads["inventory", 0] = 5
    pool.held = 50
    for seq, full in ((5, True), (4, True)):
        figures = world.market.figures(pool)
        pool.held = 60
        world.gateway.heard(
            AvailabilityReported(
                generation=1, partition=0, seq=seq, catalogue_version=1, full=full, pools=(figures,)
            )
        )
    answered = await world.call("GET", "/inventory?product_ids=106")
    assert {"106": 150} == answered.json["available_quantities"]


async def test_a_silent_feed_is_replaced_by_the_database(world: World) -> None:
    """When nothing was reported for three seconds, the figures are read from the ledger's view."""
    world.wait(4)
    world.market.pools_by_no[1].held = 33
    world.market.heads["inventory", 0] = 1
    answered = await world.call("GET", "/inventory?product_ids=106")
    assert {"106": 167} == answered.json["available_quantities"]

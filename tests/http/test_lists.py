"""Lists as the contract has them: the same for every kind of row."""

from __future__ import annotations

import pytest

from tests.http.world import FULL_KEY, World

LISTS = ("reservations", "orders", "products", "tickets")


async def filled(world: World) -> dict[str, str]:
    """Make rows of each kind, and return each list's path."""
    for _ in range(4):
        await world.ordered(1, key=FULL_KEY)
        await world.held(1, key=FULL_KEY)
        world.later(minutes=1)
    order_id = await world.ordered(5, key=FULL_KEY)
    return {
        "reservations": "/reservations?status=all&",
        "orders": "/orders?",
        "products": "/products?product_ids=101,107,105,106&",
        "tickets": f"/orders/{order_id}/tickets?",
    }


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_has_the_fields_of_both_generations(world: World, name: str) -> None:
    """Its own array and the same rows as items; the counts and sizes under both names."""
    path = (await filled(world))[name]
    listed = (await world.call("GET", f"{path}page_size=3", key=FULL_KEY)).json
    assert listed[name] == listed["items"]
    assert 3 == len(listed["items"])
    assert listed["total"] == listed["total_count"] > 3
    assert (1, 3, 3, True) == (
        listed["page"],
        listed["page_size"],
        listed["limit"],
        listed["has_more"],
    )
    same = (await world.call("GET", f"{path}limit=3", key=FULL_KEY)).json
    assert listed == same


@pytest.mark.parametrize("name", LISTS)
async def test_a_walk_skips_and_repeats_nothing(world: World, name: str) -> None:
    """Also when the size of a page changes on the way."""
    path = (await filled(world))[name]
    whole = (await world.call("GET", f"{path}page_size=100", key=FULL_KEY)).json["items"]
    walked: list[object] = []
    cursor: str | None = None
    sizes = iter([1, 2, *[1] * 20])
    while True:
        after = f"&cursor={cursor}" if cursor else ""
        page = (await world.call("GET", f"{path}page_size={next(sizes)}{after}", key=FULL_KEY)).json
        walked += page["items"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert whole == walked
    assert cursor is None


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("query", ["page=0", "limit=-5", "page_size=101", "page=x", "cursor=x"])
async def test_a_page_that_cannot_be_is_422(world: World, name: str, query: str) -> None:
    """The parameter is named."""
    path = (await filled(world))[name]
    answered = await world.call("GET", path + query, key=FULL_KEY)
    assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])
    assert query.split("=")[0] == answered.json["parameter"]


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_after_the_last_is_empty(world: World, name: str) -> None:
    """And no error: rows may have gone since."""
    path = (await filled(world))[name]
    listed = (await world.call("GET", f"{path}page=1000", key=FULL_KEY)).json
    assert ([], False, None) == (listed["items"], listed["has_more"], listed["next_cursor"])

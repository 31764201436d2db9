"""What a write has answered, later reads show; or they say that they can't."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from libs.events.contracts.inventory import AvailabilityReported
from libs.kernel.ids import reservation_id
from services.gateway.http import edge
from tests.http.world import DIRECT_KEY, SEAL, World

AHEAD = SEAL.encode_marks({("inventory", 0): (1, 99)})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a tenth of a second instead of one and a half."""
    monkeypatch.setattr(edge, "VIEW_WAIT_S", 0.1)


async def test_a_hold_is_read_before_the_reservation_service_knows_it(world: World) -> None:
    """The ledger's view shows it in the meantime."""
    world.market.lagging = True
    answered = await world.reserve(2)
    read = await world.call("GET", f"/reservations/{answered.json['reservation_id']}")
    assert (200, answered.json) == (read.status, read.json)


async def test_a_list_waits_for_what_was_answered(world: World) -> None:
    """A list that can't show the caller's newest hold is 503, never an old 200."""
    world.market.lagging = True
    await world.held()
    behind = await world.call("GET", "/reservations")
    world.market.catch_up()
    listed = await world.call("GET", "/reservations")
    assert (503, "NOT_EXECUTED", 200, 1) == (
        behind.status,
        behind.json["code"],
        listed.status,
        listed.json["total"],
    )


async def test_other_partners_do_not_wait(world: World) -> None:
    """Only who was answered has a right to see it in a list of its own."""
    world.market.lagging = True
    await world.held()
    assert 200 == (await world.call("GET", "/reservations", key=DIRECT_KEY)).status


async def test_a_position_from_another_gateway_is_waited_for(world: World) -> None:
    """A caller that sends back what it was given sees it, or is told 503."""
    await world.held()
    ahead = {"OTA-Position": AHEAD}
    held = reservation_id(command_id="unknown", pool_no=1)
    for path in ("/reservations", "/inventory", f"/reservations/{held}", "/products"):
        answered = await world.call("GET", path, headers=ahead)
        assert (path, 503) == (path, answered.status)
    for place, mark in ((("fulfillment", 2), (1, 7)), (("reservation", 0), (1, 9))):
        headers = {"OTA-Position": SEAL.encode_marks({place: mark})}
        answered = await world.call("GET", "/orders", headers=headers)
        assert (503, "1") == (answered.status, answered.headers["Retry-After"])


async def test_a_304_waits_as_a_200_does(world: World) -> None:
    """An old tag never matches an old view."""
    tag = (await world.call("GET", "/inventory")).headers["ETag"]
    headers = {"If-None-Match": tag, "OTA-Position": AHEAD}
    assert 503 == (await world.call("GET", "/inventory", headers=headers)).status


async def test_the_feed_ends_the_wait(world: World) -> None:
    """A report of the partition's head is enough, also for pools that it does not name."""
    world.gateway.heard(
        AvailabilityReported(
            generation=1, partition=0, seq=99, catalogue_version=1, full=False, pools=()
        )
    )
    answered = await world.call("GET", "/inventory", headers={"OTA-Position": AHEAD})
    assert 200 == answered.status
    told = SEAL.decode_marks(answered.json["position"])
    assert told is not None
    assert (1, 99) == told["inventory", 0]


async def test_a_position_adds_up_over_answers(world: World) -> None:
    """A client that sends back the last header it got keeps all that it was told."""
    first = await world.reserve(1)
    second = await world.reserve(
        1, product_id=107, headers={"OTA-Position": first.headers["OTA-Position"]}
    )
    assert {("inventory", 0): (1, 1), ("inventory", 1): (1, 1)} == SEAL.decode_marks(
        second.headers["OTA-Position"]
    )


async def test_several_positions_count_together(world: World) -> None:
    """In one header or in several: the highest of each log is waited for, and answered."""
    low, far = (SEAL.encode_marks({("fulfillment", 3): (1, seq)}) for seq in (1, 7))
    for headers in (
        CIMultiDict({"OTA-Position": f"{far}, {low}"}),
        CIMultiDict([("OTA-Position", far), ("OTA-Position", low)]),
    ):
        assert 503 == (await world.call("GET", "/orders", headers=headers)).status
        answered = await world.reserve(1, headers=headers)
        told = SEAL.decode_marks(answered.headers["OTA-Position"])
        assert told is not None
        assert {("fulfillment", 3): (1, 7)}.items() <= told.items()


async def test_nothing_tells_how_much_is_sold(world: World) -> None:
    """Neither header nor body shows a number of a log, nor does the entity tag."""
    held = await world.reserve(1)
    shown = await world.call("GET", "/inventory")
    for text in (held.headers["OTA-Position"], shown.json["position"], shown.headers["ETag"]):
        assert "." not in text
        assert "inventory" not in text
    world.gateway.heard(
        AvailabilityReported(
            generation=1, partition=0, seq=99, catalogue_version=1, full=False, pools=()
        )
    )
    later = await world.call("GET", "/inventory")
    assert shown.headers["ETag"] == later.headers["ETag"]
    assert shown.json["position"] != later.json["position"]


@pytest.mark.parametrize(
    "position", ["x", "inventory.1.0.1", "", f"{AHEAD}x", f"{AHEAD},x", AHEAD[:-1]]
)
async def test_a_position_that_is_not_ours_is_422(world: World, position: str) -> None:
    """It is opaque, but not arbitrary."""
    for method, path in (("GET", "/inventory"), ("DELETE", "/reservations/x")):
        answered = await world.call(method, path, headers={"OTA-Position": position})
        assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])

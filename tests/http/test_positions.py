"""What a write has answered, later reads show; or they say that they can't."""

from __future__ import annotations

import pytest

from libs.events.contracts.inventory import AvailabilityReported
from libs.kernel.ids import reservation_id
from services.gateway.http import edge
from tests.http.world import DIRECT_KEY, World


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
    ahead = {"OTA-Position": "inventory.1.0.99"}
    held = reservation_id(command_id="unknown", pool_no=1)
    for path in ("/reservations", "/inventory", f"/reservations/{held}", "/products"):
        answered = await world.call("GET", path, headers=ahead)
        assert (path, 503) == (path, answered.status)
    for path, position in (("/orders", "fulfillment.1.2.7"), ("/orders", "reservation.1.0.9")):
        answered = await world.call("GET", path, headers={"OTA-Position": position})
        assert (503, "1") == (answered.status, answered.headers["Retry-After"])


async def test_a_304_waits_as_a_200_does(world: World) -> None:
    """An old tag never matches an old view."""
    tag = (await world.call("GET", "/inventory")).headers["ETag"]
    headers = {"If-None-Match": tag, "OTA-Position": "inventory.1.0.99"}
    assert 503 == (await world.call("GET", "/inventory", headers=headers)).status


async def test_the_feed_ends_the_wait(world: World) -> None:
    """A report of the partition's head is enough, also for pools that it does not name."""
    world.gateway.heard(
        AvailabilityReported(
            generation=1, partition=0, seq=99, catalogue_version=1, full=False, pools=()
        )
    )
    answered = await world.call("GET", "/inventory", headers={"OTA-Position": "inventory.1.0.99"})
    assert 200 == answered.status
    assert "inventory.1.0.99" in answered.json["position"]


async def test_a_position_adds_up_over_answers(world: World) -> None:
    """A client that sends back the last header it got keeps all that it was told."""
    first = await world.reserve(1)
    second = await world.reserve(
        1, product_id=107, headers={"OTA-Position": first.headers["OTA-Position"]}
    )
    assert "inventory.1.0.1,inventory.1.1.1" == second.headers["OTA-Position"]


@pytest.mark.parametrize(
    "position", ["x", "inventory", "inventory.1.0", "billing.1.0.1", "inventory.1.0.-1", ""]
)
async def test_a_position_that_is_not_ours_is_422(world: World, position: str) -> None:
    """It is opaque, but not arbitrary."""
    for method, path in (("GET", "/inventory"), ("DELETE", "/reservations/x")):
        answered = await world.call(method, path, headers={"OTA-Position": position})
        assert (422, "INVALID_PARAMETER") == (answered.status, answered.json["code"])

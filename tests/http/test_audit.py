"""Which calls leave an audit record, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.gateway.domain.audit import SINGLE_REFUSALS_MAX, AuditRow
from tests.http.world import DUDU_KEY, PROD_KEY, World

WHERE = "127.0.0.0/24"
JSON_TYPE = {"Content-Type": "application/json"}
TEST = ("test_partner", "key_test_partner")


async def only_row(world: World) -> AuditRow:
    """Return the one record that there is."""
    [row] = await world.audited()
    return row


async def test_a_reserve_has_a_record_with_all_that_happened(world: World) -> None:
    """Who, what, when, from where, under which id, the hold, and where the ledger stood."""
    answered = await world.reserve(2, headers={"X-Request-Id": "mine-1"})
    row = await only_row(world)
    assert (*TEST, "POST", "/api/ota/reserve", 201, None) == row[3:9]
    assert ("mine-1", WHERE, False, 1) == (row.request_id, row.address, row.replayed, row.calls)
    assert (answered.json["reservation_id"], None) == (row.reservation_id, row.order_id)
    assert row.command_id == world.market.sent[0].command_id
    place = f"inventory/{row.generation}-{row.partition}-{row.seq}"
    assert ("inventory", place) == (row.answered_by, f"{row.answered_by}/1-0-1")
    assert world.market.now == row.at
    assert row.duration_us >= 0


async def test_a_repeat_has_a_record_of_its_own(world: World) -> None:
    """The record says that the answer was given before, and names the same command."""
    for _ in range(2):
        await world.reserve(1, headers={"Idempotency-Key": "k"})
    first, second = await world.audited()
    assert (False, True) == (first.replayed, second.replayed)
    assert first.command_id == second.command_id


async def test_an_activation_names_reservation_and_order(world: World) -> None:
    """A dispute about either is answered by the same record."""
    held = await world.held()
    answered = await world.activate(held)
    row = (await world.audited())[-1]
    assert (held, answered.json["order_id"]) == (row.reservation_id, row.order_id)
    assert "/api/ota/reservations/{reservation_id}/activate" == row.route


async def test_a_refused_mutation_is_a_mutation(world: World) -> None:
    """However many are sold out at once, each try can be proven."""
    for _ in range(SINGLE_REFUSALS_MAX + 5):
        await world.reserve(1, product_id=101)
    rows = await world.audited()
    assert {("SOLD_OUT", 409, 1, True)} == {
        (row.word, row.status, row.calls, row.is_mutation) for row in rows
    }
    assert SINGLE_REFUSALS_MAX + 5 == len(rows)


async def test_a_cancelled_hold_has_a_record(world: World) -> None:
    """A DELETE is a mutation as well."""
    held = await world.held()
    await world.call("DELETE", f"/reservations/{held}")
    row = (await world.audited())[-1]
    assert ("DELETE", 204, held) == (row.method, row.status, row.reservation_id)


REFUSED: dict[str, tuple[str, str, dict[str, Any], int, str, str | None]] = {
    "no key": ("GET", "/inventory", {"key": None}, 401, "API_KEY_REQUIRED", None),
    "wrong key": ("POST", "/reserve", {"key": "wrong"}, 401, "INVALID_API_KEY", None),
    "key in the address": (
        "GET",
        "/inventory?api_key=ota_test_key_12345",
        {"key": None},
        400,
        "INVALID_REQUEST",
        None,
    ),
    "no permission": (
        "POST",
        "/reserve",
        {"key": DUDU_KEY},
        403,
        "INSUFFICIENT_PERMISSIONS",
        "dudu_partner",
    ),
    "no such thing": (
        "GET",
        "/reservations/tai.man@example.com",
        {},
        404,
        "RESERVATION_NOT_FOUND",
        "test_partner",
    ),
    "no such address": ("GET", "/tai.man@example.com", {}, 404, "NOT_FOUND", None),
    "no such method": ("PATCH", "/reserve", {}, 405, "METHOD_NOT_ALLOWED", None),
    "bad body": (
        "POST",
        "/reserve",
        {"data": b"{", "headers": JSON_TYPE},
        400,
        "INVALID_REQUEST",
        "test_partner",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_everything_refused_has_a_record(world: World, case: str) -> None:
    """With the partner as far as it is known, and without a word of the caller's own."""
    method, path, rest, status, word, partner_id = REFUSED[case]
    answered = await world.call(method, path, **rest)
    row = await only_row(world)
    assert (status, word) == (answered.status, answered.json["code"])
    assert (method, status, word, partner_id) == (
        row.method,
        row.status,
        row.word,
        row.partner_id,
    )
    assert (False, None) == (row.is_mutation, row.reservation_id)
    assert answered.headers["X-Request-Id"] == row.request_id
    assert not any(part in str(row) for part in ("example.com", "ota_test_key"))


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_whose_key_it_was_is_recorded(world: World, end: str) -> None:
    """Who goes on with a key that leaked is found by it; the answer is that to any wrong key."""
    if end == "revoked":
        world.tables.revoked.add("prod_partner")
    else:
        world.tables.ends["prod_partner"] = world.market.now
    world.tables.directory_version += 1
    await world.gateway.directory.refresh()
    ended = await world.call("GET", "/inventory", key=PROD_KEY)
    row = await only_row(world)
    assert (401, "INVALID_API_KEY", "prod_partner", "key_prod_partner") == (
        row.status,
        row.word,
        row.partner_id,
        row.key_id,
    )
    wrong = await world.call("GET", "/inventory", key="wrong")
    assert (wrong.status, wrong.raw) == (ended.status, ended.raw)
    assert set(wrong.headers) == set(ended.headers)
    await world.gateway.directory.write_uses()
    assert {} == world.tables.key_uses


async def test_answered_reads_have_no_record(world: World) -> None:
    """They are in the access log only."""
    held = await world.held()
    before = len(await world.audited())
    for path in ("/inventory", f"/reservations/{held}", "/reservations", "/orders"):
        assert 200 == (await world.call("GET", path)).status
    assert before == len(await world.audited())
    assert 5 == len(world.lines.notes)


async def test_a_flood_is_one_record(world: World) -> None:
    """Somebody who tries keys fills no disk."""
    for number in range(SINGLE_REFUSALS_MAX + 20):
        await world.call("GET", "/inventory", key=f"guess_{number}")
    row = await only_row(world)
    assert (SINGLE_REFUSALS_MAX + 20, "INVALID_API_KEY", WHERE) == (
        row.calls,
        row.word,
        row.address,
    )


async def test_recording_is_not_on_a_request_s_way(world: World) -> None:
    """Calls are answered as ever while the audit's database is away."""
    world.tables.away = True
    assert 201 == (await world.reserve(1)).status
    world.tables.away = False
    assert 201 == (await only_row(world)).status


async def test_every_call_is_in_the_access_log(world: World) -> None:
    """Once each, under the route's own name, without what the address held."""
    calls: Mapping[str, str] = {
        "/inventory?product_ids=106": "/api/ota/inventory",
        "/reservations/tai.man@example.com": "/api/ota/reservations/{reservation_id}",
        "/tai.man@example.com": "unmatched",
    }
    for path in calls:
        await world.call("GET", path)
    await world.gateway.audit.collect()
    assert list(calls.values()) == [note.route for note in world.lines.notes]

"""Positions: how they travel, and how a view is waited for."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from itertools import combinations

import pytest

from libs.events.envelope import Position
from libs.events.requests import Reply
from services.gateway.app.positions import (
    VALUES_MAX,
    AnsweredPositions,
    Mark,
    Place,
    PositionSeal,
    merged,
)
from services.gateway.app.progress import ViewProgress
from services.gateway.domain.failure import ViewBehind
from services.gateway.domain.keyed_hash import KeyedHashes

SEAL = PositionSeal(KeyedHashes(b"k" * 32).position_key())
OTHER = PositionSeal(KeyedHashes(b"o" * 32).position_key())
INVENTORY = ("inventory", 0)


def reply(source: str, generation: int, partition: int, seq: int) -> Reply:
    """Return an answer from that position."""
    return Reply(
        answer=None,
        replayed=False,
        source=source,
        position=Position(generation, partition, seq),
    )


def test_marks_survive_the_header() -> None:
    """What one gateway writes another one with the same key reads; equal marks are equal texts."""
    marks = {("reservation", 2): (1, 5), INVENTORY: (2, 2**63 - 1), ("fulfillment", 63): (9, 1)}
    text = SEAL.encode_marks(marks)
    another = PositionSeal(KeyedHashes(b"k" * 32).position_key())
    assert text == another.encode_marks(dict(reversed(marks.items())))
    assert marks == another.decode_marks(text)
    assert "" == SEAL.encode_marks({})


def test_a_value_tells_nothing_of_the_volume() -> None:
    """Neighbours have nothing in common, and large numbers are not longer than small ones."""
    values = [SEAL.encode_marks({INVENTORY: (1, seq)}) for seq in (1, 2, 451_115, 10**15)]
    assert {42} == {len(value) for value in values}
    opened = [b64decode(value + "==", altchars=b"-_", validate=True)[1:] for value in values]
    for first, second in combinations(opened, 2):
        assert sum(a == b for a, b in zip(first, second, strict=True)) < 8
    assert not any(number.to_bytes(3, "big") in opened[2] for number in (451_114, 451_115))


def test_the_highest_mark_of_a_place_counts() -> None:
    """Lists that a client has put together keep the newest; a newer generation is newer."""
    values = [SEAL.encode_marks({INVENTORY: mark}) for mark in ((1, 9), (2, 1), (1, 3))]
    assert {INVENTORY: (2, 1)} == SEAL.decode_marks(", ".join(values))
    assert {INVENTORY: (2, 1), ("inventory", 1): (1, 1)} == merged(
        {INVENTORY: (2, 1)}, {INVENTORY: (1, 99), ("inventory", 1): (1, 1)}
    )


OURS = SEAL.encode_marks({INVENTORY: (1, 1)})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inventory.1.0.1",
        "AQ",
        "AQAAA",
        "A" * 42,
        OURS[:-4],
        OURS + "AAAA",
        OURS[:20] + ("A" if OURS[20] != "A" else "B") + OURS[21:],
        "B" + OURS[1:],
        OURS + ",",
        OURS.swapcase(),
        "é" + OURS,
        "\udcff",
        OTHER.encode_marks({INVENTORY: (1, 1)}),
        ",".join([OURS] * (VALUES_MAX + 1)),
    ],
)
def test_what_is_not_ours_is_none(text: str) -> None:
    """A header that does not open is refused as a whole, also beside one that does."""
    assert SEAL.decode_marks(text) is None
    assert SEAL.decode_marks(f"{OURS},{text}") is None


def test_answers_leave_the_highest_marks_of_their_partner() -> None:
    """Each partner has its own; an empty log leaves none."""
    positions = AnsweredPositions()
    for each in (
        reply("inventory", 1, 0, 5),
        reply("inventory", 1, 0, 4),
        reply("inventory", 1, 3, 0),
        reply("reservation", 1, 0, 2),
    ):
        positions.note(partner_id="a", reply=each)
    assert {("inventory", 0): (1, 5), ("reservation", 0): (1, 2)} == positions.of("a")
    assert {} == positions.of("b")


class Views:
    """Read views that come forward by one with each question."""

    def __init__(self) -> None:
        self.asked = 0
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def progress(self) -> Mapping[Place, Mark]:
        """See `services.gateway.app.progress.ProgressSource`."""
        self.asked += 1
        seq = self.asked
        self.waiting.set()
        await self.go_on.wait()
        return {("reservation", 0): (1, seq)}


def deadline(seconds: float) -> float:
    """Return the event loop's time so far ahead."""
    return asyncio.get_running_loop().time() + seconds


async def test_progress_once_seen_costs_no_question() -> None:
    """The usual read does not ask how far its view is."""
    views = Views()
    progress = ViewProgress(source=views, follows=frozenset({"reservation"}))
    await progress.wait({("reservation", 0): (1, 3)}, deadline=deadline(5))
    asked = views.asked
    await progress.wait({("reservation", 0): (1, 2)}, deadline=deadline(5))
    assert 3 == asked == views.asked


async def test_a_view_that_does_not_come_is_behind() -> None:
    """At the deadline the wait ends with the fault that becomes a 503."""
    progress = ViewProgress(source=Views(), follows=frozenset({"reservation"}))
    with pytest.raises(ViewBehind):
        await progress.wait({("reservation", 1): (1, 1)}, deadline=deadline(0.05))


async def test_those_who_wait_share_questions() -> None:
    """Ten readers that come while one asks are served by one more question."""
    views = Views()
    views.go_on.clear()
    progress = ViewProgress(source=views, follows=frozenset({"reservation"}))
    wanted = {("reservation", 0): (1, 1)}
    async with asyncio.TaskGroup() as group:
        group.create_task(progress.wait(wanted, deadline=deadline(5)))
        await views.waiting.wait()
        for _ in range(10):
            group.create_task(progress.wait({("reservation", 0): (1, 2)}, deadline=deadline(5)))
        await asyncio.sleep(0)
        views.go_on.set()
    assert 2 == views.asked


def test_only_followed_logs_concern_a_view() -> None:
    """Marks of other services, or other partitions, are not waited for."""
    progress = ViewProgress(source=Views(), follows=frozenset({"reservation", "inventory"}))
    told = {("inventory", 0): (1, 1), ("fulfillment", 0): (1, 9), ("reservation", 2): (1, 4)}
    own = {("inventory", 0): (1, 3)}
    assert {("inventory", 0): (1, 3), ("reservation", 2): (1, 4)} == progress.concerning(told, own)
    assert {("inventory", 0): (1, 3)} == progress.concerning(told, own, partition=0)

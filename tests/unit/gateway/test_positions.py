"""Positions: how they travel, and how a view is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from libs.events.envelope import Position
from libs.events.requests import Reply
from services.gateway.app.positions import (
    AnsweredPositions,
    Mark,
    Place,
    decode_marks,
    encode_marks,
    merged,
)
from services.gateway.app.progress import ViewProgress
from services.gateway.domain.failure import ViewBehind


def reply(source: str, generation: int, partition: int, seq: int) -> Reply:
    """Return an answer from that position."""
    return Reply(
        answer=None,
        replayed=False,
        source=source,
        position=Position(generation, partition, seq),
    )


def test_marks_survive_the_header() -> None:
    """What is written is read again, in a stable order."""
    marks = {("reservation", 2): (1, 5), ("inventory", 0): (2, 17)}
    text = encode_marks(marks)
    assert "inventory.2.0.17,reservation.1.2.5" == text
    assert marks == decode_marks(text)


def test_the_highest_mark_of_a_place_counts() -> None:
    """Lists that a client has put together keep the newest; a newer generation is newer."""
    told = decode_marks("inventory.1.0.9, inventory.1.0.3,inventory.2.0.1")
    assert {("inventory", 0): (2, 1)} == told
    assert {("inventory", 0): (2, 1), ("inventory", 1): (1, 1)} == merged(
        {("inventory", 0): (2, 1)}, {("inventory", 0): (1, 99), ("inventory", 1): (1, 1)}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inventory.1.0",
        "inventory.1.0.1.2",
        "gateway.1.0.1",
        "inventory.1.0.x",
        "inventory.1.0.-1",
        "inventory.1.0." + "9" * 19,
        "inventory.1.0.1,",
        "inventory.1.0.٣",
        ",".join(["inventory.1.0.1"] * 65),
    ],
)
def test_what_is_not_ours_is_none(text: str) -> None:
    """A header of any other form is refused as a whole."""
    assert decode_marks(text) is None


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

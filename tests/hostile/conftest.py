"""A partner port on ports in memory, for clients that misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hostile.door import Door, open_door
from tests.http.world import World, running_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A partner API of the test's own."""
    async with running_world() as world:
        yield world


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    """Its partner port, within bounds that are looked after often."""
    async with open_door(world) as door:
        yield door

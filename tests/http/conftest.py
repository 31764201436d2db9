"""The partner API on ports in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.http.world import World, running_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A partner API of the test's own."""
    async with running_world() as world:
        yield world

"""Partners notice nothing while every service is restarted, in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rolling.rounds import roll_rounds

pytestmark = pytest.mark.e2e

REQUESTS_MIN = 300


@pytest.mark.parametrize("instances", [1, 2])
async def test_no_request_is_lost_in_a_rolling_restart(tmp_path: Path, instances: int) -> None:
    """Every service once, under mixed requests over kept and fresh connections."""
    seen = await roll_rounds(
        folder=tmp_path / "stack", rounds=1, per_s=60.0, seed=7, instances=instances
    )
    assert [] == seen["failures"]
    assert seen["requests"] >= REQUESTS_MIN
    assert seen["kept_connections"] > 50
    assert seen["fresh_connections"] > 50

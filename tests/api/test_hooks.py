"""What the hooks draw comes from the run's seed: a run can be repeated."""

from __future__ import annotations

import os
import subprocess
import sys

from deploy.local.settings import CHECKOUT

DRAWING = """
from types import SimpleNamespace
from tests.api.hooks import before_call
case = SimpleNamespace(headers={"Idempotency-Key": "k"}, query={}, body={})
before_call(None, case)
print(case.headers)
"""


def drawn(seed: str) -> str:
    """Return the headers of the first request of a run."""
    return subprocess.run(
        [sys.executable, "-c", DRAWING],
        cwd=CHECKOUT,
        env={**os.environ, "OTA_FUZZ_SEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_seed_draws_the_same_again() -> None:
    """The same addresses and keys for the same seed; others for another."""
    first = drawn("20261123")
    assert "Idempotency-Key" in first
    assert first == drawn("20261123") != drawn("20261124")

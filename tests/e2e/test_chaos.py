"""A slice of the fault campaign: all faults that need no root, on a stack of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.counters import WANTED
from chaos.faults.catalogue import chosen
from deploy.local.settings import CHECKOUT

pytestmark = pytest.mark.e2e

MINUTES = "3"
TIMEOUT_S = 900


def test_every_promise_is_kept_under_faults(tmp_path: Path) -> None:
    """Three minutes of load and faults: whatever was promised is there, nothing is sold twice,
    and everything works again afterwards. Each kind of fault came, and so did what it leads to.
    """
    out = tmp_path / "report"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "chaos", "--minutes", MINUTES, "--seed", "20", "--gap", "6"),
            *("--rate", "100", "--no-root", "--out", str(out), "--folder", str(tmp_path / "run")),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert (out / "report.json").exists(), ended.stdout[-3_000:] + ended.stderr[-3_000:]
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    # How quick it was is judged by the campaign itself, on a machine of its own.
    assert [] == [x for x in report["findings"] if not x["passed"] and not x["timed"]]
    assert [] == report["faults_not_healed"]
    assert [] == [each for each in report["programs"] if each["code"] != 0]
    assert rootless() == {kind.partition(" ")[2] for kind in report["faults_by_kind"]}
    assert [] == report["counters_at_zero"]
    assert set(WANTED) <= {name for name, count in report["counters"].items() if count > 0}
    assert 20 < report["faults_injected"]
    assert 10_000 < report["requests"]


def rootless() -> set[str]:
    """Return the titles of all faults that need no root."""
    return set(chosen((), root=False))

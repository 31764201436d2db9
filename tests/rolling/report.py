"""Figures of a run, and the page of all runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deploy import version
from deploy.local.settings import CHECKOUT
from tests.rolling.load import Found

EVIDENCE = CHECKOUT / "docs" / "evidence" / "rolling-restart.json"
FAILURES_SHOWN = 20
HEAD = """# Processes come and go

What a partner notices while processes are restarted, killed and frozen. 60 % inventory, 20 %
reserve, 10 % activate, 4 % cancel, 6 % lists; an open loop; half of the requests over 32 kept
connections, half over one of their own; no client repeats anything. A failure is a 5xx, any other
unexpected status, a reset, no answer, or one that took 2 s or more. A frozen owner fails what is
asked of it, in time (504 or 503), until its partitions have moved; nothing else may fail.
Written by the commands below (`--keep`); all figures are in `rolling-restart.json`.
"""


def summary(found: Found, *, seconds: float, per_s: float) -> dict[str, Any]:
    """Return what a load has seen."""
    latencies = sorted(found.latencies_s) or [0.0]

    def at(share: float) -> float:
        return round(latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1000, 1)

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "asked_per_s": per_s,
        "requests": sum(found.answers.values()),
        "kept_connections": found.kept,
        "fresh_connections": found.fresh,
        "answers": dict(sorted(found.answers.items())),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "max_ms": at(1.0),
        "failed": len(found.failures),
        "failures": found.failures[:FAILURES_SHOWN],
    }


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return a run in words."""
    text = [
        f"{result['what']}, seed {result['seed']}",
        (
            f"{result['requests']:,} requests in {result['seconds']} s,"
            f" {result['failed']} failed: {'passed' if result['passed'] else 'NOT PASSED'}"
        ),
        (
            f"p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, p99.9 {result['p999_ms']} ms,"
            f" slowest {result['max_ms']} ms"
        ),
    ]
    if "roll_s_mean" in result:
        means = ", ".join(f"{name} {took} s" for name, took in result["roll_s_mean"].items())
        text.append(f"a restart took {means}")
    for strike in result.get("strikes", ()):
        text.append(
            f"{strike['how']} of {strike['of']}: served by others after {strike['served_ms']} ms,"
            f" slowest answer {strike['slowest_ms']} ms, {strike['failed']} failed,"
            f" {strike['fenced']} fenced"
        )
    text += [f"failed: {json.dumps(each)}" for each in result["failures"]]
    return text


def _on(run: Mapping[str, Any]) -> str:
    """Say which version was run; runs of before it was kept do not know."""
    return f" on {version.named(run['commit'])}" if "commit" in run else ""


def keep(result: Mapping[str, Any]) -> None:
    """Add a run to the evidence and write its page."""
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    runs = json.loads(EVIDENCE.read_text()) if EVIDENCE.exists() else []
    runs.append(result)
    EVIDENCE.write_text(json.dumps(runs, indent=1) + "\n")
    parts = [HEAD]
    for run in runs:
        title, *rest = lines(run)
        parts.append(f"## {title}\n")
        parts.append(f"`{run['command']}`{_on(run)}, {run['at']}\n")
        parts.append("\n".join(f"- {line}" for line in rest) + "\n")
    EVIDENCE.with_suffix(".md").write_text("\n".join(parts))

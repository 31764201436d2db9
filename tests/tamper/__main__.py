"""Runs the tamper campaign and writes its report: ``make tamper``.

python -m tests.tamper                        a thousand tamperings of a played system
python -m tests.tamper --from DIR             of an export of a real one
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy import version
from tests.support.exported import PlayedSystem
from tests.tamper.campaign import Outcome, campaign
from tests.tamper.controls import Control, controls
from tests.tamper.report import markdown

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


def main() -> None:
    """Run it; raises SystemExit with 1 if a tampering or a control was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.tamper")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--holds", type=int, default=120, help="size of the played system")
    parser.add_argument("--from", dest="source", type=Path, help="an export to tamper with")
    parser.add_argument("--write", action="store_true", help="write docs/evidence/tampering*")
    arguments = parser.parse_args()
    commit = version.commit()
    with tempfile.TemporaryDirectory(prefix="ota-tamper-") as scratch:
        source = arguments.source or PlayedSystem(seed=arguments.seed, holds=arguments.holds).write(
            Path(scratch) / "played"
        )
        began = time.monotonic()
        outcomes = []
        for outcome in campaign(source, seed=arguments.seed, count=arguments.count):
            outcomes.append(outcome)
            _progress(len(outcomes), arguments.count, outcomes)
        found = controls(source, seed=arguments.seed)
        seconds = time.monotonic() - began
    missed = [outcome for outcome in outcomes if not outcome.detected]
    for outcome in missed:
        sys.stdout.write(f"MISSED {outcome.seed} {outcome.kind}: {outcome.told}\n")
    for control in found:
        sys.stdout.write(f"{'✓' if control.holds else '✗'} {control.name}: {control.outcome}\n")
    if arguments.write:
        _write(arguments, outcomes, found, seconds, commit)
    sys.stdout.write(f"{len(outcomes) - len(missed)} of {len(outcomes)} detected\n")
    raise SystemExit(1 if missed or not all(control.holds for control in found) else 0)


def _progress(done: int, count: int, outcomes: list[Outcome]) -> None:
    if sys.stderr.isatty() or not done % 100:
        detected = sum(outcome.detected for outcome in outcomes)
        end = "\r" if sys.stderr.isatty() and done < count else "\n"
        sys.stderr.write(f"{done} of {count}, {detected} detected{end}")


def _write(
    arguments: argparse.Namespace,
    outcomes: list[Outcome],
    found: list[Control],
    seconds: float,
    commit: dict[str, Any],
) -> None:
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    command = f"make tamper COUNT={arguments.count} SEED={arguments.seed}"
    name = "tampering"
    if arguments.source:
        command, name = f"{command} FROM=<export>", "tampering-live"
    report = {
        "command": command,
        "commit": commit,
        "source": "an export of the running system" if arguments.source else "a played system",
        "count": len(outcomes),
        "detected": sum(outcome.detected for outcome in outcomes),
        "by_kind": Counter(outcome.kind for outcome in outcomes),
        "by_check": Counter(check for outcome in outcomes for check in outcome.checks),
        "seconds": round(seconds, 1),
        "controls": [asdict(control) for control in found],
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (EVIDENCE / f"{name}.json").write_text(text, encoding="utf-8")
    page = markdown(report, outcomes, found)
    (EVIDENCE / f"{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

"""``python -m simulation.mutants``: puts each seeded bug into a copy of the tree and lets the
layer that should catch it look.

A bug is caught when its command fails because a check said so; that names the check.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Any

from deploy import version
from simulation.patches import FOLDER, Mutant, load

ROOT = Path(__file__).parents[1]
IGNORED = ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", "node_modules")
LAYERS = SIMULATED, UNIT, STACK = "L1", "unit", "L3"
NOT_ALLOWED = 3
"""The exit code of a command that needs root and has none."""
LIMIT_S = 900
FAILURES_MAX = 6
"""So many failing seeds are looked at, to see which checks catch a bug."""
_BROKEN = re.compile(r"^seed (\d+) breaks (.+?): (.*)$", re.M)
_FAILED = re.compile(r"^FAILED (\S+)", re.M)
_TOLD = re.compile(r"^caught by (.+)\n(.*)$", re.M)


@dataclass(frozen=True, slots=True)
class Result:
    """What has become of a mutant: *check* is who caught it, empty if nobody did."""

    number: str
    title: str
    layer: str
    command: str
    check: str
    detail: str
    duration_s: float
    ran: bool = True


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every mutant that was run was caught."""
    parser = argparse.ArgumentParser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="M01 M02 ...; default: all")
    all_layers = ",".join(LAYERS)
    parser.add_argument("--layers", default=all_layers, help=f"default: all, {all_layers}")
    parser.add_argument("--report", metavar="FOLDER", help="write mutants.md and .json there")
    asked = parser.parse_args(arguments)
    commit, results = version.commit(), []
    for mutant in load(ROOT / FOLDER):
        if asked.numbers and mutant.number not in asked.numbers:
            continue
        chosen = mutant.layer in asked.layers.split(",")
        result = hunt(mutant) if chosen else left(mutant, f"layer {mutant.layer} was not asked for")
        results.append(result)
        print(_line(result), flush=True)
    ran = [each for each in results if each.ran]
    caught = [each for each in ran if each.check]
    untried = [f"{each.number} NOT RUN: {each.detail}" for each in results if not each.ran]
    print("\n".join([f"{len(caught)} of {len(ran)} caught", *untried]))
    if asked.report:
        write_report(results, Path(asked.report), commit=commit)
    return 0 if len(caught) == len(ran) else 1


def hunt(mutant: Mutant) -> Result:
    """Put a bug into a copy of the tree and run the command that should catch it."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder) / "tree"
        copytree(ROOT, tree, ignore=IGNORED, symlinks=True)
        mutant.apply(tree)
        interpreter = ROOT / ".venv"
        if interpreter.exists():  # what the launcher of a stack looks for
            (tree / ".venv").symlink_to(interpreter)
        command = shlex.split(mutant.command)
        command[0] = sys.executable
        if mutant.layer == SIMULATED:
            command += ["--stop-at", str(FAILURES_MAX), "--no-shrink"]
        run = subprocess.run(  # noqa: S603 - our own command, from our own file
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    if run.returncode == NOT_ALLOWED and mutant.layer == STACK:
        return left(mutant, run.stderr.strip()[-300:])
    check, detail = catcher(run.stdout) if run.returncode == 1 else ("", _end(run))
    return Result(
        number=mutant.number,
        title=mutant.title,
        layer=mutant.layer,
        command=mutant.command,
        check=check,
        detail=detail,
        duration_s=round(time.monotonic() - started, 1),
    )


def left(mutant: Mutant, why: str) -> Result:
    """Return the result of a mutant that was not run."""
    return Result(
        number=mutant.number,
        title=mutant.title,
        layer=mutant.layer,
        command=mutant.command,
        check="",
        detail=why,
        duration_s=0.0,
        ran=False,
    )


def catcher(output: str) -> tuple[str, str]:
    """Return which check has caught the bug, and what it saw."""
    if found := list(_BROKEN.finditer(output)):
        checks = dict.fromkeys(each[2] for each in found)
        return ", ".join(checks), f"seed {found[0][1]}: {found[0][3][:160]}"
    if failed := _FAILED.search(output):
        return failed[1], ""
    if told := _TOLD.search(output):
        return told[1], told[2][:160]
    return "", output[-300:]


def _end(run: subprocess.CompletedProcess[str]) -> str:
    if run.returncode == 0:
        return "nobody noticed"
    return f"exit {run.returncode}: {run.stderr[-300:]}"


def _line(result: Result) -> str:
    verdict = result.check or ("NOT CAUGHT" if result.ran else "not run")
    return f"{result.number}  {result.title:<58} {verdict:<34} {result.detail[:110]}"


def write_report(results: Sequence[Result], folder: Path, *, commit: Mapping[str, Any]) -> None:
    """Write the table as Markdown and as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Seeded bugs",
        "",
        (
            "`make mutants` puts each of them into a copy of the tree (`tests/mutants`) and runs"
            f" the command that has to notice. {version.named(commit).capitalize()}:"
            f" {sum(bool(each.check) for each in results)} of {len(results)} caught."
        ),
        "",
        "| bug | what is switched off | layer | caught by | how |",
        "|---|---|---|---|---|",
    ]
    for each in results:
        verdict = each.check or ("**nobody**" if each.ran else "**not run**")
        how = each.detail.replace("|", "/").replace("\n", " ")
        lines.append(f"| {each.number} | {each.title} | {each.layer} | {verdict} | {how} |")
    (folder / "mutants.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    document = json.dumps(
        {"commit": commit, "mutants": [asdict(each) for each in results]},
        indent=2,
        ensure_ascii=False,
    )
    (folder / "mutants.json").write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make bench-compare`: two versions, measured in turns with the present tree's load generator.

The other version is checked out under ``var/compare/<commit>`` with an environment of its
own. The present tree is measured as it stands, changes that are not committed included.
Only one stack runs at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import facts, probe
from bench.own_stack import OwnStack, own_settings, run_tool
from bench.progress import Screen
from bench.stack import PROCESSES, StackMissing
from bench.table import Cell, render
from bench.workload import Step, WorkloadError
from deploy import version
from deploy.local.settings import CHECKOUT, SettingsError

FOLDER = CHECKOUT / "var" / "compare"
INSTALL_TIMEOUT_S = 600
GIT_TIMEOUT_S = 60
ROUNDS_MAX = 50
BASE, PRESENT = "base", "present"
EXIT_OFF, EXIT_UNABLE, INTERRUPTED = 1, 2, 130
CREATED = frozenset({"201"})


class CompareError(Exception):
    """The comparison cannot be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one version did in one round; CPU in microseconds a reserve, all processes."""

    side: str
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    gateway_us: float
    inventory_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle of some figures and how far they lie apart."""

    median: float
    lowest: float
    highest: float


MEASURES: Sequence[tuple[str, str]] = (
    ("per_s", "reserves/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("cpu_us", "CPU us, all"),
    ("gateway_us", "gateway us"),
    ("inventory_us", "inventory us"),
)


def spread(values: Sequence[float]) -> Spread:
    """Return median, lowest and highest of *values*; raises ValueError for none."""
    return Spread(median=statistics.median(values), lowest=min(values), highest=max(values))


def ratios(rounds: Sequence[Round], measure: str) -> tuple[float, Spread]:
    """Return the ratio of the medians, present to base, and the spread of the pairs' ratios.

    Rounds are in pairs that ran one after the other; who is first changes from pair to pair.
    """
    base = [getattr(each, measure) for each in rounds if each.side == BASE]
    present = [getattr(each, measure) for each in rounds if each.side == PRESENT]
    pairs = [new / old for old, new in zip(base, present, strict=True)]
    return statistics.median(present) / statistics.median(base), spread(pairs)


def _file(path: str) -> Path:
    found = Path(path).resolve()
    if not found.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    return found


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("base", help="the commit to compare with: id, branch, HEAD~3")
    parser.add_argument("--patch", type=_file, help="change the base by this before it is measured")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of rounds (default 4)")
    parser.add_argument("--clients", type=int, default=32, help="connections (default 32)")
    parser.add_argument("--seconds", type=int, default=6, help="measured in a round (6)")
    parser.add_argument("--warm-up-seconds", type=int, default=3, help="time before it (3)")
    given = parser.parse_args()
    if not 1 <= given.rounds <= ROUNDS_MAX or given.clients < 1 or given.seconds < 1:
        parser.error(f"rounds from 1 to {ROUNDS_MAX}, clients and seconds from 1")
    return given


def resolve(name: str) -> str:
    """Return the id of the commit that *name* means; raises CompareError."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except subprocess.CalledProcessError as error:
        raise CompareError(f"{name!r} names no commit of this repository") from error


async def checked_out(commit: str, *, patch: Path | None, screen: Screen) -> Path:
    """Return a checkout of *commit* with its environment, made now unless it is there.

    Raises CompareError for a *patch* that does not fit.
    """
    folder = FOLDER / commit[:12]
    if not (folder / ".git").exists():
        screen.progress(f"checking out {commit[:12]}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--no-checkout", str(CHECKOUT), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", "--detach", "--force", commit)
    if patch is not None:
        try:
            _git("-C", str(folder), "apply", str(patch))
        except subprocess.CalledProcessError as error:
            raise CompareError(f"{patch} does not fit {commit[:12]}: {error.stderr}") from error
    screen.progress(f"installing {commit[:12]}")
    await run_tool(
        *("make", "--no-print-directory", "install"),
        cwd=folder,
        environment={**os.environ, "MAKEFLAGS": "", "MFLAGS": ""},
        timeout_s=INSTALL_TIMEOUT_S,
    )
    return folder


async def compare(*, given: argparse.Namespace, screen: Screen) -> bool:
    """Measure, show and keep; return whether all answers were right."""
    commit = resolve(given.base)
    at, present = datetime.now(UTC), version.commit()
    folder = await checked_out(commit, patch=given.patch, screen=screen)
    changed = f" with {given.patch.name}" if given.patch is not None else ""
    sides_named = f"base {commit[:12]}{changed}, present {version.named(present)}"
    title = f"{sides_named}, {given.clients} connections"
    screen.line(f"{title}, {given.seconds} s a round")
    sides = {
        BASE: OwnStack(checkout=folder, environment=own_settings(data_dir="var")),
        PRESENT: OwnStack(
            checkout=CHECKOUT, environment=own_settings(data_dir="var/compare/present")
        ),
    }
    rounds, faults = await _rounds(sides, given=given, screen=screen)
    text = report(rounds)
    screen.line()
    screen.line(text)
    for fault in faults:
        screen.line(f"✗ {fault}")
    result: dict[str, Any] = {
        "kind": "compare",
        "started_at": at.isoformat(timespec="seconds"),
        "base": commit,
        "patch": given.patch.name if given.patch is not None else None,
        "commit": present,
        "machine": facts.machine(),
        "clients": given.clients,
        "seconds": given.seconds,
        "rounds": [asdict(each) for each in rounds],
        "ratios": {
            name: {"of_medians": ratios(rounds, name)[0], "pairs": asdict(ratios(rounds, name)[1])}
            for name, _ in MEASURES
        },
        "faults": faults,
    }
    path = facts.save(result=result, kind="compare", at=at)
    page = path.with_suffix(".md")
    page.write_text(f"# {title}\n\n```\n{text}\n```\n", encoding="utf-8")
    screen.line(f"written to {facts.shown(path)} and {facts.shown(page)}")
    return not faults


async def _rounds(
    sides: dict[str, OwnStack], *, given: argparse.Namespace, screen: Screen
) -> tuple[list[Round], list[str]]:
    rounds: list[Round] = []
    faults: list[str] = []
    try:
        for side in sides.values():
            await side.clean()
        for number in range(given.rounds):
            # What comes second meets a warmer machine, so each is second as often as first.
            for name, side in list(sides.items())[:: -1 if number % 2 else 1]:
                step = await _measured(side, name=name, given=given, screen=screen)
                rounds.append(round_of(step, side=name))
                for word, count in step.unexpected(expected=CREATED).items():
                    faults.append(f"round {number + 1}, {name}: {count} answers were {word!r}")
                screen.line(_line(number, rounds[-1]))
    finally:
        screen.progress("deleting the data of both")
        for side in sides.values():
            await side.clean()
    return rounds, faults


async def _measured(
    side: OwnStack, *, name: str, given: argparse.Namespace, screen: Screen
) -> Step:
    screen.progress(f"{name} starts")
    try:
        stack = await side.up()
        await probe.prepare(stack=stack)
        return await probe.reserve(
            stack=stack,
            clients=given.clients,
            warm_up_s=given.warm_up_seconds,
            seconds=given.seconds,
            progress=lambda text: screen.progress(f"{name}: {text}"),
        )
    finally:
        await side.down()


def round_of(step: Step, *, side: str) -> Round:
    """Return a round's figures; raises WorkloadError when nothing was answered."""
    if step.latency is None:
        raise WorkloadError(f"{side} answered nothing: {dict(step.outcomes)}")
    answers = step.answers_in_window

    def us(*names: str) -> float:
        return round(sum(step.cpu_s.get(name, 0.0) for name in names) / answers * 1e6, 1)

    return Round(
        side=side,
        per_s=round(step.per_s, 1),
        p50_ms=step.latency.p50_ms,
        p99_ms=step.latency.p99_ms,
        cpu_us=us(*PROCESSES),
        gateway_us=us("gateway"),
        inventory_us=us("inventory"),
    )


def report(rounds: Sequence[Round]) -> str:
    """Return the table of both versions' figures and their ratios."""

    def text(found: Spread, digits: int) -> str:
        return (
            f"{found.median:,.{digits}f} ({found.lowest:,.{digits}f}..{found.highest:,.{digits}f})"
        )

    rows: list[list[Cell]] = []
    for measure, words in MEASURES:
        digits = 0 if measure == "per_s" else 1
        of_medians, pairs = ratios(rounds, measure)
        sides = [
            spread([getattr(each, measure) for each in rounds if each.side == side])
            for side in (BASE, PRESENT)
        ]
        row: list[Cell] = [words, *(text(side, digits) for side in sides)]
        rows.append([*row, f"{of_medians:.3f}", text(pairs, 3)])
    header = ("median (min..max)", BASE, PRESENT, "ratio of medians", "ratio of each pair")
    return render(header=header, rows=rows)


def _line(number: int, each: Round) -> str:
    return (
        f"{number + 1:>3} {each.side:<8} {each.per_s:>8,.0f}/s  p50 {each.p50_ms:6.1f}  "
        f"p99 {each.p99_ms:6.1f} ms  CPU {each.cpu_us:6.0f} us"
    )


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
    ).stdout.strip()


def main() -> int:
    """Compare; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    try:
        return 0 if asyncio.run(compare(given=given, screen=screen)) else EXIT_OFF
    except (CompareError, StackMissing, WorkloadError, SettingsError) as error:
        screen.line(f"✗ {error}")
        return EXIT_UNABLE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

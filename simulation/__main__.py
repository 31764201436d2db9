"""``python -m simulation``: plays seeds, shortens what fails, and writes a report.

One command reproduces each failure: the seed with its steps, or of these only the ones
that are needed (``--only``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deploy import version
from simulation.report import Campaign, Failure, write_report
from simulation.run import STEPS, Verdict, history_of, play, play_seed, quiet
from simulation.shrink import shrink, told

EXIT_BROKEN = 1
PROGRESS_S = 1.0
SHRUNK_MAX = 3
"""So many failing seeds are shortened; the others are only named."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every promise was kept."""
    asked = _parser().parse_args(arguments)
    with quiet():
        if asked.only is not None:
            return _replay(asked.first, asked.steps, asked.only)
        campaign = _run(asked)
    print(campaign.summary())
    if asked.report:
        write_report(campaign, Path(asked.report))
    return EXIT_BROKEN if campaign.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each seed")
    parser.add_argument("--stop-at", type=int, default=SHRUNK_MAX, help="failures to stop at")
    parser.add_argument("--no-shrink", action="store_true", help="only name failing seeds")
    parser.add_argument("--only", type=_numbers, help="of the first seed's steps only these")
    parser.add_argument("--report", metavar="FOLDER", help="write simulation.md and .json there")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _run(asked: argparse.Namespace) -> Campaign:
    commit = version.commit()
    seeds = range(asked.first, asked.first + asked.seeds)
    started, cpu_started_s = time.monotonic(), time.process_time()
    shown = started
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    done = steps = events = 0
    for verdict in (play_seed(seed, asked.steps) for seed in seeds):
        done, steps, events = done + 1, steps + verdict.steps, events + verdict.events
        counts.update(verdict.counts)
        if verdict.check:
            failures.append(_failure(verdict, shorten=not asked.no_shrink))
            print(failures[-1].text(), flush=True)
            if len(failures) >= asked.stop_at:
                break
        now = time.monotonic()
        if now - shown >= PROGRESS_S:
            shown = now
            rate = steps / (now - started)
            line = (
                f"{done}/{len(seeds)} seeds  {steps:,} steps  {rate:,.0f} steps/s"
                f"  {events:,} events  {len(failures)} broken"
            )
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return Campaign(
        first=asked.first,
        seeds=done,
        steps_each=asked.steps,
        steps=steps,
        events=events,
        duration_s=time.monotonic() - started,
        cpu_s=time.process_time() - cpu_started_s,
        counts=counts,
        failures=failures,
        commit=commit,
    )


def _failure(verdict: Verdict, *, shorten: bool) -> Failure:
    kept: list[int] = []
    lines: list[str] = []
    detail = verdict.detail
    if shorten:
        history = history_of(verdict.seed, verdict.steps)
        kept, actions = shrink(history, verdict.check)
        lines = [told(action) for action in actions]
        detail = play(actions).detail
    return Failure(
        seed=verdict.seed,
        steps=verdict.steps,
        check=verdict.check,
        detail=detail,
        kept=kept,
        history=lines,
    )


def _replay(seed: int, steps: int, kept: Sequence[int]) -> int:
    history = history_of(seed, steps)
    actions = [history[number] for number in kept]
    for number, action in zip(kept, actions, strict=True):
        print(f"{number:5}  {told(action)}")
    verdict = play(actions, seed=seed)
    print(verdict.detail or "every promise was kept")
    return EXIT_BROKEN if verdict.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

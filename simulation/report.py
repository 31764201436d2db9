"""What a run of many seeds has shown, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import version

SOMETIMES = {
    "fenced writes": "run ended by Fenced",
    "repeats answered with the first answer": "repeats answered",
    "key reused with another body (422)": "told IDEMPOTENCY_KEY_REUSED",
    "outcome unknown (504)": "told OUTCOME_UNKNOWN",
    "unknown outcomes resolved": "unknown outcomes resolved",
    "commit without its answer": "fate: write unanswered",
    "activation lost to expiry": "activation lost to expiry",
    "expiry lost to activation": "expiry lost to activation",
    "sold out": "told SOLD_OUT",
    "cap reached": "told HOLD_LIMIT_REACHED",
    "stale commands dropped": "stale commands dropped",
    "input rewinds": "input rewinds",
    "relay rewinds": "relay rewinds",
    "gaps filled from the owner": "gaps filled",
    "tails lost": "tails lost",
    "dead letters": "dead letters",
    "take-overs": "take-overs",
    "second owners": "second owners",
    "paused in the middle of a batch": "fate: stop before write",
    "clock jumps that pause expiry": "clock pauses expiry",
    "deadlines met within 50 ms": "deadlines approached",
    "holds of others refused": "foreign holds refused",
    "not executed (503)": "told NOT_EXECUTED",
    "still running (409)": "told IDEMPOTENCY_IN_PROGRESS",
    "answers that nobody waited for": "late answers",
    "gateway kills": "gateway kills",
    "broker outages": "broker outages",
}
"""What must have happened at least once, else a run has shown nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A broken promise, and the shortest history that breaks it."""

    seed: int
    steps: int
    check: str
    detail: str
    kept: list[int] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """The one command that shows it again."""
        only = f" --only {','.join(map(str, self.kept))}" if self.kept else " --seeds 1"
        return f".venv/bin/python -m simulation --from {self.seed} --steps {self.steps}{only}"

    def text(self) -> str:
        """Return it as lines."""
        lines = [f"\nseed {self.seed} breaks {self.detail}"]
        if self.history:
            lines.append(f"  the shortest history has {len(self.history)} of {self.steps} steps:")
            lines += [
                f"    {number:5}  {line}"
                for number, line in zip(self.kept, self.history, strict=True)
            ]
        return "\n".join([*lines, f"  again: {self.command}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Many seeds."""

    first: int
    seeds: int
    steps_each: int
    steps: int
    events: int
    duration_s: float
    cpu_s: float
    counts: Counter[str]
    failures: list[Failure]
    commit: dict[str, Any]

    @property
    def command(self) -> str:
        """The command of this run."""
        return f"make simulate SEEDS={self.seeds} FROM={self.first} STEPS={self.steps_each}"

    def summary(self) -> str:
        """Return one line."""
        return (
            f"{self.seeds} seeds, {self.steps:,} steps, {self.events:,} events recorded,"
            f" {self.duration_s:.1f} s, {self.cpu_s:.1f} s of one core"
            f" ({self.steps / self.cpu_s:,.0f} steps a second of it):"
            f" {len(self.failures) or 'no'} broken promises"
        )

    def missing(self) -> list[str]:
        """Return what should have happened and has not."""
        return [name for name, counter in SOMETIMES.items() if not self.counts[counter]]

    def markdown(self) -> str:
        """Return the report for people."""
        lines = [
            "# Simulation",
            "",
            f"`{self.command}` on {version.named(self.commit)}.",
            "",
            self.summary() + ".",
            "",
            "| what must happen sometimes | times |",
            "|---|---:|",
            *(f"| {name} | {self.counts[key]:,} |" for name, key in SOMETIMES.items()),
            "",
            "All that was counted:",
            "",
            "| counter | times |",
            "|---|---:|",
            *(f"| {name} | {self.counts[name]:,} |" for name in sorted(self.counts)),
        ]
        for failure in self.failures:
            lines += ["", f"## Seed {failure.seed}", "", "```", failure.text().strip(), "```"]
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "command": self.command,
            "commit": self.commit,
            "seeds": self.seeds,
            "first_seed": self.first,
            "steps": self.steps,
            "events": self.events,
            "duration_s": round(self.duration_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "steps_per_cpu_s": round(self.steps / self.cpu_s),
            "sometimes": {name: self.counts[key] for name, key in SOMETIMES.items()},
            "counters": {name: self.counts[name] for name in sorted(self.counts)},
            "failures": [
                {
                    "seed": failure.seed,
                    "check": failure.check,
                    "detail": failure.detail,
                    "command": failure.command,
                    "history": failure.history,
                }
                for failure in self.failures
            ],
        }


def write_report(campaign: Campaign, folder: Path) -> None:
    """Write the report into a folder, as Markdown and as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "simulation.md").write_text(campaign.markdown(), encoding="utf-8")
    document = json.dumps(campaign.document(), indent=2, ensure_ascii=False) + "\n"
    (folder / "simulation.json").write_text(document, encoding="utf-8")

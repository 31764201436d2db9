"""What a campaign found, as JSON, as Markdown, and as a plot of answers by status over time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.campaign import Done
from chaos.checks import Finding
from chaos.counters import NEEDS, WANTED
from chaos.judge import Verdict
from deploy import version
from deploy.plotting import library, svg

_POINTS_MAX = 180
_FAULTS_MARKED_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All of a campaign that is told."""

    command: str
    commit: Mapping[str, Any]
    seed: int
    minutes: float
    began_ns: int
    faults: Sequence[Done]
    left_out: Sequence[str]
    seconds: Sequence[Mapping[str, Any]]
    findings: Sequence[Finding]
    counters: Mapping[str, int]
    wanted: frozenset[str]
    recovery_s: float | None
    programs: Sequence[Verdict] = ()

    @property
    def injected(self) -> list[Done]:
        """Return the faults that were really injected."""
        return [each for each in self.faults if each.at_ns and not each.skipped]

    @property
    def missing(self) -> list[str]:
        """Return the counters that stayed at zero although a chosen fault leads to them."""
        return [
            name
            for name in WANTED
            if not self.counters.get(name) and (name not in NEEDS or NEEDS[name] & self.wanted)
        ]

    @property
    def passed(self) -> bool:
        """Say whether everything held, and everything happened without which that shows little."""
        return self.held and not self.missing

    @property
    def held(self) -> bool:
        """Say whether every check passed and every fault healed."""
        return (
            all(each.passed for each in self.findings)
            and not any(each.failed for each in self.faults)
            and not any(each.code for each in self.programs)
        )

    def plain(self) -> dict[str, Any]:
        """Return the report for programs."""
        last = self.seconds[-1] if self.seconds else {}
        return {
            "passed": self.passed,
            "held": self.held,
            "command": self.command,
            "commit": self.commit,
            "seed": self.seed,
            "minutes": self.minutes,
            "requests": last.get("sent", 0),
            "statuses": last.get("statuses", {}),
            "faults_injected": len(self.injected),
            "faults_by_kind": dict(Counter(f"{x.name} {x.title}" for x in self.injected)),
            "faults_skipped": [
                f"{x.name} {x.title}: {x.skipped}" for x in self.faults if x.skipped
            ],
            "faults_not_healed": [
                f"{x.name} {x.what}: {x.failed}" for x in self.faults if x.failed
            ],
            "faults_left_out": list(self.left_out),
            "recovery_s": self.recovery_s,
            "findings": [{**asdict(x), "passed": x.passed} for x in self.findings],
            "counters": dict(self.counters),
            "counters_at_zero": self.missing,
            "programs": [asdict(each) for each in self.programs],
            "faults": [
                {**x.plain(), "at_s": round((x.at_ns - self.began_ns) / 1e9, 2)}
                for x in self.injected
            ],
        }


def write(outcome: Outcome, folder: Path) -> None:
    """Write report.json, report.md and answers.svg into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = outcome.plain()
    (folder / "report.json").write_text(
        json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "answers.svg").write_bytes(_plot(outcome))
    (folder / "report.md").write_text(_markdown(plain), encoding="utf-8")


def _markdown(plain: Mapping[str, Any]) -> str:
    if plain["passed"]:
        verdict = "Everything held."
    elif plain["held"]:
        verdict = "**Nothing broke, but not everything happened that has to.**"
    else:
        verdict = "**Not everything held.**"
    recovery = plain["recovery_s"]
    lines = [
        "# Fault campaign",
        "",
        f"{verdict} `{plain['command']}` on {version.named(plain['commit'])}",
        "",
        f"{plain['requests']:,} calls in {plain['minutes']:g} minutes and what followed, "
        f"{plain['faults_injected']} faults, seed {plain['seed']}. Everything worked again "
        + (f"{recovery:.1f} s after the last fault." if recovery is not None else "never."),
        "",
        "| check | looked at | |",
        "|---|---:|---|",
        *(
            f"| {x['name']} | {x['looked_at']:,} | {'passed' if x['passed'] else 'FAILED'} |"
            for x in plain["findings"]
        ),
        "",
        *(f"- {x['name']}: {word}" for x in plain["findings"] for word in x["wrong"]),
        *(f"- did not heal: {word}" for word in plain["faults_not_healed"]),
        *(f"- never happened: {word}" for word in plain["counters_at_zero"]),
        "",
        *(line for x in plain["findings"] if x["excused"] for line in _excused(x)),
        "",
        "| program | exit code |",
        "|---|---:|",
        *(f"| {x['name']} | {x['code']} |" for x in plain["programs"]),
        "",
        *_last_words(plain["programs"]),
        "![answers by status over time, with the faults](answers.svg)",
        "",
        "| status | calls |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in sorted(plain["statuses"].items())),
        "",
        "| what has to happen sometimes | times | in 30 minutes |",
        "|---|---:|---:|",
        *(
            f"| {name} | {count:,} | {WANTED.get(name, '')} |"
            for name, count in plain["counters"].items()
        ),
        "",
        "| fault | times |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in sorted(plain["faults_by_kind"].items())),
        "",
        *(f"- left out: {word}" for word in plain["faults_left_out"]),
        *(f"- skipped: {word}" for word in plain["faults_skipped"]),
    ]
    return "\n".join(lines) + "\n"


def _excused(finding: Mapping[str, Any]) -> list[str]:
    return [
        f"Not counted in *{finding['name']}*: what these held or delayed.",
        "",
        "| by | calls |",
        "|---|---:|",
        *(f"| {why} | {count:,} |" for why, count in finding["excused"].items()),
        "",
    ]


def _last_words(programs: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for each in programs:
        if each["code"]:
            lines += ["```", *each["words"], "```", ""]
    return lines


def _plot(outcome: Outcome) -> bytes:
    """Return answers a second by status; faults are named along the time."""
    step = max(1, len(outcome.seconds) // _POINTS_MAX)
    points = list(outcome.seconds)[::step]
    plot = library().StackedLine(
        js=[],
        width=1200,
        height=520,
        fill=True,
        show_dots=False,
        legend_at_bottom=True,
        y_title="answers a second",
        x_label_rotation=60,
        show_minor_x_labels=False,
        title=f"Answers by status, seed {outcome.seed}",
    )
    labels = _labels(outcome, points)
    plot.x_labels = labels
    plot.x_labels_major = [label for label in labels if " " in label][:_FAULTS_MARKED_MAX]
    names = sorted({name for each in points for name in each["statuses"]})
    for name in names:
        counts = [each["statuses"].get(name, 0) for each in points]
        times = [each["at_ns"] / 1e9 for each in points]
        plot.add(
            name,
            [0.0]
            + [
                round((counts[n] - counts[n - 1]) / max(0.001, times[n] - times[n - 1]), 1)
                for n in range(1, len(points))
            ],
        )
    return svg(plot)


def _labels(outcome: Outcome, points: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = []
    before_ns = outcome.began_ns
    for each in points:
        names = [x.name for x in outcome.injected if before_ns <= x.at_ns < each["at_ns"]]
        before_ns = each["at_ns"]
        second = round((each["at_ns"] - outcome.began_ns) / 1e9)
        labels.append(f"{second} {' '.join(names)}".strip())
    return labels

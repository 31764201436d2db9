"""The report of a run: Markdown with plots as SVG files beside it, nothing loaded from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import plots
from bench.ground import Scenario
from bench.suite import Outcome
from bench.table import Cell, text_of
from bench.tables import tables, verdict_table
from bench.verdict import Verdict


def write(
    folder: Path,
    *,
    outcome: Outcome,
    verdicts: Sequence[Verdict],
    scenarios: Sequence[Scenario],
    facts: Mapping[str, str],
    configuration: Mapping[str, Any],
) -> Path:
    """Write report.md and its plots into *folder*; return the report."""
    drawn = plots.draw(folder, outcome.rows)
    lines = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += _verdict(outcome)
    lines += ["## Asked and measured", "", *markdown(*verdict_table(verdicts)), ""]
    lines += [f"![{title}]({file})" for file, title in drawn.items()]
    lines += ["", "## Configuration", ""]
    lines += markdown(("", ""), [[name, str(value)] for name, value in configuration.items()])
    for scenario in scenarios:
        rows = [row for row in outcome.rows if row.scenario == scenario.name]
        lines += ["", f"## {scenario.name}", "", scenario.about, ""]
        for header, cells in tables(rows):
            lines += [*markdown(header, cells), ""]
        lines += [f"- {row.label}: {text}" for row in rows for text in (*row.notes, *row.faults)]
    if outcome.memory:
        lines += ["", "## Memory", "", *(f"- {text}" for text in outcome.memory)]
    report = folder / "report.md"
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


def evidence(
    folder: Path,
    name: str,
    *,
    outcome: Outcome,
    verdicts: Sequence[Verdict],
    scenarios: Sequence[Scenario],
    result: Mapping[str, Any],
    facts: Mapping[str, str],
) -> None:
    """Write a run of a few scenarios as name.md, with every round, and its figures as name.json."""
    measured = [each for each in verdicts if each.measured is not None]
    lines = [f"# {name.capitalize()}", "", *(f"- {key}: {value}" for key, value in facts.items())]
    lines += ["", *_verdict(outcome), *markdown(*verdict_table(measured))]
    for scenario in scenarios:
        rows = [
            replace(row, label=f"round {number}, {row.label}")
            for number, found in enumerate(outcome.rounds, start=1)
            for row in found
            if row.scenario == scenario.name
        ]
        lines += ["", f"## {scenario.name}", "", scenario.about, ""]
        for header, cells in tables(rows):
            lines += [*markdown(header, cells), ""]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def markdown(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Return a Markdown table's lines."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(
            f"| {' | '.join(text_of(cell).replace('|', '&#124;') for cell in row)} |"
            for row in rows
        ),
    ]


def _verdict(outcome: Outcome) -> list[str]:
    marks = {True: "✓", False: "✗"}
    return [
        f"## {'Every check holds' if outcome.passed else 'NOT all right'}",
        "",
        *(f"- {marks[check.passed]} {check.text}" for check in outcome.checks),
        *(f"- ✗ {fault}" for fault in outcome.faults),
        "",
    ]

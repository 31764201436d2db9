"""The verdicts as text, JSON and Markdown."""

from __future__ import annotations

import json
from typing import Any

from ota_checker.prefix import Story
from ota_checker.reading import Row
from ota_checker.verdicts import INVARIANTS, Verdicts

SHOWN_MAX = 40
"""Events and calls of one story on the screen; the JSON has them all."""
_SIGNS = {"passed": "✓", "violated": "✗", "not judged": "-"}


def as_text(verdicts: Verdicts, told: list[Story], only: tuple[str, ...]) -> str:
    """Return the table and the stories, for a screen."""
    lines = []
    for name in only:
        state = verdicts.state(name)
        lines.append(
            f"{_SIGNS[state]} {name:<4}{INVARIANTS[name]:<28}{state:<12}{_count(verdicts, name)}"
        )
    for story in told:
        lines += ["", f"✗ {story.violation.invariant}: {story.violation.rule}"]
        lines += [f"    {line}" for line in _told(story)]
    violated = sum(verdicts.state(name) == "violated" for name in only)
    judged = sum(verdicts.state(name) != "not judged" for name in only)
    figures = verdicts.figures
    lines += [
        "",
        (
            f"{judged} of {len(only)} invariants judged, {violated} violated;"
            f" {figures.get('events', 0)} events, {figures.get('calls', 0)} calls,"
            f" {figures.get('seconds', 0)} s"
        ),
    ]
    return "\n".join(lines)


def as_json(verdicts: Verdicts, told: list[Story], only: tuple[str, ...]) -> str:
    """Return everything, for programs."""
    found: dict[str, Any] = {
        "violated": [name for name in only if verdicts.state(name) == "violated"],
        "invariants": {
            name: {
                "name": INVARIANTS[name],
                "state": verdicts.state(name),
                "looked_at": verdicts.looked[name],
                "violations": verdicts.found[name],
                "reason": verdicts.reasons.get(name)
                if verdicts.state(name) == "not judged"
                else None,
                "rules": [each.rule for each in verdicts.violations if each.invariant == name],
            }
            for name in only
        },
        "figures": verdicts.figures,
        "stories": [
            {
                "invariant": story.violation.invariant,
                "rule": story.violation.rule,
                "until": story.violation.until,
                "left_out": story.left_out,
                "events": story.events,
                "calls": story.calls,
            }
            for story in told
        ],
    }
    return json.dumps(found, indent=1, ensure_ascii=False)


def as_markdown(verdicts: Verdicts, told: list[Story], only: tuple[str, ...]) -> str:
    """Return the report that may be committed as evidence."""
    lines = ["# What the checker decided", "", "| | invariant | verdict | looked at |", "|-|-|-|-|"]
    lines += [
        f"| {name} | {INVARIANTS[name]} | {verdicts.state(name)} | {_count(verdicts, name)} |"
        for name in only
    ]
    lines += ["", "| figure | |", "|-|-|"]
    lines += [f"| {name} | {value} |" for name, value in sorted(verdicts.figures.items())]
    for story in told:
        lines += ["", f"## {story.violation.invariant}: {story.violation.rule}", "", "```"]
        lines += [*_told(story), "```"]
    return "\n".join(lines) + "\n"


def _count(verdicts: Verdicts, name: str) -> str:
    state = verdicts.state(name)
    if state == "not judged":
        return verdicts.reasons.get(name, "")
    looked = f"{verdicts.looked[name]:,}"
    return f"{verdicts.found[name]:,} of {looked}" if state == "violated" else looked


def _told(story: Story) -> list[str]:
    events = [_event(row) for row in story.events]
    calls = [_call(row) for row in story.calls]
    lines = _first(events) + _first(calls)
    if story.left_out:
        lines.append(f"({story.left_out} events of the pool cancel each other out)")
    return lines


def _first(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN_MAX:
        return lines
    half = SHOWN_MAX // 2
    return [*lines[:half], f"... {len(lines) - 2 * half} more, see the JSON", *lines[-half:]]


def _event(row: Row) -> str:
    data = json.loads(row["data"])
    names = ("pool_no", "partner_id", "quantity", "units", "expires_at", "order_id", "total_minor")
    said = " ".join(f"{name}={data[name]}" for name in names if data.get(name) is not None)
    kind = row["type"].rpartition(".")[2]
    place = f"{row['service']} {row['generation']}-{row['partition']}-{row['seq']}"
    when = row["decided_at"][11:26]
    return f"{place:<24} {when} epoch {row['epoch']} {kind} {row['subject']} {said}"


def _call(row: Row) -> str:
    took_ms = (row["completed_ns"] - row["invoked_ns"]) / 1e6
    body = row.get("body")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    sent = row.get("request")
    asked = sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False)
    return (
        f"line {row['line']:<6} at {row['invoked_ns'] / 1e9:.3f} s, {took_ms:.1f} ms:"
        f" {row['client']} {row['partner']} {row['method']} {row['path']}"
        f" key={row.get('key')} {(asked or '')[:120]} -> {row['status']} {(text or '')[:160]}"
    )

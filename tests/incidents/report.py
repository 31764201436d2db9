"""The page of all incidents, made from what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from deploy.local.settings import CHECKOUT

DOCS: Final = CHECKOUT / "docs"
EVIDENCE: Final = DOCS / "evidence" / "incidents.json"
PAGE: Final = DOCS / "incidents.md"
PICTURES: Final = DOCS / "incidents"
NONE: Final = frozenset({"nothing", "0", "0 ms", "0.0/s", "0.0 %"})
HEAD: Final = """# Ten staged incidents

For practice. `make incident N=any HOLD=1` stages one of these on a stack of its own, with
Prometheus, Alertmanager and a little traffic of three partners, and says where to look; press Enter
once you know what it is. `N=3` plays the third one and says what it sees; `N=all WRITE=1` plays all
and writes this page (a quarter of an hour; as root, since one needs a disk of its own).

Seconds count from the cause: until the alert's condition held (pending), until it fired, and until
Alertmanager had told the receiver. Prometheus scrapes and evaluates each 5 s; Alertmanager waits
for more of the same, 5 s before it pages and 30 s before a ticket. *Quiet* counts from the healing.
What fires within 120 s is in time.
"""


def keep(results: Iterable[Mapping[str, Any]], *, evidence: Path = EVIDENCE) -> str:
    """Put results in the place of older ones of the same incidents; return the page."""
    kept = json.loads(evidence.read_text(encoding="utf-8")) if evidence.exists() else []
    at = datetime.now(UTC).isoformat(timespec="seconds")
    runs = {each["number"]: each for each in (*kept, *({**each, "at": at} for each in results))}
    ordered = [runs[number] for number in sorted(runs)]
    evidence.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(ordered, indent=1, ensure_ascii=False)
    evidence.write_text(text + "\n", encoding="utf-8")
    return page_of(ordered)


def page_of(runs: Iterable[Mapping[str, Any]]) -> str:
    """Return the page."""
    runs = list(runs)
    rows = [
        f"| {run['number']} | [{run['title']}](#{_anchor(run)}) | {run['alert']} |"
        f" {_seconds(run['pending_s'])} | {_seconds(run['firing_s'])} | {_seconds(run['told_s'])} |"
        f" {_seconds(run['quiet_s']) if run['quiet_s'] is not None else run['lingers']} |"
        for run in runs
    ]
    table = [
        "| | incident | alert | pending | firing | told | quiet |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join([HEAD, *table, "", *(line for run in runs for line in _section(run))])


def _anchor(run: Mapping[str, Any]) -> str:
    return f"{run['number']}-{run['title'].lower().replace(' ', '-')}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"


def _section(run: Mapping[str, Any]) -> list[str]:
    alert, runbook = run["alert"], run["runbook"]
    link = f"[{alert}](runbook-alerts.md#{alert.lower()})"
    told = f"**Cause**: {run['done']}. **Alert**: {link}, fires after {_seconds(run['firing_s'])}."
    lines = [f"## {run['number']} {run['title']}", "", told]
    if run["also"]:
        also = ", ".join(f"{name} ({since:.0f} s)" for name, since in run["also"].items())
        lines += [f"Others that fired by then, and when their condition began to hold: {also}."]
    lines += ["", "| dashboard: panel | before | then |", "|---|---|---|"]
    lines += map(_panel, run["panels"])
    lines += ["", "The console says:", "", *(f"> {row}  " for row in run["console"]), ""]
    if run["picture"]:
        lines += [f"![The console](incidents/{run['picture']})", ""]
    lines += [
        f"The runbook's first look: {runbook['First look']} *Do*: {runbook['Do']}",
        "",
        f"**Healed**: {run['healed']}; "
        + (
            f"the alert ended {_seconds(run['quiet_s'])} later."
            if run["quiet_s"] is not None
            else f"the alert goes on for a while: {run['lingers']}."
        ),
        "",
    ]
    return lines


def _panel(panel: Mapping[str, Any]) -> str:
    """Return a panel's row, without the curves that lie at zero all the time."""
    sides = (panel["before"], panel["during"])
    moving = [name for name in sides[0] if not {side[name] for side in sides} <= NONE]
    shown = moving or list(sides[0])
    cells = (
        "<br>".join(f"{name} {side[name]}".strip() for name in shown) or "nothing" for side in sides
    )
    return f"| {panel['panel']} | {' | '.join(cells)} |"

"""Alert states as Prometheus tells them; nothing of its answer is trusted to be there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_ORDER = {"firing": 0, "pending": 1, "inactive": 2}
RUNBOOK = "docs/runbook-alerts.md#"
"""How our own rules name what to do about them."""
_SEVERITIES = {"page": 0, "critical": 0, "ticket": 1, "warning": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """An alert rule with its worst state; *instances* are those that fire or are about to."""

    name: str
    state: str
    severity: str
    summary: str
    runbook_url: str | None
    dashboard_url: str | None
    since: datetime | None
    instances: int
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertBoard:
    """All rules: those that want attention, and how many are quiet."""

    lines: Sequence[AlertLine]

    @property
    def loud(self) -> list[AlertLine]:
        """What fires or is about to, or whose rule can't be evaluated."""
        return [line for line in self.lines if line.state != "inactive" or line.fault]

    @property
    def quiet(self) -> list[AlertLine]:
        """The rest."""
        return [line for line in self.lines if line.state == "inactive" and not line.fault]

    @property
    def firing(self) -> int:
        """How many rules fire."""
        return sum(line.state == "firing" for line in self.lines)


def board_of(answer: Mapping[str, Any], *, grafana_url: str = "") -> AlertBoard:
    """Return the board of an answer of ``/api/v1/rules``; raises ValueError for another one.

    Dashboards that are named without a server are those at *grafana_url*.
    """
    try:
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        lines = [
            _line(rule, grafana_url) for rule in rules if rule.get("type", "alerting") == "alerting"
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of rules: {error!r}") from error
    return AlertBoard(
        lines=sorted(
            lines,
            key=lambda line: (
                _ORDER.get(line.state, 0),
                _SEVERITIES.get(line.severity, 2),
                line.name,
            ),
        )
    )


def _line(rule: Mapping[str, Any], grafana_url: str) -> AlertLine:
    alerts = rule.get("alerts") or []
    # The rule's own annotations are templates; an alert's have its values in them.
    notes = {**rule.get("annotations", {}), **(alerts[0].get("annotations", {}) if alerts else {})}
    return AlertLine(
        name=str(rule["name"]),
        state=str(rule.get("state", "inactive")),
        severity=str(rule.get("labels", {}).get("severity", "")),
        summary=str(notes.get("summary", "")),
        runbook_url=_web_address(notes.get("runbook_url"), {RUNBOOK: "/console/runbook/alerts#"}),
        dashboard_url=_web_address(
            notes.get("dashboard_url"), {"/d/": f"{grafana_url.rstrip('/')}/d/"}
        ),
        since=min(filter(None, map(_instant, _starts(alerts))), default=None),
        instances=len(alerts),
        fault=str(rule.get("lastError") or ""),
    )


def _starts(alerts: Iterable[Mapping[str, Any]]) -> list[object]:
    return [alert.get("activeAt") for alert in alerts]


def _instant(value: object) -> datetime | None:
    try:
        # Prometheus gives nanoseconds, which Python has no room for.
        head, _, rest = str(value).partition(".")
        found = datetime.fromisoformat(head.removesuffix("Z") + "+00:00")
        digits = "".join(c for c in rest if c.isdigit())[:6].ljust(6, "0")
        return found.replace(microsecond=int(digits))
    except ValueError:
        return None


def _web_address(value: object, ours: Mapping[str, str]) -> str | None:
    """Return an address that a link may have: a script in one would run here.

    *ours* are beginnings of addresses in our own rules, and where they lead from here.
    """
    text = str(value or "")
    for beginning, place in ours.items():
        if text.startswith(beginning):
            text = place + text.removeprefix(beginning)
    return text if text.startswith(("https://", "http://", "/console/")) else None

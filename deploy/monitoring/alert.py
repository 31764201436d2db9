"""What an alert and a recording rule are, as tables hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PAGE: Final = "page"
TICKET: Final = "ticket"
RUNBOOK: Final = "docs/runbook-alerts.md"

# Labels of the series in the alerts' tests.
INSTANCE: Final = 'job="inventory",instance="inventory:9102"'
POOL: Final = 'product_id="106",channel="ota"'
WHOSE: Final = f'partner_id="harbour",{POOL}'
RESERVE: Final = 'http_route="/api/ota/reserve"'

REMEMBERED: Final = "1d"
"""So long an alert on what must never happen goes on after the process that counted it has ended:
it pages until somebody has looked and silenced it."""

_LABEL: Final = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


def ever(counter: str, by: str = "") -> str:
    """Return how much was counted at most, by processes that have ended since as well."""
    grouped = f" by ({by}) " if by else ""
    return f"max{grouped}(max_over_time({counter}[{REMEMBERED}]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A recorded expression."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_yaml(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        found: dict[str, Any] = {"record": self.record, "expr": self.expr}
        return found | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert with its own proof: series by which it *fires*, and others by which it is *silent*.

    *hold* is how long the expression must hold. *labels* are those of the firing alert, *at* is
    when it is looked at in the series, whose values are *interval* apart (promtool's notation).
    Texts take labels as ``{{ $labels.job }}``. *dashboard* is a dashboard's uid.
    """

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    description: str
    dashboard: str
    fires: Mapping[str, str]
    silent: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    at: str = "5m"
    interval: str = "15s"

    @property
    def annotations(self) -> dict[str, str]:
        """Return the texts and links."""
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{RUNBOOK}#{self.name.lower()}",
            "dashboard_url": f"/d/{self.dashboard}",
        }

    def as_yaml(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            "labels": {"severity": self.severity},
            "annotations": self.annotations,
        }

    def tests(self) -> list[dict[str, Any]]:
        """Return promtool's tests: it fires with these series, and not with those."""
        fired = {
            "exp_labels": {"severity": self.severity, **self.labels},
            "exp_annotations": {
                name: _LABEL.sub(lambda found: self.labels[found[1]], text)
                for name, text in self.annotations.items()
            },
        }
        return [
            self._test("fires", self.fires, [fired]),
            self._test("stays silent", self.silent, []),
        ]

    def _test(
        self, word: str, series: Mapping[str, str], expected: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "name": f"{self.name} {word}",
            "interval": self.interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": self.at, "alertname": self.name, "exp_alerts": expected}
            ],
        }

"""What Prometheus says: alerts, and the panels of the dashboards by their own expressions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp

from deploy.monitoring.dashboards import ALL
from deploy.monitoring.panels import Panel

RATE_WINDOW: Final = "20s"
"""What Grafana takes for $__rate_interval at a scrape each 5 s."""
_NAME: Final = re.compile(r"\{\{(\w+)\}\}")
_TOO_FINE: Final = re.compile(r"(?<=\.\d{6})\d+")
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert that is pending or firing; *since* in seconds since 1970."""

    name: str
    firing: bool
    since: float
    labels: Labels


class Prometheus:
    """The server at *url*."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def values(self, expr: str) -> list[tuple[Labels, float]]:
        """Return what an expression finds now."""
        data = await self._ask("query", query=expr)
        return [(each["metric"], float(each["value"][1])) for each in data["result"]]

    async def alarms(self) -> list[Alarm]:
        """Return what is pending or fires."""
        return [
            Alarm(
                name=each["labels"]["alertname"],
                firing=each["state"] == "firing",
                since=moment(each["activeAt"]),
                labels=each["labels"],
            )
            for each in (await self._ask("alerts"))["alerts"]
        ]

    async def panel(self, panel: Panel, *, of: str) -> dict[str, float]:
        """Return a panel's figures by legend, those that have *of* in it."""
        found: dict[str, float] = {}
        for query in panel.queries:
            expr = query.expr.replace("$__rate_interval", RATE_WINDOW).replace("$partner_id", ".*")
            for labels, value in await self.values(expr):
                name = legend(query.legend, labels)
                if of in name and not math.isnan(value):
                    found[name] = value
        return found

    async def _ask(self, path: str, **query: str) -> Any:
        async with self._session.get(f"{self.url}/api/v1/{path}", params=query) as response:
            answer = await response.json()
        assert "success" == answer["status"], (query, answer)
        return answer["data"]


def moment(text: str) -> float:
    """Return an instant of Prometheus, which may have nanoseconds."""
    return datetime.fromisoformat(_TOO_FINE.sub("", text).replace("Z", "+00:00")).timestamp()


def legend(template: str, labels: Labels) -> str:
    """Return what Grafana calls a curve."""
    return _NAME.sub(lambda found: labels.get(found[1], ""), template)


def panel_named(dashboard: str, title: str) -> Panel:
    """Return a panel of a dashboard; raises StopIteration for one that is not there."""
    page = next(each for each in ALL if each.uid == dashboard)
    return next(panel for panel in page.panels if panel.title == title)


def figure(value: float, unit: str) -> str:
    """Return a figure as a reader wants it."""
    match unit:
        case "s":
            return f"{value:.1f} s" if abs(value) >= 1 else f"{round(value * 1000)} ms"
        case "percentunit":
            return f"{value * 100:.1f} %"
        case "bytes":
            return f"{value / 1_048_576:,.0f} MiB"
        case "reqps" | "cps":
            return f"{value:.1f}/s"
        case _:
            return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"

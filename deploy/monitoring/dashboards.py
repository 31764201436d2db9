"""All dashboards, and the JSON that Grafana reads.

Panels flow from left to right, four units high where they show one figure and eight where they
show a curve. Every query is run against a live stack by tests/e2e/test_monitoring.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from deploy.monitoring.business_pages import BUSINESS, PARTNER
from deploy.monitoring.panels import Dashboard, Panel, Query
from deploy.monitoring.platform_pages import DATASTORES, OVERVIEW, PIPELINE

SCHEMA_VERSION: Final = 36
COLUMNS: Final = 24
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

ALL: Final = (OVERVIEW, PARTNER, PIPELINE, DATASTORES, BUSINESS)


def dashboards() -> Iterator[dict[str, Any]]:
    """Return every dashboard as Grafana reads it."""
    for dashboard in ALL:
        yield {
            "uid": dashboard.uid,
            "title": dashboard.title,
            "description": dashboard.about,
            "tags": ["ota"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "timezone": "Asia/Hong_Kong",
            "links": [{"type": "dashboards", "tags": ["ota"], "title": "OTA", "keepTime": True}],
            "templating": {"list": list(_variables(dashboard))},
            "panels": list(_placed(dashboard.panels)),
        }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    if dashboard.variable is not None:
        label, metric = dashboard.variable
        yield {
            "name": label,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": f"label_values({metric}, {label})", "refId": label},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            "sort": 1,
        }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    x = y = row = 0
    for id, panel in enumerate(panels, start=1):
        width, height = panel.size
        if x + width > COLUMNS or (row and row != height):
            x, y, row = 0, y + row, 0
        row = height
        yield {
            "id": id,
            "type": "stat" if panel.stat else "timeseries",
            "title": panel.title,
            "description": panel.about,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": _field(panel), "overrides": []},
            "options": _options(panel),
            "targets": list(_targets(panel.queries)),
        }
        x += width


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit}
    if panel.thresholds:
        colours = ("red", "green") if panel.low_is_bad else ("green", "red")
        field["thresholds"] = {
            "mode": "absolute",
            "steps": [
                {"color": colours[0], "value": None},
                *({"color": colours[1], "value": value} for value in panel.thresholds),
            ],
        }
    if not panel.stat:
        field["custom"] = {"fillOpacity": 8, "showPoints": "never", "spanNulls": 60_000}
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.stat:
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _targets(queries: Iterable[Query]) -> Iterator[dict[str, Any]]:
    for number, query in enumerate(queries):
        yield {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "exemplar": "_bucket" in query.expr,
        }

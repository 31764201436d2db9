"""Panels of dashboards, and how the usual queries are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and what its curves are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A figure (stat) or curves (timeseries) with the unit that Grafana shows them in."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    about: str = ""
    stat: bool = False
    # Below the first green, above the last red; only for figures.
    thresholds: tuple[float, ...] = ()
    low_is_bad: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height."""
        return (4, 4) if self.stat else (8, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page of panels; *variable* is a label whose values can be chosen, with its metric."""

    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    variable: tuple[str, str] | None = None


def figure(title: str, expr: str, unit: str = "short", **more: Any) -> Panel:
    """Return a panel with one figure."""
    return Panel(title=title, queries=(Query(expr),), unit=unit, stat=True, **more)


def curves(title: str, *queries: tuple[str, str], unit: str = "short", about: str = "") -> Panel:
    """Return a panel with a curve for each query; a query is its expression and its legend."""
    return Panel(
        title=title, queries=tuple(Query(*each) for each in queries), unit=unit, about=about
    )


def quantile(quantile: float, histogram: str, by: str, selector: str = "") -> str:
    """Return the query of a quantile of what was observed lately."""
    rate = f"rate({histogram}_bucket{selector}[$__rate_interval])"
    return f"histogram_quantile({quantile}, sum by ({by}) ({rate}))"


def rate(counter: str, by: str, selector: str = "") -> str:
    """Return the query of how often a counter counts a second."""
    return f"sum by ({by}) (rate({counter}{selector}[$__rate_interval]))"


def mean(histogram: str, by: str) -> str:
    """Return the query of the mean of what was observed lately."""
    return f"{rate(histogram + '_sum', by)} / {rate(histogram + '_count', by)}"

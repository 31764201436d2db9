"""The plots of a report: SVG files that load nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.row import Row
from bench.tables import CPU_NAMES
from deploy.plotting import library, svg


def draw(folder: Path, rows: Sequence[Row]) -> dict[str, str]:
    """Write the plots that *rows* allow into *folder*; return their titles by file name."""
    found = {}
    for file, title, plot in (
        ("throughput.svg", "A second, by connections", _throughput(rows)),
        ("open-loop.svg", "Latency by arrivals a second", _open_loop(rows)),
        ("cpu.svg", "CPU a reserve", _cpu(rows)),
    ):
        if plot is not None:
            plot.title = title
            (folder / file).write_bytes(svg(plot))
            found[file] = title
    return found


def _plot(kind: str, **more: Any) -> Any:
    # pygal would have its script loaded from its site.
    return getattr(library(), kind)(js=[], width=900, height=420, legend_at_bottom=True, **more)


def _throughput(rows: Sequence[Row]) -> Any:
    names = ("reserve", "all-products", "hot-row", "usual-way")
    labels = [row.label for row in rows if row.scenario == "reserve"]
    if not labels:
        return None
    plot = _plot("Bar", y_title="1/s")
    plot.x_labels = labels
    for name in names:
        by_label = {row.label: row.per_s for row in rows if row.scenario == name}
        if by_label:
            plot.add(name, [by_label.get(label) for label in labels])
    return plot


def _open_loop(rows: Sequence[Row]) -> Any:
    found = [row for row in rows if row.scenario == "reserve-open" and row.latency]
    if not found:
        return None
    plot = _plot("Line", y_title="ms", logarithmic=True)
    plot.x_labels = [row.label for row in found]
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        plot.add(name.removesuffix("_ms"), [getattr(row.latency, name) for row in found])
    return plot


def _cpu(rows: Sequence[Row]) -> Any:
    found = [row for row in rows if row.scenario == "reserve" and row.cpu_us]
    if not found:
        return None
    plot = _plot("StackedBar", y_title="microseconds")
    plot.x_labels = [row.label for row in found]
    for name in CPU_NAMES:
        plot.add(name, [row.cpu_us.get(name) for row in found])
    return plot

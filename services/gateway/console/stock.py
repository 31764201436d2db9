"""Stock as it moves: figures of each pool, and the last minutes told backwards from the events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.gateway.store.stock_views import StockRow

PLOT_S = 600
POINTS_MAX = 600
LOW_PERCENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """An event of the ledger that moved units of a pool."""

    at: datetime
    type: str
    pool_no: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """A row of the table; *state* is a word that its colour repeats."""

    row: StockRow
    product: str
    state: str

    def percent(self, units: int) -> float:
        """Return a share of what is allotted."""
        return 100 * units / self.row.allotted if self.row.allotted else 0.0


def pool_lines(rows: Iterable[StockRow], name: Callable[[int], str]) -> list[PoolLine]:
    """Return the table: first the pools that anything was taken from, none without units."""
    lines = [
        PoolLine(row=row, product=name(row.product_id), state=_state(row))
        for row in rows
        if not is_empty(row)
    ]
    return sorted(lines, key=lambda line: not (line.row.held or line.row.sold))


def is_empty(row: StockRow) -> bool:
    """Say whether a pool has no units at all."""
    return not (row.allotted or row.held or row.sold)


def _state(row: StockRow) -> str:
    if row.available < 0:
        return "oversold"
    if not row.selling:
        return "stopped"
    if row.available == 0:
        return "sold out"
    return "low" if row.available * 100 <= row.allotted * LOW_PERCENT else "selling"


# What each event did to (held, sold); the past is told by undoing it.
_EFFECTS: Mapping[str, tuple[int, int]] = {
    "ota.inventory.units_held": (1, 0),
    "ota.inventory.units_sold": (-1, 1),
    "ota.inventory.units_released": (-1, 0),
}
MOVEMENT_TYPES = tuple(_EFFECTS)

Point = tuple[float, dict[int, tuple[int, int, int]]]
"""Seconds since 1970, and (available, held, sold) of each pool then."""


@dataclass(slots=True)
class History:
    """The plot's points, oldest first, bounded in time and number."""

    points: list[Point] = field(default_factory=list)

    def tell_past(
        self, rows: Sequence[StockRow], movements: Sequence[Movement], *, now: datetime
    ) -> None:
        """Fill in what was before *now*, from figures of now and *movements*, newest first.

        There is a point a second at most. An allotment that changed meanwhile is not undone.
        """
        figures = _figures(rows)
        points: list[Point] = [(now.timestamp(), dict(figures))]
        for movement in movements:
            at_s = movement.at.timestamp()
            before = figures.get(movement.pool_no)
            if before is not None:
                if points[-1][0] - at_s >= 1:
                    points.append((at_s, dict(figures)))
                held, sold = (each * movement.units for each in _EFFECTS[movement.type])
                available, held_now, sold_now = before
                figures[movement.pool_no] = (
                    available + held + sold,
                    held_now - held,
                    sold_now - sold,
                )
        if movements:
            points.append((movements[-1].at.timestamp() - 0.001, dict(figures)))
        self.points = points[::-1]
        self._trim(now)

    def add(self, rows: Sequence[StockRow], *, now: datetime) -> Point:
        """Add the figures of now and return that point."""
        point = (now.timestamp(), _figures(rows))
        self.points.append(point)
        self._trim(now)
        return point

    def _trim(self, now: datetime) -> None:
        since = now.timestamp() - PLOT_S
        self.points = [point for point in self.points if point[0] >= since][-POINTS_MAX:]


def points_json(points: Iterable[Point]) -> str:
    """Return points for the page's script."""
    return json.dumps([[round(at, 3), figures] for at, figures in points], separators=(",", ":"))


def _figures(rows: Iterable[StockRow]) -> dict[int, tuple[int, int, int]]:
    return {row.pool_no: (row.available, row.held, row.sold) for row in rows}

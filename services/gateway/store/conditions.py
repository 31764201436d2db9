"""The WHERE of a list: our own column names in the text, values only as parameters."""

from __future__ import annotations

from datetime import datetime

from services.gateway.domain.records import Slice


class Conditions:
    """Conditions that all hold, and their values in order; None adds no condition."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.values: list[object] = []

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._texts)}" if self._texts else ""

    def further(self) -> Conditions:
        """Return conditions for another part of the same statement: none yet, numbered on."""
        part = Conditions()
        part.values = self.values
        return part

    def equal(self, column: str, value: object | None) -> None:
        """Ask for one value of a column."""
        if value is not None:
            self._texts.append(f"{column} = {self._parameter(value)}")

    def period(self, column: str, start: datetime | None, before: datetime | None) -> None:
        """Ask for the half-open period from *start* until before *before*."""
        if start is not None:
            self._texts.append(f"{column} >= {self._parameter(start)}")
        if before is not None:
            self._texts.append(f"{column} < {self._parameter(before)}")

    def after(self, time: str, row_id: str, place: tuple[datetime, str] | None) -> None:
        """Go on after a row of a list that is ordered by time, newest first, then id.

        The time alone is said as well: an index can begin there, which it can't with an OR.
        """
        if place is not None:
            at, last = map(self._parameter, place)
            self._texts.append(
                f"{time} <= {at} AND ({time} < {at} OR ({time} = {at} AND {row_id} > {last}))"
            )

    def between(self, column: str, low: int, below: int) -> None:
        """Ask for a number from *low* until below *below*."""
        self._texts.append(
            f"{column} >= {self._parameter(low)} AND {column} < {self._parameter(below)}"
        )

    def before(self, time: str, row_no: str, place: tuple[datetime, int] | None) -> None:
        """Go on before a row of a list that is ordered by time, then row number, newest first."""
        if place is not None:
            at, number = map(self._parameter, place)
            self._texts.append(f"({time}, {row_no}) < ({at}, {number})")

    def first(self, rows: Slice) -> str:
        """Return the LIMIT of a list that is one of several of which a slice is taken."""
        return f"LIMIT {self._parameter(rows.offset + rows.limit)}"

    def limit(self, rows: Slice) -> str:
        """Return the LIMIT and OFFSET of a slice; call it last."""
        limit, offset = self._parameter(rows.limit), self._parameter(rows.offset)
        return f"LIMIT {limit} OFFSET {offset}"

    def _parameter(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

"""Plain text tables for the screen: numbers to the right, words to the left."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | int | float | None


def render(*, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table with a rule under its header; None is shown as a dash."""
    texts = [[text_of(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    numeric = [
        any(isinstance(row[index], int | float) for row in rows) for index in range(len(header))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, texts)])


def text_of(cell: Cell) -> str:
    """Return a cell as it is shown; None is a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        # Three digits that mean something; more would only pretend.
        decimals = 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 2
        return f"{cell:,.{decimals}f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell

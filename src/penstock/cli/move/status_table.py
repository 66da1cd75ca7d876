"""The table of `status`, as wide as the terminal bears."""

from __future__ import annotations

_ZEROS = ("0", "0 ms/s")
_LEAST = 7
"""Columns that are always shown, those up to the time for which the loop was held."""


def table(rows: list[list[str]], width: int | None) -> list[str]:
    """The lines of it, the headers first. What is 0 in each row makes room from the right, and is named."""
    left_out: list[str] = []
    lines = _aligned(rows)
    while width is not None and len(lines[0]) > width and (column := _empty_column(rows)) is not None:
        left_out.insert(0, rows[0][column])
        rows = [[*row[:column], *row[column + 1 :]] for row in rows]
        lines = _aligned(rows)
    return [*lines, f"  0 of all arms, not shown here: {', '.join(left_out)}"] if left_out else lines


def _empty_column(rows: list[list[str]]) -> int | None:
    """The last that can be left out."""
    for column in range(len(rows[0]) - 1, _LEAST - 1, -1):
        if all(row[column] in _ZEROS for row in rows[1:]):
            return column
    return None


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]

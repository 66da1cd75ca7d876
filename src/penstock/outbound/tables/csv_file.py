"""CSV as RFC 4180 has it: a header, CRLF, quotes where they are needed; UTF-8.

A null is an empty field, and so is an empty text: CSV cannot tell them apart. Floats are written in the shortest
form that reads back as the same number, booleans as `true` and `false`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .columns import Column, values_of


def write(path: Path, columns: list[Column], rows: Iterator[tuple[int, dict[str, Any]]], table: str) -> None:
    """Write a new file `path`. Raises OSError. `table` is for formats that have names for tables."""
    del table
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(column.name for column in columns)
        writer.writerows(values_of(columns, rows, boolean=_boolean))


def _boolean(value: Any) -> str:
    return "true" if value else "false"

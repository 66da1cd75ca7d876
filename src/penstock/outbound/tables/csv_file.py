"""CSV as RFC 4180 has it: a header, CRLF, quotes where they are needed; UTF-8.

A null is an empty field, and so is an empty text: CSV cannot tell them apart. Floats are written in the shortest
form that reads back as the same number, booleans as `true` and `false`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .columns import Column, converters


def write(path: Path, columns: list[Column], rows: Iterator[tuple[int, dict[str, Any]]], table: str) -> None:
    """Write a new file `path`. Raises OSError. `table` is for formats that have names for tables."""
    del table
    names = [column.name for column in columns]
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(names)
        writer.writerows(_fields(names, converters(columns, boolean=_boolean), rows))


def _fields(
    names: list[str], conversions: list[tuple[int, Any]], rows: Iterator[tuple[int, dict[str, Any]]]
) -> Iterator[list[Any]]:
    for _, row in rows:
        get = row.get
        fields = [get(name) for name in names]
        for index, convert in conversions:
            value = fields[index]
            if value is not None:
                fields[index] = convert(value)
        yield fields


def _boolean(value: Any) -> str:
    return "true" if value else "false"

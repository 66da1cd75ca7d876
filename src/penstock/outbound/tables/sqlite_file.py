"""SQLite: one table, its columns typed, its names quoted.

Every key of JSON can name a column, but for two things: SQLite takes names that differ only in the case of ASCII
letters for the same one, so the later of them gets a number, and it cannot hold a NUL in one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import StorageError
from .columns import Column, values_of

MOST_COLUMNS = 2_000
"""SQLite's own default (SQLITE_MAX_COLUMN)."""

# A column without any value has no type: it takes whatever an update puts there. BOOLEAN has the affinity of numbers.
_TYPES = {"integer": "INTEGER", "real": "REAL", "boolean": "BOOLEAN", "text": "TEXT", "json": "TEXT", "null": ""}
_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def legal(columns: list[Column]) -> list[Column]:
    """The same columns with names that a database can hold; the `key` of each stays what it is in the rows."""
    taken = {_folded(column.name) for column in columns}
    used: set[str] = set()
    found = []
    for column in columns:
        name = plain = column.name.replace("\0", "\N{SYMBOL FOR NULL}")
        number = 2
        while _folded(name) in used or (number > 2 and _folded(name) in taken):
            name, number = f"{plain}_{number}", number + 1
        used.add(_folded(name))
        found.append(replace(column, name=name))
    return found


def write(path: Path, columns: list[Column], rows: Iterator[tuple[int, dict[str, Any]]], table: str) -> None:
    """Write a new database `path`. Raises OSError, and StorageError for what SQLite says."""
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            # The file counts only once it is whole, synced and renamed, so it needs no journal of its own.
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            described = ", ".join(f"{_quoted(each.name)} {_TYPES[each.type]}".rstrip() for each in columns)
            database.execute(f"CREATE TABLE {_quoted(table)} ({described})")
            database.execute("BEGIN")
            insert = f"INSERT INTO {_quoted(table)} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  # quoted
            database.executemany(insert, values_of(columns, rows))
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StorageError(str(error)) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _folded(name: str) -> str:
    return name.translate(_FOLD)

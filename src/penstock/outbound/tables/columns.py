"""The columns of rows that nobody described: their names in the order of appearing, their types by what was seen.

A type holds every value that was seen, exactly, or it is text: no integer becomes a float that differs from it, and
what is not a string stands in a column of text as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ...errors import StorageError

ColumnType = Literal["integer", "real", "boolean", "text", "json", "null"]
"""`integer` fits 64 bits with a sign; `json` is text that is always JSON; `null` is a column without any value."""

Convert = Callable[[Any], Any]

_NULL, _BOOLEAN, _INTEGER, _WIDE, _HUGE, _REAL, _TEXT, _NESTED = (1 << bit for bit in range(8))
_KIND_OF: dict[type, int] = {
    type(None): _NULL,
    bool: _BOOLEAN,
    int: _INTEGER,
    float: _REAL,
    str: _TEXT,
    dict: _NESTED,
    list: _NESTED,
}
_MOST_EXACT = 1 << 53
"""Up to here a float holds every integer."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `mixed`: there are values in it that have to be made into its type."""

    name: str
    type: ColumnType
    mixed: bool = False
    key: str = ""
    """The name in the rows."""


def survey_columns(rows: Iterable[dict[str, Any]], known: Iterable[str], most: int, too_many: str) -> list[Column]:
    """The columns of `rows`, after those whose names are `known` beforehand.

    Memory is that of the names. Raises StorageError with `too_many` as soon as there are more than `most`.
    """
    kinds = dict.fromkeys(known, 0)
    kind_of = _KIND_OF
    for row in rows:
        for name, value in row.items():
            kind = kind_of[type(value)]
            if kind == _INTEGER and not -_MOST_EXACT <= value <= _MOST_EXACT:
                kind = _size(value)
            seen = kinds.get(name, -1)
            if seen < 0:
                if len(kinds) >= most:
                    raise StorageError(too_many)
                kinds[name] = kind
            elif seen | kind != seen:
                kinds[name] = seen | kind
    # A file with no column at all is no table; an empty one is at least to have the name that bare values get.
    return [_column(name, seen) for name, seen in (kinds or {"value": 0}).items()]


def converters(columns: list[Column], *, boolean: Convert | None = None) -> list[tuple[int, Convert]]:
    """(position, what to do with each value there that is not None), for the columns where anything is to be done."""
    by_type: dict[ColumnType, Convert] = {"real": float, "text": _as_text, "json": json_text}
    found = [(index, by_type[each.type]) for index, each in enumerate(columns) if each.mixed and each.type in by_type]
    if boolean is not None:
        found += [(index, boolean) for index, each in enumerate(columns) if each.type == "boolean"]
    return found


def values_of(
    columns: list[Column], rows: Iterable[tuple[int, dict[str, Any]]], *, boolean: Convert | None = None
) -> Iterator[list[Any]]:
    """The values of each row in the order of `columns`, None where it has none; for formats that take rows."""
    names = [column.key for column in columns]
    conversions = converters(columns, boolean=boolean)
    for _, row in rows:
        get = row.get
        values = [get(name) for name in names]
        for index, convert in conversions:
            value = values[index]
            if value is not None:
                values[index] = convert(value)
        yield values


def json_text(value: Any) -> str:
    """`value` as JSON, integers of any size as they are."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # orjson stops at 64 bits.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # JSON has no infinity, which is what 1e400 is read as.
    return repr(value) if isinstance(value, float) else json_text(value)


def _size(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        return _HUGE
    return _INTEGER if int(float(value)) == value else _WIDE


def _column(name: str, seen: int) -> Column:
    values = seen & ~_NULL
    if not values:
        return Column(name, "null", key=name)
    if values == _BOOLEAN:
        return Column(name, "boolean", key=name)
    if values == _NESTED:
        return Column(name, "json", mixed=True, key=name)
    if not values & ~(_INTEGER | _WIDE):
        return Column(name, "integer", key=name)
    if not values & ~(_INTEGER | _REAL):
        return Column(name, "real", mixed=values != _REAL, key=name)
    return Column(name, "text", mixed=values != _TEXT, key=name)

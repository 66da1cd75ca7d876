"""Read the JSON lines that a run kept, with every number as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ...errors import StorageError

_BUFFER_BYTES = 1 << 20
# A number of 20 digits before any point, or 19 below zero: only from there on can orjson make a float of an integer.
# What else looks like it is read by the slower parser, to the same value.
_LONG_NUMBER = re.compile(rb"[:,\[\s][0-9]{20}|-[0-9]{19}")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(bytes of its line, row) of each row; one that is not an object is `{"value": row}`.

    Raises StorageError where the file cannot be read or a line is not JSON.
    """
    long_number = _LONG_NUMBER.search
    number = 0
    try:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            for number, line in enumerate(file, 1):  # noqa: B007  # for the message below
                try:
                    row = _exact(line) if long_number(line) else orjson.loads(line)
                except orjson.JSONDecodeError:
                    row = _exact(line)
                if type(row) is not dict:
                    row = {"value": _exact(line) if type(row) is float else row}
                yield len(line), row
    except OSError as error:
        raise StorageError(f"reading {path}: {error.strerror or error}; the same command tries again") from error
    except ValueError as error:
        raise StorageError(f"{path}:{number} is not JSON; the file was changed since the run wrote it") from error


def _exact(line: bytes) -> Any:
    return _encodable(json.loads(line))


def _encodable(value: Any) -> Any:
    """`value` without halves of surrogate pairs, which no file format can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    return value

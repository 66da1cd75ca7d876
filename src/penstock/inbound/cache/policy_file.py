"""The policy as a TOML file: one table `[[path]]` after the other, the first that matches holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ...errors import InputError, UsageError
from ...rules.duration import parse_duration
from .policy import PathPolicy, Policy

_LISTS = {"ignore_cookies", "drop_query", "tags"}
_DURATIONS = {"ttl", "stale_while_revalidate", "stale_if_error"}
_SWITCHES = {"strip_set_cookie", "bypass"}
_KEYS = {"match", *_LISTS, *_DURATIONS, *_SWITCHES}


def read_policy(path: str | Path) -> Policy:
    """The policy in the file `path`. Raises InputError, which names the line and the key."""
    text = _read(Path(path))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise InputError(f"not TOML: {error}", path=str(path), line=int(line[1]) if line else None) from None
    return parse_policy(data, text, str(path))


def parse_policy(data: dict[str, Any], text: str, path: str) -> Policy:
    """The policy in parsed TOML; `text` is where it came from, to find the line of what is wrong."""
    for key in data:
        if key != "path":
            raise InputError(f"{key}: there are only [[path]] tables here", path=path, line=_line(text, key, 0))
    tables = data.get("path", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError("path: write [[path]], with two brackets", path=path, line=_line(text, "path", 0))
    return Policy(tuple(_path_policy(table, index, text, path) for index, table in enumerate(tables)))


def _path_policy(table: dict[str, Any], index: int, text: str, path: str) -> PathPolicy:
    values: dict[str, Any] = {}
    for key, value in table.items():
        try:
            values["path" if key == "match" else key] = _value(key, value)
        except UsageError as error:
            raise InputError(f"{key}: {error}", path=path, line=_line(text, key, index)) from None
    if "path" not in values:
        raise InputError('match: each [[path]] needs one, such as match = "/static/*"', path=path, line=None)
    if not values["path"].startswith("/"):
        raise InputError("match: a path begins with a slash", path=path, line=_line(text, "match", index))
    return PathPolicy(**values)


def _value(key: str, value: Any) -> Any:
    if key not in _KEYS:
        raise UsageError(f"unknown; there are {', '.join(sorted(_KEYS))}")
    if key in _DURATIONS:
        return _seconds(value)
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise UsageError("must be true or false")
        return value
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise UsageError('must be a list of texts, such as ["utm_*"]')
        return tuple(value)
    if not isinstance(value, str):
        raise UsageError("must be a text")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    if not isinstance(value, str):
        raise UsageError('must be a duration, such as 60 (seconds) or "5m"')
    return parse_duration(value)


def _line(text: str, key: str, index: int) -> int | None:
    """The line of `key` in the table number `index`, from 1; None where it cannot be told."""
    table = -1
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("[[path]]"):
            table += 1
        if (table == index or table < 0) and re.match(rf'\s*(\[+\s*)?"?{re.escape(key)}"?\s*[=\].]', line):
            return number
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", path=str(path)) from None

"""The policy as a TOML file: what holds for all, then one table `[[path]]` after the other, the first that matches."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError, UsageError
from ...rules.duration import parse_duration
from .policy import NO_POLICY, PathPolicy, Policy
from .policy_checks import DURATIONS, FOR_ALL, KEYS, PLACES, refusal, unreachable
from .policy_mistakes import BELONGS, quotes_needed, unknown_key

_TOP = -1
"""The number of what stands before the first `[[path]]`."""
_TABLE = re.compile(r'\s*\[\[\s*["\']?path["\']?\s*\]\]')


def read_policy(path: str | Path) -> Policy:
    """The policy in the file `path`. Raises InputError, which names the line and the key."""
    return policy_in(read_text(Path(path)), path)


def policy_in(text: str, path: str | Path) -> Policy:
    """The policy that the file `path` says, whose content is `text`. Raises InputError as `read_policy`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else None
        hint = quotes_needed(text.split("\n")[line - 1]) if line else ""
        raise InputError(f"not TOML: {error}{hint}", path=str(path), line=line) from None
    return parse_policy(data, text, str(path))


def parse_policy(data: dict[str, Any], text: str, path: str) -> Policy:
    """The policy in parsed TOML; `text` is where it came from, to find the line of what is wrong."""
    lines = _Lines(text, path)
    tables = data.get("path", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise lines.error("path", "write [[path]], with two brackets", _TOP)
    default = {key: value for key, value in data.items() if key != "path"}
    misplaced = next((key for key in default if key in KEYS - FOR_ALL), None)
    if misplaced is not None:
        raise lines.error(misplaced, BELONGS, _TOP)
    top = _said(default, lines, _TOP)
    entries = [_said(table, lines, index) for index, table in enumerate(tables)]
    for index, said in enumerate(entries):
        _check_entry(said, top, lines, index)
    hidden = unreachable(entries)
    if hidden is not None:
        key = next(key for key in PLACES if key in entries[hidden.table])
        raise lines.error(key, hidden.why, hidden.table)
    return Policy(
        tuple(_path_policy(said, lines, index) for index, said in enumerate(entries)),
        default=_path_policy(top, lines, _TOP) if top else NO_POLICY,
        source=path,
    )


class _Lines:
    """Where things stand in a file."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.splitlines()
        self.path = path

    def find(self, key: str, index: int) -> int | None:
        """The line of `key` in the table number `index`, from 1; None where it cannot be told."""
        name = rf'["\']?{re.escape(key)}["\']?'
        wanted = re.compile(rf"\s*(?:\[+\s*(?:path\s*\.\s*)?)?{name}\s*[=\].]")
        # A table of another name stands before the first entry, as TOML sees it, wherever it is in the file.
        header = re.compile(rf"\s*\[+\s*{name}\s*\]")
        table = _TOP
        for number, line in enumerate(self._lines, 1):
            if _TABLE.match(line):
                table += 1
            elif (table == index and wanted.match(line)) or (index == _TOP and header.match(line)):
                return number
        return None

    def table(self, index: int) -> int | None:
        """The line where the table number `index` begins."""
        begins = [number for number, line in enumerate(self._lines, 1) if _TABLE.match(line)]
        return begins[index] if 0 <= index < len(begins) else None

    def error(self, key: str, why: str, index: int) -> InputError:
        """What is wrong with `key` in the table number `index`."""
        line = self.find(key, index)
        return InputError(f"{key}: {why}", path=self.path, line=self.table(index) if line is None else line)


def _said(table: dict[str, Any], lines: _Lines, index: int) -> dict[str, Any]:
    """The keys of a table, with durations in seconds."""
    said: dict[str, Any] = {}
    for key, value in table.items():
        try:
            said[key] = _value(key, value, for_all=index == _TOP)
        except UsageError as error:
            raise lines.error(key, str(error), index) from None
    wrong = refusal(said)
    if wrong is not None:
        raise lines.error(wrong.key, wrong.why, index)
    return said


def _check_entry(said: dict[str, Any], top: Mapping[str, Any], lines: _Lines, index: int) -> None:
    if not said.keys() & set(PLACES):
        why = 'each [[path]] needs one, such as match = "/static/*" (or a prefix or a pattern)'
        raise lines.error("match", why, index)
    wrong = None if said.get("bypass") else refusal({**top, **said})
    if wrong is not None:
        raise lines.error(wrong.key, wrong.why, index if wrong.key in said else _TOP)


def _path_policy(said: dict[str, Any], lines: _Lines, index: int) -> PathPolicy:
    found = {key: lines.find(key, index) for key in said}
    known = {key: line for key, line in found.items() if line is not None}
    values = {"path" if key == "match" else key: value for key, value in said.items()}
    return PathPolicy(**values, lines=known)


def _value(key: str, value: Any, *, for_all: bool) -> Any:
    if key not in KEYS:
        raise UsageError(unknown_key(key, value, for_all=for_all))
    if key in DURATIONS or (key == "heuristic" and value is not False):
        return _seconds(value)
    if key == "ttl_by_status" and isinstance(value, dict):
        return {_status(status): _seconds(seconds) for status, seconds in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _status(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{2}", text):
        raise UsageError(f'{text!r} is no status; write {{ 404 = "10s" }}')
    return int(text)


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    if not isinstance(value, str):
        raise UsageError('must be a duration, such as 60 (seconds) or "5m"')
    return parse_duration(value)


def read_text(path: Path) -> str:
    """What is in the file of a policy. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", path=str(path)) from None

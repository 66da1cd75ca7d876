"""What to write instead of what a policy file cannot mean: keys that there are not, and text without its quotes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from .policy_checks import FOR_ALL, KEYS

BELONGS = "this belongs into a table; write [[path]] above it"
_BARE = re.compile(r"""([\w-]+)\s*=\s*([^\s"'\[{#=,}][^"'#=,}]*?)\s*(?=[,}#]|$)""")
_TABLE_OF_STATUSES = "ttl_by_status"


def unknown_key(key: str, value: Any, *, for_all: bool) -> str:
    """Why `key` is refused; `for_all`: it stands before the first table, where not all keys may."""
    allowed = FOR_ALL if for_all else KEYS
    # The name of a table may be misspelt, too; in one, path is what match is called in Python.
    meant = "match" if key == "path" else _nearest(key, {*KEYS, "path"} if for_all else KEYS)
    if for_all and (meant == "path" or (_is_table(value) and meant != _TABLE_OF_STATUSES)):
        return "unknown; write [[path]]"
    names = ", ".join(sorted(allowed))
    if meant is None:
        return f"unknown; there are {names}"
    if meant not in allowed:
        return f"unknown: did you mean {meant}? Then {BELONGS}"
    return f"unknown: did you mean {meant}? There are {names}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """As click does it for options, and whatever the case."""
    names = {name.lower(): name for name in sorted(known)}
    found = get_close_matches(word.lower(), names, 1)
    return names[found[0]] if found else None


def _is_table(value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return bool(each) and all(isinstance(one, dict) for one in each)


def quotes_needed(line: str) -> str:
    """The end of the message about a line that is not TOML: what to write where text has no quotes, else nothing."""
    for key, value in _BARE.findall(line):
        if _is_toml(value):
            continue
        if value.lower() in ("true", "false"):
            return f": write {key} = {value.lower()}"
        if re.search(r"[A-Za-z/]", value):
            quote = "'" if "\\" in value else '"'
            return f": text needs quotes, {key} = {quote}{value}{quote}"
    return ""


def _is_toml(value: str) -> bool:
    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return False
    return True

"""Where in an answer of unknown shape the rows are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_USUAL = (
    "items",
    "data",
    "results",
    "rows",
    "records",
    "entries",
    "value",
    "values",
    "hits",
    "objects",
    "content",
    "elements",
    "list",
    "entry",
    "docs",
    "edges",
    "nodes",
    "member",
    "members",
    "children",
    "contents",
    "resources",
)
_DEEPEST = 3
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)(?:\.|$)|"((?:[^"\\]|\\["\\])*)"(?:\.|$)')

WHOLE_ANSWER = "@"
"""The JMESPath of an answer that is itself the list of rows."""


def find_rows(answer: Any) -> list[str]:
    """JMESPath expressions of the lists that can be the rows, the best guess first; more than one is a doubt.

    A list with objects in it is better than one without, one under a usual name better than another; among equals all
    are given.
    """
    if isinstance(answer, list):
        return [WHOLE_ANSWER]
    found = [(_worth(name, rows), path) for path, name, rows in _lists(answer, "", 1)]
    best = max((worth for worth, _ in found), default=0)
    return [path for worth, path in found if worth == best]


def quoted(name: str) -> str:
    """`name` as a step of a JMESPath expression."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def steps_of(path: str) -> list[str]:
    """The names that a plain JMESPath expression (`data.items`, `"@odata.nextLink"`) goes along; none for others."""
    steps: list[str] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return []
        steps.append(step[1] if step[2] is None else re.sub(r"\\(.)", r"\1", step[2]))
        at = step.end()
    return [] if path.endswith(".") else steps


def is_absent(answer: Any, path: str) -> bool:
    """Whether nothing is at a plain path, not even null; of other expressions it cannot be told, so False."""
    for step in steps_of(path):
        if answer is None:
            return False
        if not isinstance(answer, dict) or step not in answer:
            return True
        answer = answer[step]
    return False


def _lists(value: Any, path: str, depth: int) -> Iterator[tuple[str, str, list[Any]]]:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    for name, inner in value.items():
        step = f"{path}.{quoted(name)}" if path else quoted(name)
        if isinstance(inner, list):
            if not _are_links(inner):
                yield step, name, inner
        else:
            yield from _lists(inner, step, depth + 1)


def _are_links(rows: list[Any]) -> bool:
    """Whether it is a list of links, such as that to the next page, and no rows."""
    return bool(rows) and all(isinstance(row, dict) and ("rel" in row or "relation" in row) for row in rows[:10])


def _worth(name: str, rows: list[Any]) -> int:
    usual = name.lower().lstrip("_") in _USUAL
    objects = bool(rows) and all(isinstance(row, dict) for row in rows[:10])
    return 4 * (objects or not rows) + 2 * usual + objects

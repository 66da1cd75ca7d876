"""One page of a shape: which rows were asked for, and the tools to write it the way an API does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from ..fault_answers import Reply

PAGE = 50
"""Rows a page, where the client does not ask for a number; more are never given."""

SLACK = 3
"""Calls that a client may make beyond the pages that there are."""

Write = Callable[["Cut"], Any]
"""What an API makes of a page: JSON, or a Reply where header fields matter."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows from `start` on, at most `size` of `total`, asked for with `query` at `url`."""

    start: int
    size: int
    total: int
    url: str
    query: Mapping[str, str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of this page. Their ids count from 1 in steps that are no page size."""
        return [{"id": 7 * n + 7, "name": f"row {n}"} for n in range(self.start, self.end)]

    @property
    def end(self) -> int:
        """Where the next page begins, and at most the number of rows."""
        return max(self.start, min(self.start + self.size, self.total))

    @property
    def more(self) -> bool:
        """Whether there are rows after this page."""
        return self.end < self.total

    @property
    def page(self) -> int:
        """The number of this page, from 0."""
        return self.start // self.size

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return math.ceil(self.total / self.size)

    @property
    def token(self) -> str | None:
        """The token of the next page; None on the last."""
        return self.here if self.more else None

    @property
    def here(self) -> str:
        """The token of what comes after the last row of this page, also where nothing does."""
        return f"tok{self.end}"

    def link(self, **changes: Any) -> str:
        """The URL of this page with other parameters; `__` in a name stands for brackets: `page__after`."""
        named = {_bracketed(name): value for name, value in changes.items()}
        return f"{self.url}?{urlencode({**self.query, **named})}"

    def next_link(self, **changes: Any) -> str | None:
        """`link`, and None on the last page."""
        return self.link(**changes) if self.more else None


def _bracketed(name: str) -> str:
    head, _, tail = name.partition("__")
    return f"{head}[{tail}]" if tail else name


@dataclass(frozen=True, slots=True)
class Shape:
    """How one API pages.

    `place` finds in the query which row a page begins with: it raises ValueError for what the API refuses. `write` is
    the answer. `query` belongs to the URL that a user gives. `known`: parameters beside which others are refused;
    None: the API ignores what it does not know. `beyond`: what it answers after the last row, where that is no page.
    """

    place: Callable[[Mapping[str, str], int], int]
    write: Write
    size_param: str = ""
    query: str = ""
    known: frozenset[str] | None = None
    beyond: int = 200

    def most_calls(self, rows: int) -> int:
        """Calls that a good client may make for so many rows."""
        return max(1, math.ceil(rows / PAGE)) + SLACK

    def answer(self, url: str, query: Mapping[str, str], total: int) -> Reply:
        """Answer one request."""
        unknown = {} if self.known is None else {name for name in query if name not in self.known}
        try:
            size = min(PAGE, int(query.get(self.size_param) or PAGE))
            start = self.place(query, size)
        except ValueError:
            unknown = {"value"}
        if unknown or size < 1 or start < 0:
            return Reply(400, b'{"error":"unknown or unreadable parameter"}')
        if start >= total > 0 and self.beyond != 200:
            return Reply(self.beyond, b'{"error":"there is no such page"}')
        said = self.write(Cut(start, size, total, url, query))
        return said if isinstance(said, Reply) else Reply(body=orjson.dumps(said))


def with_headers(answer: Any, **fields: Any) -> Reply:
    """`answer` with header fields; `_` in a name is a dash. None is left out."""
    named = {name.replace("_", "-"): str(value) for name, value in fields.items() if value is not None}
    return Reply(body=orjson.dumps(answer), headers=named)


# -- where a page begins ---------------------------------------------------------------------------------------------


def by_offset(param: str, size_param: str, write: Write, *, first: int = 0, **more: Any) -> Shape:
    """Rows from a number on; `first` is what the first row is called."""
    return Shape(lambda query, size: int(query.get(param) or first) - first, write, size_param, **more)


def by_page(param: str, size_param: str, write: Write, *, first: int = 1, **more: Any) -> Shape:
    """Numbered pages; `first` is what the first one is called."""
    return Shape(lambda query, size: (int(query.get(param) or first) - first) * size, write, size_param, **more)


def by_token(param: str, size_param: str, write: Write, **more: Any) -> Shape:
    """A token that an earlier answer named."""

    def place(query: Mapping[str, str], size: int) -> int:
        named = query.get(param, "").replace("*", "")
        if named and not named.startswith("tok"):
            raise ValueError(f"there is no token {named!r}")
        return int(named[3:] or 0)

    return Shape(place, write, size_param, **more)


def by_last_row(param: str, size_param: str, write: Write, **more: Any) -> Shape:
    """The id of the last row that the client has seen."""
    return Shape(lambda query, size: int(query[param]) // 7 if query.get(param) else 0, write, size_param, **more)

"""Pages and paginators: how the next page is asked for, in each of the styles that APIs have.

A paginator is a small class. A chained one has three methods (`first`, `url`, `next`), so that one for an API of its
own kind is written in a few lines; see docs/howto/pull.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ...answers.places import AnswerPlace
from ...errors import UsageError
from ...messages import Headers
from ...rules.pagination.detect import next_like
from ...rules.pagination.extent import is_page_size
from ...rules.pagination.find_rows import is_absent
from ...rules.pagination.link_header import parse_links
from ...rules.pagination.page_url import with_query
from ...rules.pagination.style import Paging

Token: TypeAlias = str | int | float
"""What names a page: a cursor, or the page's URL."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an API.

    `number` counts from 0; `token` is what it was asked for with (None for the first, and where pages have numbers).
    `rows` are as the API gave them, `total` is what it said of the number of rows, where it was asked to look.
    `answer` is the whole JSON, `url` where it came from.
    """

    number: int
    rows: list[Any]
    token: Token | None = None
    total: int | None = None
    answer: Any = None
    headers: Headers = field(default_factory=Headers)
    url: str = ""


class Paginator(Protocol):
    """Pages that name their successor. `next` is called once for each page, in order."""

    def first(self) -> Token | None:
        """The token of the first page; None where it needs none."""
        ...

    def url(self, base: str, token: Token | None) -> str:
        """Where to ask for the page that `token` names; `base` is the URL that the user gave."""
        ...

    def next(self, page: Page) -> Token | None:
        """The token of the page after `page`; None after the last. Raises UsageError for what cannot be one."""
        ...


@dataclass(frozen=True, slots=True)
class Offset:
    """Rows from a number on: `?offset=200&limit=100`. `start` is the first row, `size` the rows to ask for a page.

    `first_row` is what the API calls its first one: 0 for most, 1 for some.
    """

    size: int | None = None
    start: int = 0
    offset_param: str = "offset"
    size_param: str = "limit"
    first_row: int = 0

    @property
    def parameter(self) -> str:
        """The parameter that an API ignores if all its pages are equal."""
        return self.offset_param

    def page_url(self, base: str, number: int, step: int | None) -> str:
        """Page `number`, where each holds `step` rows.

        Once it is known how many the first one held, exactly as many are asked for: an API that caps the size, and one
        that leaves out some rows after it counted them, then both give every row once.
        """
        size = step or self.size
        row = self.first_row + self.start + number * (step or self.size or 0)
        parameters = {self.offset_param: str(row)}
        return with_query(base, parameters | _size(self.size_param, size))

    def before(self, step: int) -> int:
        """Rows that lie before the start."""
        return self.start


@dataclass(frozen=True, slots=True)
class PageNumber:
    """Numbered pages: `?page=3&per_page=100`. `start` is the number of the first, 1 for most APIs, 0 for some."""

    size: int | None = None
    start: int = 1
    page_param: str = "page"
    size_param: str = "per_page"

    @property
    def parameter(self) -> str:
        """The parameter that an API ignores if all its pages are equal."""
        return self.page_param

    def page_url(self, base: str, number: int, step: int | None) -> str:
        """Page `number`, counted from the start."""
        return with_query(base, {self.page_param: str(self.start + number)} | _size(self.size_param, self.size))

    def before(self, step: int) -> int:
        """Rows that lie before the start."""
        return max(0, self.start - 1) * step


CountablePaginator: TypeAlias = Offset | PageNumber


class Cursor:
    """A token in the answer that names the next page: `?cursor=abc`. `next` is a JMESPath expression on the answer.

    `next` can be `header:NAME`. null, a missing field and false are the end; 0 is a token, and "" one where the API
    says that there are more rows.
    """

    def __init__(
        self,
        next: str = "next_cursor",  # noqa: A002  # the option is called --next
        *,
        param: str = "cursor",
        size: int | None = None,
        size_param: str = "limit",
        start: Token | None = None,
    ) -> None:
        self.parameter = param
        self.path = next
        self._place = AnswerPlace("--next", next)
        self._size = _size(size_param, size)
        self._start = start

    def first(self) -> Token | None:
        """The token that was given to start from; None for the URL as it is."""
        return self._start

    def url(self, base: str, token: Token | None) -> str:
        """The base URL with the token in its parameter."""
        return with_query(base, self._size if token is None else {self.parameter: str(token)} | self._size)

    def next(self, page: Page) -> Token | None:
        """The value at the path; None after the last page. Raises UsageError where it cannot be a cursor."""
        value = self._place.find(page.answer, page.headers)
        if value is None or value is False:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise UsageError(f"what --next {self.path!r} finds is no string and no number")
        return value


class NextUrl:
    """The URL of the next page in the answer, absolute or relative. `next` is a JMESPath expression on the answer."""

    def __init__(
        self,
        next: str = "next",  # noqa: A002  # the option is called --next
        *,
        size: int | None = None,
        size_param: str = "limit",
        start: str | None = None,
    ) -> None:
        self.parameter = ""
        self.path = next
        self._place = AnswerPlace("--next", next)
        self._size = _size(size_param, size)
        self._start = start

    def first(self) -> Token | None:
        """The token that was given to start from; None for the URL as it is."""
        return self._start

    def url(self, base: str, token: Token | None) -> str:
        """The token itself, which is a URL that whoever read it has resolved; the base URL where there is none."""
        return with_query(base, self._size) if token is None else str(token)

    def next(self, page: Page) -> Token | None:
        """The URL at the path; None after the last page. Raises UsageError where it is no string."""
        value = self._place.find(page.answer, page.headers)
        if value is None or value is False or value == "":
            # An empty reference would be the page itself (RFC 3986, 4.4), which nobody means by it.
            return None
        if not isinstance(value, str):
            raise UsageError(f"what --next {self.path!r} finds is no string, so it is no URL")
        return value


class LinkHeader:
    """The URL of the next page in the Link header, `rel="next"` (RFC 8288)."""

    def __init__(self, *, size: int | None = None, size_param: str = "per_page", start: str | None = None) -> None:
        self.parameter = ""
        self._size = _size(size_param, size)
        self._start = start

    def first(self) -> Token | None:
        """The token that was given to start from; None for the URL as it is."""
        return self._start

    def url(self, base: str, token: Token | None) -> str:
        """The token itself, which is a URL that whoever read it has resolved; the base URL where there is none."""
        return with_query(base, self._size) if token is None else str(token)

    def next(self, page: Page) -> Token | None:
        """The URL that the Link header calls `next`; None after the last page."""
        return parse_links(page.headers.get_all("link")).get("next")


AnyPaginator: TypeAlias = CountablePaginator | Paginator


def follows_urls(paginator: AnyPaginator) -> bool:
    """Whether tokens are URLs, which may be relative and may lead astray."""
    return isinstance(paginator, (NextUrl, LinkHeader))


def names_no_next(paginator: Paginator, page: Page) -> tuple[str, bool]:
    """What is missing where a page should name the next one; "" where it says that there is none, as with null.

    Many APIs leave the field out on their last page. On the first one it may as well be under another name: that is
    likely, the second part of the result, where there are names like it, or as many rows as a full page may have.
    """
    if isinstance(paginator, LinkHeader):
        missing = "" if "link" in page.headers else "has no Link header, so it names no next page"
    elif isinstance(paginator, (Cursor, NextUrl)):
        missing = f"names no next page at {paginator.path!r}" if is_absent(page.answer, paginator.path) else ""
    else:
        missing = ""
    if not missing:
        return "", False
    like = ", ".join(next_like(page.answer))
    text = (
        f"the first page {missing}{f'; names like it: {like}' if like else ''}; if there are more rows, give "
        "--paginate and --next, with --fresh; if that page is all there is, --max-pages 1"
    )
    return text, bool(like) or is_page_size(len(page.rows))


def make_paginator(paging: Paging) -> AnyPaginator:
    """The paginator that the options describe. Raises UsageError for an expression that is none."""
    size, start = paging.page_size, paging.start
    if paging.style == "offset":
        names = (paging.offset_param or "offset", paging.size_param or "limit")
        return Offset(size, int(start or 0), *names, first_row=paging.first_row or 0)
    if paging.style == "page":
        first = 1 if start is None else int(start)
        return PageNumber(size, first, paging.page_param or "page", paging.size_param or "per_page")
    if paging.style == "cursor":
        return Cursor(
            paging.next or "next_cursor",
            param=paging.cursor_param or "cursor",
            size=size,
            size_param=paging.size_param or "limit",
            start=start,
        )
    if paging.style == "next-url":
        return NextUrl(paging.next or "next", size=size, size_param=paging.size_param or "limit", start=start)
    return LinkHeader(size=size, size_param=paging.size_param or "per_page", start=start)


def _size(name: str, size: int | None) -> dict[str, str]:
    return {} if size is None else {name: str(size)}

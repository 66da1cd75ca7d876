"""From an answer to a page: its rows, what names the next one, what it says of the total."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

import orjson

from ...answers.conditions import UNREAD
from ...answers.json_path import compile_path
from ...answers.places import AnswerPlace, kind_of
from ...answers.rules import AnswerRules
from ...errors import BadBody, BadPage, UsageError
from ...messages import Response
from ...rules.pagination.find_rows import find_rows, steps_of
from ...rules.pagination.page_url import follow
from ...runs.exact_json import loads
from ..interpreter import quote_body
from .pages import AnyPaginator, Offset, Page, PageNumber, Token, follows_urls, names_no_next

MORE, TOTAL_PAGES = "--more", "--total-pages"


class PageAsk:
    """A page to be asked for: what the engine's items carry."""

    __slots__ = ("number", "origin", "token", "url")

    def __init__(self, number: int, url: str, token: Token | None = None) -> None:
        self.number = number
        self.url = url
        self.token = token
        slash = url.find("/", 8)
        self.origin = f"{url}/" if slash < 0 else url[: slash + 1]

    def __repr__(self) -> str:
        return f"<PageAsk {self.number}>"


class PageAnswer:
    """A page as it came, in the form in which it waits to be written.

    `lines` are the rows as JSON lines, `keys` one per row (None for a row without), `digest` tells pages with other
    rows apart. `page` has the rows themselves, where somebody wants them. `gone`: there is no such page.
    """

    __slots__ = (
        "digest",
        "gone",
        "keys",
        "lines",
        "may_go_on",
        "more",
        "next",
        "no_next",
        "number",
        "page",
        "pages",
        "rows",
        "size",
        "status",
        "token",
        "total",
    )

    def __init__(self, ask: PageAsk, status: int) -> None:
        self.number = ask.number
        self.token = ask.token
        self.status = status
        self.rows = 0
        self.size = 0
        """Bytes of the lines as they came."""
        self.lines: bytes | bytearray = b""
        self.keys: list[bytes | None] | None = None
        self.digest = 0
        self.next: Token | None = None
        self.no_next = ""
        self.may_go_on = False
        """Of a first page: that there is nothing where the next page should be named, in a sentence."""
        self.total: int | None = None
        self.pages: int | None = None
        """How many pages there are, by the API's own count."""
        self.more: bool | None = None
        """Whether the API says that there are more rows; None where it says nothing."""
        self.gone = False
        self.page: Page | None = None

    @property
    def said(self) -> tuple[str, ...]:
        """Options at whose place there was something."""
        found = {MORE: self.more, TOTAL_PAGES: self.pages}
        return tuple(option for option, value in found.items() if value is not None)

    @property
    def held_bytes(self) -> int:
        """About how much memory it takes."""
        return self.size

    def renumbered(self, number: int) -> PageAnswer:
        """A copy of it as another page."""
        other = copy.copy(self)
        other.number = number
        other.page = None if self.page is None else replace(self.page, number=number)
        return other

    def without_rows(self) -> PageAnswer:
        """A copy of it of which nothing is to be written."""
        other = copy.copy(self)
        other.lines, other.keys, other.page = b"", None, None
        return other


class PageReader:
    """Reads every page of one API in the same way.

    `rows` None: where they are is found in the first answer, and kept to. `key` names the field, or is a JMESPath
    expression on a row. `more` and `pages` are places like `total`, of a flag and of the number of pages. `home` is the
    URL that the user gave: next URLs may lead to its host and to `allowed_hosts`; None: to the host of the page. An
    answer with one of `end_statuses` is no failure but says that there is no such page. With `keep_rows` the answers
    hold Pages, and no JSON lines. `answers` says which are failures.
    """

    def __init__(
        self,
        paginator: AnyPaginator,
        *,
        rows: str | None = None,
        total: str | None = None,
        more: str | None = None,
        pages: str | None = None,
        key: str | None = None,
        allowed_hosts: tuple[str, ...] = (),
        home: str | None = None,
        end_statuses: Set[int] = frozenset(),
        keep_rows: bool = False,
        answers: AnswerRules | None = None,
    ) -> None:
        self._answers = answers or AnswerRules(quote=quote_body)
        self.rows_path = rows
        self._find_rows = None if rows is None else compile_path("--rows", rows)
        self._total = None if total is None else AnswerPlace("--total", total)
        self._more = None if more is None else AnswerPlace(MORE, more)
        self._pages = None if pages is None else AnswerPlace(TOTAL_PAGES, pages)
        self._key = None if key is None else _key_finder(key)
        self._paginator = paginator
        self._chained = None if isinstance(paginator, (Offset, PageNumber)) else paginator
        self._follows_urls = follows_urls(paginator)
        self._allowed_hosts = allowed_hosts
        self._home = home
        self._end_statuses = end_statuses
        self._keep_rows = keep_rows

    @property
    def looks_for(self) -> list[str]:
        """Options at whose place an answer need not have anything."""
        return [place.option for place in (self._more, self._pages) if place is not None]

    def read(self, ask: PageAsk, response: Response) -> PageAnswer:
        """Raises StatusError, BadBody for what is not JSON, BadPage for what is not such a page."""
        answer = PageAnswer(ask, response.status)
        if response.status in self._end_statuses and ask.number > 0:
            answer.gone = True
            return answer
        body = self._answers.admit(response, load)
        if response.status == 204:
            return answer
        if body is UNREAD:
            body = load(response)
        try:
            self._read(answer, ask, response, body)
        except (UsageError, ValueError) as error:
            # JMESPath's own errors are ValueErrors, too.
            raise BadPage(f"{error}; the answer begins {quote_body(response.body)}", status=response.status) from error
        return answer

    def _read(self, answer: PageAnswer, ask: PageAsk, response: Response, body: Any) -> None:
        rows = self.rows_in(body)
        self._read_counts(answer, ask, response, body)
        answer.rows = len(rows)
        if self._keep_rows or self._chained is not None:
            url = response.url or ask.url
            page = Page(ask.number, rows, ask.token, answer.total, body, response.headers, url)
            if self._chained is not None:
                answer.next = self._next(page)
                if ask.number == 0 and rows and answer.next is None and answer.more is not False:
                    answer.no_next, answer.may_go_on = names_no_next(self._chained, page)
            if self._keep_rows:
                answer.page = page
        answer.lines = _lines(rows)
        if self._key is not None:
            answer.keys = [_key_bytes(self._key(row)) for row in rows]
        answer.digest = _digest(answer.lines, answer.keys) if rows else 0
        answer.size = len(answer.lines)
        if self._keep_rows:
            answer.lines = b""

    def _next(self, page: Page) -> Token | None:
        assert self._chained is not None
        token = self._chained.next(page)
        if token is not None and self._follows_urls:
            return follow(page.url, str(token), self._allowed_hosts, self._home)
        if isinstance(token, str):
            # Half a surrogate pair fits in no URL; that it raises here makes it an answer that is no page.
            token.encode()
        return token

    def rows_in(self, body: Any) -> list[Any]:
        """The rows of an answer. Raises UsageError if there are none where they should be."""
        if self._find_rows is None:
            self.rows_path = _only_rows(body)
            self._find_rows = compile_path("--rows", self.rows_path)
        rows = self._find_rows(body)
        if rows is None and _is_null(body, self.rows_path or ""):
            return []
        if rows is None:
            lists = find_rows(body)
            seen = f"; there is a list at {', '.join(map(repr, lists))}" if lists else ""
            raise UsageError(f"there are no rows at --rows {self.rows_path!r}{seen}")
        if not isinstance(rows, list):
            hint = f"; --rows '{_one_row(self.rows_path)}' takes it for the one row" if isinstance(rows, dict) else ""
            raise UsageError(f"what --rows {self.rows_path!r} finds is {kind_of(rows)} and no list{hint}")
        return rows

    def _read_counts(self, answer: PageAnswer, ask: PageAsk, response: Response, body: Any) -> None:
        headers = response.headers
        if self._total is not None:
            answer.total = self._total.number(body, headers)
            if answer.total is None and ask.number == 0 and self._total.find(body, headers) is None:
                raise UsageError(f"there is no total at --total {self._total.path!r}")
        answer.pages = None if self._pages is None else self._pages.number(body, headers)
        answer.more = None if self._more is None else self._more.flag(body, headers)


def _is_null(body: Any, path: str) -> bool:
    # Some APIs write a list without anything in it so. JMESPath finds None also where nothing is, which may be an error
    # with status 200; so plain paths are looked at, and others are not believed.
    steps = steps_of(path)
    for step in steps[:-1]:
        body = body.get(step) if isinstance(body, dict) else None
    return bool(steps) and isinstance(body, dict) and steps[-1] in body


def _one_row(path: str | None) -> str:
    return f"[{path or '@'}]"


def _only_rows(body: Any) -> str:
    paths = find_rows(body)
    if not paths:
        raise UsageError(
            f"the answer is {kind_of(body)} without a list in it; say with --rows where the rows are, or --rows "
            f"'{_one_row(None)}' if it is the one row"
        )
    if len(paths) > 1:
        raise UsageError(f"there are lists at {', '.join(paths)}; say with --rows which of them holds the rows")
    return paths[0]


def load(response: Response) -> Any:
    """The JSON of an answer, with all digits of its numbers. Raises BadBody."""
    try:
        return loads(response.body)
    except ValueError as error:
        kind = response.headers.get("content-type") or "no content type"
        hint = ""
        if "html" in kind or response.body.lstrip().startswith(b"<"):
            hint = " but a page for people; is the URL right, and is there a --header to log in with"
        raise BadBody(
            f"the answer ({kind}) is not JSON{hint}: {quote_body(response.body)}", status=response.status
        ) from error


def _lines(rows: list[Any]) -> bytearray:
    # One buffer and not a list of lines: orjson leaves each of its results in an allocation of some 4 KiB.
    lines = bytearray()
    dumps, newline = orjson.dumps, orjson.OPT_APPEND_NEWLINE
    for row in rows:
        # Row by row, as pages are known by their lines: how a row is written may only depend on the row.
        try:
            lines += dumps(row, option=newline)
        except TypeError:
            # What orjson cannot write stays as it came: long numbers with all digits, half a surrogate pair as \ud8xx.
            lines += json.dumps(row, separators=(",", ":")).encode() + b"\n"
    return lines


def _digest(lines: bytes | bytearray, keys: list[bytes | None] | None) -> int:
    if keys and None not in keys:
        # A row is known by its key, also where its age, say, is another one each time.
        lines = b"".join(b"%d:%b" % (len(key), key) for key in keys if key is not None)
    return int.from_bytes(hashlib.sha1(lines, usedforsecurity=False).digest()[:8], "little")


def token_hash(token: Token) -> int:
    """64 bits that tell tokens apart; 1 and "1" are the same, because they make the same request."""
    return int.from_bytes(hashlib.blake2b(str(token).encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _key_finder(key: str) -> Callable[[Any], Any]:
    if key.isidentifier() and key.isascii():
        return lambda row: row.get(key) if isinstance(row, dict) else None
    return compile_path("--key", key)


def _key_bytes(value: Any) -> bytes | None:
    """The key with its type: 1 and "1" are different keys. Only strings begin with a quotation mark."""
    if type(value) is str:
        return b'"' + value.encode("utf-8", "surrogatepass")
    if type(value) is int:
        return b"%d" % value
    if type(value) is list and value and all(part is None for part in value):
        # Of a key of several fields none is there: that tells nothing of the row either.
        return None
    # orjson leaves each of its results in an allocation of some 4 KiB; a copy takes what it needs.
    return None if value is None else bytes(memoryview(_sorted_json(value)))


def _sorted_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A whole number beyond 64 bits, somewhere in it.
        return json.dumps(value, sort_keys=True).encode()

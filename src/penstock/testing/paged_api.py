"""A paginated API whose data set is known, in five styles, with every way to mislead a client that the field knows.

    api = PagedApi(rows=1000, style="cursor", page_size=100, turn_back={7: 3})
    async with api.serve(limiter=SlidingLog(100, 1.0)) as server:
        ...  # pull from server.url + "/rows"
    assert api.asked[0] == 1

In a process of its own: `python -m penstock.testing.paged_server --help`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

import orjson

from .fault_answers import Reply
from .fault_server import FaultServer
from .fault_service import ServedRequest
from .paged_rows import PagedRows

Style = Literal["offset", "page", "cursor", "next-url", "link"]
BeyondEnd = Literal["empty", "last", "first", "404"]
End = Literal["null", "missing", "empty"]
Malformed = Literal["no_rows", "rows_not_a_list", "wrong_next", "negative_total", "wrong_total", "not_json", "error"]

STYLES: tuple[Style, ...] = ("offset", "page", "cursor", "next-url", "link")
MALFORMED: Mapping[Malformed, str] = {
    "no_rows": "an object with an error message where the rows should be",
    "rows_not_a_list": "rows that are a string",
    "wrong_next": "a next that is an object; in style link a Link header that cannot be read",
    "negative_total": "a total of -1",
    "wrong_total": "a total that is a word",
    "not_json": "200, and a page for people",
    "error": "a 500 whenever it is asked for",
}
"""What a malformed answer can be."""

ASKED = b"/asked"


@dataclass(kw_only=True)
class PagedApi:
    """A `respond` for FaultServer: GET any path but /asked, with the parameters of the style, answers with a page.

    What is served is a row of positions: the rows in order, with a gap of a page for each of `empty_pages`, single gaps
    where `hide_every` says so, and repeats where `repeat_every` does. Offsets, page numbers and tokens are places in
    it, and the honest total is its length. Pages are numbered from 0 here, whatever the API calls them. Raises
    ValueError for settings that make no sense together; a request whose parameters are not numbers, or a token that was
    never given, gets a 400.
    """

    rows: int
    """How many rows there are; `dataset[number]` is what a client must have got in the end."""
    style: Style = "offset"
    page_size: int = 100
    """Rows a page where the client does not ask for a number."""
    max_page_size: int | None = None
    """No page has more rows than that, whatever is asked for, and nobody is told."""
    row_bytes: int = 200
    """About so much JSON a row."""
    first_page: int = 1
    """What the first page is called in style page."""
    size_param: str = "limit"
    offset_param: str = "offset"
    page_param: str = "page"
    cursor_param: str = "cursor"
    """Also the parameter in the URLs of styles next-url and link."""
    rows_key: str | None = "items"
    """Where the rows are; None: the answer is the list, without total and next."""
    total_key: str = "total"
    next_key: str = "next"
    show_total: bool = True
    claimed_total: Any = None
    """What the answers give as total instead of the truth."""
    relative_urls: bool = False
    """Style next-url and link: URLs without a host."""
    empty_pages: AbstractSet[int] = frozenset()
    """Pages of `page_size` that have no rows, though there are some behind them."""
    hide_every: int = 0
    """Of so many positions the first is counted, but left out, as where a filter comes after the page was cut."""
    repeat_every: int = 0
    """After so many rows comes one again that was served as many rows before; 0: never."""
    turn_back: Mapping[int, int] = field(default_factory=dict)
    """Page -> the page its next leads to: {5: 2} is a cycle of four, {1: 0} is A-B-A, {3: 3} stands still."""
    tokens: Mapping[int, str | int] = field(default_factory=dict)
    """Page -> its token, in place of the usual one: "" and 0 are tokens like others."""
    end: End = "null"
    """What the last page says of the next: null, nothing, or the empty string. A Link header has no next then."""
    refuses_empty_token: bool = False
    """A cursor of `""` is a 400 and not, as for most APIs, the same as none. Not where it is a token."""
    always_next: bool = False
    """The last page has a next too, and so has every page beyond it, each a new one."""
    beyond_end: BeyondEnd = "empty"
    """What is beyond the last page: nothing, the last or the first page again, or a 404."""
    ignores_page: bool = False
    """Whatever page is asked for, the first is given."""
    malformed: Mapping[int, Malformed] = field(default_factory=dict)
    """Page -> how its answer is broken; see MALFORMED."""
    asked: Counter[int] = field(default_factory=Counter)
    """How often each page was asked for; what limiter and faults refused is not in it. Also at GET /asked."""

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"there is no style {self.style!r}: choose {', '.join(STYLES)}")
        if self.page_size < 1 or (self.max_page_size is not None and self.max_page_size < 1):
            raise ValueError("a page has at least one row")
        if self.repeat_every < 0 or self.hide_every < 0 or self.hide_every == 1:
            raise ValueError("repeat_every and hide_every are numbers of rows, and of one row all would be hidden")
        unknown = set(self.malformed.values()) - set(MALFORMED)
        if unknown:
            raise ValueError(f"an answer cannot be malformed like {unknown.pop()!r}: choose {', '.join(MALFORMED)}")
        self._page_of = {str(token): page for page, token in self.tokens.items()}
        if len(self._page_of) < len(self.tokens):
            raise ValueError(f"two pages have the same token: {dict(self.tokens)}")

    @cached_property
    def dataset(self) -> PagedRows:
        """The rows: `api.dataset[17]` is row 17."""
        return PagedRows(self.rows, self.row_bytes)

    @property
    def length(self) -> int:
        """The number of positions: rows, repeats and gaps. What an honest total says."""
        repeats = (self.rows - 1) // self.repeat_every if self.repeat_every and self.rows else 0
        end = self.rows + repeats
        if self.hide_every and end:
            end += 1 + (end - 1) // (self.hide_every - 1)
        for page in sorted(self.empty_pages):
            end += self.page_size if page * self.page_size < end else 0
        return end

    def asked_by_name(self) -> dict[str, int]:
        """`asked` in the order of the pages, with names for keys as JSON wants them."""
        return {str(page): count for page, count in sorted(self.asked.items())}

    def serve(self, **options: Any) -> FaultServer:
        """A server of this API; `options` are those of FaultServer, such as limiter, latency and faults."""
        return FaultServer(respond=self, **options)

    def __call__(self, request: ServedRequest) -> Reply:
        """Answer one request. Raises ValueError where its parameters cannot be read."""
        path, _, query = request.target.partition(b"?")
        if path == ASKED:
            return Reply(body=orjson.dumps(self.asked_by_name()))
        parameters = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        size = self._size(parameters)
        asked_for = self._start(parameters, size)
        self.asked[asked_for // size] += 1
        if asked_for >= self.length and self.beyond_end == "404":
            return Reply(404, b'{"error":"there is no such page"}')
        start = self._served(asked_for, size)
        # What lies beyond the end counts on, so that an API that never ends gives ever new tokens.
        token = self._next(start if self.ignores_page else asked_for, size)
        host = "" if self.relative_urls else "http://" + request.headers.get("host", "localhost")
        return self._page(start, size, token, host + path.decode("latin-1"), parameters)

    # Where a page begins.

    def _size(self, parameters: Mapping[str, str]) -> int:
        size = int(parameters.get(self.size_param, self.page_size))
        if size < 1:
            raise ValueError(f"{self.size_param} must be at least 1, not {size}")
        return size if self.max_page_size is None else min(size, self.max_page_size)

    def _start(self, parameters: Mapping[str, str], size: int) -> int:
        if self.style == "offset":
            start = int(parameters.get(self.offset_param, 0))
        elif self.style == "page":
            start = (int(parameters.get(self.page_param, self.first_page)) - self.first_page) * size
        else:
            start = self._position(parameters.get(self.cursor_param), size)
        if start < 0:
            raise ValueError("there is nothing before the first page")
        return start

    def _position(self, token: str | None, size: int) -> int:
        if token is None:
            return 0
        if token in self._page_of:
            return self._page_of[token] * size
        if not token and not self.refuses_empty_token:
            return 0
        if token[:1] != "t" or not token[1:].isdecimal():
            raise ValueError(f"there is no token {token!r}")
        return int(token[1:])

    def _served(self, start: int, size: int) -> int:
        if self.ignores_page:
            return 0
        if start >= self.length:
            if self.beyond_end == "last":
                return max(0, self.length - 1) // size * size
            if self.beyond_end == "first":
                return 0
        return start

    # What comes after it.

    def _next(self, start: int, size: int) -> str | int | None:
        page = start // size
        if page in self.turn_back:
            return self._token(self.turn_back[page] * size, size)
        if start + size < self.length or self.always_next:
            return self._token(start + size, size)
        return None

    def _token(self, position: int, size: int) -> str | int:
        page, rest = divmod(position, size)
        return f"t{position}" if rest or page not in self.tokens else self.tokens[page]

    # The answer.

    def _page(self, start: int, size: int, token: str | int | None, url: str, parameters: dict[str, str]) -> Reply:
        broken = self.malformed.get(start // size)
        if broken == "not_json":
            return Reply(body=b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})
        if broken == "error":
            return Reply(500, b'{"error":"this page always fails"}')
        headers = {}
        following: Any = token
        if token is not None and self.style in ("next-url", "link"):
            following = f"{url}?{urlencode({**parameters, self.cursor_param: token})}"
            if self.style == "link":
                headers["Link"] = f'<{url}>; rel="first"; title="a, b", <{following}>; rel="next"'
        if broken == "wrong_next":
            following, headers = {"page": 3}, {"Link": "<nowhere; rel=next"} if self.style == "link" else {}
        return Reply(body=self._body(start, size, following, broken), headers=headers)

    def _body(self, start: int, size: int, following: Any, broken: Malformed | None) -> bytes:
        rows = b"[%b]" % self.dataset.as_json(self._numbers(start, min(start + size, self.length)))
        if broken == "no_rows":
            return b'{"error":"internal","items_by_id":{}}'
        if broken == "rows_not_a_list":
            rows = b'"none"'
        if self.rows_key is None:
            return rows
        total: Any = {"negative_total": -1, "wrong_total": "many"}.get(broken or "", self._total())
        rest = {self.total_key: total} if self.show_total or broken in ("negative_total", "wrong_total") else {}
        if self.style in ("cursor", "next-url"):
            rest |= self._told(following)
        head = b"{%b:%b" % (orjson.dumps(self.rows_key), rows)
        return head + b"}" if not rest else head + b"," + orjson.dumps(rest)[1:]

    def _total(self) -> Any:
        return self.length if self.claimed_total is None else self.claimed_total

    def _told(self, following: Any) -> dict[str, Any]:
        if following is None and self.end == "missing":
            return {}
        return {self.next_key: "" if following is None and self.end == "empty" else following}

    def _numbers(self, start: int, end: int) -> Sequence[int]:
        if not self.empty_pages and not self.repeat_every and not self.hide_every:
            return range(start, end)
        numbers = []
        for position in range(start, end):
            page = position // self.page_size
            if page not in self.empty_pages:
                gaps = sum(each < page for each in self.empty_pages)
                place = position - gaps * self.page_size
                if not self.hide_every:
                    numbers.append(self._number(place))
                elif place % self.hide_every:
                    numbers.append(self._number(place - 1 - place // self.hide_every))
        return numbers

    def _number(self, index: int) -> int:
        """The row at `index` of what is served, gaps and what is hidden left out."""
        if not self.repeat_every:
            return index
        repeats, place = divmod(index, self.repeat_every + 1)
        new = index - repeats
        return new if place < self.repeat_every else new - self.repeat_every

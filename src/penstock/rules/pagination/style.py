"""How an API pages: as options say it, or as its first answer shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ...errors import UsageError
from .find_rows import find_rows, quoted, steps_of

STYLES = ("offset", "page", "cursor", "next-url", "link")
URL_STYLES = ("next-url", "link")
"""Those whose pages are named by URLs."""

_ONLY_WITH = {
    "offset_param": ("offset",),
    "page_param": ("page",),
    "cursor_param": ("cursor",),
    "next": ("cursor", "next-url"),
}
_DEEPEST = 3
_TOTALS = (
    *("total", "total_count", "totalCount", "total_results", "totalResults", "total_rows", "totalRows", "total_items"),
    *("totalItems", "total_records", "totalRecords", "totalElements", "total_elements", "numFound", "found", "count"),
    *("filtered_table_rows_count", "items"),
)
_TOTAL_HEADERS = ("x-total-count", "x-total", "x-wp-total", "total-count")
_URLS = (
    "next_url",
    "nextUrl",
    "next_page_url",
    "nextPageUrl",
    "next_link",
    "nextLink",
    "@odata.nextLink",
    "next",
    "href",
)
_TOKENS = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "end_cursor": "after",
    "endCursor": "after",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "next_token": "next_token",
    "nextToken": "nextToken",
    "continuation_token": "continuation_token",
    "continuationToken": "continuationToken",
    "scroll_id": "scroll_id",
    "after": "after",
    "cursor": "cursor",
}
_OFFSETS = ("offset", "skip", "_start", "startAt", "from")
_PAGES = ("page", "_page", "page_number", "pageNumber", "current_page", "currentPage", "pageIndex", "p")
_SIZES = ("limit", "per_page", "perPage", "_limit", "_per_page", "page_size", "pageSize", "size", "maxResults")


@dataclass(frozen=True, slots=True)
class Paging:
    """The options of `pull` that say how an API pages; None is the style's own default.

    `rows`, `total` and `next` are JMESPath expressions on an answer (`total` can be `header:NAME`).
    """

    style: str = "auto"
    page_size: int | None = None
    size_param: str | None = None
    offset_param: str | None = None
    page_param: str | None = None
    cursor_param: str | None = None
    rows: str | None = None
    total: str | None = None
    next: str | None = None
    start: str | None = None

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.style != "auto" and self.style not in STYLES:
            raise UsageError(f"--paginate {self.style!r} is none of auto, {', '.join(STYLES)}")
        if self.page_size is not None and self.page_size < 1:
            raise UsageError(f"--page-size must be at least 1, not {self.page_size}")
        for name, styles in _ONLY_WITH.items():
            if getattr(self, name) is not None and self.style not in styles:
                raise UsageError(f"--{name.replace('_', '-')} only goes with --paginate {' or '.join(styles)}")
        if self.style == "auto" and self.start is not None:
            raise UsageError("--start needs --paginate: say which kind of start it is")
        if self.style in ("offset", "page") and self.start is not None and not self.start.isdecimal():
            raise UsageError(f"--start must be a number with --paginate {self.style}, not {self.start!r}")

    def in_command(self, command: Sequence[str]) -> list[str]:
        """The words of `command`, which may say some of it already, with all of these options."""
        mine = {f"--{each.name.replace('_', '-')}" for each in fields(self)} | {"--paginate"}
        words = iter(command)
        kept: list[str] = []
        for word in words:
            if word in mine:
                next(words, None)
            elif word.partition("=")[0] not in mine:
                kept.append(word)
        return [*kept, *self.as_options()]

    def as_options(self) -> list[str]:
        """The options as one would type them, each a word."""
        options = {"paginate": self.style} | {
            each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self) if each.name != "style"
        }
        return [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]


@dataclass(frozen=True, slots=True)
class DetectedPaging:
    """How an API pages, as its first answer shows, and what in it shows that.

    With a `doubt`, which says what was seen, `paging` is what can be suggested and nothing to act upon.
    """

    paging: Paging
    signs: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One scalar in an answer, outside of its rows."""

    path: str
    name: str
    value: Any


def detect(
    answer: Any,
    headers: Mapping[str, str],
    next_link: str | None,
    names_in_url: Sequence[str],
    asked: Paging,
    *,
    count: int | None = None,
) -> DetectedPaging:
    """Work out the paging of an API from its first answer.

    `headers` in lower case; `next_link` is the Link header's rel=next; `names_in_url` are the query parameters that the
    user gave; `count` the rows in the answer, None where they are to be found. What `asked` says is not questioned.
    Where it is not clear, there is a doubt. Raises UsageError where even the rows are not to be found.
    """
    rows = _rows(answer, asked)
    seen = list(_scalars(answer, "", 1))
    count = _count(answer, rows) if count is None else count
    total = asked.total or _total(seen, headers, count)
    promised = _promised(seen, headers, total)
    counted = _by_names(seen, names_in_url)
    found = _by_link(next_link) or _by_next(seen, names_in_url)
    found = found or _by_no_next(seen, promised, count, counted=counted is not None)
    found = found or counted or _by_total(promised, count, sure=asked.total is not None)
    signs = [f"rows at {rows!r} ({count:,} in the first page)" if rows != "@" else f"a list of {count:,} rows"]
    signs += [f"a total at {total!r}"] if total else []
    size_param = asked.size_param or _size_param(seen, names_in_url)
    known = Paging(rows=rows, total=total, size_param=size_param, page_size=asked.page_size)
    if found is None:
        return _unclear(seen, signs, known, count, promised)
    paging, sign = found
    return DetectedPaging(_with(paging, known), (*signs, sign))


def _with(paging: Paging, known: Paging) -> Paging:
    return replace(paging, rows=known.rows, total=known.total, size_param=known.size_param, page_size=known.page_size)


def next_like(answer: Any) -> list[str]:
    """Where in an answer a next page may be named, to judge by names: at most three JMESPath expressions."""
    names = {*_URLS, *_TOKENS}
    seen = [each for each in _scalars(answer, "", 1) if each.name in names and _is_named_next(each)]
    return [each.path for each in seen if isinstance(each.value, (str, int)) and not isinstance(each.value, bool)][:3]


def _is_named_next(each: _Seen) -> bool:
    return each.name != "href" or ".next." in f".{each.path}"


def _unclear(seen: list[_Seen], signs: list[str], known: Paging, count: int, promised: int | None) -> DetectedPaging:
    names = ", ".join(each.path for each in seen[:12])
    token = next((each for each in seen if each.name == "next" and isinstance(each.value, (str, int))), None)
    known = replace(known, page_size=known.page_size or count or None)
    if token is not None:
        paging = _with(Paging("cursor", next=token.path, cursor_param="NAME"), known)
        hint = f"If {token.path!r} is the next page's token, give the NAME of its parameter"
    elif promised == count:
        # What counts the rows of this page is no total.
        paging = replace(_with(Paging("offset"), known), total=None)
        hint = (
            f"All {count:,} rows that it promises are here, but that may be a page of many; if not, --paginate link "
            f"--total {known.total}. If it takes offset and limit (or else --paginate page)"
        )
    else:
        paging, hint = _with(Paging("offset"), known), "If it takes offset and limit (or else --paginate page)"
    return DetectedPaging(
        paging,
        doubt=f"cannot tell how this API pages. Seen: {'; '.join(signs)}; no Link header with rel=next; "
        f"{f'fields {names}' if names else 'no other fields'}. Give --paginate offset, page, cursor, next-url or link, "
        f"and the names of its parameters where they are not the usual ones. {hint}",
    )


def _rows(answer: Any, asked: Paging) -> str:
    if asked.rows is not None:
        return asked.rows
    paths = find_rows(answer)
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise UsageError("there is no list in the answer; say with --rows where the rows are")
    raise UsageError(f"there are lists at {', '.join(paths)}; say with --rows which of them holds the rows")


def _count(answer: Any, rows: str) -> int:
    """Rows in the answer, for a path that `find_rows` made; 0 for others, which are the user's own."""
    if rows == "@":
        return len(answer) if isinstance(answer, list) else 0
    value = answer
    for step in steps_of(rows):
        value = value.get(step) if isinstance(value, dict) else None
    return len(value) if isinstance(value, list) else 0


def _scalars(value: Any, path: str, depth: int) -> Iterator[_Seen]:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    for name, inner in value.items():
        step = f"{path}.{quoted(name)}" if path else quoted(name)
        if isinstance(inner, dict):
            yield from _scalars(inner, step, depth + 1)
        elif not isinstance(inner, list):
            yield _Seen(step, name, inner)


def _total(seen: list[_Seen], headers: Mapping[str, str], count: int) -> str | None:
    for name in _TOTALS:
        for each in seen:
            if each.name != name or isinstance(each.value, bool) or not isinstance(each.value, int):
                continue
            # A count that equals the rows of this page is as often the count of this page as it is the total.
            if each.value > count or (each.value == count and name not in ("count", "found", "items")):
                return each.path
    for field in _TOTAL_HEADERS:
        if headers.get(field, "").strip().isdecimal():
            return f"header:{field}"
    return None


def _by_link(next_link: str | None) -> tuple[Paging, str] | None:
    return None if next_link is None else (Paging("link"), "a Link header with rel=next")


def _by_next(seen: list[_Seen], names_in_url: Sequence[str]) -> tuple[Paging, str] | None:
    for name in _URLS:
        for each in seen:
            is_next = each.name == name and _is_named_next(each)
            if is_next and isinstance(each.value, str) and each.value.startswith(("http://", "https://", "/", "?")):
                return Paging("next-url", next=each.path), f"the next page's URL at {each.path!r}"
    for name, parameter in _TOKENS.items():
        for each in seen:
            if each.name == name and isinstance(each.value, (str, int)) and not isinstance(each.value, bool):
                known = name if name in names_in_url else parameter
                return Paging(
                    "cursor", next=each.path, cursor_param=known
                ), f"a token of the next page at {each.path!r}"
    return None


def _promised(seen: list[_Seen], headers: Mapping[str, str], total: str | None) -> int | None:
    """What the answer says at `total`, where that is a place that can be looked at here."""
    if total is not None and total.startswith("header:"):
        text = headers.get(total[len("header:") :].lower(), "").strip()
        return int(text) if text.isdecimal() else None
    value = next((each.value for each in seen if each.path == total), None)
    return value if isinstance(value, int) else None


def _is_whole(promised: int | None, count: int) -> bool:
    """Whether all rows are in this answer. A number like 100 or 64 may as well count the rows of a full page."""
    return promised == count and not is_page_size(count)


def is_page_size(count: int) -> bool:
    """Whether so many rows may be a full page: people take round numbers, and powers of two."""
    return count > 0 and (count % 5 == 0 or (count >= 8 and count & (count - 1) == 0))


def _by_no_next(seen: list[_Seen], promised: int | None, count: int, *, counted: bool) -> tuple[Paging, str] | None:
    """There is a place for a successor, and none is named: this page is all there is, unless the total is higher.

    `counted`: the answer has the number of its page. A null at `after` or `cursor` is something else then.
    """
    if promised is not None and 0 < count < promised:
        return None
    for each in seen:
        if each.value is not None or not (each.name in _URLS or each.name in _TOKENS):
            continue
        if "next" in each.path.lower() or not counted or _is_whole(promised, count):
            return Paging("next-url", next=each.path), f"no next page at {each.path!r}"
    return None


def _by_names(seen: list[_Seen], names_in_url: Sequence[str]) -> tuple[Paging, str] | None:
    numbers = {each.name: each for each in seen if isinstance(each.value, int) and not isinstance(each.value, bool)}
    for name in _OFFSETS:
        if name in names_in_url or name in numbers:
            return Paging("offset", offset_param=name), f"a parameter or field {name!r}"
    for name in _PAGES:
        if name in names_in_url or name in numbers:
            number = numbers[name].value if name in numbers else 1
            parameter = name if name in names_in_url or not name.startswith("current") else "page"
            start = "0" if number == 0 else None
            return Paging("page", page_param=parameter, start=start), f"a parameter or field {name!r}"
    return None


def _by_total(promised: int | None, count: int, *, sure: bool) -> tuple[Paging, str] | None:
    """All rows are in the first answer: whatever the style is, nothing more will be asked for.

    `sure`: the user says where the total is.
    """
    is_all = _is_whole(promised, count) or (sure and promised == count)
    return (Paging("link"), "all rows in the first answer") if is_all else None


def _size_param(seen: list[_Seen], names_in_url: Sequence[str]) -> str | None:
    names = {*names_in_url, *(each.name for each in seen)}
    return next((name for name in _SIZES if name in names), None)

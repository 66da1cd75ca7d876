"""The rows of `penstock top`: which fit, and what of a URL and of a reason is shown where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

_WHY = {
    "uri-miss": "not stored yet, or no longer",
    "vary-miss": "stored for other Vary values only",
    "stale": "stale, asked again",
    "miss": "answers cannot be shared",
    "bypass": "bypass by policy",
    "method": "method is not cached",
    "request": "only the app can judge",
}
_BY_REFUSAL = frozenset({"uri-miss", "vary-miss", "miss"})
"""What comes of an answer that is not stored: the first request finds nothing, the next ones do not wait."""
_NARROW, _WIDE = 100, 110
_LEAST_ROWS = 3
"""Of the URLs, below the misses; where there is more room, a third of it."""
LEAST_LINES_FOR_BOTH = 10


class RowCounts(NamedTuple):
    """How many rows of each table are shown."""

    misses: int
    urls: int


def share_out(lines: int, misses: int, urls: int, *, only: str | None = None) -> RowCounts:
    """The rows that fit into `lines`, with a header for each table and a line that says how many more there are.

    Misses come first, as they are what one can do something about. `only`: "misses" or "urls" has it all.
    """
    if only is not None:
        rows = _fitting(lines - 1, misses if only == "misses" else urls)
        return RowCounts(rows, 0) if only == "misses" else RowCounts(0, rows)
    # A blank line and two headers.
    lines -= 3
    for_urls = min(max(1, urls), max(_LEAST_ROWS + 1, lines // 3))
    of_misses = _fitting(lines - for_urls, misses)
    left = lines - of_misses - (of_misses < misses)
    return RowCounts(of_misses, _fitting(left, urls))


def _fitting(lines: int, rows: int) -> int:
    return rows if rows <= lines else max(0, lines - 1)


def common_origin(urls: Sequence[str]) -> str:
    """The scheme and host that all `urls` begin with; else the scheme alone, or nothing."""
    origins = {_origin(url) for url in urls}
    if len(origins) == 1:
        return origins.pop()
    schemes = {origin.partition("://")[0] for origin in origins}
    return f"{schemes.pop()}://" if len(schemes) == 1 else ""


def _origin(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    return scheme + colon + rest.partition("/")[0]


def cut_middle(text: str, width: int) -> str:
    """`text` in at most `width` characters: both ends of a path say more than its beginning alone."""
    if len(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def reason_of(row: dict[str, Any], width: int) -> str:
    """Why the URL of `row` is missed most often, for a terminal of `width` columns; `+1`: there is one reason more."""
    others = set(row["reasons"]) - {row["why"]}
    reason: str | None = row["not_stored"]
    if reason is None:
        reason = row["why"] if width < _NARROW else _WHY.get(row["why"], row["why"])
    else:
        others -= _BY_REFUSAL
        if width >= _WIDE:
            reason = f"{reason} [{row['clause']}]"
    return f"{reason} +{len(others)}" if others else reason


def table_lines(
    title: str, origin: str, headers: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> list[str]:
    """A header, with `origin` where there is room for it, and a line for each row, in `width` columns.

    A URL is cut in the middle, a reason (headed `why`) at its end.
    """
    widths = [max(len(each) for each in column) for column in zip(headers, *(row[1:] for row in rows), strict=True)]
    if headers[-1] == "why":
        widths[-1] = min(widths[-1], max(10, width * 2 // 5))
    first = max(1, width - sum(widths) - 2 * len(widths))
    if origin and len(title) + 2 + len(origin) <= first:
        title += f"  {origin}"
    lines = []
    for row in ([title, *headers], *rows):
        cells = [cut_middle(row[0], first).ljust(first)]
        for text, size, header in zip(row[1:], widths, headers, strict=True):
            cells.append(_cut(text, size).ljust(size) if header == "why" else text.rjust(size))
        lines.append("  ".join(cells)[:width].rstrip())
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"

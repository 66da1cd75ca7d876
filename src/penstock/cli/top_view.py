"""The live view of `penstock top`."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..report.axes import duration
from .top_reading import CacheReading
from .top_rows import LEAST_LINES_FOR_BOTH, RowCounts, common_origin, reason_of, share_out, table_lines

_FOOTER_LINES = 2
_NARROW, _LOW = 60, 24
_KEYS = {"m": "misses", "u": "urls"}
_UNITS = ("B", "kB", "MB", "GB", "TB")


class TopView:
    """Draws over itself on a terminal, or prints one view after another. A context manager.

    `rows`: of each table; None for as many as the terminal has lines for. `with_query`: URLs are shown with theirs.
    """

    def __init__(
        self, url: str, *, live: bool, rows: int | None = 10, with_query: bool = False, console: Console | None = None
    ) -> None:
        self._url = url
        self._rows = rows
        self.with_query = with_query
        self._only: str | None = None
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, screen=True) if live else None
        self._last: CacheReading | None = None
        self._message: str | None = None

    def show(self, reading: CacheReading) -> None:
        """Draw `reading`."""
        self._last, self._message = reading, None
        self._draw(self._view(reading))

    def lost(self, message: str) -> None:
        """Draw the last one, and say that there is nothing newer."""
        self._message = message
        self._draw(Text(message, style="red") if self._last is None else self._view(self._last))

    def pressed(self, key: str) -> None:
        """`m`, `u`: misses or URLs alone, and both again. `q`: with queries or without, from the next reading on."""
        if key in _KEYS:
            self._only = None if self._only == _KEYS[key] else _KEYS[key]
        elif key == "q":
            self.with_query = not self.with_query
        if self._last is not None:
            self._draw(self._view(self._last))

    @property
    def most_rows(self) -> int:
        """How many rows of each table it can show now."""
        return self._console.height if self._rows is None else self._rows

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            if self._last is not None:
                # What was seen last stays to be read.
                with contextlib.suppress(BrokenPipeError):
                    self._console.print(self._view(self._last))

    def _draw(self, view: Any) -> None:
        if self._live is not None:
            self._live.update(view, refresh=True)
        else:
            self._console.print(view)

    def _view(self, reading: CacheReading) -> Group:
        where = f" -> {reading.origin}" if reading.origin else ""
        head = f"penstock {self._url}{where}   up {duration(reading.uptime_s)}"
        parts: list[Any] = [Text(head, style="dim", no_wrap=True, overflow="ellipsis")]
        if self._message is not None:
            parts.append(Text(self._message, style="red"))
        brief = self._live is not None and (self._console.height < _LOW or self._console.width < _NARROW)
        parts += [_numbers(reading, brief=brief), Text()]
        used = len(self._console.render_lines(Group(*parts)))
        parts += self._tables(reading, used)
        if self._live is not None and self._live.is_started:
            parts += [Text(), Text(self._footer(), style="dim", no_wrap=True, overflow="ellipsis")]
        return Group(*parts)

    def _tables(self, reading: CacheReading, used: int) -> list[Text]:
        misses, urls = len(reading.top_misses), len(reading.top_urls)
        room, only = RowCounts(misses, urls), self._only
        if self._rows is None:
            left = self._console.height - used - _FOOTER_LINES
            if left < LEAST_LINES_FOR_BOTH:
                only = only or "misses"
            room = share_out(left, reading.urls_missed, reading.urls_counted, only=only)
        lines: list[Text] = []
        if only != "urls":
            lines += _misses(reading, min(room.misses, misses), self._console.width)
        if only is None:
            lines.append(Text())
        if only != "misses":
            lines += _urls(reading, min(room.urls, urls), self._console.width)
        return lines

    def _footer(self) -> str:
        query = "" if self._console.width < _NARROW else "hide " if self.with_query else "show "
        misses = "both" if self._only == "misses" else "misses"
        urls = "both" if self._only == "urls" else "URLs"
        return f"m {misses}  u {urls}  q {query}queries  Ctrl-C end"


def _numbers(reading: CacheReading, *, brief: bool = False) -> Table:
    """`brief`: what fits a low or narrow terminal, a line each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", min_width=9, no_wrap=True)
    grid.add_column(overflow="ellipsis" if brief else "fold", no_wrap=brief)
    grid.add_row(
        "requests",
        f"{_rate(reading.requests_per_s)}   {reading.requests:,} so far   {_count(reading.connections, 'connection')}",
    )
    grid.add_row("hit rate", _pair(reading.hit_rate, reading.hit_rate_total))
    if brief:
        grid.add_row("misses", _reasons(reading))
        grid.add_row("app", _app(reading))
        return grid
    grid.add_row("app spared", _pair(reading.spared, reading.spared_total))
    grid.add_row("stale", f"{_rate(reading.stale_per_s)}   collapsed {_rate(reading.collapsed_per_s)}")
    grid.add_row("misses", _reasons(reading))
    grid.add_row("app", _app(reading))
    share = reading.stored_bytes / reading.budget_bytes if reading.budget_bytes else 0.0
    grid.add_row(
        "memory",
        f"{size(reading.stored_bytes)} of {size(reading.budget_bytes)} ({share:.0%})   "
        f"{_count(reading.objects, 'object')}   {reading.evictions:,} evicted, {_rate(reading.evictions_per_s)}"
        + _over_their_share(reading),
    )
    sent = (
        "" if reading.bytes_from_store_per_s is None else f"{size(reading.bytes_from_store_per_s)}/s from the store   "
    )
    grid.add_row("bytes", f"{sent}{size(reading.bytes_from_origin_per_s)}/s from the app")
    return grid


def _over_their_share(reading: CacheReading) -> str:
    if not reading.variant_evictions:
        return ""
    return f"   {reading.variant_evictions:,} over a URL's share, {_rate(reading.variant_evictions_per_s)}"


def _app(reading: CacheReading) -> Text:
    text = Text(_rate(reading.origin_requests_per_s))
    if reading.origin_p50_s is not None and reading.origin_p99_s is not None:
        text.append(f"   p50 {duration(reading.origin_p50_s)}   p99 {duration(reading.origin_p99_s)}")
    text.append(f"   {_count(reading.origin_connections, 'connection')} in use")
    if reading.origin_waiting:
        text.append(f"   {reading.origin_waiting:,} wait for one", style="yellow")
    if reading.origin_failures_per_s:
        text.append(f"   {_rate(reading.origin_failures_per_s)} fail", style="red")
    if not reading.origin_up:
        text.append("   does not answer", style="red")
    return text


def _reasons(reading: CacheReading) -> str:
    by_reason = sorted(reading.misses_by_reason.items(), key=lambda pair: -pair[1])
    text = _rate(reading.misses_per_s)
    return text + "".join(f"   {why} {_rate(rate)}" for why, rate in by_reason if rate)


def _misses(reading: CacheReading, most: int, width: int) -> list[Text]:
    shown = reading.top_misses[:most]
    origin = common_origin([row["url"] for row in shown])
    narrow = width < _NARROW
    rows = [
        [
            row["url"].removeprefix(origin),
            f"{row['recent']:,}",
            *([] if narrow else [f"{row['requests']:,}"]),
            reason_of(row, width),
        ]
        for row in shown
    ]
    headers = ["10 s", "why"] if narrow else ["last 10 s", "total", "why"]
    return _lines("top misses", origin, headers, rows, width, reading.urls_missed - most)


def _urls(reading: CacheReading, most: int, width: int) -> list[Text]:
    shown = reading.top_urls[:most]
    origin = common_origin([row["url"] for row in shown])
    narrow = width < _NARROW
    rows = []
    for row in shown:
        total = [f"{row['requests']:,}", _percent(_ratio(row["spared"], row["requests"]))]
        recent = [f"{row['recent']:,}", _percent(_ratio(row["recent_spared"], row["recent"]))]
        rows.append([row["url"].removeprefix(origin), *recent, *([] if narrow else total)])
    headers = ["10 s", "spared"] if narrow else ["last 10 s", "spared", "total", "spared"]
    return _lines("top URLs", origin, headers, rows, width, reading.urls_counted - most)


def _lines(title: str, origin: str, headers: list[str], rows: list[list[str]], width: int, more: int) -> list[Text]:
    head, *lines = table_lines(title, origin, headers, rows, width)
    texts = [Text(head, style="bold", no_wrap=True), *(Text(line, no_wrap=True) for line in lines)]
    return [*texts, Text(f"… {more:,} more", style="dim")] if more > 0 else texts


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _pair(now: float | None, total: float | None) -> str:
    return f"{_percent(now)}   {_percent(total)} since the start"


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    text = f"{share:.1%}"
    # Never rounded up to all.
    return text if share == 1.0 or text != "100.0%" else f"{min(share, 0.9999):.2%}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.1f}/s"


def size(count: float) -> str:
    """`1.4 MB`."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"

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

_WHY = {
    "uri-miss": "not stored yet, or no longer",
    "vary-miss": "stored for other Vary values only",
    "stale": "stale, asked again",
    "miss": "answers cannot be shared",
    "bypass": "bypass by policy",
    "method": "method is not cached",
    "request": "only the app can judge",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")


class TopView:
    """Draws over itself on a terminal, or prints one view after another. A context manager."""

    def __init__(self, url: str, *, live: bool, console: Console | None = None) -> None:
        self._url = url
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, screen=True) if live else None
        self._last: CacheReading | None = None

    def show(self, reading: CacheReading) -> None:
        """Draw `reading`."""
        self._last = reading
        self._draw(self._view(reading, None))

    def lost(self, message: str) -> None:
        """Draw the last one, and say that there is nothing newer."""
        self._draw(Text(message, style="red") if self._last is None else self._view(self._last, message))

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
                    self._console.print(self._view(self._last, None))

    def _draw(self, view: Any) -> None:
        if self._live is not None:
            self._live.update(view, refresh=True)
        else:
            self._console.print(view)

    def _view(self, reading: CacheReading, message: str | None) -> Group:
        where = f" -> {reading.origin}" if reading.origin else ""
        head = Text(f"penstock {self._url}{where}   up {duration(reading.uptime_s)}", style="dim", no_wrap=True)
        parts: list[Any] = [head]
        if message is not None:
            parts.append(Text(message, style="red"))
        parts += [_numbers(reading), Text(), _urls(reading), Text(), _misses(reading)]
        return Group(*parts)


def _numbers(reading: CacheReading) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", min_width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(
        "requests",
        f"{_rate(reading.requests_per_s)}   {reading.requests:,} so far   {_count(reading.connections, 'connection')}",
    )
    grid.add_row("hit rate", _pair(reading.hit_rate, reading.hit_rate_total))
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


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _urls(reading: CacheReading) -> Table:
    table = _table("top URLs", "last 10 s", "spared", "total", "spared")
    for row in reading.top_urls:
        table.add_row(
            Text(row["url"]),
            f"{row['recent']:,}",
            _percent(_ratio(row["recent_spared"], row["recent"])),
            f"{row['requests']:,}",
            _percent(_ratio(row["spared"], row["requests"])),
        )
    return table


def _misses(reading: CacheReading) -> Table:
    table = _table("top misses", "last 10 s", "total")
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in reading.top_misses:
        why = Text(_WHY.get(row["why"], row["why"]))
        if row["not_stored"] is not None:
            why = Text(f"{row['not_stored']} [{row['clause']}]", style="yellow")
        table.add_row(Text(row["url"]), f"{row['recent']:,}", f"{row['requests']:,}", why)
    return table


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

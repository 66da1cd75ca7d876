"""The live view of a run on a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..engine.counters import RunCounters
from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..runs.session_limits import limit_texts
from .texts import Gauge, count_text, eta_of, outage_text, pause_text, rate_text
from .window_use import WindowUse

_SMOOTHING = 0.3
_ETA_SECONDS = 60.0


class LiveView:
    """A Watcher that draws over itself twice a second."""

    def __init__(self, out: str, gauge: Callable[[], Gauge], limiter: RateLimiter) -> None:
        self.interval = 0.5
        self._out = out
        self._gauge = gauge
        self._limiter = limiter
        self._rate = 0.0
        self._used = [WindowUse(window.limit) for window in limiter.windows]
        self._done: deque[tuple[float, int]] = deque()
        self._seen: tuple[float, int] | None = None
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Draw the state now; at the end of the run the view goes away and leaves room for the summary."""
        self.measure(engine, elapsed)
        if engine.complete or engine.stopped:
            self.close()
            return
        if not self._live.is_started:
            self._live.start()
        self._live.update(self.view(engine, elapsed), refresh=True)

    def close(self) -> None:
        """Take the view away, whatever has become of the run."""
        self._live.stop()

    def measure(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Take note of how far it is at `elapsed`; the pace follows from several of these."""
        counters = engine.counters
        if self._seen is not None and elapsed - self._seen[0] > 0.1:
            span = elapsed - self._seen[0]
            weight = _SMOOTHING if self._rate else 1.0
            self._rate += ((counters.attempts - self._seen[1]) / span - self._rate) * weight
        self._seen = (elapsed, counters.attempts)
        for used in self._used:
            used.measure(elapsed, counters.attempts)
        if counters.outage_since is not None:
            # What was done before an outage says nothing of the pace after it, and it has none itself.
            self._done.clear()
        self._done.append((elapsed, counters.items))
        while elapsed - self._done[0][0] > _ETA_SECONDS:
            self._done.popleft()

    def view(self, engine: Engine[Any, Any], elapsed: float) -> Group:
        """The state as it was at the last `measure`."""
        counters = engine.counters
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", min_width=9)
        grid.add_column()
        grid.add_row("done", self._done_row(counters))
        grid.add_row("rate", self._rate_text())
        grid.add_row("in flight", f"{counters.in_flight:,}")
        grid.add_row("outcomes", self._outcomes(counters))
        waiting = f"   {counters.parked:,} wait" if counters.parked else ""
        grid.add_row("retries", f"{counters.retries:,}   throttled {counters.throttled:,}{waiting}")
        if outage := outage_text(counters):
            grid.add_row("outage", Text(outage, style="yellow"))
        times = counters.service.percentiles_ms()
        grid.add_row("service", "  ".join(f"{name} {value or 0:,.1f}" for name, value in times.items()) + " ms")
        return Group(Text(f"penstock -> {self._out}", style="dim"), grid, self._footer(engine, elapsed))

    def _done_row(self, counters: RunCounters) -> Table | str:
        gauge, items = self._gauge(), counters.items
        if gauge.total is None:
            return count_text(items, gauge)
        total = max(gauge.total, items)
        done = Table.grid(padding=(0, 2))
        done.add_row(
            ProgressBar(total=max(total, 1), completed=items, width=30, complete_style="green"),
            f"{count_text(items, gauge)} ({items / total if total else 1.0:.1%})",
            f"ETA {eta_of(counters, total, self._pace())}",
        )
        return done

    def _pace(self) -> float:
        (began, before), (now, items) = self._done[0], self._done[-1]
        return (items - before) / (now - began) if now > began else 0.0

    def _rate_text(self) -> Text:
        text = Text(rate_text(self._rate, limit_texts(self._limiter)))
        for used in self._used:
            text.append(f"   {used.share():.0%} of {used.limit}", style="green")
        if not self._limiter.windows:
            # What each key has for itself: no share of it follows from the rate of all.
            text.append("".join(f"   {limit}" for limit in limit_texts(self._limiter)), style="green")
        told = self._limiter.statistics().told
        if told:
            text.append(f"   {' and '.join(told)} told by the server", style="dim")
        if pause := pause_text(self._limiter):
            text.append(f"   {pause}", style="yellow")
        return text

    def _outcomes(self, counters: Any) -> Text:
        text = Text(f"{counters.ok:,} ok", style="green")
        text.append(f"   {counters.failed:,} failed", style="red" if counters.failed else "dim")
        for kind, count in sorted(counters.by_kind.items()):
            text.append(f"   {kind} {count:,}", style="red")
        return text

    def _footer(self, engine: Engine[Any, Any], elapsed: float) -> Text:
        if engine.stopping:
            return Text("stopping: what is in flight ends; Ctrl-C again to leave at once", style="yellow")
        return Text(f"{elapsed:,.0f} s   Ctrl-C stops it; the same command goes on from there", style="dim")

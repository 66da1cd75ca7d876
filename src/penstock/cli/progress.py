"""What a person sees while a run goes on: the live view on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..runs.driver import Watcher
from .texts import Gauge, status_line

LINE_SECONDS = 10.0


def watchers(
    out: str, *, quiet: bool, gauge: Callable[[], Gauge] | None = None, unit: str = "items"
) -> Callable[[int | None, RateLimiter], tuple[Watcher, ...]]:
    """What shows the run, as a run wants it. `gauge` takes the place of the total given there."""

    def make(total: int | None, limiter: RateLimiter) -> tuple[Watcher, ...]:
        if quiet:
            return ()
        known = gauge or (lambda: Gauge(total, unit))
        if sys.stderr.isatty():
            from .live import LiveView

            return (LiveView(out, known, limiter),)
        return (Lines(known, limiter),)

    return make


class SurveyProgress:
    """Shows how the survey of the input goes on; silent for one that takes no time."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = 0

    def __call__(self, records: int, bytes_read: int) -> None:
        """`records` were read so far."""
        if not self._quiet and records - self._shown >= 1_000_000:
            self._shown = records
            click.echo(f"reading the input: {records:,} records, {bytes_read / 1e6:,.0f} MB", err=True)


class Lines:
    """A Watcher for logs: one line every ten seconds."""

    def __init__(self, gauge: Callable[[], Gauge], limiter: RateLimiter) -> None:
        self.interval = LINE_SECONDS
        self._gauge = gauge
        self._limiter = limiter
        self._seen: tuple[float, int, int] | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Print the line, but not before the first interval is over."""
        seen, self._seen = self._seen, (elapsed, engine.counters.attempts, engine.counters.items)
        if seen is not None and elapsed - seen[0] > 0.5:
            click.echo(status_line(engine, self._gauge(), self._limiter, seen, elapsed), err=True)

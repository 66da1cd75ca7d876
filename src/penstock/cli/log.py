"""`--log json`: what happens in a run, one JSON object a line on standard error, for those who collect logs.

Every line has `at` (UTC), `level` (info, warning, error) and `event`; docs/reference/metrics.md lists the events and
their fields. It takes the place of what is written for people.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any

import click
import orjson

from ..clock import SYSTEM_CLOCK, Clock
from ..engine.counters import RunCounters
from ..engine.engine import Engine
from ..limits.limiter import RateLimiter
from ..runs.session_limits import limit_texts

PROGRESS_SECONDS = 10.0
_LOOK_SECONDS = 0.5


class JsonLog:
    """Writes the events of one command."""

    def __init__(self, command: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._command = command
        self._clock = clock

    def watcher(self, total: int | None, limiter: RateLimiter) -> LogWatcher:
        """A Watcher that logs how the run goes on."""
        return LogWatcher(self, total, limiter)

    def finished(self, summary: dict[str, Any]) -> None:
        """The run has come to its end, or was stopped; `summary` is that of `--json`."""
        self.write("finished" if summary["complete"] else "stopped", summary=summary)

    def error(self, message: str, code: int) -> None:
        """The command ends with `message` and this exit code."""
        self.write("error", level="error", message=" ".join(message.split()), exit_code=code)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.wall()

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one line."""
        line = {"at": rfc3339(self.now()), "level": level, "event": event, "command": self._command, **fields}
        click.echo(orjson.dumps(line, default=str).decode(), err=True)


class LogWatcher:
    """A Watcher: started, progress every ten seconds, pauses and outages as they begin and end.

    It looks twice a second, so what is shorter than that may not be seen.
    """

    def __init__(self, log: JsonLog, total: int | None, limiter: RateLimiter) -> None:
        self.interval = _LOOK_SECONDS
        self._log = log
        self._total = total
        self._limiter = limiter
        self._started = False
        self._told = 0.0
        self._before: tuple[float, int, int] = (0.0, 0, 0)
        self._paused_until: float | None = None
        self._outage_since: float | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Log what has changed since the last look."""
        counters = engine.counters
        if not self._started:
            self._start(counters)
        self._look_for_pauses(counters)
        self._look_for_outages(counters)
        if elapsed - self._told >= PROGRESS_SECONDS:
            self._told = elapsed
            self._progress(counters, elapsed)

    def _start(self, counters: RunCounters) -> None:
        self._started = True
        self._before = (0.0, counters.attempts, counters.items)
        limits = limit_texts(self._limiter)
        self._log.write("started", total=self._total, resumed=counters.items, limits=limits)

    def _progress(self, counters: RunCounters, elapsed: float) -> None:
        then, attempts, items = self._before
        self._before = (elapsed, counters.attempts, counters.items)
        span = max(elapsed - then, 1e-9)
        done_per_second = (counters.items - items) / span
        # Nobody can tell while the host is down.
        left = None if self._total is None or counters.outage_since is not None else self._total - counters.items
        self._log.write(
            "progress",
            elapsed_s=round(elapsed, 3),
            items=counters.items,
            total=self._total,
            ok=counters.ok,
            failed=counters.failed,
            by_kind=counters.by_kind,
            attempts=counters.attempts,
            retries=counters.retries,
            throttled=counters.throttled,
            in_flight=counters.in_flight,
            rate_per_s=round((counters.attempts - attempts) / span, 3),
            service_ms=counters.service.percentiles_ms(),
            eta_s=None if left is None or done_per_second <= 0 else round(left / done_per_second, 1),
        )

    def _look_for_pauses(self, counters: RunCounters) -> None:
        left = self._limiter.statistics().paused_for
        until = self._limiter.paused_until if left > 0 else None
        if until is not None and until != self._paused_until:
            ends = rfc3339(self._log.now() + left)
            self._log.write("paused", level="warning", seconds=round(left, 3), until=ends, throttled=counters.throttled)
        elif until is None and self._paused_until is not None:
            self._log.write("resumed")
        self._paused_until = until

    def _look_for_outages(self, counters: RunCounters) -> None:
        since = counters.outage_since
        if since is not None and self._outage_since is None:
            reason = counters.outage_reason
            self._log.write("outage", level="warning", items=counters.items, failed=counters.failed, reason=reason)
        elif since is None and self._outage_since is not None:
            self._log.write("recovered", items=counters.items)
        self._outage_since = since


def rfc3339(wall: float) -> str:
    """`wall`, seconds since the epoch, as `2026-01-31T12:00:00.000Z`."""
    moment = dt.datetime.fromtimestamp(wall, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def wants_json_log(arguments: Sequence[str]) -> bool:
    """Whether a command line has `--log json`; errors must be logged also where it could not be understood."""
    return "--log=json" in arguments or ("--log", "json") in itertools.pairwise(arguments)

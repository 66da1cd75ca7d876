"""The run over time, one JSON line per sample, for people and plots.

Samples begin a second apart and thin out as the run grows older, so that a run of weeks leaves thousands of lines
and not millions. The counters only grow, so that a lost sample loses no call; what a sample says of its interval
(percentiles, pauses, the fewest and the most in flight) is of the time since the sample before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from ..clock import SYSTEM_CLOCK, Clock
from ..engine.engine import Engine
from ..errors import StorageError
from ..limits.limiter import RateLimiter
from .session_limits import limit_texts

_SAMPLES_PER_DOUBLING = 600
_LOOK_SECONDS = 1.0


class Series:
    """A Watcher that looks once a second, and appends to `series.jsonl` as often as the age of the run asks for."""

    def __init__(
        self,
        path: Path,
        limiter: RateLimiter,
        clock: Clock = SYSTEM_CLOCK,
        known: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise StorageError(f"writing to {path}: {error.strerror or error}") from error
        self.interval = _LOOK_SECONDS
        self._limiter = limiter
        self._known = known
        self._clock = clock
        self._buckets: list[int] | None = None
        self._written: float | None = None
        self._looked = clock.now()
        self._paused_until = limiter.paused_until
        self._paused = 0.0
        self._fewest = self._most = 0
        self._peak: int | None = None

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Look, and append a sample if one is due. It is not synced: a sample is worth no more than that."""
        self._look(engine.counters.in_flight, engine.counters.in_flight_peak)
        every = max(_LOOK_SECONDS, elapsed / _SAMPLES_PER_DOUBLING)
        # Half a look early is better than a whole one late.
        if self._written is None or engine.stopped or elapsed - self._written >= every - _LOOK_SECONDS / 2:
            self._append(self._sample(engine, elapsed))
            self._written = elapsed

    def _look(self, in_flight: int, peak: int) -> None:
        now = self._clock.now()
        self._paused += paused_seconds(self._looked, now, self._paused_until, self._limiter.paused_until)
        self._looked, self._paused_until = now, self._limiter.paused_until
        self._fewest, self._most = min(self._fewest, in_flight), max(self._most, in_flight)
        if self._peak is not None and peak > self._peak:
            # A new highest is known exactly, also between two looks.
            self._most = max(self._most, peak)
        self._peak = peak

    def _sample(self, engine: Engine[Any, Any], elapsed: float) -> dict[str, Any]:
        counters = engine.counters
        buckets, self._buckets = self._buckets, list(counters.service.buckets)
        recent = counters.service.since(buckets if buckets is not None else self._buckets)
        sample = {
            "at": round(self._clock.wall(), 3),
            "elapsed": round(elapsed, 3),
            "items": counters.items,
            "ok": counters.ok,
            "failed": counters.failed,
            "by_kind": counters.by_kind,
            "attempts": counters.attempts,
            "retries": counters.retries,
            "throttled": counters.throttled,
            "hedges": counters.hedges,
            "unasked": counters.unasked,
            "died": counters.died,
            "parked": counters.parked,
            "outage_since": counters.outage_since,
            "outage_reason": counters.outage_reason,
            "in_flight": counters.in_flight,
            "in_flight_range": [self._fewest, self._most],
            "in_flight_ceiling": engine.ceiling,
            "limits": limit_texts(self._limiter),
            "limits_told": self._limiter.statistics().told,
            "paused_s": round(self._paused, 3),
            "paused_until": round(counters.paused_until, 3),
            "service_ms": counters.service.percentiles_ms(),
            "recent_ms": recent.percentiles_ms(),
            "recent_buckets": {str(index): count for index, count in recent.coarse().items()},
            **self._known(),
        }
        if engine.stopped:
            # Once in a session, as fine as they are.
            sample["service_buckets"] = counters.service.as_json()["buckets"]
        self._paused = 0.0
        self._fewest = self._most = counters.in_flight
        return sample

    def _append(self, sample: dict[str, Any]) -> None:
        try:
            self._file.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()
        except OSError:
            # A full disk stops the run through its commits, which say so; a missing sample is no reason.
            return

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def paused_seconds(begin: float, end: float, until_before: float, until_now: float) -> float:
    """How much of `begin` to `end` was a pause, of which only its end was seen: at `begin`, and again at `end`.

    When a new pause began is not known; the middle of the time that it can have begun in is the best guess.
    """
    old = max(0.0, min(until_before, end) - begin)
    if until_now <= max(until_before, begin):
        return old
    free_since = max(begin, min(until_before, end))
    return old + (min(until_now, end) - free_since) / 2

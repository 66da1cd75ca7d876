"""The limits as servers keep them: strict, pure, with the time as an argument.

They are what penstock is measured against, so they share nothing with `penstock.rules.limits.rate`. Times are
seconds on any one clock and must not go back. A refused arrival is not counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from penstock.rules.limits.rate import parse_limit


class Limiter(Protocol):
    """What a server asks on every arrival."""

    def arrive(self, now: float) -> float | None:
        """None if admitted; else the seconds after which one arrival would be, were there no other."""
        ...


class FixedWindow:
    """At most `limit` in each of the windows [phase + k * window, phase + (k + 1) * window).

    The commonest limit in the field, and the laxest: around a boundary 2 * limit get through in one window.
    """

    def __init__(self, limit: int, window: float, phase: float = 0.0) -> None:
        _check(limit, window)
        self.limit = limit
        self.window = window
        self.phase = phase
        self._end = -math.inf
        self._count = 0

    def arrive(self, now: float) -> float | None:
        """None if admitted, else the seconds until the next window."""
        if now >= self._end:
            self._end = self._end_of_window(now)
            self._count = 0
        if self._count < self.limit:
            self._count += 1
            return None
        return _seconds_until(now, self._end)

    def _end_of_window(self, now: float) -> float:
        # Division rounds, so it can name the window beside the right one. Only boundaries count, so that one
        # that somebody was told to wait for is the one that lets him in.
        index = math.floor((now - self.phase) / self.window)
        if now < self.phase + index * self.window:
            index -= 1
        while now >= self.phase + (index + 1) * self.window:
            index += 1
        return self.phase + (index + 1) * self.window


class SlidingLog:
    """At most `limit` in every half-open window of `window` seconds, wherever it begins: the strictest."""

    def __init__(self, limit: int, window: float) -> None:
        _check(limit, window)
        self.limit = limit
        self.window = window
        self._admitted: deque[float] = deque(maxlen=limit)

    def arrive(self, now: float) -> float | None:
        """None if admitted, else the seconds until the oldest admitted arrival leaves the window."""
        log = self._admitted
        if len(log) == self.limit:
            free_at = log[0] + self.window
            if now < free_at:
                return _seconds_until(now, free_at)
        log.append(now)
        return None


class Gcra:
    """One per window / limit seconds on average, `burst` of them at once after a rest (a leaky bucket).

    `burst` is a number of arrivals from 1 up; 1 allows none to be early. No window holds more than
    limit + burst - 1.
    """

    def __init__(self, limit: int, window: float, burst: int = 1) -> None:
        _check(limit, window)
        if burst < 1:
            raise ValueError(f"a burst must be at least 1, not {burst}")
        self.limit = limit
        self.window = window
        self.burst = burst
        self._interval = window / limit
        self._tolerance = (burst - 1) * self._interval
        self._due = -math.inf

    def arrive(self, now: float) -> float | None:
        """None if admitted, else the seconds until the next arrival conforms."""
        earliest = self._due - self._tolerance
        if now < earliest:
            return _seconds_until(now, earliest)
        self._due = max(now, self._due) + self._interval
        return None


def make_limiter(kind: str, limit: str, *, burst: int = 1) -> Limiter:
    """Make a limiter of `kind` (`fixed`, `sliding` or `gcra`) from text such as `100/min`.

    Raises ValueError for another kind, UsageError for a limit that cannot be read.
    """
    parsed = parse_limit(limit)
    if kind == "fixed":
        return FixedWindow(parsed.count, parsed.seconds)
    if kind == "sliding":
        return SlidingLog(parsed.count, parsed.seconds)
    if kind == "gcra":
        return Gcra(parsed.count, parsed.seconds, burst)
    raise ValueError(f"there is no limiter {kind!r}: choose fixed, sliding or gcra")


def most_in_any_window(times: Sequence[float], window: float) -> int:
    """Count the most of `times` that lie in one half-open window [t, t + window), over all t. O(n).

    `times` are in rising order, in the unit of `window`. Raises ValueError where they step back.
    """
    if not window > 0:
        raise ValueError(f"a window must be longer than 0, not {window}")
    most = first = 0
    previous = -math.inf
    end = math.inf if not len(times) else times[0] + window
    for index, time in enumerate(times):
        if not time >= previous:
            raise ValueError(f"times must rise, but number {index} is {time} after {previous}")
        previous = time
        # A fullest window can be moved right until it begins at one of the times, so only those are tried.
        while time >= end:
            first += 1
            end = times[first] + window
        if index - first >= most:
            most = index - first + 1
    return most


def _seconds_until(now: float, when: float) -> float:
    """Return the least wait with now + wait >= when, which rounding can miss: who waits as told is let in."""
    wait = when - now
    while now + wait < when:
        wait = math.nextafter(wait, math.inf)
    return wait


def _check(limit: int, window: float) -> None:
    if limit < 1:
        raise ValueError(f"a limit must allow at least 1, not {limit}")
    if not 0 < window < math.inf:
        raise ValueError(f"a window must be a positive number of seconds, not {window}")

"""Look at every answer for limits that the server tells, at next to no cost where it tells none."""

from __future__ import annotations

import math

from ..clock import Clock
from ..messages import Response
from ..rules.limits.ratelimit_headers import MAY_TELL, read_limits
from .limiter import RateLimiter

_MOST_NAMES = 256
_READ_EVERY = 0.005
_SKIPPED = 3


class LimitListener:
    """Hands on to `limiter` what answers tell of limits: see `RateLimiter.advise`.

    A good answer is read at most every 5 ms, and of those whose heads tell nothing only every fourth is looked at;
    one that is not good always. Nothing in an answer raises.
    """

    __slots__ = ("_last", "_limiter", "_quiet", "_read_at", "_skip", "_wall", "now")

    def __init__(self, limiter: RateLimiter, clock: Clock) -> None:
        self._limiter = limiter
        self.now = clock.now
        self._wall = clock.wall
        self._quiet: set[bytes] = set()
        self._last: object = None
        self._skip = 0
        self._read_at = -math.inf

    def hear(self, response: Response, sent: float) -> None:
        """Look at an answer that has just come to a call sent at `sent` (clock seconds)."""
        raw = response.raw_headers  # to decode the fields would cost more than all that is done here
        if self._skip and response.status < 300:
            self._skip -= 1
        elif raw is None:
            self._look(b"\n".join([name.encode("latin-1", "replace") for name, _ in response.headers]), response, sent)
        elif raw is not self._last:
            # A head that the wire has seen before comes as the same list. The others have few sets of names.
            names = b"\n".join([name for name, _ in raw])
            if names in self._quiet:
                self._last, self._skip = raw, _SKIPPED
            else:
                self._look(names, response, sent)

    def _look(self, names: bytes, response: Response, sent: float) -> None:
        if not MAY_TELL.search(names):
            if len(self._quiet) >= _MOST_NAMES:
                self._quiet.clear()
            self._quiet.add(names)
            return
        now = self.now()
        if now - self._read_at < _READ_EVERY and response.status < 300:
            return
        self._read_at = now
        told = read_limits(response.headers, self._wall())
        if told:
            self._limiter.advise(told, now, sent)

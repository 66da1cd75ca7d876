"""A limited API in virtual time that tells its limit with every answer, in one of several dialects."""

from __future__ import annotations

import math
from array import array
from email.utils import formatdate

from penstock.clock import current_clock
from penstock.errors import StatusError
from penstock.limits.limiter import RateLimiter
from penstock.limits.listener import LimitListener
from penstock.messages import Response
from penstock.testing import Latency


class TellingApi:
    """A strict fixed window of `limit` per `window` seconds, whose counters go out with every answer.

    `dialect` is "policy" (draft 11), "trio" (limit, remaining, reset in seconds), "epoch" (the same with a moment) or
    "none". `at_end`: the counters are those at the answer, not those at the arrival. `others` is the number of calls a
    second that somebody else makes under the same limit, evenly.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        limit: int,
        window: float,
        latency: Latency,
        *,
        dialect: str = "trio",
        at_end: bool = False,
        others: float = 0.0,
        phase: float = 0.37,
    ) -> None:
        self._limit, self._window, self._phase = limit, window, phase * window
        self._count, self._end = 0, -math.inf
        self._limiter = limiter
        self._latency = latency.sampler(0)
        self._dialect = dialect
        self._at_end = at_end
        self._others = others
        self._others_done = 0.0
        self._listener: LimitListener | None = None
        self.arrivals = array("d")
        self.refused = 0

    async def __call__(self, item: int) -> int:
        """Answer, and let the limiter hear it. Raises StatusError 429."""
        clock = current_clock()
        listener = self._listener = self._listener or LimitListener(self._limiter, clock)
        sent = clock.now()
        self._let_others(sent)
        admitted = self._arrive(sent)
        fields = self._fields(sent)
        if admitted:
            self.arrivals.append(sent)
            await clock.sleep(self._latency())
            if self._at_end:
                self._let_others(clock.now())
                fields = self._fields(clock.now())
            listener.hear(Response(200, fields), sent)
            return item
        self.refused += 1
        listener.hear(Response(429, fields), sent)
        raise StatusError(status=429, retry_after=math.ceil(self._end - sent))

    def _let_others(self, now: float) -> None:
        while self._others and (self._others_done + 1) / self._others <= now:
            self._others_done += 1
            self._arrive(self._others_done / self._others)

    def _arrive(self, now: float) -> bool:
        if now >= self._end:
            self._count = 0
            self._end = self._phase + self._window * (1 + math.floor((now - self._phase) / self._window))
        self._count += 1
        return self._count <= self._limit

    def _fields(self, now: float) -> list[tuple[str, str]]:
        wall = current_clock().wall()
        left, reset = max(0, self._limit - self._count), self._end - now
        if reset <= 0:
            left, reset = self._limit, self._window
        fields = [("Date", formatdate(wall, usegmt=True)), ("Content-Type", "application/json")]
        if self._dialect == "policy":
            fields.append(("RateLimit-Policy", f'"default";q={self._limit};w={self._window:g}'))
            fields.append(("RateLimit", f'"default";r={left};t={math.ceil(reset)}'))
        elif self._dialect in {"trio", "epoch"}:
            told = math.ceil(reset if self._dialect == "trio" else wall + reset)
            fields.append(("X-RateLimit-Limit", str(self._limit)))
            fields.append(("X-RateLimit-Remaining", str(left)))
            fields.append(("X-RateLimit-Reset", str(told)))
        return fields

    def change(self, limit: int) -> None:
        """From now on the limit is another one."""
        self._limit = limit

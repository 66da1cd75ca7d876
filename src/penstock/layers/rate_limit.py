"""Wait for our turn: one FIFO dispatcher with one timer for everything under one set of limits.

Place it next to the wire, inside the concurrency limit: a permit that is followed by a wait for a slot is not the
time of the send, and what the peer sees is no longer what was permitted.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..call import AnyLayer, Call, Req, Resp
from ..clock import Clock, call_at, current_clock
from ..errors import Stopped
from ..rules.backoff import backoff
from ..rules.rate import Limit, LimitWindow, Window, parse_limit

_SHORTEST_PAUSE = 0.05
_HOST_DOWN = 5


@dataclass(frozen=True, slots=True)
class RateLimiterStatistics:
    """A copy of the counters at one moment."""

    waiting: int
    sent: int
    paused_for: float
    """Seconds until a pause ends; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class _Grant:
    at: float
    cells: tuple[int, ...]


class RateLimiter:
    """Permits under any number of limits at once, in order of asking.

    Permits are all or none: a waiter takes from every limit at the same moment or from none. A heavy waiter at the
    head is not passed by light ones behind it. The cost per permit is O(limits * weight); one timer serves all
    waiters. Not for use from several threads or event loops.
    """

    def __init__(self, limits: Iterable[Limit | str | LimitWindow] = (), *, guard: float | None = None) -> None:
        """`guard` in seconds widens every window against one-way jitter; None means `rules.rate.default_guard`."""
        self.windows: Sequence[LimitWindow] = tuple(
            Window(parse_limit(each) if isinstance(each, str) else each, guard)
            if isinstance(each, (str, Limit))
            else each
            for each in limits
        )
        self._waiters: OrderedDict[asyncio.Future[_Grant], tuple[int, object]] = OrderedDict()
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = -math.inf
        self._episodes = 0
        self._unreachable = 0
        self._clock: Clock | None = None
        self._single = self.windows[0] if len(self.windows) == 1 else None

    def try_acquire(self, now: float, weight: int = 1) -> bool:
        """Take `weight` permits if nobody waits and all limits allow it at `now`."""
        # A permit that was granted and not yet taken up is ahead of us: it will be stamped when it is.
        if self._waiters or self._under_way or now < self._paused_until:
            return False
        single = self._single
        if single is not None:
            if single.earliest(weight) > now:
                return False
            single.take(now, weight)
            return True
        if self._earliest(weight) > now:
            return False
        self._take(now, weight, waited=False)
        return True

    async def acquire(self, weight: int = 1, *, owner: object = None) -> None:
        """Wait for `weight` permits. Cancelled while waiting, it gives its place, or its permits, back.

        `owner` is for `dismiss`. Raises UsageError at once for a weight that no amount of waiting will allow.
        """
        self._earliest(weight)
        clock = self._clock = self._clock or current_clock()
        if self.try_acquire(clock.now(), weight):
            return
        future: asyncio.Future[_Grant] = asyncio.get_running_loop().create_future()
        self._waiters[future] = (weight, owner)
        self._arm()
        try:
            granted = await future
        except BaseException:
            self._withdraw(future, weight)
            raise
        self._under_way -= 1
        self._restamp(granted, clock.now(), weight)

    def pause_until(self, when: float) -> None:
        """No permit before `when` (clock seconds) for anybody. A pause is never shortened by a later, shorter one."""
        if when > self._paused_until:
            self._paused_until = when
            for window in self.windows:
                window.hold(when)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._arm()

    def throttled(self, retry_after: float | None, now: float, chance: float) -> None:
        """The peer refused a call at `now`: one signal for everything under these limits.

        It waits `retry_after` seconds if the peer said so, else by backoff over the episodes since the last good
        answer; `chance` is uniform in [0, 1). Calls in flight together are refused together: one episode, one pause.
        """
        if retry_after is None:
            if now < self._paused_until:
                return
            self._episodes += 1
            retry_after = max(_SHORTEST_PAUSE, backoff(self._episodes, chance))
        self.pause_until(now + retry_after)

    def unreachable(self, now: float, chance: float) -> None:
        """A call at `now` found nobody; after some in a row the host is taken to be down.

        Then it is probed now and then, and the attempts of all other items are not used up meanwhile.
        """
        self._unreachable += 1
        if self._unreachable >= _HOST_DOWN:
            self.throttled(None, now, chance)

    def answered(self) -> None:
        """The peer gave a good answer."""
        self._episodes = self._unreachable = 0

    def dismiss(self, owner: object = None) -> None:
        """Let those of `owner` who wait now go without a permit: their `acquire` raises Stopped. None: everybody."""
        waiters = [future for future, (_, whose) in self._waiters.items() if owner is None or whose is owner]
        for future in waiters:
            del self._waiters[future]
            if not future.done():
                future.set_exception(Stopped("dismissed while waiting for a permit"))
        self._rearm()

    @property
    def paused_until(self) -> float:
        """Clock seconds; -inf if it was never paused."""
        return self._paused_until

    @property
    def waiting(self) -> int:
        """How many wait for permits."""
        return len(self._waiters)

    def statistics(self) -> RateLimiterStatistics:
        """The counters now."""
        paused_for = 0.0
        if self._clock is not None:
            paused_for = max(0.0, self._paused_until - self._clock.now())
        sent = self.windows[0].sent if self.windows else 0
        return RateLimiterStatistics(waiting=len(self._waiters), sent=sent, paused_for=paused_for)

    def __repr__(self) -> str:
        limits = ", ".join(str(window.limit) for window in self.windows) or "no limit"
        return f"<RateLimiter {limits}: {len(self._waiters)} waiting>"

    def _earliest(self, weight: int) -> float:
        when = self._paused_until
        for window in self.windows:
            when = max(when, window.earliest(weight))
        return when

    def _take(self, now: float, weight: int, *, waited: bool) -> tuple[int, ...]:
        return tuple([window.take(now, weight, waited=waited) for window in self.windows])

    def _withdraw(self, future: asyncio.Future[_Grant], weight: int) -> None:
        if self._waiters.pop(future, None) is None and not future.cancelled() and future.exception() is None:
            self._under_way -= 1
            for window, cell in zip(self.windows, future.result().cells, strict=True):
                window.give_back(cell, weight)
        # The one behind may now be the head, with a smaller weight.
        self._rearm()

    def _restamp(self, grant: _Grant, now: float, weight: int) -> None:
        # A stall between permit and send would let a later send come too close to this one.
        if now - grant.at > 0.001:
            for window, cell in zip(self.windows, grant.cells, strict=True):
                window.restamp(cell, now, weight)

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None or not self._waiters or self._clock is None:
            return
        head, _ = next(iter(self._waiters.values()))
        # Timers have a grain of one millisecond (epoll, libuv); rounding up here avoids spinning up to the moment.
        # The schedule is absolute, so what is late goes out together with what is due and no rate is lost.
        when = max(self._earliest(head), self._clock.now() + 0.001)
        self._timer = call_at(self._clock, when, self._dispatch)

    def _dispatch(self) -> None:
        self._timer = None
        assert self._clock is not None
        now = self._clock.now()
        while self._waiters:
            future, (weight, _) = next(iter(self._waiters.items()))
            if not future.done():
                if self._earliest(weight) > now:
                    break
                self._under_way += 1
                future.set_result(_Grant(now, self._take(now, weight, waited=True)))
            del self._waiters[future]
        self._arm()


def rate_limit(limiter: RateLimiter) -> AnyLayer:
    """A layer that waits for one permit of `limiter` before each call of `inner`."""

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def limited(request: Req) -> Resp:
            await limiter.acquire()
            return await inner(request)

        return limited

    return wrap

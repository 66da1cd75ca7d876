"""The limiter: one FIFO dispatcher with one timer for everything under one set of limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..clock import Clock, call_at, current_clock
from ..errors import Stopped, StorageError
from ..rules.limits.cost import CostWindow
from ..rules.limits.probe import Probe
from ..rules.limits.rate import Limit, LimitWindow, Pace, Window, parse_limit
from ..rules.limits.ratelimit_headers import ToldLimit
from ..rules.limits.told_limits import ToldLimits
from ..rules.retries.backoff import backoff
from .bounds import Bounds, Grant
from .shared_window import SharedWindow

_SHORTEST_PAUSE = 0.05
_TIMER_GRAIN = 0.001  # seconds: of epoll and of libuv
_LONG = 1.0
"""Seconds; nobody needs to be told of a pause that is shorter."""


@dataclass(frozen=True, slots=True)
class RateLimiterStatistics:
    """A copy of the counters at one moment."""

    waiting: int
    sent: int
    paused_for: float
    """Seconds until a pause ends; 0 when there is none."""
    told: tuple[str, ...] = ()
    """Limits that the server told and that are kept beside the user's."""
    used_up: bool = False
    """Whether the pause is there because the server told that nothing is left."""


@dataclass(frozen=True, slots=True)
class _Waiter:
    weight: int
    cost: float
    owner: object


class RateLimiter:
    """Permits under any number of limits at once, in order of asking.

    Permits are all or none: a waiter takes from every limit at the same moment or from none. A heavy waiter at the
    head is not passed by light ones behind it. The cost per permit is O(limits * weight); one timer serves all
    waiters. Not for use from several threads or event loops.
    """

    def __init__(
        self,
        limits: Limit | str | Iterable[Limit | str | LimitWindow] = (),
        *,
        guard: float | None = None,
        cost_limits: Limit | str | Iterable[Limit | str | CostWindow] = (),
        follow_server: bool = False,
    ) -> None:
        """`guard` in seconds widens every window against one-way jitter; None means `rules.rate.default_guard`.

        `cost_limits` bound the sum of the costs of calls, see `acquire` and `settle`. `follow_server`: the first call
        goes alone, what its answer tells (see `advise`) is the limit from then on, and rises when the server says so.
        """
        windows = tuple(_window(each, guard) for each in _several(limits))
        costs = tuple(_cost_window(each, guard) for each in _several(cost_limits))
        self._bounds = Bounds(windows, costs, ToldLimits(windows, guard, may_rise=follow_server))
        self._waiters: OrderedDict[asyncio.Future[Grant], _Waiter] = OrderedDict()
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = self._used_up_until = -math.inf
        self._episodes = 0
        self._clock: Clock | None = None
        self._watchers: list[Callable[[float], None]] = []
        if follow_server:
            self._ask_for_probe()

    @property
    def windows(self) -> Sequence[LimitWindow]:
        """The user's limits."""
        return self._bounds.windows

    @property
    def costs(self) -> Sequence[CostWindow]:
        """The user's limits on costs."""
        return self._bounds.costs

    @property
    def unbounded(self) -> bool:
        """Whether there is no limit of any kind, and no probe under way; there may be a pause."""
        return self._bounds.single is not None and not self.windows

    @property
    def pace(self) -> Pace | None:
        """Whatever else says when the next permit may be given; it is asked after the limits. None: nothing."""
        return self._bounds.pace

    @pace.setter
    def pace(self, pace: Pace | None) -> None:
        self._bounds.pace = pace
        if pace is not None:
            # It has its own answer to a refusal, so there is nothing to wait for.
            self._bounds.probe = None
        self._bounds.refresh()
        self._rearm()

    def try_acquire(self, now: float, weight: int = 1, cost: float = 0.0) -> bool:
        """Take `weight` permits, for `cost`, if nobody waits and all limits allow it at `now`."""
        # A permit that was granted and not yet taken up is ahead of us: it will be stamped when it is.
        if self._waiters or self._under_way or now < self._paused_until:
            return False
        single = self._bounds.single
        if single is not None:
            if single.earliest(weight) > now:
                return False
            single.take(now, weight)
            return True
        return self.take(now, weight, cost) is not None

    def try_once(self, now: float) -> bool:
        """As `try_acquire`, for one who will not come back: it reserves nothing of a limit that others share."""
        return self._bounds.expected() <= now and self.try_acquire(now)

    def take(self, now: float, weight: int = 1, cost: float = 0.0) -> Grant | None:
        """As `try_acquire`, for one who will wait if it is None; the grant is for `give_back`."""
        if self._waiters or self._under_way or now < self._paused_until:
            return None
        if self._bounds.earliest(weight, cost) > now:
            return None
        return self._bounds.take(now, weight, cost, waited=False)

    async def acquire(self, weight: int = 1, *, cost: float = 0.0, owner: object = None) -> Grant:
        """Wait for `weight` permits, for `cost`. Cancelled while waiting, it gives its place, or its permits, back.

        `owner` is for `dismiss`. What it returns is for `give_back`. Raises UsageError at once for what no amount of
        waiting will allow, StorageError where the log of a shared limit is not to be had.
        """
        clock = self._clock = self._clock or current_clock()
        # Refused here and not when its turn comes.
        self._bounds.earliest(weight, cost)
        grant = self.take(clock.now(), weight, cost)
        if grant is not None:
            return grant
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._waiters[future] = _Waiter(weight, cost, owner)
        try:
            self._arm()
            granted = await future
        except BaseException:
            self._withdraw(future)
            raise
        self._under_way -= 1
        kept = self._bounds.restamp(granted, clock.now())
        # Where it is void we were stopped, and others of those who share the limit have gone on.
        return kept or await self.acquire(weight, cost=cost, owner=owner)

    def give_back(self, grant: Grant) -> None:
        """What `acquire` permitted just now will not be sent."""
        self._bounds.give_back(grant)
        self._rearm()

    def sent_late(self, grant: Grant, now: float) -> None:
        """What `acquire` permitted before is sent only at `now`; whoever comes after it is reckoned from then."""
        for window, cell, weight in grant.stamps:
            window.restamp(cell, now, weight)

    def settle(self, reserved: float, actual: float, sent: float, now: float) -> None:
        """A call that was sent at `sent` with a cost of `reserved` has really cost `actual`, as is known at `now`."""
        for window in self._bounds.costs:
            window.settle(reserved, actual, sent, now)
        if actual < reserved and self._waiters:
            self._rearm()

    # -- what the peer says -----------------------------------------------------------------------------------------

    def advise(self, told: Sequence[ToldLimit], now: float, sent: float | None = None) -> None:
        """Take in what an answer told that came at `now` to a call that was sent at `sent`.

        It never loosens the user's limits. Nothing in it raises.
        """
        used_up_until = self._bounds.told.advise(told, now, now if sent is None else min(sent, now), self._bounds.sends)
        self._bounds.refresh()
        if used_up_until > now:
            self._used_up_until = max(self._used_up_until, used_up_until)
            if not self.windows:
                # Nothing else would keep all who wait from going at once.
                self._ask_for_probe()
            self.pause_until(used_up_until)
        if self._waiters:
            self._rearm()

    def pause_until(self, when: float) -> None:
        """No permit before `when` (clock seconds) for anybody. A pause is never shortened by a later, shorter one."""
        if when > self._paused_until:
            self._paused_until = when
            self._bounds.hold(when)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._arm()

    def throttled(self, retry_after: float | None, now: float, chance: float) -> None:
        """The peer refused a call at `now`: one signal for everything under these limits.

        It waits `retry_after` seconds if the peer said so, else by backoff over the episodes since the last good
        answer; `chance` is uniform in [0, 1). Calls in flight together are refused together: one episode, one pause.
        Then one call goes ahead, and the others follow when its answer is there. A `pace` has its own answer to a
        refusal: with it the peer's word on how long is kept, and the others follow at that pace.
        """
        if retry_after is None and self.pace is not None:
            self.pause_until(now + _SHORTEST_PAUSE)
            return
        if retry_after is None:
            if now < self._paused_until:
                return
            self._episodes += 1
            retry_after = max(_SHORTEST_PAUSE, backoff(self._episodes, chance))
        if self.pace is None:
            self._ask_for_probe()
        self.pause_until(now + retry_after)

    def answered(self, sent: float = math.inf, *, good: bool = True) -> None:
        """The peer answered a call that was sent at `sent`; `good`: as it should, and not with an error."""
        if good:
            self._episodes = 0
        probe = self._bounds.probe
        if probe is not None and probe.answered(sent):
            self._bounds.probe = None
            if self._clock is not None:
                # The time of waiting for it is not made up for.
                self._bounds.hold(self._clock.now() + _TIMER_GRAIN)
            self._bounds.refresh()
            self._rearm()

    def _ask_for_probe(self) -> None:
        if self._bounds.probe is None:
            self._bounds.probe = Probe()
        self._bounds.probe.ask()
        self._bounds.refresh()

    def watch(self, told: Callable[[float], None]) -> None:
        """From now on `told` hears until when there is a pause (clock seconds), whenever somebody has to wait for it.

        It may `dismiss` those who wait.
        """
        self._watchers.append(told)

    def unwatch(self, told: Callable[[float], None]) -> None:
        """No more."""
        self._watchers.remove(told)

    def _tell(self) -> None:
        held = [window.held_until for window in self.windows if isinstance(window, SharedWindow)]
        until = max(self._paused_until, *held, -math.inf)
        for told in list(self._watchers):
            told(until)

    # -- those who wait -----------------------------------------------------------------------------------------------

    def dismiss(self, owner: object = None) -> None:
        """Let those of `owner` who wait now go without a permit: their `acquire` raises Stopped. None: everybody."""
        waiters = [future for future, waiter in self._waiters.items() if owner is None or waiter.owner is owner]
        for future in waiters:
            del self._waiters[future]
            if not future.done():
                future.set_exception(Stopped("dismissed while waiting for a permit"))
        self._rearm()

    def leave_loop(self) -> None:
        """Its event loop has ended: those who wait there are dismissed, and the next who asks may do so on another."""
        waiters = list(self._waiters)
        self._waiters.clear()
        self._timer = self._clock = None
        self._under_way = 0
        for future in waiters:
            # A loop that is closed hears nothing any more; one that only stands still may go on.
            with contextlib.suppress(RuntimeError):
                if not future.done():
                    future.set_exception(Stopped("the event loop of the limiter has ended"))

    @property
    def paused_until(self) -> float:
        """Clock seconds; -inf if it was never paused."""
        return self._paused_until

    @property
    def waiting(self) -> int:
        """How many wait for permits."""
        return len(self._waiters)

    @property
    def disbelieved(self) -> Sequence[str]:
        """What the server told and nobody would believe, such as a reset in 30 years; each once."""
        return self._bounds.told.ignored

    def statistics(self) -> RateLimiterStatistics:
        """The counters now."""
        now = math.inf if self._clock is None else self._clock.now()
        return RateLimiterStatistics(
            waiting=len(self._waiters),
            sent=self._bounds.sent,
            paused_for=max(0.0, self._paused_until - now),
            told=tuple(str(window.limit) for window in self._bounds.told.windows),
            used_up=now < self._used_up_until,
        )

    def __repr__(self) -> str:
        limits = [str(window.limit) for window in self.windows] + [f"{costs.limit} of costs" for costs in self.costs]
        return f"<RateLimiter {', '.join(limits) or 'no limit'}: {len(self._waiters)} waiting>"

    def _withdraw(self, future: asyncio.Future[Grant]) -> None:
        if self._waiters.pop(future, None) is None and not future.cancelled() and future.exception() is None:
            self._under_way -= 1
            self._bounds.give_back(future.result())
        # The one behind may now be the head, with a smaller weight.
        self._rearm()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiters:
            self._bounds.release()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None or not self._waiters or self._clock is None:
            return
        head = next(iter(self._waiters.values()))
        # Rounding up to the timer's grain avoids spinning up to the moment.
        # The schedule is absolute, so what is late goes out together with what is due and no rate is lost.
        when = max(self._paused_until, self._bounds.earliest(head.weight, head.cost), self._clock.now() + _TIMER_GRAIN)
        self._timer = call_at(self._clock, when, self._dispatch)
        if self._watchers and when - self._clock.now() > _LONG:
            self._tell()

    def _dispatch(self) -> None:
        self._timer = None
        try:
            self._grant_due()
        except StorageError as error:
            # Nobody would look again; so those who wait have to know.
            waiters = list(self._waiters)
            self._waiters.clear()
            for future in waiters:
                if not future.done():
                    future.set_exception(StorageError(f"a shared limit cannot be kept any more: {error}"))

    def _grant_due(self) -> None:
        assert self._clock is not None
        now = self._clock.now()
        while self._waiters and now >= self._paused_until:
            future, waiter = next(iter(self._waiters.items()))
            if not future.done():
                if self._bounds.earliest(waiter.weight, waiter.cost) > now:
                    break
                self._under_way += 1
                future.set_result(self._bounds.take(now, waiter.weight, waiter.cost, waited=True))
            del self._waiters[future]
        self._arm()


_Kind = TypeVar("_Kind")


def _several(limits: Limit | str | Iterable[_Kind]) -> Iterable[Limit | str | _Kind]:
    """One limit is as good as a list of it."""
    return (limits,) if isinstance(limits, (Limit, str)) else limits


def _window(limit: Limit | str | LimitWindow, guard: float | None) -> LimitWindow:
    if isinstance(limit, str):
        limit = parse_limit(limit)
    if not isinstance(limit, Limit):
        return limit
    return SharedWindow(limit, guard) if limit.name else Window(limit, guard)


def _cost_window(limit: Limit | str | CostWindow, guard: float | None) -> CostWindow:
    if isinstance(limit, CostWindow):
        return limit
    return CostWindow(parse_limit(limit) if isinstance(limit, str) else limit, guard)

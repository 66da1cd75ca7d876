"""What follows from the limits a server tells with its answers? Only ever less than without them.

A policy (so many in so many seconds) becomes one more sliding log, exact like the user's own. What is left of a quota
is harder to use, for an answer is old when it comes: other calls were sent meanwhile, and a quota that is counted at
arrival but told seconds later may have begun anew. Three things are done about it:

- Where the window is known and the used part is no more than what we sent ourselves in that time, our own log says
  the same, and better: the log alone holds us back, and no rate is lost to numbers that were rounded.
- Otherwise others use the quota too (or the window is not known), and what is left is spread evenly until the reset,
  unless that is more than an hour away: nobody wants a thousand calls spread over a day because that is the quota.
- Whether a server counts and tells at arrival or at the end is inferred: what is left plus what we had sent by then
  stays the same from answer to answer for one of the two. Until that is clear, the more careful of both is taken.

A reset that is passed without news does not set us free: the quota is taken to begin anew, at the length seen so far
(a client must not count on that, says the draft; it only bounds a rate that would else be unbounded).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .rate import CATCH_UP_IDLE, Limit, LimitWindow, Window, log_cells
from .ratelimit_headers import ToldLimit

LONGEST_RESET = 86400.0
"""Seconds; a reset further away than this is not believed."""

LONGEST_PACED = 3600.0
"""Seconds; in windows longer than this sends are counted, but not spread evenly."""

FASTEST = 1e5
"""Policies that allow more than so many a second are not worth a log."""

MOST_POLICIES = 8
"""Policies, and quotas, that are kept at the same time."""

MOST_HISTORY = 256
"""How many of our last sends are worth knowing here."""

_SURE = 3.0
_LARGEST_STEP = 20.0


@dataclass(frozen=True, slots=True)
class Sends:
    """What was sent so far: how much, and the times of the last of it, oldest first."""

    total: int
    latest: Sequence[float]

    def since(self, time: float) -> int:
        """How many were sent after `time`; all that are not known to be older count."""
        older = bisect_right(self.latest, time)
        return self.total if older == 0 else len(self.latest) - older


@dataclass(slots=True)
class _Policy:
    window: Window
    told_at: float


class ToldLimits:
    """The limits that a server told. `own` are the user's, which it cannot loosen; times are seconds on one clock.

    With `may_rise`, a policy that is told anew replaces the former one of its name also where it is looser, once the
    stricter one was not told for as long as its window. Without, what was told once stays.
    """

    def __init__(self, own: Sequence[LimitWindow] = (), guard: float | None = None, *, may_rise: bool = False) -> None:
        self._own = [window for window in own if isinstance(window, Window)]
        self._guard = guard
        self._may_rise = may_rise
        self._policies: dict[tuple[str, float], _Policy] = {}
        self._quotas: dict[str, _Quota] = {}
        self._age = _CountedWhen()
        self.windows: tuple[Window, ...] = ()
        """The policies that are stricter than the user's limits, or were not there before."""
        self.ignored: list[str] = []
        """What was told and not believed, each once."""

    @property
    def active(self) -> bool:
        """Whether anything told holds us back."""
        return bool(self.windows or self._quotas)

    def advise(self, told: Iterable[ToldLimit], now: float, sent: float, sends: Callable[[], Sends]) -> float:
        """Take in what an answer told that came at `now` to a call sent at `sent`.

        Returns the time until which nothing may be sent, because nothing is left; -inf if there is no such time.
        """
        pause = -math.inf
        for limit in told:
            window = self._window(limit, now, sends)
            if limit.remaining is None or limit.reset_after is None:
                continue
            if not limit.reset_after <= LONGEST_RESET:
                self._ignore(f"a reset in {limit.reset_after:g} s")
                continue
            if window is not None and limit.count is not None and _ours(window, limit, now, sent):
                self._quotas.pop(limit.name, None)
                continue
            pause = max(pause, self._spread(limit, now, sent, sends()))
        return pause

    def earliest(self) -> float:
        """The time from which on the quotas allow a send; the windows are asked for themselves."""
        return max([quota.earliest() for quota in self._quotas.values()], default=-math.inf)

    def take(self, now: float) -> None:
        """A send starts at `now`, as permitted."""
        for name, quota in list(self._quotas.items()):
            if not quota.take(now):
                del self._quotas[name]

    # -- policies ---------------------------------------------------------------------------------------------------

    def _window(self, told: ToldLimit, now: float, sends: Callable[[], Sends]) -> Window | None:
        """The log that keeps this policy: the user's own where that is at least as strict."""
        if told.count is None:
            return None
        seconds = told.seconds or self._seconds_of(told.count)
        if seconds is None or told.count > FASTEST * seconds:
            return None
        for window in self._own:
            if window.limit.count <= told.count and window.limit.seconds >= seconds:
                return window
        limit, key = Limit(told.count, seconds), (told.name, seconds)
        known = self._policies.get(key)
        if known is None or self._replaces(known, limit, now):
            if known is None and len(self._policies) >= MOST_POLICIES:
                return None
            known = self._policies[key] = _Policy(_seeded(limit, self._guard, now, sends()), now)
            self._forget_others(key, now)
            self.windows = tuple(policy.window for policy in self._policies.values())
        if known.window.limit == limit:
            known.told_at = now
        return known.window

    def _seconds_of(self, count: int) -> float | None:
        # The user gave the same number, and with it the window that most servers keep to themselves.
        return next((window.limit.seconds for window in self._own if window.limit.count == count), None)

    def _replaces(self, known: _Policy, limit: Limit, now: float) -> bool:
        if limit.count < known.window.limit.count:
            return True
        looser = limit.count > known.window.limit.count
        return looser and self._may_rise and now - known.told_at >= limit.seconds

    def _forget_others(self, key: tuple[str, float], now: float) -> None:
        """A policy whose window was changed has another key; the old one goes when it was not told for its time."""
        if self._may_rise:
            name, _ = key
            for other, policy in list(self._policies.items()):
                if other != key and other[0] == name and now - policy.told_at >= policy.window.limit.seconds:
                    del self._policies[other]

    # -- quotas -----------------------------------------------------------------------------------------------------

    def _spread(self, told: ToldLimit, now: float, sent: float, sends: Sends) -> float:
        assert told.remaining is not None
        assert told.reset_after is not None
        since = sends.since(sent)
        self._age.learn(told, sends.total, since)
        at_arrival = self._age.at_arrival
        left = told.remaining if at_arrival is False else told.remaining - since
        until = now + told.reset_after
        if at_arrival and not told.absolute:
            until = sent + told.reset_after
        if until <= now:
            return -math.inf
        quota = self._quotas.get(told.name)
        if quota is None:
            if len(self._quotas) >= MOST_POLICIES:
                return -math.inf
            quota = self._quotas[told.name] = _Quota()
        latest = sends.latest[-1] if sends.latest else -math.inf
        quota.tell(left, until, now, latest, told.count or 0)
        return until if told.remaining == 0 else -math.inf

    def _ignore(self, what: str) -> None:
        if what not in self.ignored and len(self.ignored) < MOST_POLICIES:
            self.ignored.append(what)


class _Quota:
    """What is left of one quota, spread evenly until it begins anew."""

    __slots__ = ("_count", "_interval", "_left", "_next", "_span", "_until")

    def __init__(self) -> None:
        self._until = self._next = -math.inf
        self._interval = self._span = 0.0
        self._left = self._count = 0

    def tell(self, left: int, until: float, now: float, latest: float, count: int) -> None:
        """At `now`, `left` sends may be made before `until`; the last one was at `latest`, `count` is all of it."""
        self._span = max(self._span, until - now)
        self._count = count
        self._begin(left, until, until - now)
        self._next = until if left < 1 else max(now, latest + self._interval)

    def _begin(self, left: int, until: float, seconds: float) -> None:
        self._left, self._until = left, until
        self._interval = seconds / left if left > 0 and seconds <= LONGEST_PACED else 0.0

    def earliest(self) -> float:
        """When the next send may start."""
        return min(self._next, self._until)

    def take(self, now: float) -> bool:
        """A send starts at `now`. False once this quota has nothing to say any more."""
        if now >= self._until:
            if self._count == 0 or now >= self._until + self._span:
                return False
            # No news yet of what began at the reset.
            self._begin(self._count, self._until + self._span, self._span)
            self._next = now
        self._left -= 1
        self._next = max(self._next, now - CATCH_UP_IDLE) + self._interval if self._left > 0 else self._until
        return True


class _CountedWhen:
    """Does the server say what is left as of a call's arrival, or as of its answer?"""

    __slots__ = ("_by_arrival", "_by_end", "_last")

    def __init__(self) -> None:
        self._last: tuple[str, int, int] | None = None
        self._by_arrival = self._by_end = 0.0

    @property
    def at_arrival(self) -> bool | None:
        """None while it is not clear."""
        if self._by_end > _SURE * (1.0 + self._by_arrival):
            return True
        return False if self._by_arrival > _SURE * (1.0 + self._by_end) else None

    def learn(self, told: ToldLimit, total: int, since: int) -> None:
        """`total` sends were made so far, `since` of them after the one that was answered."""
        assert told.remaining is not None
        level = (told.name, told.remaining + total - since, told.remaining + total)
        last, self._last = self._last, level
        if last is None or last[0] != told.name:
            return
        by_arrival, by_end = abs(level[1] - last[1]), abs(level[2] - last[2])
        # A large step of both is a new window, and says nothing.
        if min(by_arrival, by_end) <= _LARGEST_STEP:
            self._by_arrival = 0.9 * self._by_arrival + min(by_arrival, _LARGEST_STEP)
            self._by_end = 0.9 * self._by_end + min(by_end, _LARGEST_STEP)


def _ours(window: Window, told: ToldLimit, now: float, sent: float) -> bool:
    """Whether what is used of the quota is no more than what we sent in its window, give or take one."""
    assert told.count is not None
    assert told.remaining is not None
    used = told.count - told.remaining - 1
    if used <= 0:
        return True
    return window.nth_last(used) >= sent - (told.seconds or window.limit.seconds) - window.guard


def _seeded(limit: Limit, guard: float | None, now: float, sends: Sends) -> Window:
    """A log of `limit` in which our last sends stand; those whose times are not known are as late as can be."""
    size = log_cells(limit)
    times = [min(time, now) for time in sends.latest][-size:]
    unknown = min(size, sends.total) - len(times)
    if unknown > 0:
        times = [times[0] if times else now] * unknown + times
    cells = array("d", [-math.inf] * (size - len(times)) + times)
    return Window(limit, guard, cells, paced=limit.seconds <= LONGEST_PACED)

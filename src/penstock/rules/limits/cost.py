"""A limit on the sum of costs: in no window of W seconds more than L tokens, credits, bytes.

What a call costs is often known only afterwards. So an estimate is reserved when it is sent, and settled when its
answer tells the truth. What turns out cheaper is taken off where it was entered, which can only lower the sum of a
window that is past. What turns out dearer cannot be unspent: it is charged at the moment at which it is known, and
whoever comes next waits for it. So at the moment of every permit, what was charged in the window before it, together
with the new estimate, is at most L; and where estimates are not too low, the same holds for the real costs.

The pace inside the limit follows what calls really cost: it is slowed by estimates only as far as those came true
lately. Otherwise an estimate of ten times the truth would let one call in ten go, whatever is given back later.

Costs are kept in whole millionths, rounded up, so that sums do not drift. Entries closer together than a
65,536th of the window share one, at the later time, which bounds memory and is never too early.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from typing import Any

from ...errors import UsageError
from .rate import CATCH_UP_IDLE, CATCH_UP_WAITED, Limit, default_guard

_PARTS = 1_000_000
_MOST_ENTRIES = 65_536
_MEMORY = 0.98  # what an answer still counts when the next has come


class _Charge:
    """What was charged from `first` to `time`, in millionths; it leaves the window with the latest."""

    __slots__ = ("cost", "first", "time")

    def __init__(self, time: float, cost: int) -> None:
        self.first = self.time = time
        self.cost = cost


def _time(entry: _Charge) -> float:
    return entry.first


class CostWindow:
    """The state of one limit on costs. Times are seconds on one monotonic clock.

    `limit.count` is the sum that is allowed in any `limit.seconds`; `guard` as for `rules.rate.Window`.
    """

    __slots__ = (
        "_actual",
        "_entries",
        "_grain",
        "_most",
        "_pace",
        "_reserved",
        "_span",
        "_sum",
        "guard",
        "limit",
        "spent",
    )

    def __init__(self, limit: Limit, guard: float | None = None) -> None:
        self.limit = limit
        self.guard = default_guard(limit) if guard is None else guard
        if not (0 <= self.guard < math.inf):
            raise UsageError(f"the guard must be a number of seconds from 0 up, not {self.guard}")
        self._span = limit.seconds + self.guard
        self._grain = self._span / _MOST_ENTRIES
        self._most = limit.count * _PARTS
        self._entries: deque[_Charge] = deque()
        self._sum = 0
        self._pace = -math.inf
        self._actual = self._reserved = 0.0
        self.spent = 0.0
        """The sum of all costs so far, as far as they are known."""

    def earliest(self, cost: float) -> float:
        """The time at which a call of `cost` may start; in the past if at once.

        O(1) but for entries that have left the window meanwhile. Raises UsageError for a cost that can never be
        allowed, or that is no number from 0 up.
        """
        parts = self._parts(cost)
        if parts > self._most:
            raise UsageError(f"a cost of {cost:g} can never be sent under the limit {self.limit}")
        too_much = self._sum + parts - self._most
        free_at = -math.inf
        if too_much > 0:
            for entry in self._entries:
                too_much -= entry.cost
                free_at = entry.time + self._span
                if too_much <= 0:
                    break
        return max(self._pace, free_at)

    def take(self, now: float, cost: float, *, waited: bool = False) -> None:
        """Reserve `cost` at `now`; the caller has seen that `earliest(cost) <= now`. `waited` as for a Window."""
        if waited:
            self._pace = max(self._pace, now - CATCH_UP_WAITED)
        elif self._pace < now - CATCH_UP_IDLE:
            self._pace = now
        parts = self._parts(cost)
        self._pace += self._seconds(parts * self._truth())
        self._charge(now, parts)

    def settle(self, reserved: float, actual: float, sent: float, now: float) -> None:
        """A call that was sent at `sent` with `reserved` has cost `actual`, as is known at `now`.

        An `actual` that is no number from 0 up changes nothing.
        """
        if not 0 <= actual < math.inf:
            return
        expected, real = self._parts(reserved), self._parts(actual)
        self._pace += self._seconds(real - expected * self._truth())
        self._reserved = _MEMORY * self._reserved + expected
        self._actual = _MEMORY * self._actual + real
        difference = real - expected
        if difference > 0:
            self._charge(now, difference)
        elif difference < 0:
            self._refund(sent, -difference)

    def give_back(self, reserved: float, at: float) -> None:
        """The call that was permitted at `at` will not be made."""
        parts = self._parts(reserved)
        self._pace -= self._seconds(parts * self._truth())
        self._refund(at, parts)

    def restamp(self, reserved: float, at: float, now: float) -> None:
        """The call that was permitted at `at` really starts at `now`."""
        parts = self._parts(reserved)
        self._refund(at, parts)
        self._charge(now, parts)

    def hold(self, until: float) -> None:
        """Start the pace again at `until`, so that the end of a pause is not a burst."""
        self._pace = max(self._pace, until)

    def fill(self, now: float) -> None:
        """Count the window as used up at `now`: after a restart nobody knows what was spent before."""
        unknown = max(0, self._most - self._sum)
        self._charge(now, unknown)
        self.spent -= unknown / _PARTS
        self._pace = max(self._pace, now + self._span)

    def used(self, now: float) -> float:
        """The share of the limit that is used up at `now`."""
        self._expire(now)
        return self._sum / self._most

    def _parts(self, cost: float) -> int:
        if not 0 <= cost < math.inf:
            raise UsageError(f"a cost must be a number from 0 up, not {cost}")
        return math.ceil(cost * _PARTS)

    def _truth(self) -> float:
        """How much of what was reserved lately was really spent."""
        return self._actual / self._reserved if self._reserved else 1.0

    def _seconds(self, parts: float) -> float:
        return parts / self._most * self._span

    def _charge(self, now: float, parts: int) -> None:
        self._expire(now)
        self._sum += parts
        self.spent += parts / _PARTS
        last = self._entries[-1] if self._entries else None
        if last is not None and now - last.first <= self._grain:
            last.cost += parts
            last.time = max(last.time, now)
        elif parts:
            self._entries.append(_Charge(now, parts))

    def _refund(self, sent: float, parts: int) -> None:
        """Take `parts` off what was charged at `sent`, or before it: that leaves the window no later."""
        self.spent -= parts / _PARTS
        index = bisect_right(self._entries, sent, key=_time) - 1
        while parts > 0 and index >= 0:
            entry = self._entries[index]
            refunded = min(parts, entry.cost)
            entry.cost -= refunded
            self._sum -= refunded
            parts -= refunded
            index -= 1

    def _expire(self, now: float) -> None:
        entries = self._entries
        while entries and entries[0].time + self._span <= now:
            self._sum -= entries.popleft().cost


def read_cost(value: Any) -> float | None:
    """`value` as a cost, None if it is not a number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None

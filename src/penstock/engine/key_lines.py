"""Limits for each key: items stand in the line of their key, and whoever's turn it is goes back among the others.

Of each line one item at a time is called, and the next when that one begins; so nobody is asked twice, order is kept
within a key, and an answer that ends a pause early has one item to call and not a thousand.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from ..clock import Clock
from ..errors import PenstockError, UsageError
from ..limits.keyed_limit import KeyedLimiter
from .delay_queue import DelayQueue
from .long_waits import asked_to_wait
from .outcome import Item, Place
from .work import Work

KeyOf = Callable[[Any], Hashable]
"""item value -> the key whose limits hold for it."""

_TIMER_GRAIN = 0.001


class KeyLines:
    """Asks `limiter` for the items of a run, whose keys `key_of` says; those that have to wait stand in lines.

    Those in lines count as items that wait in `Work`, which bounds their number.
    """

    def __init__(self, limiter: KeyedLimiter, key_of: KeyOf) -> None:
        self.limiter = limiter
        self._key_of = key_of
        self._lines: dict[Hashable, _Line] = {}
        self._longest_wait = math.inf
        self._leave_some: Callable[[PenstockError], None]
        self._work: Work[Any]
        self._clock: Clock
        self._wakes: DelayQueue[Hashable]

    def open(
        self, clock: Clock, work: Work[Any], longest_wait: float, leave_some: Callable[[PenstockError], None]
    ) -> None:
        """Before the first attempt. `leave_some` is told when a key is to wait for more than `longest_wait` seconds."""
        self._longest_wait = longest_wait
        self._leave_some = leave_some
        self._clock = clock
        self._work = work
        self._wakes = DelayQueue(clock, self._woken)

    def close(self) -> None:
        """After the last."""
        self._wakes.clear()
        self._lines.clear()

    def admits(self, item: Item[Any], now: float) -> bool:
        """Whether it is the turn of `item`; if not, it stands in line now. Raises UsageError where it has no key."""
        place = item.place
        if place is None:
            place = item.place = Place(self._key(item.value))
        if self.sets_aside(item, now):
            return False
        line = self._lines.get(place.key)
        if place.called:
            if line is not None and line.called is item:
                line.called = None
                self._call(place.key, line, now)
            return True
        if item.trouble is not None and item.trouble.probe:
            # While the host is down nobody else sends, and those in line are not waited for.
            place.called = True
            return True
        if line is None and self.limiter.turn(place.key, now) <= now:
            place.called = True
            return True
        self._stand_in_line(item, place, now)
        return False

    def permits(self, item: Item[Any], now: float) -> bool:
        """Whether `item`, which had its turn, is sent now; if not, it stands in line again."""
        place = item.place
        assert place is not None
        if self.limiter.take(place.key, now) > now:
            # While it waited for a connection its key may have been told to wait for longer than a run does.
            if not self.sets_aside(item, now):
                self._stand_in_line(item, place, now)
            return False
        place.called = False
        return True

    def answered(self, item: Item[Any], sent: float, now: float, *, good: bool = True) -> None:
        """The peer answered the call for `item` that was sent at `sent`."""
        if item.place is not None and self.limiter.answered(item.place.key, sent, good=good):
            line = self._lines.get(item.place.key)
            if line is not None:
                self._call(item.place.key, line, now)

    def sets_aside(self, item: Item[Any], now: float) -> bool:
        """Whether `item` is left for another session, because its key is to wait for longer than a run does.

        Nothing is kept of it, so those of other keys have the room. The same becomes of all that stand in its line.
        """
        key = None if item.place is None else item.place.key
        until = self.limiter.paused_until(key)
        if until - now <= self._longest_wait:
            return False
        line = self._lines.pop(key, None)
        if line is not None:
            self._work.room += len(line.first) + len(line.fresh)
        wall = self._clock.wall()
        self._leave_some(asked_to_wait(wall + until - now, wall, self._longest_wait, key=key))
        return True

    def throttled(self, item: Item[Any], retry_after: float | None, now: float, chance: float) -> None:
        """The peer refused the call for `item`: see `RateLimiter.throttled`."""
        if item.place is not None:
            self.limiter.throttled(item.place.key, retry_after, now, chance)

    def _key(self, value: Any) -> Hashable:
        key = self._key_of(value)
        try:
            hash(key)
        except TypeError:
            raise UsageError(f"limit_by gave a key that is not hashable: {key!r:.100}") from None
        return key

    def _stand_in_line(self, item: Item[Any], place: Place, now: float) -> None:
        if self._work.stopping:
            return
        line = self._lines.get(place.key)
        if line is None:
            line = self._lines[place.key] = _Line()
        if item.trouble is not None:
            # Its retry has been paid for.
            item.trouble.owes = False
        # The time of an item that was sent before is running.
        (line.first if item.attempts or place.called else line.fresh).append(item)
        self._work.room -= 1
        self._call(place.key, line, now)

    def _call(self, key: Hashable, line: _Line, now: float) -> None:
        """Call the first in `line`, now or when its turn comes."""
        if line.called is not None or self._work.stopping:
            return
        waiting = line.fresh if line.fresh and self._work.wants_new else line.first or line.fresh
        if not waiting:
            del self._lines[key]
            return
        item = waiting[0]
        assert item.place is not None
        has_its_turn = item.place.called
        when = self.limiter.earliest(key, now) if has_its_turn else self.limiter.turn(key, now, waited=True)
        if when > now:
            self._wake_at(key, line, max(when, now + _TIMER_GRAIN), now)
            return
        waiting.popleft()
        self._work.room += 1
        item.place.called = True
        line.called = item
        if item.attempts == 0:
            # It waited as one that is not yet taken up.
            item.taken = now
        self._work.give(item)

    def _wake_at(self, key: Hashable, line: _Line, when: float, now: float) -> None:
        if not now < line.wake <= when:
            line.wake = when
            self._wakes.push(key, when)

    def _woken(self, keys: list[Hashable]) -> None:
        if self._work.stopping:
            self.close()
            return
        now = self._clock.now()
        for key in keys:
            line = self._lines.get(key)
            if line is not None:
                line.wake = now
                self._call(key, line, now)


class _Line:
    """The items that wait for their turn under one key."""

    __slots__ = ("called", "first", "fresh", "wake")

    def __init__(self) -> None:
        self.first: deque[Item[Any]] = deque()
        """Those that were sent before, or had their turn and could not be sent."""
        self.fresh: deque[Item[Any]] = deque()
        self.called: Item[Any] | None = None
        """The one that was called and has not begun."""
        self.wake = 0.0

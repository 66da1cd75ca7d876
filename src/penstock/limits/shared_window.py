"""One limit for any number of processes of this user on this machine, without a server: `100/min@name`.

The log of sends (see `penstock.rules.limits.rate`) is in a file that all of them map. Every permit has a number, and
with it a cell; a cell holds the time of the latest send through it that is made or promised. For a permit the holder
of the lock writes `stamp >= cell + span` into the next cell, where the span is the limit's window plus the guard, and
may then send once, from `stamp` on.

Why that is exact: a window of W seconds can only hold more than L sends if two of them went through one cell less
than W apart, for there are L cells (or fewer, with groups of sends, and then a group stands for one send). The later
of the two was promised no sooner than the span after what the cell said. So it is enough that no send is more than
the guard later than its cell says, at the moment at which the cell is used again, and that is seen to before the send:

- up to a fifth of the guard late, it goes (the rest of the guard is for the network);
- a little later, the cell is first set to the actual time, under the lock;
- much later (the process was stopped, or busy), the permit is handed back if its cell has not been used again
  meanwhile, is void if it has, and another is asked for in either case.

What remains is a stop in the microseconds between this look and the write to the socket: one send for each process
stopped there, for which an evenly used limit with guard has room.

A permit is asked for at most `AHEAD` before its time, so a process that dies takes with it one permit of the next 50
milliseconds, and one that has nothing to send holds none. A permit that is not wanted any more is handed back: its
cell goes back to `stamp - span`, which is no earlier than what it said before. Every prefix of the stores of a permit
is a log that promises no less than the truth, so a process that is killed among them harms nobody.

A permit costs two flock(2) and some twenty memory accesses: about five microseconds.
"""

from __future__ import annotations

import math
import weakref
from pathlib import Path

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StorageError, UsageError
from ..rules.limits.rate import CATCH_UP_IDLE, CATCH_UP_WAITED, Limit, default_guard, log_cells
from .shared_log import GUARD, NEXT, PACE, PAUSED, PAUSED_WALL, SharedLog

AHEAD = 0.05
"""Seconds before its time at which a permit can be had; what a process takes with it when it is killed."""

_TURNS = 8
"""Up to so many processes take turns where permits are rare; more take them by chance."""

_LITTLE_LATE = 0.005
"""Seconds; what is later than that goes back and is asked for anew."""

_AGAIN = 0.001
"""Seconds until the next try when somebody else has the log for long."""

_PATIENCE = 50
"""How many times as long as usual to try where the answer cannot wait: about two milliseconds."""

_LONG = 25_000
"""The same for about a second, before anything is sent."""

_LATE_SHARE = 0.2
"""Of the guard: so late a send may be without a look into the log."""


class SharedWindow:
    """A `LimitWindow` that counts the sends of all processes. Raises UsageError and StorageError, see SharedLog.

    `guard` in seconds, None means the default; the largest of all who share the name is in force. `folder` is where
    the file is kept, by default the user's own place. Not for use from several threads; in a fork it finds its own
    way, and other objects may use the same name in the same process.
    """

    def __init__(
        self, limit: Limit, guard: float | None = None, *, clock: Clock = SYSTEM_CLOCK, folder: Path | None = None
    ) -> None:
        if not limit.name:
            raise UsageError(f"the limit {limit} has no name that processes could share")
        if "/" in limit.name or limit.name.startswith("."):
            raise UsageError(f"{limit.name!r} cannot be the name of a limit: write letters, digits, '.', '_' and '-'")
        self.limit = limit
        guard = default_guard(limit) if guard is None else guard
        if not 0 <= guard < math.inf:
            raise UsageError(f"the guard must be a number of seconds from 0 up, not {guard}")
        self.sent = 0
        self._clock = clock
        self._size = log_cells(limit)
        self._group = limit.count // self._size
        self._slack = guard * _LATE_SHARE
        self._log = SharedLog(limit, guard, clock, folder)
        # An object that is forgotten must not keep its name in use.
        self._finalizer = weakref.finalize(self, self._log.close)
        self._held = -1
        self._weight = 0
        self._due = self._stamp = 0.0
        self._wanted_at = self._hold_until = -math.inf
        self._latest = -_TURNS
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._span = limit.seconds + guard

    @property
    def interval(self) -> float:
        """Seconds between two sends of all processes together at an even pace, the guard included."""
        return self._span / self.limit.count

    # -- permits ----------------------------------------------------------------------------------------------------

    def earliest(self, weight: int = 1, after: float = -math.inf) -> float:
        """When to ask again, or, if that is not in the future, that `take` may follow at once.

        It makes a reservation as soon as one can be had, and keeps it until it is taken or handed back. What cannot
        be sent before `after` (because of another limit) is not reserved long before. Raises UsageError if `weight`
        can never be allowed.
        """
        now = self._clock.now()
        when = self._permit(weight, after, now)
        if when > now:
            self._wanted_at = now
        return when

    def expected(self, weight: int = 1) -> float:
        """What `earliest` would say about now, without a reservation and without the lock."""
        if self._held >= 0:
            return self._due
        return max(self._log.times[PACE], self._free_at(self._log.numbers[NEXT], weight, self._span))

    def _permit(self, weight: int, after: float, now: float) -> float:
        if self._log.moved(now):
            self._held, self._latest = -1, -_TURNS
            self._add_left_over()
        if self._held >= 0:
            late = now - self._stamp
            fits = weight == self._weight and after <= now + AHEAD and self._log.times[PAUSED] <= now
            if fits and late <= self._slack:
                return self._due
            if fits and late <= _LITTLE_LATE:
                if self._set(self._held, weight, now):
                    self._stamp = now
                    return self._due
                return now + _AGAIN
            # Its place in the ring would make everybody wait one window later; the end of the ring does not.
            self.release()
        if not 1 <= weight <= self._size * self._group:
            raise UsageError(f"a weight of {weight} can never be sent under the limit {self.limit}")
        if after > now + AHEAD:
            return after
        return self._reserve(weight, after, now)

    def _add_left_over(self) -> None:
        (sent, paused), self._log.left_over = self._log.left_over, ([], -math.inf)
        if sent:
            self.charge(sent)
        self._hold_until = max(self._hold_until, paused)

    def _reserve(self, weight: int, after: float, now: float) -> float:
        """Write the next permit into the log, at `after` or later, if it is due soon; returns when to ask again."""
        log = self._log
        if not log.lock():
            return now + _AGAIN
        try:
            times = log.times
            if self._hold_until > times[PAUSED]:
                self._write_hold()
            if times[PAUSED] > now:
                return times[PAUSED]
            number, pace = log.numbers[NEXT], times[PACE]
            span = self._span = self.limit.seconds + times[GUARD]
            due = max(pace, self._free_at(number, weight, span))
            if due > now + AHEAD:
                # Whoever had one lately lets the others ask first, so that each has its turn.
                turn = min(number - self._latest, _TURNS) / _TURNS
                return max(now + _AGAIN, due - AHEAD * (1 + turn) / 2)
            due = max(due, after)
            stamp = max(due, now)
            interval = span / self.limit.count
            pace = max(pace, stamp - CATCH_UP_WAITED) if self._in_demand(now) else _restarted(pace, stamp)
            # In this order; see above.
            times[PACE] = pace + interval * weight
            log.numbers[NEXT] = self._latest = number + weight
            self._write(number, weight, stamp)
        finally:
            log.unlock()
        self._held, self._weight, self._due, self._stamp = number, weight, due, stamp
        return due

    def take(self, now: float, weight: int = 1, *, waited: bool = False) -> int:
        """Use the reservation for `weight` sends at `now`; returns the number of its permit.

        The caller has just seen that `earliest(weight) <= now`.
        """
        number, self._held = self._held, -1
        assert number >= 0
        assert weight == self._weight
        self.sent += weight
        if waited:
            self._wanted_at = now
        if self._first is None:
            self._first = (now, number)
        self._last = (now, number + weight)
        return number

    def restamp(self, cell: int, now: float, weight: int = 1) -> bool:
        """The sends under the permit `cell` start at `now`, later than thought. False: too late, ask for another."""
        kept = self._set(cell, weight, now, patience=_PATIENCE) is True
        if not kept:
            self.sent -= weight
        return kept

    def give_back(self, cell: int, weight: int = 1) -> None:
        """The sends under the permit `cell` will not happen."""
        self.sent -= weight
        self._hand_back(cell, weight)

    def release(self) -> None:
        """Hand back what is reserved: nobody here waits for it."""
        if self._held >= 0:
            number, self._held = self._held, -1
            self._hand_back(number, self._weight)

    def hold(self, until: float) -> None:
        """No send of any process before `until`; the pace starts again there, so that its end is not a burst."""
        self._hold_until = max(self._hold_until, until)
        if self._log.lock():
            try:
                self._write_hold()
            finally:
                self._log.unlock()
        self.release()

    @property
    def held_until(self) -> float:
        """Until when one of the processes was told to wait; -inf if none was."""
        return max(self._hold_until, self._log.times[PAUSED])

    def forget_hold(self) -> None:
        """Whatever any of the processes was told to wait for, nobody does any more. Raises StorageError."""
        log = self._log
        if not log.lock(_LONG):
            raise StorageError(f"{log.path} is held by a process that does not go on")
        try:
            if log.times[PAUSED] > self._clock.now():
                log.times[PAUSED] = log.times[PAUSED_WALL] = -math.inf
                log.times[PACE] = self._clock.now()
        finally:
            log.unlock()
        self._hold_until = -math.inf

    def charge(self, times: list[float]) -> None:
        """Count sends at these times, of before the limit had its name. Raises StorageError."""
        log = self._log
        if not log.lock(_LONG):
            raise StorageError(f"{log.path} is held by a process that does not go on")
        try:
            for time in sorted(times)[-self._size :]:
                # A cell for each, also where a cell is for more than one.
                number = -(-log.numbers[NEXT] // self._group) * self._group
                log.numbers[NEXT] = number + self._group
                self._write(number, 1, time)
        finally:
            log.unlock()

    def detach(self) -> None:
        """Let the file go; the figures can still be asked for."""
        if self._finalizer.alive:
            self.release()
            self._finalizer()

    def used(self) -> float:
        """The share of the limit that all processes together used, from the first send here to the last."""
        if self._first is None:
            return 0.0
        (began, first), (ended, last) = self._first, self._last
        span = max(0.0, ended - began) + self.limit.seconds / self.limit.count
        return min(1.0, (last - first) * self.limit.seconds / (self.limit.count * span))

    # -- the log, under its lock --------------------------------------------------------------------------------------

    def _set(self, number: int, weight: int, now: float, patience: int = 1) -> bool | None:
        """Set the cells of a permit to `now` where it is late; False if it is void, None if the log cannot be had."""
        log = self._log
        if not log.lock(patience):
            return None
        try:
            if not self._is_ours(number):
                return False
            if now - log.cells[number // self._group % self._size] > self._slack:
                self._write(number, weight, now)
            return True
        finally:
            log.unlock()

    def _hand_back(self, number: int, weight: int) -> None:
        log = self._log
        # Where sends are counted in groups one is too little to make room for it. The same where the log is not to be
        # had: that nobody sends in its place harms no promise.
        if self._group > 1 or not log.lock():
            return
        try:
            if not self._is_ours(number):
                return
            for index in range(number, number + weight):
                log.cells[index % self._size] -= self._span
            if log.numbers[NEXT] == number + weight:
                log.numbers[NEXT] = self._latest = number
            if log.times[PAUSED] <= self._clock.now():
                log.times[PACE] -= self._span / self.limit.count * weight
        finally:
            log.unlock()

    def _is_ours(self, number: int) -> bool:
        # Ours until the ring has come round to the same cell.
        return (self._log.numbers[NEXT] - 1) // self._group - number // self._group < self._size

    def _free_at(self, number: int, weight: int, span: float) -> float:
        """When the cells that `weight` permits from `number` on use are free for them."""
        group, size, cells = self._group, self._size, self._log.cells
        if group == 1 and weight == 1:
            return cells[number % size] + span
        begun, ended = -(-number // group), -(-(number + weight) // group)
        free = max((cells[index % size] for index in range(begun, ended)), default=-math.inf) + span
        # Those who join a group are not sent before the one that began it.
        return max(free, cells[number // group % size]) if number % group else free

    def _write(self, number: int, weight: int, stamp: float) -> None:
        cells, size = self._log.cells, self._size
        for index in range(number // self._group, (number + weight - 1) // self._group + 1):
            # A group expires with its last send: conservative, never too early.
            if cells[index % size] < stamp:
                cells[index % size] = stamp

    def _write_hold(self) -> None:
        until, times = self._hold_until, self._log.times
        if until > times[PAUSED]:
            now = self._clock.now()
            times[PACE] = max(times[PACE], until)
            times[PAUSED_WALL] = self._clock.wall() + until - now
            times[PAUSED] = until

    # -- demand -------------------------------------------------------------------------------------------------------

    def _in_demand(self, now: float) -> bool:
        """Whether somebody here has been waiting: then lateness is the loop's and is caught up."""
        return now - self._wanted_at <= max(2 * CATCH_UP_WAITED, self.interval)


def _restarted(pace: float, stamp: float) -> float:
    """The pace where nobody waited: time in which nobody asked is not saved up for a burst."""
    return pace if pace >= stamp - CATCH_UP_IDLE else stamp

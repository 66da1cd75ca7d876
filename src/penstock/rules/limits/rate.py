"""When may the next request start? Limits that hold in every window, and an even pace inside them.

A limit of L per W is kept by a log of the last L sends: send number i starts no sooner than W after send i - L
started, so no half-open window of W seconds holds more than L. A bucket cannot do this: full at first, it lets
2L - 1 through in its first window; small enough to be exact, it wastes rate (GCRA with burst b needs an interval
of W / (L - b + 1); ITU-T I.371, RFC 2697 discuss the family). On top of the log a pacer spreads sends evenly on
an absolute schedule, so lateness of a timer is caught up and never adds up.

The server's clock sees sends later than we made them, and not all equally late. `guard` seconds are added to the
window so that this one-way jitter cannot press L + 1 sends into one window of the server's.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from typing import Protocol

from ...errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_UNITS |= {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_LIMIT = re.compile(
    r"\s*(\d{1,12})\s*(?:/|per\s)\s*(\d{1,9}(?:\.\d{1,9})?)?\s*([A-Za-z]+)\s*(?:@([A-Za-z0-9][A-Za-z0-9._-]{0,63}))?\s*"
)

MAX_LOG_CELLS = 65_536
"""A log longer than this counts sends in groups: 512 KiB, at the cost of at most 2 / 65,536 of the rate."""

CATCH_UP_WAITED = 0.1
"""Seconds of lateness that are caught up when somebody was waiting: a late timer, a stall of the loop."""

CATCH_UP_IDLE = 0.05
"""The same when nobody was waiting: enough for answers that come in batches."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` sends in any window of `seconds`.

    Where `name` is not empty, all processes of this user and machine that use the name share the limit.
    """

    count: int
    seconds: float
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise UsageError(f"a limit must allow a whole number of at least 1, not {self.count}")
        if not (0 < self.seconds < math.inf):
            raise UsageError(f"a limit's duration must be a positive number of seconds, not {self.seconds}")

    def __str__(self) -> str:
        names = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}
        return f"{self.count}/{names.get(self.seconds, f'{self.seconds:g}s')}{'@' if self.name else ''}{self.name}"


def parse_limit(text: str) -> Limit:
    """Read `100/min`, `10/s`, `600/5m` or `100/min@shared-name`. Raises UsageError for anything else."""
    match = _LIMIT.fullmatch(text)
    unit = _UNITS.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f"cannot read the limit {text!r}: write COUNT/DURATION, such as 100/min, 10/s or 600/5m")
    return Limit(int(match[1]), float(match[2] or 1) * unit, match[4] or "")


def default_guard(limit: Limit) -> float:
    """Seconds added to the window: 1.5 % of it, at most 150 ms.

    At 1 s windows this takes 1.5 % of the rate and survives 15 ms of one-way jitter; at a minute 0.25 % and 150 ms.
    """
    return min(0.015 * limit.seconds, 0.15)


class Cells(Protocol):
    """Where a log is kept: a fixed number of floats that can be read and set."""

    def __getitem__(self, index: int, /) -> float:
        """The time in a cell."""
        ...

    def __setitem__(self, index: int, value: float, /) -> None:
        """Put a time into a cell."""
        ...


class LimitWindow(Protocol):
    """What a RateLimiter asks of the state of one limit; `Window` is the usual one. Times are seconds on one clock."""

    limit: Limit
    sent: int

    @property
    def interval(self) -> float:
        """Seconds between two sends at an even pace."""
        ...

    def earliest(self, weight: int = 1) -> float:
        """The time at which `weight` sends may start; in the past if at once. UsageError where that is never."""
        ...

    def take(self, now: float, weight: int = 1, *, waited: bool = False) -> int:
        """Record `weight` sends at `now`; returns a number by which they can be restamped or given back.

        `waited`: there was demand before `now`.
        """
        ...

    def restamp(self, cell: int, now: float, weight: int = 1) -> bool:
        """The sends recorded last in `cell` really start at `now`. False: the permit is void, ask for another."""
        ...

    def give_back(self, cell: int, weight: int = 1) -> None:
        """The sends recorded last in `cell` will not happen."""
        ...

    def hold(self, until: float) -> None:
        """Start the pace again at `until`, so that the end of a pause is not a burst."""
        ...

    def used(self) -> float:
        """The share of the limit that was used from the first send to the last."""
        ...

    def detach(self) -> None:
        """Go on with a copy of the log, so that the place it was kept in can be closed."""
        ...


class Pace(Protocol):
    """A bound on when the next send may start, beside the limits: a rate that is felt for or was told. Seconds."""

    def earliest(self) -> float:
        """When the next send may start; in the past if at once. Must not change anything."""
        ...

    def take(self, now: float) -> None:
        """A send starts at `now`, as permitted. It is not taken back if it does not happen after all."""
        ...


class Window:
    """The state of one limit: the log of its sends, and its pace. Times are seconds on one monotonic clock.

    `cells` is where the log is kept; a caller that passes its own (a shared memory map) finds it there after a
    restart. It must hold `log_cells(limit)` numbers, -inf or a past time each, in send order from `head` on.
    Without `paced` only the log counts, and a whole window's sends may go at once.
    """

    __slots__ = (
        "_cells",
        "_fill",
        "_first",
        "_group",
        "_head",
        "_interval",
        "_pace",
        "_size",
        "_span",
        "guard",
        "limit",
        "sent",
    )

    def __init__(
        self,
        limit: Limit,
        guard: float | None = None,
        cells: Cells | None = None,
        head: int = 0,
        *,
        paced: bool = True,
    ) -> None:
        self.limit = limit
        self.guard = default_guard(limit) if guard is None else guard
        if not (0 <= self.guard < math.inf):
            raise UsageError(f"the guard must be a number of seconds from 0 up, not {self.guard}")
        self._size = log_cells(limit)
        # Integer division rounds the limit down, never up, where sends are counted in groups.
        self._group = limit.count // self._size
        self._fill = 0
        self._head = head
        self._cells: Cells = array("d", [-math.inf]) * self._size if cells is None else cells
        self._span = limit.seconds + self.guard
        self._interval = self._span / limit.count if paced else 0.0
        last = self._cells[(head - 1) % self._size]
        self._pace = last + self._interval
        self.sent = 0
        self._first = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two sends at an even pace, the guard included."""
        return self._interval

    @property
    def head(self) -> int:
        """Index of the oldest cell: where the next send will be written."""
        return self._head

    def earliest(self, weight: int = 1) -> float:
        """The time at which `weight` sends may start; in the past if at once.

        Raises UsageError if `weight` can never be allowed.
        """
        pace = self._pace
        if weight == 1:
            # Nearly every permit; a group that is not full needs no cell to expire.
            if self._fill:
                return pace
            expires = self._cells[self._head] + self._span
            return expires if expires > pace else pace  # noqa: FURB136  # max() costs a call, forty thousand times a second
        if weight > self._size * self._group or weight < 1:
            raise UsageError(f"a weight of {weight} can never be sent under the limit {self.limit}")
        cells = -(-(weight - (self._group - self._fill) % self._group) // self._group) if self._group > 1 else weight
        if cells < 1:
            return pace
        expires = self._cells[self._head]
        for ahead in range(1, cells):
            # Each has to expire: what was given back, or stamped late, stands out of order.
            expires = max(expires, self._cells[(self._head + ahead) % self._size])
        return max(pace, expires + self._span)

    def take(self, now: float, weight: int = 1, *, waited: bool = False) -> int:
        """Record `weight` sends at `now`; returns the cell of the last one.

        The caller has seen that `earliest(weight) <= now`. `waited`: there was demand before `now`, so lateness is the
        loop's and is caught up; otherwise the schedule starts again from about now, because time in which nobody asked
        is not saved up for a burst.
        """
        pace = self._pace
        if self.sent == 0:
            self._first = now
        if waited:
            pace = max(pace, now - CATCH_UP_WAITED)
        elif pace < now - CATCH_UP_IDLE:
            pace = now
        self._pace = pace + self._interval * weight
        self.sent += weight
        if self._group > 1:
            return self._take_grouped(now, weight)
        head = self._head
        if weight == 1:
            self._cells[head] = now
            self._head = head + 1 if head + 1 < self._size else 0
            return head
        last = head
        for _ in range(weight):
            self._cells[head] = now
            last = head
            head += 1
            if head == self._size:
                head = 0
        self._head = head
        return last

    def _take_grouped(self, now: float, weight: int) -> int:
        for _ in range(weight):
            if self._fill == 0:
                self._head = (self._head + 1) % self._size
            # A group expires with its last send: conservative, never too early.
            self._cells[self._head - 1] = now
            self._fill = (self._fill + 1) % self._group
        return (self._head - 1) % self._size

    def restamp(self, cell: int, now: float, weight: int = 1) -> bool:
        """The sends recorded last in `cell` really start at `now`, later than they were permitted. True."""
        for back in range(min(1 - (1 - weight) // self._group, self._size)):
            if self._cells[cell - back] < now:
                self._cells[cell - back] = now
        return True

    def give_back(self, cell: int, weight: int = 1) -> None:
        """The sends recorded last in `cell` will not happen. Their time slots are lost only to the pace of a group."""
        self.sent -= weight
        self._pace -= self._interval * weight
        if self._group == 1:
            for back in range(weight):
                self._cells[cell - back] = -math.inf

    def detach(self) -> None:
        """Go on with a copy of the log, so that the place it was kept in can be closed."""
        self._cells = array("d", [self._cells[index] for index in range(self._size)])

    def nth_last(self, count: int) -> float:
        """When the send was made that has `count` - 1 after it; -inf where there is none, or it was given back."""
        cells = -(-count // self._group)
        return self._cells[(self._head - max(1, cells)) % self._size] if cells <= self._size else -math.inf

    def latest(self, most: int) -> list[float]:
        """The times of the last sends, oldest first, `most` of them at the most."""
        ahead = range(self._size - min(self._size, most), self._size)
        return [time for k in ahead if (time := self._cells[(self._head + k) % self._size]) > -math.inf]

    def hold(self, until: float) -> None:
        """Start the pace again at `until`, so that the end of a pause is not a burst."""
        if until > self._pace:
            self._pace = until

    def used(self) -> float:
        """The share of the limit that was used from the first send to the last, each with its own interval."""
        if self.sent < 1:
            return 0.0
        # The last may have been given back; then its cell says nothing.
        span = max(0.0, self._cells[self._head - 1] - self._first) + self.limit.seconds / self.limit.count
        # A run that is shorter than a window can be ahead of the average rate without being above the limit.
        return min(1.0, self.sent * self.limit.seconds / (self.limit.count * span))


def log_cells(limit: Limit) -> int:
    """How many cells the log of `limit` takes."""
    # As many as stand for the same number of sends each: 100,000 sends are 50,000 cells of two.
    return limit.count // -(-limit.count // MAX_LOG_CELLS)

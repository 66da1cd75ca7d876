"""What there is to send: items that are new, and items that wait for another attempt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from ..clock import Clock, call_at
from ..rules.retries.circuit import Circuit
from ..rules.retries.retry_budget import RetryBudget
from .counters import RunCounters
from .delay_queue import DelayQueue
from .feed import BatchSource, ReadAhead
from .outcome import Item

T = TypeVar("T")


class Doubt(Protocol):
    """Stands before the work while it is doubtful whether anything of it can succeed."""

    def admits(self) -> bool:
        """Whether one item may be taken up now."""
        ...


MOST_DELAYED = 2048
"""Items that wait for another attempt; beyond it no new ones are taken, which bounds memory while everything fails."""

_DRAIN_SECONDS = 0.1
_OLD_TURN = 4


class Gate(Protocol):
    """Stands before the work while the host is down, and until it has shown that it is back."""

    parks: bool
    """Whether nothing but probes goes through."""

    def admits(self) -> bool:
        """Whether one item may go through now."""
        ...

    def took(self, item: Item[Any]) -> None:
        """Learn that `item` goes through."""
        ...


class Work(Generic[T]):
    """New items come from `ahead`; those that are tried again wait in the delay queue, and are `due` after it.

    What finds the retry budget spent, or the host down, is parked: it waits there without any of its time running.
    """

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
        *,
        circuit: Circuit,
        budget: RetryBudget | None,
        counters: RunCounters,
    ) -> None:
        self.ahead: ReadAhead[T] = ReadAhead(items)
        self.due: deque[Item[T]] = deque()
        self.stopping = False
        """Nothing more is to be sent."""
        self.gate: Gate | None = None
        self.doubts: list[Doubt] = []
        """All of them must admit what is to be taken."""
        self.room = MOST_DELAYED
        """How many may wait here; those that wait in line for the limits of their keys take theirs."""
        self._circuit = circuit
        self._budget = budget
        self._counters = counters
        self._parked: deque[Item[T]] = deque()
        self._draining: asyncio.TimerHandle | None = None
        self._turn = 0
        self._delayed: DelayQueue[Item[T]]
        self._came: Callable[[], None]
        self._clock: Clock

    def open(self, clock: Clock, came: Callable[[], None]) -> None:
        """Before the first use, on the loop that will use it. `came` is told when there may be something to take."""
        self._clock = clock
        self._came = came
        self._delayed = DelayQueue(clock, self._release)
        self._delaying = self._delayed.heap

    # -- taking -------------------------------------------------------------------------------------------------------

    def there(self) -> bool:
        """Whether `take` would find an item."""
        if (self.doubts and not self._are_dispelled()) or (self.gate is not None and not self.gate.admits()):
            return False
        if self.due or (self.ahead.items and len(self._delaying) + len(self._parked) < self.room):
            return True
        return self.gate is not None and bool(self._parked)

    def take(self) -> Item[T] | None:
        """The next item to send; those that were tried before come first, unless the latest attempt failed."""
        if self.doubts and not self._are_dispelled():
            return None
        if self.gate is not None:
            return self._take_through(self.gate)
        if self.due and not (self.wants_new and self._new()):
            return self._take_old(self.due)
        if not self.ahead.items or len(self._delaying) + len(self._parked) >= self.room:
            return None
        item = self.ahead.take()
        item.taken = self._clock.now()
        return item

    def _are_dispelled(self) -> bool:
        return all(doubt.admits() for doubt in self.doubts)

    @property
    def wants_new(self) -> bool:
        """While everything fails, new items are what shows that it is not the fault of the few that are tried again."""
        return self._circuit.streak > 0

    def _take_through(self, gate: Gate) -> Item[T] | None:
        if not gate.admits():
            return None
        # By turns: neither new items alone nor old ones alone may decide whether the host is back, because either
        # may be a row of items that would fail on any host. New ones more often: they get past the end of the row.
        self._turn += 1
        old = self._parked if gate.parks else self.due
        if old and (self._turn % _OLD_TURN == 0 or not self._new()):
            item = self._take_old(old)
        elif self._new():
            item = self.ahead.take()
            item.taken = self._clock.now()
        else:
            return None
        gate.took(item)
        return item

    def _new(self) -> bool:
        return bool(self.ahead.items) and len(self._delaying) + len(self._parked) < self.room

    def _take_old(self, items: deque[Item[T]]) -> Item[T]:
        item = items.popleft()
        self._counters.parked = len(self._parked)
        trouble = item.trouble
        if trouble is None:
            return item
        now = self._clock.now()
        if trouble.era not in (0, self._circuit.era):
            # What failed before the host went down failed because of it: its attempts and its time begin anew.
            trouble.era = trouble.refused = 0
            trouble.excused = item.attempts
            item.first_sent = now
        elif trouble.parked_at:
            # It waited for the budget and not for the peer: that is none of its time.
            item.first_sent += now - trouble.parked_at
        trouble.parked_at = 0.0
        return item

    # -- giving back --------------------------------------------------------------------------------------------------

    def delay(self, item: Item[T], when: float) -> None:
        """Try `item` again at `when`, seconds on the clock."""
        self._delayed.push(item, when)

    def give(self, item: Item[T]) -> None:
        """`item` has waited elsewhere and is due."""
        self._release([item])

    def park(self, item: Item[T]) -> None:
        """Keep `item` until the host is back."""
        self._parked.append(item)
        self._counters.parked = len(self._parked)
        self._came()

    def hold(self, gate: Gate) -> None:
        """From now on items go through `gate`."""
        self.gate = gate
        if gate.parks:
            self._parked.extend(self.due)
            self.due.clear()
        else:
            self.due.extend(self._parked)
            self._parked.clear()
        self._counters.parked = len(self._parked)

    def let_go(self) -> None:
        """No gate any more."""
        self.gate = None

    def nothing_left(self) -> bool:
        """Whether all that was read has been taken, and nothing waits for another attempt."""
        return not (self.ahead.items or self.due or self._delayed or self._parked or self.room < MOST_DELAYED)

    def finished(self) -> bool:
        """The same, and nothing more will be read."""
        return self.ahead.exhausted and self.nothing_left()

    def stop(self) -> None:
        """Forget what was not taken; from now on there is nothing to send."""
        self.stopping = True
        self.ahead.items.clear()
        self.due.clear()
        self._delayed.clear()
        self._parked.clear()
        self._counters.parked = 0
        self.room = MOST_DELAYED
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None

    @property
    def waiting(self) -> int:
        """How many items wait for another attempt."""
        return len(self.due) + len(self._delayed) + len(self._parked) + MOST_DELAYED - self.room

    # -- the retry budget ---------------------------------------------------------------------------------------------

    def _release(self, due: list[Item[T]]) -> None:
        if self.gate is not None and self.gate.parks:
            self._parked.extend(due)
        elif self._budget is None:
            self.due.extend(due)
        else:
            self._release_within(self._budget, due)
        self._counters.parked = len(self._parked)
        self._came()

    def _release_within(self, budget: RetryBudget, due: list[Item[T]]) -> None:
        now = self._clock.now()
        for item in due:
            trouble = item.trouble
            if trouble is None or not trouble.owes:
                self.due.append(item)
            else:
                trouble.parked_at = now
                self._parked.append(item)
        self._pay(budget, now)

    def _pay(self, budget: RetryBudget, now: float) -> None:
        """Let those go that the budget pays for; the others wait until it can, and their time stands still."""
        budget.earn(self._counters.first_attempts, now)
        while self._parked and budget.withdraw():
            self.due.append(self._parked.popleft())
        if self._parked and self._draining is None:
            self._draining = call_at(self._clock, now + _DRAIN_SECONDS, self._drain)

    def _drain(self) -> None:
        self._draining = None
        if self._budget is None or (self.gate is not None and self.gate.parks):
            return
        self._pay(self._budget, self._clock.now())
        self._counters.parked = len(self._parked)
        self._came()

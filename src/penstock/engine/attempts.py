"""One attempt: connect, take a permit, send, and await the answer for as long as the timeouts allow."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ..call import NotAsync, Preparable, Prepared, Resp
from ..clock import Clock
from ..errors import PenstockError, Stopped, StorageError
from ..layers.attempt_timer import AttemptTimer, timed_out, within
from ..layers.deadline import answer_time_left
from ..limits.bounds import Grant
from .endings import Endings
from .outages import Outages
from .outcome import Item
from .slots import Slots
from .state import EngineState
from .work import Work

T = TypeVar("T")


class _Unsent(Generic[Resp]):
    """What an attempt holds before it is sent."""

    __slots__ = ("prepared", "seeking")

    def __init__(self) -> None:
        self.prepared: Prepared[Resp] | None = None
        self.seeking = True


class Attempts(Generic[T, Resp]):
    """Makes attempts, in the tasks of `slots`, and tells `endings` how each one ended."""

    def __init__(
        self,
        call: Preparable[T, Resp],
        state: EngineState,
        *,
        work: Work[T],
        slots: Slots[T],
        endings: Endings[T, Resp],
        outages: Outages[T],
    ) -> None:
        self._once = call.once
        self._ready = call.ready
        self._prepare = call.prepare if call.prepares else None
        self._limiter = state.limiter
        self._schedule = state.schedule
        self._total_timeout = state.policy.total_timeout
        self._first_timeout = state.settings.attempt_timeout
        if self._total_timeout is not None:
            self._first_timeout = min(self._total_timeout, self._first_timeout or math.inf)
        self._longest_wait = state.settings.longest_wait
        self._counters = state.counters
        self._costs = state.costs
        self._keys = state.keys
        self._work = work
        self._slots = slots
        self._endings = endings
        self._outages = outages
        self._clock: Clock
        self._give_up: Callable[[PenstockError], None]
        self._timeouts: AttemptTimer

    def open(
        self, clock: Clock, give_up: Callable[[PenstockError], None], leave_some: Callable[[PenstockError], None]
    ) -> None:
        """Before the first attempt.

        `give_up` is told when limits cannot be kept any more, `leave_some` when there are items that must be left.
        """
        self._clock = clock
        self._give_up = give_up
        self._timeouts = AttemptTimer(self._first_timeout, clock)
        if self._keys is not None:
            self._keys.open(clock, self._work, self._longest_wait, leave_some)

    def close(self) -> None:
        """After the last."""
        self._timeouts.close()
        if self._keys is not None:
            self._keys.close()

    def began(self, task: asyncio.Task[None]) -> None:
        """A slot begins: in its context, and in that of all it starts, `penstock.time_left` knows its attempts."""
        answer_time_left(lambda: self._timeouts.left(task))

    async def make(self, item: Item[T], task: asyncio.Task[None]) -> None:
        """One attempt for `item`. It is seeking when it begins and no longer when it ends."""
        state: _Unsent[Resp] = _Unsent()
        sent = False
        try:
            if (self._keys is not None or item.attempts) and not self._may_begin(item):
                return
            cost = 0.0 if self._costs is None else self._costs.reserve(item)
            now = self._clock.now()
            if not (self._ready(item.to_send) and self._limiter.try_acquire(now, 1, cost)):
                if not await self._permitted(item, cost, state):
                    return
                now = self._clock.now()
            if self._keys is not None and not self._keys.permits(item, now):
                return
            if state.seeking:
                self._seeks_no_more(state)
            self._note_send(item, now)
            sent = True
            self._slots.sent()
            prepared, state.prepared = state.prepared, None
            sending = prepared.send() if prepared is not None else self._once(item.to_send)
            value = await self._within_timeout(item, task, sending)
        except Exception as error:  # noqa: BLE001  # one bad item never stops the rest
            if isinstance(error, NotAsync):
                self._counters.in_flight -= 1
                self._give_up(error)
            elif isinstance(error, StorageError) and not sent:
                self._give_up(error)
            else:
                self._endings.ended(item, None, error, sent)
        else:
            self._endings.ended(item, value, None, sent)
        finally:
            if state.seeking or state.prepared is not None:
                self._let_go(state)
            if item.trouble is not None:
                self._outages.probed(item)

    def _let_go(self, state: _Unsent[Resp]) -> None:
        """It was not sent after all."""
        if state.seeking:
            self._seeks_no_more(state)
        if state.prepared is not None:
            state.prepared.release()

    def _seeks_no_more(self, state: _Unsent[Resp]) -> None:
        state.seeking = False
        self._slots.seeking -= 1

    def _may_begin(self, item: Item[T]) -> bool:
        """Whether it is the turn of `item` and its time has not passed."""
        if self._keys is not None and not self._keys.admits(item, self._clock.now()):
            return False
        return not (item.attempts and self._endings.out_of_time(item))

    def _held_back(self, item: Item[T]) -> bool:
        """Whether the run was told to stop, or the host went down, since `item` was taken."""
        return self._work.stopping or self._outages.stops(item)

    async def _permitted(self, item: Item[T], cost: float, state: _Unsent[Resp]) -> bool:
        """Connect and wait for a permit, in this order: what comes after the permit makes the send late.

        False if the run was told to stop, the host went down or the item's time passed.
        """
        while not self._held_back(item):
            state.prepared = await self._connected(item)
            grant = await self._permit(item, cost, state)
            if grant is None:
                return False
            if state.prepared is not None or self._ready(item.to_send):
                return True
            # There was a pause, in which nobody connects; it is over now.
            self._limiter.give_back(grant)
        return False

    async def _permit(self, item: Item[T], cost: float, state: _Unsent[Resp]) -> Grant | None:
        if self._held_back(item):
            return None
        grant = self._limiter.take(self._clock.now(), 1, cost)
        if grant is not None:
            return grant
        if state.seeking:
            self._seeks_no_more(state)
        self._slots.waiting += 1
        try:
            while not self._held_back(item):
                with contextlib.suppress(Stopped):
                    grant = await self._limiter.acquire(cost=cost, owner=self._slots)
                    if not (self._held_back(item) or self._endings.out_of_time(item)):
                        return grant
                    self._limiter.give_back(grant)
                    return None
            return None
        finally:
            self._slots.waiting -= 1

    async def _connected(self, item: Item[T]) -> Prepared[Resp] | None:
        began = self._clock.now()
        if self._prepare is None or began < self._limiter.paused_until:
            return None
        # Others may connect meanwhile, so that the limit is filled in spite of slow handshakes.
        self._slots.seek()
        # What fails to connect is judged by when it began to.
        item.sent = began
        prepared = await self._prepare(item.to_send)
        seconds = self._clock.now() - began
        if seconds > 0.0005:
            usual = self._slots.connect_time
            self._slots.connect_time += (seconds - usual) * (0.3 if usual else 1.0)
        return prepared

    async def _within_timeout(self, item: Item[T], task: asyncio.Task[None], sending: Awaitable[Resp]) -> Resp:
        if item.attempts > 1 and self._total_timeout is not None:
            left = self._total_timeout - (item.sent - item.first_sent)
            if self._first_timeout is None or left < self._first_timeout:
                # Rare: the last attempts of an item that is about to run out of time.
                sending = within(left, sending)
        timer = self._timeouts
        timer.start(task, item.sent)
        try:
            return await sending
        except asyncio.CancelledError as error:
            if timer.expired(task):
                raise timed_out(self._first_timeout) from error
            if task.cancelling():
                self._counters.in_flight -= 1
                raise
            # Nobody cancelled us, so it is a fact about this item and no reason for the slot to end.
            raise RuntimeError("the call awaited something that was cancelled elsewhere") from error
        finally:
            timer.stop(task)

    def _note_send(self, item: Item[T], now: float) -> None:
        item.sent = now
        if item.attempts == 0:
            item.first_sent = now
            item.intended = self._schedule.intended(item.taken, now)
        self._counters.sent(again=item.attempts > 0)
        item.attempts += 1

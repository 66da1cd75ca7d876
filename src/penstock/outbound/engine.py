"""The engine: every item through a call, at the limit, in flat memory, one outcome each.

::

    source -> ready -+-> slot (in flight) -> limits -> attempt timeout -> call -> classify -> outcomes
                     |                                                      |
            delay queue (retries) <-----------------------------------------+

Slots are long-lived tasks, so ten million items cost the memory of those in flight. A slot that looks for work is
*seeking* until it waits for a permit or sends. The engine keeps just enough slots seeking: one more is woken or
started when the last one was let through and there is more to do, which is all that Little's law asks for.

Everything here runs on one event loop; the fields are only touched between awaits, so there are no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Generic, TypeVar

from ..call import Call, Resp
from ..clock import Clock, current_clock
from ..errors import Stopped, UsageError
from ..layers.attempt_timer import AttemptTimer, timed_out, within
from ..layers.rate_limit import RateLimiter
from ..rules.in_flight import Ending, InFlightLimit
from ..rules.outcome import Classified, Verdict
from ..rules.retry import Retry, RetryPolicy, decide
from ..rules.schedule import Schedule
from .counters import Counters
from .delay_queue import DelayQueue
from .feed import BatchSource, ReadAhead
from .outcome import Item, Outcome
from .results import Results

T = TypeVar("T")

Judge = Callable[[Any, Any, BaseException | None], Classified | None]
"""(item value, answer or None, exception or None) -> the verdict; None stands for success."""

MOST_DELAYED = 2048
"""Retries waiting at once; beyond it no new items are taken, which bounds memory while everything fails."""

_MOST_CONNECTING = 64
_UNREACHABLE = frozenset({"connect", "connect_timeout", "dns"})
_OVERLOAD = frozenset({"timeout", "http_5xx", "connect_timeout", "reset"})


class Engine(Generic[T, Resp]):
    """One run of `items` through `call`. Use it as an async context manager and iterate over it once.

    Leaving the context early cancels what is in flight and waits for it; nothing keeps running afterwards.
    `stop()` ends it gently: nothing new is sent, what is in flight comes to its outcome.
    """

    def __init__(
        self,
        call: Call[T, Resp],
        items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
        *,
        judge: Judge,
        limiter: RateLimiter,
        ceiling: InFlightLimit,
        adaptive: bool,
        policy: RetryPolicy,
        attempt_timeout: float | None,
        max_results: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._call = call
        self._prepare = getattr(call, "prepare", None)
        self._ready = getattr(call, "ready", None)
        self._judge = judge
        self._limiter = limiter
        self._ceiling = ceiling
        self._adaptive = adaptive
        self._policy = policy
        self._first_timeout = attempt_timeout
        if policy.total_timeout is not None:
            self._first_timeout = min(policy.total_timeout, attempt_timeout or math.inf)
        self._max_results = max_results
        self._chance = chance

        self._ahead: ReadAhead[T] = ReadAhead(items)
        self._due: deque[Item[T]] = deque()
        self._delayed: DelayQueue[Item[T]]
        self._results: Results[Outcome[T, Resp]] = Results()

        self._idle: list[asyncio.Future[None]] = []
        self._slots = 0
        self._seeking = 0
        self._waiting = 0
        self._feeder: asyncio.Task[None] | None = None
        self._stopping = False
        self._left = False
        self._complete = False
        self._connect_time = 0.0
        # Several limits are kept at the pace of the tightest.
        self._schedule = Schedule(max((window.interval for window in limiter.windows), default=0.0))

        self.counters = Counters()
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock: Clock
        self._timeouts: AttemptTimer

    # -- the context ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Engine[T, Resp]:
        self._clock = current_clock()
        self._timeouts = AttemptTimer(self._first_timeout, self._clock)
        self._delayed = DelayQueue(self._clock, self._release)
        self.counters.began = self._clock.now()
        await self._group.__aenter__()
        self._feeder = self._start(self._feed())
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._complete = self._exhausted_well()
        self._stopping = True
        self._forget_the_rest()
        for task in self._tasks:
            task.cancel()
        if kind is not None and not issubclass(kind, asyncio.CancelledError):
            # What the body raised goes on up as it is; the group would wrap it.
            kind = error = trace = None
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            self._timeouts.close()
            self._idle.clear()
            self._left = True

    def __aiter__(self) -> Engine[T, Resp]:
        if self._feeder is None:
            raise UsageError("a run is a context: write `async with penstock.run(...) as outcomes`, then iterate")
        return self

    async def some(self) -> list[Outcome[T, Resp]]:
        """All outcomes that are there, at least one; none only at the end. Cheaper than one by one."""
        if not await self._wait_for_results():
            return []
        outcomes = self._results.take_all()
        for outcome in outcomes:
            self.counters.count(outcome)
        self._seek()
        return outcomes

    async def __anext__(self) -> Outcome[T, Resp]:
        if not self._results and not await self._wait_for_results():
            raise StopAsyncIteration
        outcome = self._results.take()
        self.counters.count(outcome)
        if len(self._results) == self._max_results - 1:
            self._seek()
        return outcome

    async def _wait_for_results(self) -> bool:
        """Whether there are any; False at the end. Raises what the source raised, after all that came before it."""
        while not self._results:
            if self._left or self._finished():
                if self._ahead.failure is not None:
                    raise self._ahead.failure
                return False
            await self._results.changed()
        return True

    def stop(self) -> None:
        """Send nothing more; let what is in flight come to its outcome, then end the iteration."""
        if self._stopping:
            return
        self._stopping = True
        self._forget_the_rest()
        self._limiter.dismiss(self)
        # A source can keep silent for ever, so nobody waits for what it was about to say.
        self._ahead.exhausted = True
        if self._feeder is not None:
            self._feeder.cancel()
        self._wake_everyone()

    def _forget_the_rest(self) -> None:
        self._ahead.items.clear()
        self._due.clear()
        self._delayed.clear()

    # -- what can be seen -------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping

    @property
    def stopped(self) -> bool:
        """Whether it has come to its end, of whatever kind."""
        return self._left

    @property
    def complete(self) -> bool:
        """Whether every item has its outcome."""
        return self._complete if self._left else self._exhausted_well()

    def _exhausted_well(self) -> bool:
        return not self._stopping and self._ahead.failure is None and self._finished() and not self._results

    def __repr__(self) -> str:
        return (
            f"<Engine {self.counters.in_flight} in flight, {self._slots} slots, {len(self._ahead.items)} read ahead, "
            f"{len(self._due) + len(self._delayed)} to retry, {len(self._results)} results>"
        )

    # -- the source -------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            await self._ahead.fill(self._arrived)
        finally:
            self._wake_everyone()

    def _arrived(self, starved: bool) -> None:
        if starved:
            self._schedule.restart(self._clock.now())
        self._seek()

    def _take(self) -> Item[T] | None:
        if len(self._results) >= self._max_results:
            return None
        while self._due:
            item = self._due.popleft()
            if not self._out_of_time(item):
                return item
        if not self._ahead.items or len(self._delayed) >= MOST_DELAYED:
            return None
        item = self._ahead.take()
        item.taken = self._clock.now()
        return item

    def _work_to_do(self) -> bool:
        if len(self._results) >= self._max_results:
            return False
        return bool(self._due) or (bool(self._ahead.items) and len(self._delayed) < MOST_DELAYED)

    # -- slots ------------------------------------------------------------------------------------------------------

    def _start(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._group.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _seek(self) -> None:
        """Get one more slot to look for work, if there is work and none too many are looking already."""
        if not self._work_to_do() or self._seeking >= self._most_seeking() or self._waiting:
            return
        if self._idle:
            # The latest to fall idle is the first to be woken, so that what is not needed stays idle.
            idle = self._idle.pop()
            if not idle.done():
                self._seeking += 1
                idle.set_result(None)
        elif self._slots < self._ceiling.now:
            self._slots += 1
            self._seeking += 1
            self._start(self._slot())

    def _most_seeking(self) -> int:
        # While one connects, the limit goes on: rate * connect time more are needed to keep up with it.
        interval = self._schedule.interval
        if interval == 0.0:
            return _MOST_CONNECTING
        return min(_MOST_CONNECTING, 1 + math.ceil(self._connect_time / interval))

    async def _slot(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                item = self._take()
                if item is not None:
                    await self._attempt(item, task)
                    self._seeking += 1
                    if self._slots <= self._ceiling.now:
                        continue
                elif not self._stopping:
                    self._seeking -= 1
                    await self._fall_idle()
                    continue
                self._seeking -= 1
                return
        finally:
            self._slots -= 1
            # Whoever leaves hands on: work that came while it was looking must not wait for the next event.
            self._seek()
            self._results.wake()

    async def _fall_idle(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        if self._finished():
            self._results.wake()
        await future

    def _wake_everyone(self) -> None:
        for idle in self._idle:
            if not idle.done():
                self._seeking += 1
                idle.set_result(None)
        self._idle.clear()
        self._results.wake()

    # -- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, item: Item[T], task: asyncio.Task[None]) -> None:
        """One attempt for `item`. It is seeking when it begins and no longer when it ends."""
        prepared = None
        sent = False
        seeking = True
        try:
            now = self._clock.now()
            if not (self._at_once(item.value) and self._limiter.try_acquire(now)):
                if self._prepare is not None and now >= self._limiter.paused_until:
                    prepared = await self._connect(item.value, now)
                now = self._clock.now()
                if self._stopping:
                    return
                if not self._limiter.try_acquire(now):
                    self._seeking -= 1
                    seeking = False
                    if not await self._permitted(item):
                        return
                    now = self._clock.now()
            if seeking:
                self._seeking -= 1
                seeking = False
            self._note_send(item, now)
            sent = True
            if self._idle or self._slots < self._ceiling.now:
                self._seek()
            sending = prepared.send() if prepared is not None else self._call(item.value)
            prepared = None
            value = await self._within_timeout(item, task, sending)
        except Exception as error:  # noqa: BLE001  # one bad item never stops the rest
            self._ended(item, None, error, sent)
        else:
            self._ended(item, value, None, sent)
        finally:
            if seeking:
                self._seeking -= 1
            if prepared is not None:
                prepared.release()

    async def _permitted(self, item: Item[T]) -> bool:
        """Wait for a permit; False if the run was told to stop, or the item's time passed, before there was one."""
        self._waiting += 1
        try:
            while not self._stopping:
                with contextlib.suppress(Stopped):
                    await self._limiter.acquire(owner=self)
                    return not (self._stopping or self._out_of_time(item))
            return False
        finally:
            self._waiting -= 1

    def _out_of_time(self, item: Item[T]) -> bool:
        """End an item whose total timeout passed while it waited for its turn: its answer could not be awaited."""
        total = self._policy.total_timeout
        now = self._clock.now()
        if total is None or item.attempts == 0 or now - item.first_sent < total:
            return False
        message = f"the total timeout of {total:g} s passed while attempt {item.attempts + 1} waited for its turn"
        self._results.put(Outcome(item, ok=False, kind="deadline", message=message, response=now - item.intended))
        return True

    def _at_once(self, value: T) -> bool:
        """Whether a call can be sent in this very moment, without a connection to be opened first."""
        return self._prepare is None or (self._ready is not None and self._ready(value))

    async def _connect(self, value: T, began: float) -> Any:
        # Others may connect meanwhile, so that the limit is filled in spite of slow handshakes.
        self._seek()
        assert self._prepare is not None
        prepared = await self._prepare(value)
        seconds = self._clock.now() - began
        if seconds > 0.0005:
            self._connect_time += (seconds - self._connect_time) * (0.3 if self._connect_time else 1.0)
        return prepared

    async def _within_timeout(self, item: Item[T], task: asyncio.Task[None], sending: Any) -> Resp:
        if item.attempts > 1 and self._policy.total_timeout is not None:
            left = self._policy.total_timeout - (item.sent - item.first_sent)
            if self._first_timeout is None or left < self._first_timeout:
                # Rare: the last attempts of an item that is about to run out of time.
                sending = within(left, sending)
        timer = self._timeouts
        timer.start(task, item.sent)
        try:
            value: Resp = await sending
            return value
        except asyncio.CancelledError as error:
            if timer.expired(task):
                raise timed_out(self._first_timeout) from error
            if task.cancelling():
                self.counters.in_flight -= 1
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
        self.counters.sent(again=item.attempts > 0)
        item.attempts += 1

    def _ended(self, item: Item[T], value: Resp | None, error: Exception | None, sent: bool) -> None:
        now = self._clock.now()
        if sent:
            self.counters.in_flight -= 1
            if error is not None and isinstance(error, UsageError):
                # No request could be made of the item: nothing was sent after all.
                item.attempts -= 1
                self.counters.attempts -= 1
        else:
            # It failed before it could be sent: no connection is an attempt that took no permit, a record that
            # makes no request is none.
            self._note_unsent(item, now, attempted=not isinstance(error, UsageError))
        what = self._judge(item.value, value, error)
        if what is None or what.verdict is Verdict.SUCCESS:
            self._succeeded(item, value, now)
            return
        self._feel(item, what, now)
        decision = decide(self._policy, what, item.attempts, now - item.first_sent, self._chance())
        if isinstance(decision, Retry):
            if not self._stopping:
                self._delayed.push(item, now + decision.delay)
            return
        self._results.put(
            Outcome(
                item,
                ok=False,
                value=value,
                kind=decision.kind or what.kind,
                message=decision.message or what.message,
                status=what.status,
                error=error,
                service=now - item.sent,
                response=now - item.intended,
            )
        )

    def _note_unsent(self, item: Item[T], now: float, *, attempted: bool) -> None:
        item.sent = now
        if item.attempts == 0:
            item.first_sent = item.intended = now
        elif attempted:
            self.counters.retries += 1
        if attempted:
            item.attempts += 1
            self.counters.attempts += 1

    def _succeeded(self, item: Item[T], value: Resp | None, now: float) -> None:
        self._limiter.answered()
        if self._adaptive:
            self._ceiling.on_end(now, self.counters.in_flight + 1, latency=now - item.sent, ending=Ending.GOOD)
        self._results.put(Outcome(item, ok=True, value=value, service=now - item.sent, response=now - item.intended))

    def _feel(self, item: Item[T], what: Classified, now: float) -> None:
        """Let everything under the limit know what the peer said."""
        # By kind: an item that may not be tried again was told to slow down all the same.
        throttled = what.kind == "throttled"
        if throttled:
            self.counters.throttled += 1
            self._limiter.throttled(what.retry_after, now, self._chance())
            self._schedule.hold(self._limiter.paused_until)
            self.counters.paused_until = self._clock.wall() + self._limiter.paused_until - now
        if what.kind in _UNREACHABLE:
            self._limiter.unreachable(now, self._chance())
        if self._adaptive:
            ending = Ending.REFUSED if throttled else Ending.OVERLOAD if what.kind in _OVERLOAD else Ending.GOOD
            self._ceiling.on_end(now, self.counters.in_flight + 1, latency=now - item.sent, ending=ending)

    def _release(self, due: list[Item[T]]) -> None:
        self._due.extend(due)
        self._seek()

    def _nothing_left(self) -> bool:
        return not (self._ahead.items or self._due or self._delayed)

    def _finished(self) -> bool:
        """Whether no outcome will come any more (slots that are idle do not count)."""
        return self._ahead.exhausted and self._slots == len(self._idle) and self._nothing_left()

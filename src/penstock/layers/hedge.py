"""Ask a second time where the first answer is late, and take whichever comes first.

Inside the attempt timeout: both calls belong to one attempt. The first call is made in the task that asks, so that a
call whose answer is in time, as nearly all are, costs one timer and no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol

from ..call import Preparable, Prepared, Req, Resp
from ..clock import call_at, current_clock
from ..rules.retries.hedge import Hedging


class HedgeGuard(Protocol):
    """Says whether a second call may be made, and is told about it."""

    def may_repeat(self, request: Any) -> bool:
        """Whether `request` may be sent twice at all."""
        ...

    def is_good(self, request: Any, answer: Any) -> bool:
        """Whether `answer` ends the race; one that is not good waits for the other call."""
        ...

    def may_send(self) -> bool:
        """Whether one may be sent in this moment. It is sent then, and counts against every limit."""
        ...

    def ended(self) -> None:
        """A second call that was sent is over."""
        ...


class Hedge(Generic[Req, Resp]):
    """A Preparable around `inner`. Raises what the first call raises, unless the second has a good answer.

    The slower of the two is cancelled, and its end awaited: nothing is left behind.
    """

    def __init__(self, inner: Preparable[Req, Resp], rules: Hedging, guard: HedgeGuard) -> None:
        self._inner = inner
        self._rules = rules
        self._guard = guard
        self.prepares = inner.prepares
        self.ready = inner.ready

    async def once(self, request: Req) -> Resp:
        """Call, and a second time where that has to be."""
        return await self.race(request, self._inner.once(request))

    async def prepare(self, request: Req) -> PreparedRace[Req, Resp]:
        """Connect for the first of the two calls."""
        return PreparedRace(self, request, await self._inner.prepare(request))

    async def race(self, request: Req, sending: Awaitable[Resp]) -> Resp:
        """Await `sending`, and a second call for `request` where that takes too long."""
        rules = self._rules
        clock = current_clock()
        began = clock.now()
        rules.called()
        if rules.delay is None or not self._guard.may_repeat(request):
            answer = await sending
        else:
            race: _Race[Resp] = _Race(
                lambda: self._second(request), lambda answer: self._guard.is_good(request, answer)
            )
            timer = call_at(clock, began + rules.delay, lambda: race.start(rules))
            try:
                answer = await race.run(sending)
            finally:
                timer.cancel()
        if self._guard.is_good(request, answer):
            rules.record(clock.now() - began)
        return answer

    async def _second(self, request: Req) -> Resp:
        prepared = await self._inner.prepare(request)
        if not self._guard.may_send():
            prepared.release()
            raise _NotSent
        try:
            return await prepared.send()
        finally:
            self._guard.ended()


class _NotSent(Exception):  # no error: the second call was not wanted any more
    pass


class PreparedRace(Generic[Req, Resp]):
    """A call that is ready to go, and will have a second one beside it where it takes too long."""

    __slots__ = ("_hedge", "_prepared", "_request")

    def __init__(self, hedge: Hedge[Req, Resp], request: Req, prepared: Prepared[Resp]) -> None:
        self._hedge = hedge
        self._request = request
        self._prepared = prepared

    async def send(self) -> Resp:
        """Send now; return the answer of whichever call is the first to have a good one."""
        return await self._hedge.race(self._request, self._prepared.send())

    def release(self) -> None:
        """Give back what was prepared; nothing is sent."""
        self._prepared.release()


class _Race(Generic[Resp]):
    """Two calls, the first of which runs in the task that made this.

    Where the second wins, the first is ended as a timeout ends it: by a cancellation of the task, which is taken back
    where it comes out, unless somebody else has cancelled the task as well.
    """

    def __init__(self, second: Callable[[], Any], is_good: Callable[[Resp], bool]) -> None:
        self._make_second = second
        self._is_good = is_good
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._second: asyncio.Task[Resp] | None = None
        self._over = False
        self._cancelled_first = False

    def start(self, rules: Hedging) -> None:
        """The first call is late."""
        if self._over or not rules.withdraw():
            return
        self._second = asyncio.get_running_loop().create_task(self._make_second())
        self._second.add_done_callback(lambda second: self._second_ended(second, rules))

    async def run(self, first: Awaitable[Resp]) -> Resp:
        """The better answer."""
        try:
            try:
                return await first
            except asyncio.CancelledError:
                if not self._took_back():
                    raise
                assert self._second is not None
                return self._second.result()
            except Exception:
                # It failed; perhaps the second does not.
                self._over = True
                if self._second is None or not await self._second_is_good():
                    raise
                return self._second.result()
        finally:
            self._over = True
            self._took_back()
            await self._end_second()

    def _took_back(self) -> bool:
        """Whether we cancelled the task, and nobody else did."""
        if not self._cancelled_first or self._task is None:
            return False
        self._cancelled_first = False
        return self._task.uncancel() == 0

    def _second_ended(self, second: asyncio.Task[Resp], rules: Hedging) -> None:
        if second.cancelled():
            return
        if isinstance(second.exception(), _NotSent):
            rules.refund()
        if not self._over and self._won(second) and self._task is not None:
            self._over = self._cancelled_first = True
            self._task.cancel()

    def _won(self, second: asyncio.Task[Resp]) -> bool:
        return second.exception() is None and self._is_good(second.result())

    async def _second_is_good(self) -> bool:
        assert self._second is not None
        await asyncio.wait([self._second])
        return not self._second.cancelled() and self._won(self._second)

    async def _end_second(self) -> None:
        second = self._second
        if second is None or second.done():
            return
        second.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not second.done():
            try:
                await asyncio.wait([second])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

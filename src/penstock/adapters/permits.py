"""One limiter for callers on several event loops.

A RateLimiter belongs to one loop. It lives on the first that asks, its home; whoever asks from another waits for an
answer from there, which costs two switches of threads. Where the home has ended, the next who asks is the home. So both
colours of a service in one process, the threads and the loop, keep one limit together.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncGenerator, Callable

from ..clock import current_clock
from ..errors import Stopped, UsageError
from ..limits.bounds import Grant
from ..limits.limiter import RateLimiter
from ..limits.listener import LimitListener
from ..messages import Response
from ..rules.limits.ratelimit_headers import MAY_TELL
from ..rules.retries.verdict import Classified
from .forks import leave_behind, tell_after_fork

_END_SECONDS = 0.01
_LOOK_SECONDS = 0.5
"""So often who waits looks whether the home still runs."""


class Permits:
    """Permits of the limiter that `make` makes, for any thread that runs a loop.

    With `follow` what answers tell of limits is heard. Raises what `make` raises.
    """

    def __init__(self, make: Callable[[], RateLimiter], *, follow: bool = True) -> None:
        self._make = make
        self._follow = follow
        self._closed = False
        self._begin(make())
        tell_after_fork(self)

    def _begin(self, limiter: RateLimiter | None) -> None:
        self._lock = threading.RLock()
        self._limiter = limiter
        self._home: asyncio.AbstractEventLoop | None = None
        self._listener: LimitListener | None = None
        self._end: AsyncGenerator[None, None] | None = None

    def after_fork(self) -> None:
        """A process keeps limits by itself, but for those that have a name."""
        leave_behind(self._limiter, self._home, self._listener, self._end)
        self._begin(None)

    @property
    def limiter(self) -> RateLimiter:
        """To be looked at."""
        with self._lock:
            if self._limiter is None:
                self._limiter = self._make()
            return self._limiter

    def try_now(self, now: float, cost: float = 0.0) -> bool:
        """Take a permit if that needs no waiting."""
        limiter = self.limiter
        # Where nothing bounds, there is nothing that two threads could count wrong.
        if self._home is not asyncio.get_running_loop() and (self._home is None or not limiter.unbounded):
            return False
        return limiter.try_acquire(now, 1, cost)

    async def acquire(self, cost: float = 0.0) -> Grant:
        """Wait for a permit; the send follows at once. Cancelled, it is given back. Raises as a RateLimiter does."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            home = self._settle(loop)
            if home is loop and self._end is None:
                self._end = self._until_the_loop_ends(loop)
                await anext(self._end)
            # Stopped: it has another home by now, or is closed.
            with contextlib.suppress(Stopped):
                if home is loop:
                    return await self.limiter.acquire(cost=cost)
                grant = await self._ask(home, cost)
                if grant is not None:
                    return grant
        raise UsageError("the client is closed")

    def heard(self, response: Response | None, what: Classified | None, sent: float) -> None:
        """A call that was sent at `sent` has ended: with `response`, or without one, and that means `what`.

        `what` None is a success. Whoever waits for a permit is told.
        """
        home = self._home
        if home is None:
            return
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is home:
            self._take_in(response, what, sent)
        elif what is not None or not self.limiter.unbounded or (self._follow and _may_tell(response)):
            self._on(home, lambda: self._take_in(response, what, sent))

    def sent_late(self, grant: Grant, now: float) -> None:
        """What was permitted before is sent only at `now`."""
        if self._home is not None:
            self._on(self._home, lambda: self.limiter.sent_late(grant, now))

    def settle(self, reserved: float, actual: float, sent: float, now: float) -> None:
        """A call has really cost `actual`."""
        if self._home is not None:
            self._on(self._home, lambda: self.limiter.settle(reserved, actual, sent, now))

    def close(self) -> None:
        """Whoever waits for a permit gets none: UsageError is raised."""
        self._closed = True
        if self._home is not None:
            self._on(self._home, lambda: self.limiter.dismiss())

    def _take_in(self, response: Response | None, what: Classified | None, sent: float) -> None:
        limiter, listener = self.limiter, self._listener
        if listener is not None and response is not None:
            listener.hear(response, sent)
        if what is not None and what.pauses:
            limiter.throttled(what.retry_after, current_clock().now(), random.random())
        else:
            limiter.answered(sent, good=what is None)

    def _on(self, home: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        # Where it has ended nobody waits for what would be told.
        with contextlib.suppress(RuntimeError):
            home.call_soon_threadsafe(callback)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """The home, which is `loop` from now on where there is none that runs."""
        with self._lock:
            if self._home is not loop and (self._home is None or not self._home.is_running()):
                limiter = self.limiter
                limiter.leave_loop()
                self._home, self._end = loop, None
                self._listener = LimitListener(limiter, current_clock()) if self._follow else None
            return self._home

    async def _until_the_loop_ends(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        # A loop that comes to its end closes the generators that began on it, when all its tasks are over.
        try:
            yield
        finally:
            with self._lock:
                if self._home is loop:
                    self._home = None

    async def _ask(self, home: asyncio.AbstractEventLoop, cost: float) -> Grant | None:
        """Wait for a permit from the home; None where it has ended."""
        limiter = self.limiter
        sought = limiter.acquire(cost=cost)
        try:
            there = asyncio.run_coroutine_threadsafe(sought, home)
        except RuntimeError:
            sought.close()
            return None
        here = asyncio.wrap_future(there)
        try:
            while not here.done():
                await asyncio.wait([here], timeout=_LOOK_SECONDS)
                if not here.done() and not home.is_running():
                    there.cancel()
                    return None
            return here.result()
        except asyncio.CancelledError:
            if here.cancelled() and not _is_cancelled():
                await self._look_whether_it_ends(home)
                return None
            if not there.cancel() and there.exception() is None:
                self._on(home, lambda: limiter.give_back(there.result()))
            raise

    async def _look_whether_it_ends(self, home: asyncio.AbstractEventLoop) -> None:
        """A loop that ends cancels its tasks first; what is asked of it then is never answered."""
        clock = current_clock()
        until = clock.now() + _LOOK_SECONDS
        while self._home is home and home.is_running() and clock.now() < until:
            await clock.sleep(_END_SECONDS)


def _may_tell(response: Response | None) -> bool:
    names = [] if response is None else [name for name, _ in response.raw_headers or ()]
    return MAY_TELL.search(b"\n".join(names)) is not None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

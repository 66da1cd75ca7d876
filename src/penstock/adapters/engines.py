"""The engines of one Http: one for each event loop that it is used on, and one behind the bridge for other threads.

They share the limits, not the connections, which belong to a loop. An engine ends with its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..errors import UsageError
from .bridge import BRIDGE, refuse_in_a_loop
from .forks import leave_behind, tell_after_fork
from .loop_engine import LoopEngine
from .permits import Permits
from .permitted_send import SendCounters
from .settings import HttpSettings

T = TypeVar("T")


class Engines:
    """Finds or makes the engine for whoever calls, from any thread."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._closed = False
        self.permits = Permits(settings.limiter, follow=settings.limit_headers == "tighten")
        self._begin()
        tell_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._engines: dict[asyncio.AbstractEventLoop, LoopEngine] = {}
        self._ended = SendCounters()
        self._crossed = False

    def after_fork(self) -> None:
        """The loops and connections are the parent's."""
        leave_behind(self._engines)
        self._begin()

    async def here(self) -> LoopEngine:
        """The engine of the running loop. Raises UsageError after `close`."""
        loop = asyncio.get_running_loop()
        engine = self._engines.get(loop)
        if engine is None:
            engine = self._make(loop)
            await engine.open()
        return engine

    def run(self, work: Callable[[LoopEngine], Coroutine[Any, Any, T]]) -> T:
        """Do `work` behind the bridge, from a thread without a loop. Raises UsageError in one with."""
        if not self._crossed:
            refuse_in_a_loop()
            self._cross()

        async def there() -> T:
            engine = await self.here()
            return await engine.from_thread(work(engine))

        return BRIDGE.run(there)

    def counters(self) -> SendCounters:
        """Those of all loops, also of those that have ended."""
        total = SendCounters()
        with self._lock:
            for each in (self._ended, *[engine.counters for engine in self._engines.values()]):
                total.add(each)
        return total

    def clients(self) -> list[Any]:
        """Those that are open."""
        with self._lock:
            return [engine.client for engine in self._engines.values()]

    async def aclose(self) -> None:
        """Close all engines; the one of this loop is closed when this returns."""
        with self._lock:
            own = self._engines.pop(asyncio.get_running_loop(), None)
        self.let_go()
        if own is not None:
            await own.aclose()

    def close(self) -> None:
        """Close all engines; the one behind the bridge is closed when this returns. Raises UsageError in a loop."""
        refuse_in_a_loop()
        self._closed = True
        self.permits.close()
        if self._crossed:
            BRIDGE.run(self._close_here)
        self.let_go()

    def let_go(self) -> None:
        """Close all engines soon, and wait for nothing: nobody uses them any more."""
        with self._lock:
            crossed, self._crossed = self._crossed, False
            engines, self._engines = self._engines, {}
        self._closed = True
        self.permits.close()
        for loop, engine in engines.items():
            # One that is closed has closed its engine.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_close, engine)
        if crossed:
            BRIDGE.leave()

    def _cross(self) -> None:
        with self._lock:
            if not self._crossed:
                self._check_open()
                BRIDGE.enter()
                self._crossed = True

    def _make(self, loop: asyncio.AbstractEventLoop) -> LoopEngine:
        with self._lock:
            self._check_open()
            for each in [each for each in self._engines if each.is_closed()]:
                self._ended.add(self._engines.pop(each).counters)
            engine = self._engines[loop] = LoopEngine(self._settings, self.permits)
            return engine

    async def _close_here(self) -> None:
        with self._lock:
            engine = self._engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the client is closed")


def _close(engine: LoopEngine) -> None:
    task = asyncio.get_running_loop().create_task(engine.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()

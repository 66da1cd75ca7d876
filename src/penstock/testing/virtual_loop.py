"""An event loop whose time jumps: when nothing is ready, the next timer is due at once.

An hour of waiting takes as long as the callbacks in it. Time moves only when no callback is ready, no thread
of an executor is at work and no socket has data, so what a test sees does not depend on how fast the machine
is. Timers fire at exactly the moment they were set for, never early, so a test may compare times with `==`.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")
_Events = list[tuple[selectors.SelectorKey, int]]

EPOCH = 1_767_225_600.0
"""Seconds since 1970 at virtual time 0: 2026-01-01T00:00:00Z."""


class Deadlock(RuntimeError):
    """Nothing is ready, no timer is set and no thread is at work, yet the main task is not done."""


class VirtualClock:
    """The clock of a VirtualTimeLoop: `now()` is `loop.time()`, `wall()` is EPOCH later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time

    def wall(self) -> float:
        """Seconds since 1970."""
        return EPOCH + self.now()

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for `seconds` of virtual time."""
        await asyncio.sleep(seconds)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Use it as `asyncio.Runner(loop_factory=VirtualTimeLoop)`, or through `run_virtual`.

    Threads: while work given to `run_in_executor` (so also `asyncio.to_thread`) is outstanding, time stands
    still and the loop really waits for it. A thread of your own that will call `call_soon_threadsafe` is
    announced by `hold_time()`. After `patience` real seconds without a sign of life Deadlock is raised.

    Sockets: time jumps past whatever a peer elsewhere is still doing, so only sockets with both ends in this
    loop make sense; what one end wrote arrives before time moves.
    """

    # Attributes of asyncio.BaseEventLoop since 3.4, absent from its stubs.
    _scheduled: list[asyncio.TimerHandle]
    _ready: deque[asyncio.Handle]

    def __init__(self, *, start: float = 0.0, patience: float = 30.0) -> None:
        self._now = start
        self._patience = patience
        self._held = 0
        self._sockets = selectors.DefaultSelector()
        self.before_step: Callable[[], None] | None = None
        """Called before every pass of the loop, for tools that act between steps (`cancel_everywhere`)."""
        super().__init__(_VirtualSelector(self._sockets, self._select))
        self.penstock_clock = VirtualClock(self)

    def time(self) -> float:
        """Virtual seconds since the loop was made (plus `start`)."""
        return self._now

    @property
    def _clock_resolution(self) -> float:
        # The loop runs timers due before time() + resolution; the smallest step keeps them from being early.
        return math.ulp(self._now)

    @_clock_resolution.setter
    def _clock_resolution(self, _value: float) -> None:
        """Asyncio sets the machine's resolution, which means nothing here."""

    @contextmanager
    def hold_time(self) -> Iterator[None]:
        """Keep time from jumping while something outside the loop is at work."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def run_in_executor(  # type: ignore[override]  # the stubs disagree on TypeVarTuple here
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As in asyncio; time stands still until the work is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._held += 1
        future.add_done_callback(self._release)
        return future

    def _release(self, _future: asyncio.Future[Any]) -> None:
        self._held -= 1

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As in asyncio, which joins the threads from a thread that it does not count as work."""
        with self.hold_time():
            await super().shutdown_default_executor(*args, **kwargs)

    def _select(self, timeout: float | None) -> _Events:
        """One pass of the loop has nothing more to do for `timeout` seconds (None: for ever)."""
        if self.before_step is not None:
            self.before_step()
        # Besides the loop's own pipe, is anything there whose readiness a busy loop could starve?
        outside = self._held > 0 or len(self._sockets.get_map()) > 1
        if self._ready or (timeout is not None and timeout <= 0):
            return self._sockets.select(0) if outside else []
        events = self._sockets.select(0)
        if events or self._ready:
            return events
        next_timer = self._scheduled[0].when() if self._scheduled else math.inf
        if self._held or (outside and next_timer == math.inf):
            return self._wait_really()
        if not next_timer < math.inf:
            raise Deadlock(f"no timer is set and nothing will happen after {self._now:g} s: {_waiting(self)}")
        self._now = max(self._now, next_timer)
        return []

    def _wait_really(self) -> _Events:
        events = self._sockets.select(self._patience)
        if not events and not self._ready:
            raise Deadlock(
                f"time stands still at {self._now:g} s for {self._held} piece(s) of work in threads, or for "
                f"sockets, and nothing came back within {self._patience:g} real seconds: {_waiting(self)}"
            )
        return events


class _VirtualSelector(selectors.BaseSelector):
    """Keeps the real selector's register and asks the loop what waiting means."""

    def __init__(self, real: selectors.BaseSelector, select: Callable[[float | None], _Events]) -> None:
        self._real = real
        self._ask = select

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> _Events:
        return self._ask(timeout)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run_virtual(main: Coroutine[Any, Any, T], *, start: float = 0.0, patience: float = 30.0) -> T:
    """`asyncio.run(main)` in virtual time that begins at `start` seconds.

    Raises what `main` raises, and Deadlock where it waits for what can never happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start=start, patience=patience)) as runner:
        return runner.run(main)


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    """Which tasks wait, and where: the line a person has to look at."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    shown = [f"{task.get_name()} at {_innermost(task)}" for task in tasks[:10]]
    more = [f"and {len(tasks) - 10} more"] if len(tasks) > 10 else []
    return "; ".join(shown + more) or "there is no task"


def _innermost(task: asyncio.Task[Any]) -> str:
    # Task.get_stack shows only the outermost frame of a suspended coroutine; the await chain leads on.
    awaited: Any = task.get_coro()
    where = "an unknown place"
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return where

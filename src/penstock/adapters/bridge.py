"""Async code for callers that are not: one event loop in a thread of its own, for all who need one.

The thread begins with the first call and ends with the last user. A call costs two switches of threads, some 40 us of
CPU, and nothing but its own thread waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import UsageError
from .forks import leave_behind, tell_after_fork

# Not later: a fork while another thread imports leaves a child that waits for the lock of that import for ever.
new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with contextlib.suppress(ImportError):
    import uvloop

    new_loop = uvloop.new_event_loop

T = TypeVar("T")

_END_SECONDS = 5.0
_GRACE_SECONDS = 1.0


class Bridge:
    """A loop that runs while it has users: whoever calls `enter` calls `leave` as well, and `run` in between."""

    def __init__(self) -> None:
        self._begin()
        tell_after_fork(self)

    def _begin(self) -> None:
        # A collection of garbage, within any of these blocks, can end a user.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._users = 0

    def after_fork(self) -> None:
        """The thread is not there any more; all users have to enter again."""
        leave_behind(self._loop, self._thread)
        self._begin()

    def enter(self) -> None:
        """One more user."""
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = loop = new_loop()
                self._thread = threading.Thread(target=_run, args=(loop,), name="penstock", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """One less; the last one waits until the thread has ended."""
        with self._lock:
            self._users -= 1
            loop, thread = self._loop, self._thread
            if self._users or loop is None or thread is None:
                return
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(_END_SECONDS)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, in_a_loop: bool = False) -> T:
        """What `work` returns, or raises. Interrupted, it is cancelled.

        Raises UsageError within a running loop, unless the caller would block that in any case (`in_a_loop`).
        """
        if not in_a_loop:
            refuse_in_a_loop()
        job = _Job(work)
        # Under the lock, so that whatever is posted comes before the end of the loop.
        with self._lock:
            self._post(job.start, job.context)
        try:
            job.ended.acquire()
        except BaseException:
            with self._lock:
                if self._loop is not None:
                    self._post(job.give_up)
            raise
        return job.result()

    def _post(self, callback: Callable[[], object], context: contextvars.Context | None = None) -> None:
        if self._loop is None:
            raise UsageError("the client is closed")
        self._loop.call_soon_threadsafe(callback, context=context)


class _Job(Generic[T]):
    """A coroutine that another thread waits for. It sees the context variables of that thread."""

    __slots__ = ("_given_up", "_task", "_work", "context", "ended")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._given_up = False
        self.context = contextvars.copy_context()
        # A lock is the quickest thing that a thread can wait for, and that a signal interrupts.
        self.ended = threading.Lock()
        self.ended.acquire()

    def start(self) -> None:
        if not self._given_up:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(lambda _: self.ended.release())

    def give_up(self) -> None:
        self._given_up = True
        if self._task is not None:
            self._task.cancel()

    def result(self) -> T:
        assert self._task is not None
        if self._task.cancelled():
            raise UsageError("the client was closed while the call was under way")
        return self._task.result()


def refuse_in_a_loop() -> None:
    """Raises UsageError where an event loop runs in this thread: to wait here would stop everything in it."""
    if runs_in_a_loop():
        raise UsageError("this would block the event loop that runs in this thread: use .aio, and await it")


def runs_in_a_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end_all())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _end_all() -> None:
    """What closes something has its time; anything else is cancelled."""
    own = asyncio.current_task()
    grace = _GRACE_SECONDS
    while tasks := [task for task in asyncio.all_tasks() if task is not own]:
        await asyncio.wait(tasks, timeout=grace)
        grace = _END_SECONDS
        for task in tasks:
            task.cancel()


BRIDGE = Bridge()

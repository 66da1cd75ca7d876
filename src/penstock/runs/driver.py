"""Drive an engine into a durable sink: group commits, the first and the second Ctrl-C, progress."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from ..call import Resp
from ..clock import Clock, current_clock
from ..engine.engine import Engine
from ..engine.outcome import Outcome
from ..limits.limiter import RateLimiter
from .examples import Examples

T = TypeVar("T")

COMMIT_SECONDS = 0.25
"""At most this long after it finished is an item's outcome on its way to disk; a crash repeats those calls."""

LISTEN_SECONDS = 0.02
"""How long connections stay open after the last outcome, to see whether the peer sends one answer more."""

MOST_PENDING_BYTES = 8 << 20
"""Outcomes not yet written; beyond it the engine waits for the disk."""


class PendingCommit(Protocol):
    """One group on its way to disk."""

    def write(self) -> None:
        """Write and sync; blocks, raises StorageError."""
        ...


class Sink(Protocol[T, Resp]):
    """Where outcomes are kept. `put` does no I/O and runs on the loop while a commit is written in a thread."""

    pending_bytes: int

    def put(self, outcome: Outcome[T, Resp], /) -> None:
        """Take one outcome."""
        ...

    def cut(self, counters: dict[str, Any]) -> PendingCommit:
        """All outcomes since the last cut, as one commit together with `counters`."""
        ...


class Watcher(Protocol):
    """Shows how a run goes on."""

    interval: float
    """Seconds between calls of `show`."""

    def show(self, engine: Engine[Any, Any], elapsed: float) -> None:
        """Show the state now."""
        ...


class InMemory:
    """A Sink, but for `put`, of which only a pause is kept: for the few answers of a look ahead. It is its own commit.

    `keep_pause` writes, durably, until when (in seconds since the epoch) the server asked everybody to wait.
    """

    pending_bytes = 0

    def __init__(self, keep_pause: Callable[[float], None]) -> None:
        self._keep_pause = keep_pause
        self._paused_until = self._kept = 0.0

    def cut(self, counters: dict[str, Any]) -> InMemory:
        """Nothing but a pause is to be written."""
        self._paused_until = counters.get("paused_until", 0.0)
        return self

    def write(self) -> None:
        """Keep a pause that is not kept yet."""
        if self._paused_until > self._kept:
            self._keep_pause(self._paused_until)
            self._kept = self._paused_until


Watch = Callable[[int | None, RateLimiter], tuple[Watcher, ...]]
"""Makes the watchers of a session, when its total (None: unknown) and its limits are known."""


class Driver(Generic[T, Resp]):
    """Runs one engine to its end, or to where it is stopped. All that finished is committed either way."""

    def __init__(
        self,
        engine: Engine[T, Resp],
        sink: Sink[T, Resp],
        watchers: tuple[Watcher, ...] = (),
        examples: Examples | None = None,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._examples = examples
        self._watchers = watchers
        self._clock: Clock
        self._began = 0.0
        self._ended: float | None = None
        self._dirty = False
        self._paused_until = engine.counters.paused_until
        self._broken = False
        self._one_at_a_time = asyncio.Lock()
        self.stopped = False
        self.complete = False

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the last outcome, or to now."""
        return (self._clock.now() if self._ended is None else self._ended) - self._began

    async def drive(self) -> None:
        """Return when it is over; `complete` and `stopped` say how. Raises StorageError if committing failed."""
        self._clock = current_clock()
        self._began = self._clock.now()
        work = asyncio.ensure_future(self._work())
        with self._interrupts(work):
            try:
                await work
            except asyncio.CancelledError:
                # A second interrupt cancels the work and not us; anything else that cancels us goes on up.
                task = asyncio.current_task()
                if not self.stopped or (task is not None and task.cancelling()):
                    raise
        for watcher in self._watchers:
            watcher.show(self._engine, self.elapsed)

    async def _work(self) -> None:
        try:
            async with self._engine as outcomes, asyncio.TaskGroup() as group:
                committer = group.create_task(self._commit_now_and_then())
                shows = [group.create_task(self._show(watcher)) for watcher in self._watchers]
                while some := await outcomes.some():
                    self._keep(some)
                    # Their values must not be in memory while others wait for the disk.
                    some.clear()
                    if self._sink.pending_bytes > MOST_PENDING_BYTES:
                        await self._commit()
                self.complete = self._engine.complete
                await self._listen()
                for task in (committer, *shows):
                    task.cancel()
        except* Exception as group_error:  # noqa: BLE001  # only unwrapped: what was raised goes on up
            raise _only(group_error) from None
        finally:
            # Also after a cancellation: what has finished must not be called again.
            self._final_commit()

    async def _listen(self) -> None:
        """An answer too many may be on its way still, and speaks against those that are about to be committed."""
        self._ended = self._clock.now()
        await self._clock.sleep(LISTEN_SECONDS)

    def _keep(self, outcomes: list[Outcome[T, Resp]]) -> None:
        put = self._sink.put
        for outcome in outcomes:
            put(outcome)
        if self._examples is not None:
            _look_at(outcomes, self._examples)
        self._dirty = True

    async def _commit_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        # One commit at a time: each says how long the output is after it.
        async with self._one_at_a_time:
            paused_until = self._engine.counters.paused_until
            if self._dirty or paused_until != self._paused_until:
                self._dirty = False
                # A Retry-After must outlive a kill, also one that comes before there is any outcome.
                self._paused_until = paused_until
                writing = asyncio.get_running_loop().run_in_executor(None, self._write, self._cut())
                await _to_its_end(writing)

    def _cut(self) -> PendingCommit:
        return self._sink.cut(self._engine.counters.as_json(self.elapsed))

    def _write(self, pending: PendingCommit) -> None:
        try:
            pending.write()
        except BaseException:
            # What this commit may have left half-written must stay the last thing in the file, where the next
            # start cuts it off.
            self._broken = True
            raise

    def _final_commit(self) -> None:
        # Nothing else runs any more, so this may block.
        if not self._broken:
            self._write(self._cut())

    async def _show(self, watcher: Watcher) -> None:
        while True:
            watcher.show(self._engine, self.elapsed)
            await self._clock.sleep(watcher.interval)

    # -- Ctrl-C -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop gently: nothing new is sent, what is in flight ends, all is saved."""
        self.stopped = True
        self._engine.stop()

    @contextlib.contextmanager
    def _interrupts(self, work: asyncio.Future[None]) -> Iterator[None]:
        def interrupted() -> None:
            if self.stopped:
                work.cancel()
            else:
                self.stop()

        loop = asyncio.get_running_loop()
        handled = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not in a thread other than the main one, and not on a loop without a wake-up socket.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, interrupted)
                handled.append(number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


def _look_at(outcomes: list[Outcome[T, Resp]], examples: Examples) -> None:
    for outcome in outcomes:
        # The plain case costs this comparison and no call.
        if outcome.service > examples.floor or not outcome.ok:
            examples.see(outcome)


async def _to_its_end(writing: asyncio.Future[None]) -> None:
    """Wait for a write that runs in a thread, also through a cancellation: it cannot be taken back half-way."""
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        while not writing.done():
            await asyncio.wait([writing])
        raise


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

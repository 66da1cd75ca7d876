"""Cancel a coroutine wherever it can be cancelled, and look each time at what it leaves behind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from .virtual_loop import VirtualTimeLoop

_SETTLE = 3


@dataclass(frozen=True, slots=True)
class CancelReport:
    """How many cancellations were tried, one run each; the last run went through uncancelled."""

    cancelled: int


def cancel_everywhere(
    make_coroutine: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[], Any],
    *,
    may_end_with: tuple[type[BaseException], ...] = (),
    may_leave_tasks: bool = False,
    most_points: int = 10_000,
) -> CancelReport:
    """Run a coroutine again and again in virtual time, cancelled at its first step, its second, and so on.

    The run that ends before its cancellation is the last. A step is one pass of the event loop, so among them
    are the moments in which what is awaited is done already but the coroutine has not noticed: where permits
    get lost. `make_coroutine` is called in a new loop for every run and makes everything the coroutine uses;
    `check` (plain or async) is called in the same loop afterwards and asserts what must hold: nothing in
    flight, no permit taken.

    Raises AssertionError where a cancelled coroutine ends in any other way than CancelledError or
    `may_end_with` (a cancellation was swallowed), or leaves tasks running unless `may_leave_tasks`; what
    `check` raises; and Deadlock. Each says at which step.
    """
    for point in range(most_points):
        try:
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                loop = runner.get_loop()
                assert isinstance(loop, VirtualTimeLoop)
                one_run = _OneRun(loop, point, may_end_with, may_leave_tasks)
                was_cancelled = runner.run(one_run.play(make_coroutine, check))
        except BaseException as error:
            error.add_note(f"this happened with the cancellation at step {point} of the loop")
            raise
        if not was_cancelled:
            return CancelReport(point)
    raise AssertionError(f"the coroutine was not done after {most_points} steps: give it less to do")


class _OneRun:
    def __init__(
        self,
        loop: VirtualTimeLoop,
        point: int,
        may_end_with: tuple[type[BaseException], ...],
        may_leave_tasks: bool,
    ) -> None:
        self._loop = loop
        self._steps_left = point
        self._may_end_with = may_end_with
        self._may_leave_tasks = may_leave_tasks
        self._task: asyncio.Task[Any] | None = None
        self._was_cancelled = False

    async def play(self, make_coroutine: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[], Any]) -> bool:
        """Return whether the coroutine was cancelled, rather than done before."""
        before = asyncio.all_tasks()
        self._task = asyncio.create_task(make_coroutine())
        self._loop.before_step = self._step
        await asyncio.wait({self._task})
        self._loop.before_step = None
        self._judge(self._task)
        # What was scheduled for at once by the end (callbacks, cancelled children) is part of it.
        for _ in range(_SETTLE):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - before - {self._task}
        if left and not self._may_leave_tasks:
            raise AssertionError(f"the coroutine is over, but it left running: {sorted(map(repr, left))}")
        result = check()
        if inspect.isawaitable(result):
            await result
        return self._was_cancelled

    def _step(self) -> None:
        task = self._task
        if task is None or task.done() or self._was_cancelled:
            return
        if self._steps_left == 0:
            self._was_cancelled = task.cancel()
        self._steps_left -= 1

    def _judge(self, task: asyncio.Task[Any]) -> None:
        if not self._was_cancelled:
            # An error of an undisturbed run is the caller's business.
            task.result()
            return
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, self._may_end_with):
            ending = "returned" if error is None else f"raised {error!r}"
            raise AssertionError(f"the cancellation was swallowed: the coroutine {ending}") from error

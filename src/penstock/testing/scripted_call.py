"""A Call that answers from a script and remembers what it was asked, and when."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from penstock.clock import current_clock


@dataclass(frozen=True, slots=True)
class Hang:
    """In a script: no answer ever comes; only a cancellation ends the call."""


@dataclass(frozen=True, slots=True)
class After:
    """In a script: `value` (anything a script may hold) follows after `seconds` on the loop's clock."""

    seconds: float
    value: Any = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call: what was asked, and when it arrived, in seconds on the loop's clock."""

    request: Any
    at: float


class ScriptExhausted(AssertionError):
    """More calls were made than the script has answers."""


class ScriptedCall:
    """`await call(request)` plays the next step of `script`.

    A step is a value to return, an exception (instance or class) to raise, a callable that is given the
    request and makes the step (awaited if need be), `Hang()` or `After(seconds, step)`. Steps are taken in
    order of arrival. With `repeat_last` the last step serves all further calls; without it they raise
    ScriptExhausted.
    """

    def __init__(self, script: Iterable[Any], *, repeat_last: bool = False) -> None:
        self._script = list(script)
        if repeat_last and not self._script:
            raise ValueError("an empty script has no last step to repeat")
        self._repeat_last = repeat_last
        self.calls: list[Recorded] = []
        self.in_flight = 0
        self.max_in_flight = 0

    @property
    def requests(self) -> list[Any]:
        """What was asked, in order of arrival."""
        return [call.request for call in self.calls]

    @property
    def times(self) -> list[float]:
        """When it was asked, in seconds on the loop's clock."""
        return [call.at for call in self.calls]

    async def __call__(self, request: Any) -> Any:
        """Play the next step. Raises what the script says."""
        step = self._next_step()
        self.calls.append(Recorded(request, current_clock().now()))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await play(step, request)
        finally:
            self.in_flight -= 1

    def _next_step(self) -> Any:
        index = len(self.calls)
        if index < len(self._script):
            return self._script[index]
        if self._repeat_last:
            return self._script[-1]
        raise ScriptExhausted(f"call number {index + 1} was made, but the script has {len(self._script)} steps")

    def __repr__(self) -> str:
        return (
            f"<ScriptedCall {len(self.calls)} calls of {len(self._script)} steps, "
            f"{self.in_flight} in flight, at most {self.max_in_flight}>"
        )


async def play(step: Any, *request: Any) -> Any:
    """Do what one step of a script says; a callable is given `request`."""
    while True:
        if isinstance(step, After):
            await current_clock().sleep(step.seconds)
            step = step.value
        elif isinstance(step, Hang) or step is Hang:
            await asyncio.get_running_loop().create_future()
        elif isinstance(step, BaseException) or (isinstance(step, type) and issubclass(step, BaseException)):
            raise step
        elif callable(step):
            step = step(*request)
        elif inspect.isawaitable(step):
            step = await step
        else:
            return step

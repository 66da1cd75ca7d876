"""An async arm is driven step by step, so that what it does between two awaits is timed.

A step is what runs without giving the event loop back: everything else in the process waits for it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from ..clock import SYSTEM_CLOCK
from .checks import CarryCheck
from .row import NOTICED
from .tally import ArmTally

T = TypeVar("T")


@types.coroutine
def stepwise(
    coroutine: Coroutine[Any, Any, T],
    tally: ArmTally,
    now: Callable[[], float] = SYSTEM_CLOCK.now,
    *,
    check: CarryCheck | None = None,
) -> Generator[Any, Any, T]:
    """Await `coroutine`, as if it were awaited itself; its long steps are told to `tally`, and the one that runs.

    `check` looks before and after each wait.
    """
    sent: Any = None
    error: BaseException | None = None
    while True:
        began = now()
        tally.step_began(began)
        try:
            awaited = coroutine.send(sent) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            error = None
            tally.step_ended()
            if (took := now() - began) >= NOTICED:
                tally.block(took)
        if check is not None:
            check.suspend()
        try:
            sent = yield awaited
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as thrown:  # noqa: BLE001  # whatever is thrown in here is for the coroutine
            sent, error = None, thrown
        if check is not None:
            check.resume()

"""A request that nobody but its arm counts: where `MoveMiddleware` is not there, or counts another arm already."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ..clock import SYSTEM_CLOCK
from .statuses import is_failed_answer, is_failed_error
from .tally import ArmTally


class Counting:
    """Within it, a request that came at `began` (monotonic) is in flight; `answered` tells what came of it."""

    __slots__ = ("_began", "_failed", "_tally")

    def __init__(self, tally: ArmTally, began: float) -> None:
        self._tally = tally
        self._began = began
        self._failed = False

    def __enter__(self) -> Counting:
        self._tally.begin()
        return self

    def answered(self, answer: Any) -> None:
        """A response with a status of its own, or something of which the framework makes one that is no failure."""
        self._failed = is_failed_answer(answer)

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tally.end(SYSTEM_CLOCK.now() - self._began, failed=self._failed or is_failed_error(error))

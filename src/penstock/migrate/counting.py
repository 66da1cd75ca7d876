"""A request that nobody but its arm counts: where `MoveMiddleware` is not there, or counts another arm already."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ..clock import SYSTEM_CLOCK
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
        self._failed = _status(answer, 200) >= 500

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        # An exception may stand for a status, such as HTTPException(404); a cancellation is nobody's failure.
        failed = self._failed if not isinstance(error, Exception) else _status(error, 500) >= 500
        self._tally.end(SYSTEM_CLOCK.now() - self._began, failed=failed)


def _status(answer: object, otherwise: int) -> int:
    status = getattr(answer, "status_code", None)
    return status if isinstance(status, int) else otherwise

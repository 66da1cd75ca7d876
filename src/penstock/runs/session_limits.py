"""The limits of one session of a durable run, which count what the sessions before it have sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..clock import SYSTEM_CLOCK
from ..errors import StorageError
from ..limits.key_log import KeyLog, forget_pauses
from ..limits.keyed_limit import KeyedLimiter
from ..limits.limit_log import LimitLog, take_over
from ..limits.limiter import RateLimiter
from .flow import Flow

KeyOf = Callable[[Any], int]
"""item value -> a number below 2**53 for whatever has the limits for itself."""


class ForEachKey(RateLimiter):
    """Stands before the watchers of a run for limits that each key has for itself: it limits nothing and tells them.

    `name` says what the keys are.
    """

    def __init__(self, by_key: KeyedLimiter, name: str) -> None:
        super().__init__()
        self._by_key = by_key
        self._name = name

    def texts(self) -> list[str]:
        """`20/s for each tenant (3 of them)`, as of now."""
        known = f" ({len(self._by_key):,} of them)" if len(self._by_key) else ""
        return [f"{limit} for each {self._name}{known}" for limit in self._by_key.limits]


def limit_texts(limiter: RateLimiter) -> list[str]:
    """The user's limits as people are told of them."""
    if isinstance(limiter, ForEachKey):
        return limiter.texts()
    return [str(window.limit) for window in limiter.windows]


class SessionLimits:
    """`by_key` is what limits the run where each key has the limits for itself, `limiter` whatever else."""

    def __init__(self, limiter: RateLimiter, by_key: KeyedLimiter | None = None, key_of: KeyOf | None = None) -> None:
        self.limiter = limiter
        self.by_key = by_key
        self.key_of = key_of

    def used(self, name: str | None) -> list[dict[str, Any]]:
        """For the summary; `name` says what the keys are."""
        if self.by_key is not None:
            return [{"limit": str(limit), "by": name, "keys": len(self.by_key)} for limit in self.by_key.limits]
        return [{"limit": str(each.limit), "used": round(each.used(), 4)} for each in self.limiter.windows]


@contextlib.contextmanager
def open_limits(folder: Path, flow: Flow, key_of: KeyOf | None = None) -> Iterator[SessionLimits]:
    """The limits of a run in `folder`; `key_of` tells what `flow.limit_by` speaks of. Raises StorageError."""
    if key_of is not None:
        by_key = KeyedLimiter(flow.limits, guard=flow.guard)
        if flow.forget_pause:
            forget_pauses(folder)
        with take_over(folder) as sent_at:
            log = KeyLog(folder, by_key, sent_at=sent_at)
        with contextlib.closing(log):
            yield SessionLimits(ForEachKey(by_key, flow.limit_by or "key"), by_key, key_of)
        return
    with contextlib.closing(LimitLog(folder, flow.limits, flow.guard)) as kept:
        if flow.forget_pause:
            kept.forget_pauses()
        limiter = RateLimiter(
            kept.windows, guard=flow.guard, cost_limits=flow.cost_limits, follow_server=flow.limit_auto
        )
        if flow.cost_limits and not _first_time(folder / "limit-costs.log"):
            # What was spent in the last window before the restart is not known.
            for window in limiter.costs:
                window.fill(SYSTEM_CLOCK.now())
        yield SessionLimits(limiter)


def _first_time(marker: Path) -> bool:
    """Whether there was no session with limits on costs before, which may have been killed before its first outcome."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"cannot write to {marker}: {error.strerror or error}") from error
    return True

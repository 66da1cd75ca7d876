"""Limits as users give them, and the limiter that is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..errors import UsageError
from ..rules.limits.rate import Limit
from .limiter import RateLimiter

Limits: TypeAlias = Limit | str | Sequence[Limit | str] | None
"""`"100/min"`, a list of such, or None for none."""


def each_limit(limit: Limits) -> Sequence[Limit | str]:
    """One limit is as good as a list of it. Raises UsageError for what is neither."""
    if limit is None:
        return ()
    limits = (limit,) if isinstance(limit, (str, Limit)) else limit
    if not isinstance(limits, Sequence) or not all(isinstance(each, (str, Limit)) for each in limits):
        raise UsageError(
            f"a limit is '100/min', a list of such, or one RateLimiter, which holds them all; not {limit!r}"
        )
    return limits


def limiter_of(limit: Limits, cost_limit: Limits = None, guard: float | None = None) -> RateLimiter:
    """A limiter that keeps all of them; `"auto"` among them stands for what the server tells. Raises UsageError."""
    limits = [each for each in each_limit(limit) if each != "auto"]
    follow_server = len(limits) < len(each_limit(limit))
    return RateLimiter(limits, guard=guard, cost_limits=each_limit(cost_limit), follow_server=follow_server)

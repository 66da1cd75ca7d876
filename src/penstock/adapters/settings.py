"""What `penstock.Http` is told: each setting has its name and its type here, and is checked here."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..answers.options import AnswerOptions
from ..answers.rules import AnswerRules
from ..errors import UsageError
from ..layers.deadline import DeadlineHeader
from ..limits.given import Limits, limiter_of
from ..limits.limiter import RateLimiter
from ..messages import Request, Response
from ..rules.retries.verdict import RetryOn


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings(AnswerOptions):
    """The settings of an Http, by the names of its arguments. Durations in seconds; None is no bound."""

    limit: Limits
    cost_limit: Limits
    cost: float | Callable[[Request], float] | None
    actual_cost: Callable[[Response], float | None] | None
    limit_headers: Literal["tighten", "ignore"]
    max_in_flight: int
    max_attempts: int
    attempt_timeout: float | None
    total_timeout: float | None
    retry_on: RetryOn
    deadline_header: str | None
    client: Callable[..., Any]
    follow_redirects: int
    tls: ssl.SSLContext | None
    max_response_bytes: int

    def limiter(self) -> RateLimiter:
        """A limiter for these limits. Raises UsageError."""
        return private_limiter(self.limit, self.cost_limit)

    @property
    def estimate(self) -> Callable[[Request], float] | None:
        """What a request is expected to cost."""
        cost = self.cost
        if cost is None or callable(cost):
            return cost
        return lambda _: cost


def private_limiter(limit: Limits, cost_limit: Limits = None) -> RateLimiter:
    """A limiter that nobody else has. Raises UsageError."""
    if isinstance(limit, RateLimiter):
        raise UsageError(
            "a RateLimiter belongs to one event loop, and this client may be used on several: give limit='100/min'; "
            "what has a name, limit='100/min@api', is shared with runs, clients and other processes"
        )
    return limiter_of(limit, cost_limit)


def check_http_settings(settings: HttpSettings) -> None:
    """Raises UsageError for what makes no sense."""
    if settings.max_attempts < 1 or settings.max_in_flight < 1:
        raise UsageError("max_attempts and max_in_flight must be at least 1")
    for name in ("attempt_timeout", "total_timeout"):
        value = getattr(settings, name)
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise UsageError(f"{name} must be a positive number of seconds or None, not {value!r}")
    if settings.limit_headers not in {"tighten", "ignore"}:
        raise UsageError(f'limit_headers must be "tighten" or "ignore", not {settings.limit_headers!r}')
    if (settings.cost_limit is None) != (settings.cost is None):
        raise UsageError("a cost_limit needs cost, what a call costs or a function that estimates it, and the reverse")
    if settings.actual_cost is not None and settings.cost is None:
        raise UsageError("actual_cost corrects cost; without a cost_limit it is of no use")
    AnswerRules(settings)
    if settings.deadline_header is not None:
        DeadlineHeader(_NOBODY, settings.deadline_header)


class _Nobody:
    prepares = False


_NOBODY: Any = _Nobody()


def read_level(retry_on: RetryOn | str) -> RetryOn:
    """A level by its name. Raises UsageError."""
    try:
        return RetryOn(retry_on)
    except ValueError:
        names = ", ".join(repr(each.value) for each in RetryOn)
        raise UsageError(f"retry_on must be one of {names}, not {retry_on!r}") from None

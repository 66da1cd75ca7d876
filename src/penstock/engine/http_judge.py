"""The judge of calls over HTTP, and of any other that return values and raise exceptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..answers.options import AnswerOptions
from ..answers.rules import AnswerRules
from ..clock import Clock
from ..errors import CallError, UsageError
from ..limits.limiter import RateLimiter
from ..limits.listener import LimitListener
from ..messages import Request, Response
from ..rules.retries.verdict import Classified, RetryOn, Verdict, classify_error, may_repeat
from .item_call import PolledItem

RetryOnLike = RetryOn | str | type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


class HttpJudge:
    """A Judge to whom a Response with a status other than 2xx is a failure, and any other value a success.

    `idempotent` says of every item that its call may be repeated; a `Request` says it of itself, by its method or an
    Idempotency-Key. With `follow_limits` the limits that responses tell are heard. `options` and
    `quotas` are those of AnswerRules. Raises UsageError for a `retry_on` that is none.
    """

    def __init__(
        self,
        retry_on: RetryOnLike,
        *,
        idempotent: bool = False,
        follow_limits: bool = False,
        options: AnswerOptions | None = None,
        quotas: bool = True,
    ) -> None:
        self._level, self._predicate = _read_retry_on(retry_on)
        self._answers = AnswerRules(options, quotas=quotas)
        self._idempotent = idempotent
        self._follow_limits = follow_limits
        self._listener: LimitListener | None = None

    def listen(self, limiter: RateLimiter, clock: Clock) -> LimitListener | None:
        """Tell `limiter` of the limits that responses name, where they are to be followed."""
        self._answers.clock = clock
        if self._follow_limits and self._listener is None:
            self._listener = LimitListener(limiter, clock)
        return self._listener

    def may_repeat(self, item: Any) -> bool:
        """Whether all calls are idempotent, or this one is by its method or its Idempotency-Key."""
        if isinstance(item, PolledItem):
            return True
        if self._idempotent or not isinstance(item, Request):
            return self._idempotent
        return may_repeat(item.method, item.headers)

    def is_good(self, item: Any, value: Any) -> bool:
        """Whether `value` is anything but a Response that is a failure."""
        return not isinstance(value, Response) or self._answers.error_of(value) is None

    def ended(self, item: Any, value: Any, error: Exception | None, sent: float) -> Classified | None:
        """What the status or the exception means; a response is heard for its limits first."""
        if error is not None:
            return self._failed(item, error)
        if not isinstance(value, Response):
            return None
        if self._listener is not None:
            self._listener.hear(value, sent)
        try:
            failure = self._answers.error_of(value)
            if failure is not None and failure.follow is not None:
                failure.instead = failure.follow(item)
        except Exception as raised:  # noqa: BLE001  # a condition of the user's; one bad item never stops the rest
            return _describe(raised, self._level, idempotent=False)
        if failure is None:
            return None
        return classify_error(failure, self._level, idempotent=self.may_repeat(item))

    def _failed(self, item: Any, error: Exception) -> Classified:
        if isinstance(error, UsageError):
            return Classified(Verdict.FATAL, "bad_record", str(error))
        safe = self.may_repeat(item)
        if self._predicate is None:
            return _describe(error, self._level, idempotent=safe)
        what = _describe(error, RetryOn.TRANSIENT, idempotent=safe)
        if what.verdict in (Verdict.THROTTLED, Verdict.PENDING) or getattr(error, "said", None) is not None:
            return what
        try:
            verdict = Verdict.RETRYABLE if self._predicate(error) else Verdict.FATAL
        except Exception as raised:  # noqa: BLE001  # one bad item never stops the rest
            message = f"{what.message}; then retry_on raised {raised!r}"
            return Classified(Verdict.FATAL, what.kind, message, what.status)
        return Classified(verdict, what.kind, what.message, what.status)


def _describe(error: Exception, level: RetryOn, *, idempotent: bool) -> Classified:
    if isinstance(error, CallError):
        return classify_error(error, level, idempotent=idempotent)
    kind = "timeout" if isinstance(error, TimeoutError) else "exception"
    again = kind == "timeout" and level is RetryOn.TRANSIENT
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Classified(Verdict.RETRYABLE if again else Verdict.FATAL, kind, message)


def _read_retry_on(retry_on: RetryOnLike) -> tuple[RetryOn, Callable[[Exception], bool] | None]:
    if isinstance(retry_on, RetryOn):
        return retry_on, None
    if isinstance(retry_on, str):
        try:
            return RetryOn(retry_on), None
        except ValueError:
            names = ", ".join(repr(each.value) for each in RetryOn)
            raise UsageError(f"retry_on must be one of {names}, not {retry_on!r}") from None
    if isinstance(retry_on, (type, tuple)):
        types = retry_on
        return RetryOn.SAFE, lambda error: isinstance(error, types)
    if inspect.iscoroutinefunction(retry_on):
        raise UsageError("retry_on must be a plain function: what an async one returns counts as true, always")
    if callable(retry_on):
        return RetryOn.SAFE, retry_on
    raise UsageError(f"retry_on must be a level, exception types or a function, not {retry_on!r}")

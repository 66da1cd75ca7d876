"""`penstock.run`: the engine around any async callable."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

from ..call import Call, Resp
from ..clock import current_clock
from ..errors import CallError, UsageError
from ..layers.rate_limit import RateLimiter
from ..messages import Request, Response
from ..rules.in_flight import DEFAULT_CAP, DEFAULT_WITHOUT_LIMIT, Ceiling
from ..rules.outcome import Classified, RetryOn, Verdict, classify_error, classify_status, is_idempotent
from ..rules.rate import Limit
from ..rules.retry import RetryPolicy
from ..rules.retry_after import parse_retry_after
from .engine import Engine, Judge
from .feed import BatchSource

T = TypeVar("T")

RetryOnLike = RetryOn | str | type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


def run(
    call: Call[T, Resp],
    items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
    *,
    retry_on: RetryOnLike,
    limit: Limit | str | Sequence[Limit | str] | RateLimiter | None = None,
    max_in_flight: int | Literal["auto"] = "auto",
    max_attempts: int = 5,
    attempt_timeout: float | None = 30.0,
    total_timeout: float | None = 600.0,
    guard: float | None = None,
    max_results: int = 1000,
    idempotent: bool = False,
) -> Engine[T, Resp]:
    """Call `call` for every item and yield an `Outcome` for each, in the order in which they finish.

    Use it as an async context manager and iterate over it::

        async with penstock.run(fetch, urls, limit="100/min", retry_on="transient") as outcomes:
            async for outcome in outcomes:
                ...

    `items` is any iterable, async iterable, or `BatchSource`; it is read only a little ahead. `retry_on` has no
    default, because repeating a call can do its work twice: `"none"`, `"safe"` (only what cannot have been processed
    twice), `"transient"` (also timeouts, resets and 5xx), exception types, or a function of the exception.
    `limit` is `"100/min"`, several of them, or a `RateLimiter` that is shared with other runs. `max_in_flight`
    `"auto"` has as many calls in flight as fill the limit. Timeouts are seconds; `total_timeout` counts from the
    first send of an item. `guard` is seconds added to a limit's window against network jitter. At most
    `max_results` outcomes wait for a slow consumer, which then slows the sends. `idempotent` says that every call may
    be repeated without harm, which widens what is `"safe"`; a `Request` says it of itself.

    A `Response` with a status other than 2xx is a failure; any other return value is a success.

    Raises UsageError for arguments that make no sense.
    """
    limiter = limit if isinstance(limit, RateLimiter) else RateLimiter(_limits(limit), guard=guard)
    for name, value in (("attempt_timeout", attempt_timeout), ("total_timeout", total_timeout)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} must be a positive number of seconds or None, not {value!r}")
    if max_attempts < 1 or max_results < 1:
        raise UsageError("max_attempts and max_results must be at least 1")
    return Engine(
        call,
        items,
        judge=make_judge(retry_on, idempotent=idempotent),
        limiter=limiter,
        ceiling=_ceiling(max_in_flight, limited=bool(limiter.windows)),
        adaptive=max_in_flight == "auto",
        policy=RetryPolicy(max_attempts=max_attempts, total_timeout=total_timeout),
        attempt_timeout=attempt_timeout,
        max_results=max_results,
    )


def _limits(limit: Limit | str | Sequence[Limit | str] | None) -> Sequence[Limit | str]:
    if limit is None:
        return ()
    return (limit,) if isinstance(limit, (str, Limit)) else limit


def _ceiling(max_in_flight: int | str, *, limited: bool) -> Ceiling:
    if max_in_flight == "auto":
        cap = DEFAULT_CAP if limited else DEFAULT_WITHOUT_LIMIT
        return Ceiling(cap=cap, now=cap)
    if not isinstance(max_in_flight, int) or max_in_flight < 1:
        raise UsageError(f'max_in_flight must be "auto" or a number from 1 up, not {max_in_flight!r}')
    return Ceiling(cap=max_in_flight, now=max_in_flight)


def make_judge(retry_on: RetryOnLike, *, idempotent: bool = False) -> Judge:
    """The function that gives each ended attempt its one verdict.

    `idempotent` says it of every item; a `Request` says it of itself, by its method or an Idempotency-Key.
    """
    level, predicate = _read_retry_on(retry_on)

    def judge(item: Any, value: Any, error: BaseException | None) -> Classified | None:
        if error is None and not isinstance(value, Response):
            return None
        safe = idempotent or (isinstance(item, Request) and _repeatable(item))
        if error is None:
            return _judge_response(value, level, idempotent=safe)
        if isinstance(error, UsageError):
            return Classified(Verdict.FATAL, "bad_record", str(error))
        if predicate is not None and isinstance(error, Exception):
            what = _describe(error, RetryOn.TRANSIENT, idempotent=safe)
            if what.verdict is Verdict.THROTTLED:
                return what
            try:
                verdict = Verdict.RETRYABLE if predicate(error) else Verdict.FATAL
            except Exception as raised:  # noqa: BLE001  # one bad item never stops the rest
                message = f"{what.message}; then retry_on raised {raised!r}"
                return Classified(Verdict.FATAL, what.kind, message, what.status)
            return Classified(verdict, what.kind, what.message, what.status)
        return _describe(error, level, idempotent=safe)

    return judge


def _describe(error: BaseException, level: RetryOn, *, idempotent: bool) -> Classified:
    if isinstance(error, CallError):
        return classify_error(error, level, idempotent=idempotent)
    kind = "timeout" if isinstance(error, TimeoutError) else "exception"
    again = kind == "timeout" and level is RetryOn.TRANSIENT
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Classified(Verdict.RETRYABLE if again else Verdict.FATAL, kind, message)


def _judge_response(response: Response, level: RetryOn, *, idempotent: bool) -> Classified | None:
    if 200 <= response.status < 300:
        return None
    wall = current_clock().wall()
    retry_after = parse_retry_after(response.headers.get("retry-after"), wall, response.headers.get("date"))
    return classify_status(response.status, retry_after, level, idempotent=idempotent)


def _repeatable(request: Request) -> bool:
    return is_idempotent(request.method) or "idempotency-key" in request.headers


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
    if callable(retry_on):
        return RetryOn.SAFE, retry_on
    raise UsageError(f"retry_on must be a level, exception types or a function, not {retry_on!r}")

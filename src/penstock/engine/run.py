"""`penstock.run`: the engine around any async callable."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast

from ..call import Call, Resp
from ..clock import current_clock
from ..errors import CallError, UsageError
from ..layers.deadline import DeadlineHeader
from ..limits.keyed_limit import KeyedLimiter
from ..limits.limiter import RateLimiter
from ..messages import Request, Response
from ..rules.in_flight.adaptive_limit import AdaptiveLimit
from ..rules.in_flight.adaptive_rate import AdaptiveRate
from ..rules.in_flight.limit import CAP_WITHOUT_LIMIT, DEFAULT_CAP, FixedInFlight, InFlightLimit
from ..rules.limits.rate import Limit
from ..rules.retries.hedge import Hedging
from ..rules.retries.retry import RetryPolicy
from ..rules.retries.retry_after import parse_retry_after
from ..rules.retries.retry_budget import DEFAULT_SHARE, LEAST_PER_SECOND, RetryBudget
from ..rules.retries.verdict import Classified, RetryOn, Verdict, classify_error, classify_status, is_idempotent
from .costs import Costs
from .endings import Judge
from .engine import Engine
from .feed import BatchSource
from .key_lines import KeyLines

T = TypeVar("T")

_Limits = Limit | str | Sequence[Limit | str] | RateLimiter | None
RetryOnLike = RetryOn | str | type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]


def run(
    call: Call[T, Resp],
    items: Iterable[T] | AsyncIterable[T] | BatchSource[T],
    *,
    retry_on: RetryOnLike,
    limit: Limit | str | Sequence[Limit | str] | RateLimiter | KeyedLimiter | None = None,
    limit_by: Callable[[T], Hashable] | None = None,
    limit_headers: Literal["tighten", "ignore"] = "tighten",
    cost_limit: Limit | str | Sequence[Limit | str] | None = None,
    cost: float | Callable[[T], float] | None = None,
    actual_cost: Callable[[Resp], float | None] | None = None,
    max_in_flight: int | Literal["auto"] | InFlightLimit = "auto",
    max_attempts: int = 5,
    attempt_timeout: float | None = 60.0,
    total_timeout: float | None = 600.0,
    guard: float | None = None,
    max_results: int = 1000,
    idempotent: bool = False,
    retry_budget: float | None = DEFAULT_SHARE,
    max_outage: float = 6 * 3600.0,
    one_host: bool = False,
    hedge: float | None = None,
    deadline_header: str | None = None,
) -> Engine[T, Resp]:
    """Call `call` for every item and yield an `Outcome` for each, in the order in which they finish.

    Use it as an async context manager and iterate over it::

        async with penstock.run(fetch, urls, limit="100/min", retry_on="transient") as outcomes:
            async for outcome in outcomes:
                ...

    `items` is any iterable, async iterable, or `BatchSource`; it is read only a little ahead. `retry_on` has no
    default, because repeating a call can do its work twice: `"none"`, `"safe"` (only what cannot have been processed
    twice), `"transient"` (also timeouts, resets and 5xx), exception types, or a function of the exception.
    `limit` is `"100/min"`, several of them, `"auto"` (what the server tells), or a `RateLimiter` that is shared with
    other runs. With `limit_by`, a function from an item to a key such as its host, every limit holds for each key by
    itself: items of a key that has to wait let the others pass, and a refusal pauses its key alone. Some 2,000 items
    may wait, so a longer stretch of one key goes at that key's pace. What a `Response` tells of the server's limits
    makes the run slower where it must (`limit_headers`); that does not go with `limit_by`.
    `cost_limit` bounds the sum of the costs of calls, such as `"90000/min"` of tokens: `cost` is what a call costs, or
    a function of the item that estimates it, and `actual_cost` finds in the answer what it really was. `max_in_flight`
    `"auto"` has as many calls in flight as fill the limit, or finds out what the peer can take where there is none.
    Timeouts are seconds; `total_timeout` counts from the first send of an item. `guard` is seconds added to a limit's
    window against network jitter. At most `max_results` outcomes wait for a slow consumer, which then slows the
    sends. `idempotent` says that every call may be repeated without harm, which widens what is `"safe"`; a `Request`
    says it of itself.

    Retries are at most the share `retry_budget` of the traffic; items beyond it wait (None: no bound). Where nearly
    everything fails, the host is taken to be down: nothing is sent but a probe now and then, no item is lost, and
    after `max_outage` seconds of it the iteration raises Outage (0: every item ends by its own attempts). `one_host`
    says that all calls go to one host, so that a few that find nobody there are enough.

    `hedge` is a quantile of the latency such as 0.95: a call that takes longer is made a second time, and the first
    answer counts. That is done only for what may be repeated (see `idempotent`), only where the limit has room, and
    for at most 2 % of all calls. `deadline_header` names a header that tells the peer of every `Request` how many
    milliseconds its answer is waited for; within a call, `penstock.time_left()` says it.

    A `Response` with a status other than 2xx is a failure; any other return value is a success.

    Raises UsageError for arguments that make no sense.
    """
    keys = _keys(limit, limit_by, guard, alone=cost_limit is None and hedge is None)
    limiter = _limiter(None if keys is not None else cast("_Limits", limit), cost_limit, guard)
    for name, value in (("attempt_timeout", attempt_timeout), ("total_timeout", total_timeout)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} must be a positive number of seconds or None, not {value!r}")
    if max_attempts < 1 or max_results < 1:
        raise UsageError("max_attempts and max_results must be at least 1")
    if retry_budget is not None and not retry_budget >= 0:
        raise UsageError(f"retry_budget must be a share from 0 up, or None, not {retry_budget!r}")
    if not max_outage >= 0:
        raise UsageError(f"max_outage must be a number of seconds from 0 up, not {max_outage!r}")
    if hedge is not None and not 0.5 <= hedge < 1.0:
        raise UsageError(f"hedge must be a quantile of the latency from 0.5 up, below 1, not {hedge!r}")
    if deadline_header is not None:
        call = cast("Call[T, Resp]", DeadlineHeader(call, deadline_header))
    return Engine(
        call,
        items,
        judge=make_judge(retry_on, idempotent=idempotent),
        limiter=limiter,
        ceiling=_ceiling(max_in_flight, limited=bool(limiter.windows) or keys is not None),
        adaptive=not isinstance(max_in_flight, int),
        policy=RetryPolicy(max_attempts=max_attempts, total_timeout=total_timeout),
        attempt_timeout=attempt_timeout,
        max_results=max_results,
        budget=_budget(retry_budget, limiter),
        max_outage=max_outage,
        one_host=one_host,
        hedging=None if hedge is None else Hedging(hedge),
        costs=_costs(limiter, cost, actual_cost, hedged=hedge is not None),
        keys=keys,
        listen=_listens(limit_headers) and keys is None,
        may_repeat=lambda item: idempotent or (isinstance(item, Request) and _repeatable(item)),
    )


def _budget(share: float | None, limiter: RateLimiter) -> RetryBudget | None:
    if share is None:
        return None
    interval = max((window.interval for window in limiter.windows), default=0.0)
    if interval == 0.0:
        return RetryBudget(share)
    return RetryBudget(share, max(LEAST_PER_SECOND, share / interval))


def _keys(
    limit: _Limits | KeyedLimiter, limit_by: Callable[[Any], Hashable] | None, guard: float | None, *, alone: bool
) -> KeyLines | None:
    if limit_by is None:
        if isinstance(limit, KeyedLimiter):
            raise UsageError("a KeyedLimiter needs limit_by: a function of the item that says its key")
        return None
    if not callable(limit_by):
        raise UsageError(f"limit_by must be a function from an item to its key, not {limit_by!r}")
    if not alone:
        raise UsageError("limit_by does not go with cost_limit or hedge")
    if isinstance(limit, KeyedLimiter):
        return KeyLines(limit, limit_by)
    if isinstance(limit, RateLimiter):
        raise UsageError("a RateLimiter is one for all; with limit_by give limits such as '10/s'")
    limits = _limits(limit)
    if "auto" in limits:
        raise UsageError('limit_by does not go with the limit "auto"')
    if not limits:
        raise UsageError("limit_by says for whom each limit holds; it needs a limit")
    return KeyLines(KeyedLimiter(limits, guard=guard), limit_by)


def _limiter(
    limit: _Limits,
    cost_limit: Limit | str | Sequence[Limit | str] | None,
    guard: float | None,
) -> RateLimiter:
    if isinstance(limit, RateLimiter):
        if cost_limit is not None:
            raise UsageError("give cost_limit to the RateLimiter, as cost_limits")
        return limit
    limits = [each for each in _limits(limit) if each != "auto"]
    follow_server = len(limits) < len(_limits(limit))
    return RateLimiter(limits, guard=guard, cost_limits=_limits(cost_limit), follow_server=follow_server)


def _costs(
    limiter: RateLimiter,
    cost: float | Callable[[Any], float] | None,
    actual_cost: Callable[[Any], float | None] | None,
    *,
    hedged: bool,
) -> Costs | None:
    if not limiter.costs:
        if cost is not None or actual_cost is not None:
            raise UsageError("cost and actual_cost say what a call costs; without a cost_limit they are of no use")
        return None
    if cost is None:
        raise UsageError("a cost_limit needs cost: what a call costs, or a function of the item that estimates it")
    if hedged:
        raise UsageError("hedge does not go with a cost_limit: second calls would cost, too")
    if callable(cost):
        return Costs(limiter, cost, actual_cost)
    for window in limiter.costs:
        # A cost that can never be allowed is refused here, and not once for each item.
        window.earliest(cost)
    return Costs(limiter, lambda item: cost, actual_cost)


def _listens(limit_headers: str) -> bool:
    if limit_headers not in {"tighten", "ignore"}:
        raise UsageError(f'limit_headers must be "tighten" or "ignore", not {limit_headers!r}')
    return limit_headers == "tighten"


def _limits(limit: Limit | str | Sequence[Limit | str] | None) -> Sequence[Limit | str]:
    if limit is None:
        return ()
    return (limit,) if isinstance(limit, (str, Limit)) else limit


def _ceiling(max_in_flight: int | str | InFlightLimit, *, limited: bool) -> InFlightLimit:
    if isinstance(max_in_flight, InFlightLimit):
        return max_in_flight
    if max_in_flight == "auto":
        if limited:
            # The limit is to be filled from the first second on, however slow the API is.
            return AdaptiveLimit(cap=DEFAULT_CAP, now=DEFAULT_CAP, by_latency=False)
        return AdaptiveLimit(cap=CAP_WITHOUT_LIMIT, rate=AdaptiveRate())
    if not isinstance(max_in_flight, int) or max_in_flight < 1:
        raise UsageError(f'max_in_flight must be "auto" or a number from 1 up, not {max_in_flight!r}')
    return FixedInFlight(max_in_flight)


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

"""`penstock.run`: the engine around any async callable."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast

from ..answers.options import When, as_conditions
from ..call import AnyClient, Call, PlainCall, Resp
from ..errors import UsageError
from ..layers.deadline import DeadlineHeader
from ..limits.given import each_limit, limiter_of
from ..limits.keyed_limit import KeyedLimiter
from ..limits.limiter import RateLimiter
from ..rules.in_flight.limit import InFlightLimit
from ..rules.limits.rate import Limit
from ..rules.retries.retry_budget import DEFAULT_SHARE
from .costs import Costs
from .engine import Engine
from .feed import BatchSource
from .http_judge import HttpJudge, RetryOnLike
from .key_lines import KeyLines
from .settings import EngineSettings
from .state import EngineState

T = TypeVar("T")

_Limits = Limit | str | Sequence[Limit | str] | RateLimiter | None


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
    max_result_bytes: int = 16 << 20,
    idempotent: bool = False,
    retry_budget: float | None = DEFAULT_SHARE,
    max_outage: float = 6 * 3600.0,
    one_host: bool = False,
    stop_after_denied: int = 0,
    stop_after_failures: int = 0,
    hedge: float | None = None,
    deadline_header: str | None = None,
    throttle_when: When | Sequence[When] = (),
    retry_when: When | Sequence[When] = (),
    ok_when: When | Sequence[When] = (),
    poll_until: When | None = None,
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
    sends; so does one for whom outcomes of `max_result_bytes` wait: the body of a `Response`, all of bytes and text, or
    what a value says of itself in an attribute `held_bytes`. `idempotent` says that every call may be repeated without
    harm, which widens what is `"safe"`; a `Request` says it of itself.

    Retries are at most the share `retry_budget` of the traffic; items beyond it wait (None: no bound). Where nearly
    everything fails, the host is taken to be down: nothing is sent but a probe now and then, no item is lost, and
    after `max_outage` seconds of it the iteration raises Outage (0: every item ends by its own attempts). So it does at
    once where the peer asks to be left alone for longer than that, or than six hours where it is 0. `one_host`
    says that all calls go to one host, so that a few that find nobody there are enough.

    With `stop_after_denied` so many refusals of the credential in a row (401, 407, or 403 that no limit explains) end
    the iteration with Denied; what was refused in that row has no outcome then, as if it had not been sent. With
    `stop_after_failures` it ends with TooManyFailures when so many items have failed in all. A program sees every
    outcome and can stop by itself, so both are 0 (never) here; the commands stop after 20 refusals.

    `hedge` is a quantile of the latency such as 0.95: a call that takes longer is made a second time, and the first
    answer counts. That is done only for what may be repeated (see `idempotent`), only where the limit has room, and
    for at most 2 % of all calls. `deadline_header` names a header that tells the peer of every `Request` how many
    milliseconds its answer is waited for; within a call, `penstock.time_left()` says it.

    A `Response` with a status other than 2xx is a failure, and so is a 202, which says that the work is not done; any
    other return value is a success. Where an API means something else by its answers, four conditions say so, each a
    status (403), a class ("4xx"), a JMESPath expression on the JSON of the body, or a function of the `Response`; the
    first three may be several. `throttle_when`: it asks to slow down, which is so without a word for 429, and for 403,
    503 and others that say when to come back. `retry_when`: it may be tried again, whatever `retry_on` says. `ok_when`:
    it is a success. `poll_until`: a 2xx for which this is false is not done; it is asked for again after its
    `Retry-After`, by GET at its `Location` where the item is a `Request` and the place on the same origin, else by the
    same call where that may be repeated. Asking uses up no attempts; `total_timeout` ends it.

    Raises UsageError for arguments that make no sense.
    """
    settings = EngineSettings(
        in_flight=max_in_flight,
        attempt_timeout=attempt_timeout,
        total_timeout=total_timeout,
        max_attempts=max_attempts,
        max_outage=max_outage,
        retry_budget=retry_budget,
        hedge=hedge,
        stop_after_denied=stop_after_denied,
        stop_after_failures=stop_after_failures,
        max_results=max_results,
        max_result_bytes=max_result_bytes,
        throttle_when=as_conditions(throttle_when),
        retry_when=as_conditions(retry_when),
        ok_when=as_conditions(ok_when),
        poll_until=poll_until,
    )
    follows = _follows(limit_headers)
    keys = _keys(limit, limit_by, guard, alone=cost_limit is None and hedge is None)
    limiter = _limiter(None if keys is not None else cast("_Limits", limit), cost_limit, guard)
    whole: AnyClient[Any, Any] = PlainCall(call)
    if deadline_header is not None:
        whole = DeadlineHeader(whole, deadline_header)
    state = EngineState(
        settings,
        HttpJudge(
            retry_on,
            idempotent=idempotent,
            follow_limits=follows and keys is None,
            options=settings,
            quotas=follows,
        ),
        limiter=limiter,
        keys=keys,
        costs=_costs(limiter, cost, actual_cost, hedged=hedge is not None),
        one_host=one_host,
    )
    return Engine(whole, items, state)


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
    limits = each_limit(limit)
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
    return limiter_of(limit, cost_limit, guard)


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


def _follows(limit_headers: str) -> bool:
    if limit_headers not in {"tighten", "ignore"}:
        raise UsageError(f'limit_headers must be "tighten" or "ignore", not {limit_headers!r}')
    return limit_headers == "tighten"

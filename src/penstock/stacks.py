"""The default order of layers around a single call, each line with its reason.

A run (`penstock.run`) keeps the same order, with a delay queue in the place of the retry layer's sleep.
"""

from __future__ import annotations

from collections.abc import Callable

from .call import Call, Layer, Req, Resp, stack
from .errors import CallError
from .layers.attempt_timeout import attempt_timeout as attempt_timeout_layer
from .layers.concurrency_limit import concurrency_limit
from .layers.rate_limit import rate_limit
from .layers.retry import retry
from .layers.total_timeout import total_timeout as total_timeout_layer
from .limits.limiter import RateLimiter
from .messages import Request, Response
from .rules.retries.retry import RetryPolicy
from .rules.retries.verdict import Classified, RetryOn, Verdict, classify_error, may_repeat


def retry_on(
    what: RetryOn | type[Exception] | tuple[type[Exception], ...], *, idempotent: bool = False
) -> Callable[[Exception], Classified]:
    """A classifier for the retry layer: a level for the errors of HTTP calls, or exception types."""

    def classify(error: Exception) -> Classified:
        if isinstance(what, RetryOn):
            if isinstance(error, CallError):
                return classify_error(error, what, idempotent=idempotent)
            return Classified(Verdict.FATAL, "exception", str(error))
        verdict = Verdict.RETRYABLE if isinstance(error, what) else Verdict.FATAL
        return Classified(verdict, getattr(error, "kind", "exception"), str(error))

    return classify


def request_stack(
    send: Call[Request, Response],
    level: RetryOn,
    *,
    max_in_flight: int,
    total_timeout: float | None,
    policy: RetryPolicy,
) -> Call[Request, Response]:
    """`send`, which takes a permit and watches the time of one attempt, with what else belongs around a request.

    The order is that of `outbound_stack`. What `level` allows is decided for each request by its method and fields.
    """
    sent = concurrency_limit(max_in_flight)(send)
    once_more, once = (retry(retry_on(level, idempotent=idempotent), policy)(sent) for idempotent in (True, False))

    async def retried(request: Request) -> Response:
        return await (once_more if may_repeat(request.method, request.headers) else once)(request)

    return retried if total_timeout is None else total_timeout_layer(total_timeout)(retried)


def outbound_stack(
    call: Call[Req, Resp],
    *,
    classify: Callable[[Exception], Classified],
    limiter: RateLimiter,
    max_in_flight: int,
    attempt_timeout: float,
    total_timeout: float,
    policy: RetryPolicy | None = None,
) -> Call[Req, Resp]:
    """`call` with all that belongs around a single outgoing call. Timeouts in seconds."""
    layers: list[Layer[Req, Resp]] = [
        # Outermost: it bounds everything below, waits and pauses included.
        total_timeout_layer(total_timeout),
        # Outside slot and permit: a pause holds neither, and every attempt pays again.
        retry(classify, policy or RetryPolicy(total_timeout=total_timeout)),
        # Outside the rate limit: a permit that then waits for a slot is not the time of the send.
        concurrency_limit(max_in_flight),
        # Next to the wire: what the peer sees obeys the rate.
        rate_limit(limiter),
        # Innermost: our own waiting is not the peer's slowness.
        attempt_timeout_layer(attempt_timeout),
    ]
    return stack(call, layers)

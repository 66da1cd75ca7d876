"""Try again when the rule says so. Outside slot and rate limit: a pause holds neither, and every attempt pays.

This is for single calls. A run (`penstock.run`) does the same with a delay queue instead of a sleeping task.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ..call import AnyLayer, Call, Req, Resp
from ..clock import current_clock
from ..rules.retries.retry import RetryPolicy, Stop, decide
from ..rules.retries.verdict import Classified

Classify = Callable[[Exception], Classified]


def retry(
    classify: Classify, policy: RetryPolicy | None = None, *, chance: Callable[[], float] = random.random
) -> AnyLayer:
    """A layer that calls `inner` again after failures that `classify` calls retryable or throttled.

    What to retry on has no default: `classify` says it (`penstock.stacks.retry_on` makes one). When the policy says
    stop, the last exception passes through unchanged.
    """
    rules = policy or RetryPolicy()

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def retried(request: Req) -> Resp:
            clock = current_clock()
            began = clock.now()
            attempts = 0
            while True:
                try:
                    return await inner(request)
                except Exception as error:
                    attempts += 1
                    next_step = decide(rules, classify(error), attempts, clock.now() - began, chance())
                    if isinstance(next_step, Stop):
                        raise
                await clock.sleep(next_step.delay)

        return retried

    return wrap

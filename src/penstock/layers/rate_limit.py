"""Wait for a permit before each call.

Place it next to the wire, inside the concurrency limit: a permit that is followed by a wait for a slot is not the
time of the send, and what the peer sees is no longer what was permitted.
"""

from __future__ import annotations

from ..call import AnyLayer, Call, Req, Resp
from ..limits.limiter import RateLimiter


def rate_limit(limiter: RateLimiter) -> AnyLayer:
    """A layer that waits for one permit of `limiter` before each call of `inner`."""

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def limited(request: Req) -> Resp:
            await limiter.acquire()
            return await inner(request)

        return limited

    return wrap

"""Wait for a free slot. Outside the rate limit: take the slot first, then the permit, then send."""

from __future__ import annotations

import asyncio

from ..call import AnyLayer, Call, Req, Resp
from ..errors import UsageError


def concurrency_limit(max_in_flight: int) -> AnyLayer:
    """A layer that lets at most `max_in_flight` calls of `inner` run at once; the others wait in order."""
    if max_in_flight < 1:
        raise UsageError(f"max_in_flight must be at least 1, not {max_in_flight}")

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        slots = asyncio.Semaphore(max_in_flight)

        async def limited(request: Req) -> Resp:
            async with slots:
                return await inner(request)

        return limited

    return wrap

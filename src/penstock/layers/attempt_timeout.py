"""Give up on one attempt. Innermost but for the client, so that our own waiting is not counted."""

from __future__ import annotations

import asyncio

from ..call import AnyLayer, Call, Req, Resp
from ..errors import AttemptTimeout, Sent


def attempt_timeout(seconds: float) -> AnyLayer:
    """A layer that cancels `inner` after `seconds` and raises AttemptTimeout."""

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def limited(request: Req) -> Resp:
            try:
                async with asyncio.timeout(seconds) as scope:
                    return await inner(request)
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise AttemptTimeout(f"no complete answer within {seconds:g} s", sent=Sent.UNKNOWN) from error

        return limited

    return wrap

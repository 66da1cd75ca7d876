"""Give up on the whole request, all its attempts and waits included. Outermost."""

from __future__ import annotations

import asyncio

from ..call import AnyLayer, Call, Req, Resp
from ..errors import TotalTimeout


def total_timeout(seconds: float) -> AnyLayer:
    """A layer that cancels `inner` after `seconds` and raises TotalTimeout."""

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def limited(request: Req) -> Resp:
            try:
                async with asyncio.timeout(seconds) as scope:
                    return await inner(request)
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise TotalTimeout(f"all attempts together took longer than {seconds:g} s") from error

        return limited

    return wrap

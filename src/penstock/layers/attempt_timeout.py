"""Give up on one attempt. Innermost but for the client, so that our own waiting is not counted."""

from __future__ import annotations

from ..call import AnyLayer, Call, Req, Resp
from .attempt_timer import within


def attempt_timeout(seconds: float) -> AnyLayer:
    """A layer that cancels `inner` after `seconds` and raises AttemptTimeout."""

    def wrap(inner: Call[Req, Resp]) -> Call[Req, Resp]:
        async def limited(request: Req) -> Resp:
            return await within(seconds, inner(request))

        return limited

    return wrap

"""Limits for a client session of aiohttp, in one line: `ClientSession(middlewares=[LimitMiddleware("500/min")])`."""

from __future__ import annotations

from typing import Any, Literal

from ..errors import UsageError
from ..extras import how_to_install
from ..limits.given import Limits
from .effects import before_effect
from .gate import LimitGate, Turn

try:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
    from aiohttp.payload import BytesPayload
except ImportError as error:
    raise UsageError(f"this middleware needs aiohttp 3.12 or later: {how_to_install('aiohttp')}") from error


class LimitMiddleware:
    """A client middleware that sends as the limits allow.

    `limit` is `"500/min"`, several, or None; `"500/min@api"` is shared with all who use the name. Limits that answers
    tell, and `Retry-After`, hold for all requests (`limit_headers="ignore"`: only the latter). A refused request is
    sent again where its body is bytes, text or a form, at most `max_attempts` times within `total_timeout` seconds. The
    session's own total timeout counts while a request waits for its permit. Raises UsageError for arguments that make
    no sense.
    """

    def __init__(
        self,
        limit: Limits = None,
        *,
        max_attempts: int = 5,
        total_timeout: float = 60.0,
        limit_headers: Literal["tighten", "ignore"] = "tighten",
    ) -> None:
        self._gate = LimitGate(
            limit, max_attempts=max_attempts, total_timeout=total_timeout, limit_headers=limit_headers
        )

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send `request` when the limits allow it, and again where it was refused and can be."""
        before_effect()
        turn = self._gate.turn(replayable=not request.body or isinstance(request.body, (bytes, BytesPayload)))
        while True:
            await turn.enter()
            _tell_of_the_send(request, turn)
            try:
                response = await handler(request)
            except BaseException:
                turn.failed()
                raise
            if not turn.again(response.status, response.raw_headers):
                return response
            response.close()


def _tell_of_the_send(request: ClientRequest, turn: Turn) -> None:
    """The session calls `send` when the connection is there, and nothing else of its own says so to a middleware."""
    send = type(request).send

    async def told(connection: Any) -> ClientResponse:
        response = await send(request, connection)
        turn.sent()
        return response

    vars(request)["send"] = told

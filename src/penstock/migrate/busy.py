"""A request that is refused for the ceiling, as an error that its framework answers with 503."""

from __future__ import annotations

import sys
from typing import Any

from ..errors import ArmsBusy


def busy(route: str, why: str) -> ArmsBusy:
    """What to raise. Where Starlette is there it is one of its HTTPExceptions, too.

    So it is 503 wherever Starlette's own handling of exceptions lies, within `MoveMiddleware` or without, in the form
    that the app gives to such answers; and a handler for ArmsBusy still goes first.
    """
    message = f"{route} has as many requests under way as it may have: {why}"
    starlette = sys.modules.get("starlette.exceptions")
    if starlette is None:
        return ArmsBusy(message, route=route)
    return _of_starlette(starlette.HTTPException)(message, route=route)


def _of_starlette(http_exception: type[Exception]) -> type[ArmsBusy]:
    if http_exception not in _kinds:

        def initialise(self: Any, message: str, *, route: str) -> None:
            ArmsBusy.__init__(self, message, route=route)
            http_exception.__init__(self, 503, "Service Unavailable", {"Retry-After": str(self.retry_after)})

        _kinds[http_exception] = type("ArmsBusy", (ArmsBusy, http_exception), {"__init__": initialise})
    return _kinds[http_exception]


_kinds: dict[type[Exception], type[ArmsBusy]] = {}

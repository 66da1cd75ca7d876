"""A request that is refused for the ceiling: 503 with `Retry-After`, in the form that its framework knows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArmsBusy
from .hosts import flask_in_request, is_of_django
from .plain_answer import PlainAnswer


def answer_of(busy: ArmsBusy) -> PlainAnswer:
    """What the client gets where no framework makes an answer of `busy`."""
    body = f"{busy}\n".encode()
    fields = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "retry-after": str(busy.retry_after),
        "cache-control": "no-store",
    }
    return PlainAnswer(503, "Service Unavailable", fields, body)


def refuse(route: str, why: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Raise ArmsBusy. In Django return a response: it makes 500 of every exception of a view that it does not know."""
    message = f"{route} has as many requests under way as it may have: {why}"
    if not is_of_django(arguments, named):
        raise _busy(message, route)
    answer = answer_of(ArmsBusy(message, route=route))
    return sys.modules["django.http"].HttpResponse(answer.body, status=answer.status, headers=answer.fields)


def _busy(message: str, route: str) -> ArmsBusy:
    """What to raise: an HTTPException of the framework, too.

    So it is 503 wherever the framework's own handling of exceptions lies, within the middleware or without, in the form
    that the app gives to such answers; and a handler for ArmsBusy still goes first.
    """
    if flask_in_request() is not None:
        return _of_werkzeug(sys.modules["werkzeug.exceptions"].ServiceUnavailable)(message, route=route)
    starlette = sys.modules.get("starlette.exceptions")
    if starlette is not None:
        return _of_starlette(starlette.HTTPException)(message, route=route)
    return ArmsBusy(message, route=route)


def _of_starlette(http_exception: type[Exception]) -> type[ArmsBusy]:
    def initialise(self: Any, message: str, *, route: str) -> None:
        ArmsBusy.__init__(self, message, route=route)
        http_exception.__init__(self, 503, "Service Unavailable", {"Retry-After": str(self.retry_after)})

    return _kind(http_exception, initialise)


def _of_werkzeug(service_unavailable: Any) -> type[ArmsBusy]:
    def initialise(self: Any, message: str, *, route: str) -> None:
        ArmsBusy.__init__(self, message, route=route)
        service_unavailable.__init__(self, message, retry_after=self.retry_after)

    return _kind(service_unavailable, initialise)


def _kind(base: type[Exception], initialise: Any) -> type[ArmsBusy]:
    return _kinds.setdefault(base, type("ArmsBusy", (ArmsBusy, base), {"__init__": initialise}))


_kinds: dict[type[Exception], type[ArmsBusy]] = {}

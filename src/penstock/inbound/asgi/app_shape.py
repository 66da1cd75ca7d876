"""Whether what is handed to the middleware can be an ASGI app: told when it is built, not at the first request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...errors import UsageError

_WSGI = (
    "is a WSGI app (it takes environ and start_response), and CacheMiddleware is for ASGI: wrap it with "
    "a2wsgi.WSGIMiddleware first, or put `penstock proxy` in front of its server"
)
_ASGI_2 = (
    "takes one argument, as ASGI 2 apps do, and CacheMiddleware calls its app with three: wrap it with "
    "asgiref.compatibility.guarantee_single_callable first"
)


def check_app(app: object) -> None:
    """Raise UsageError for what cannot be called as `app(scope, receive, send)`. What hides how it is called passes."""
    if not callable(app):
        raise UsageError(f"{app!r} is no ASGI app: it cannot be called")
    takes = _positional(app)
    if takes is None or takes(3):
        return
    why = "takes other arguments than scope, receive and send, so it is no ASGI app"
    if takes(2):
        why = _WSGI
    elif takes(1):
        why = _ASGI_2
    raise UsageError(f"{_name(app)} {why}")


def _positional(app: Callable[..., Any]) -> Callable[[int], bool] | None:
    """Whether `app` can be called with so many arguments; None where that cannot be known."""
    try:
        # What a decorator says of what is inside says nothing of how the outside is called.
        signature = inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):
        return None

    def takes(count: int) -> bool:
        try:
            signature.bind(*[None] * count)
        except TypeError:
            return False
        return True

    return takes


def _name(app: object) -> str:
    name = getattr(app, "__qualname__", None) or type(app).__qualname__
    return f"{getattr(app, '__module__', None) or type(app).__module__}.{name}"

"""An app of the wrong kind is refused when the middleware is built; every shape of an ASGI app passes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from unittest.mock import AsyncMock, Mock

import pytest

from penstock import CacheMiddleware
from penstock.errors import UsageError


async def function(scope: Any, receive: Any, send: Any) -> None: ...


def returns_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return function(scope, receive, send)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...

    @staticmethod
    async def static(scope: Any, receive: Any, send: Any) -> None: ...


class Options:
    async def __call__(self, scope: Any, receive: Any, send: Any, *, extra: bool = False) -> None: ...


class Anything:
    async def __call__(self, *args: Any) -> None: ...


class Endpoint:
    """As Starlette's HTTPEndpoint: a class that is awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


class Forwarding:
    """An app whose class has nothing but `__getattr__` towards another one."""

    wrapped: ClassVar[Any] = Instance()

    async def __call__(self, *args: Any, **more: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


@functools.wraps(wsgi)
async def adapter(scope: Any, receive: Any, send: Any) -> None:
    """What is inside is WSGI; what is called is not."""


async def settings_first(settings: Any, scope: Any, receive: Any, send: Any) -> None: ...


class FlaskLike:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class DjangoLike:
    """`django.core.handlers.wsgi.WSGIHandler`."""

    request_class = object

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class Iterable:
    """The class form of PEP 3333."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])


class Double:
    """ASGI 2: `app(scope)(receive, send)`."""

    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


ASGI = {
    "function": function,
    "a function that returns an awaitable": returns_awaitable,
    "a lambda": lambda scope, receive, send: function(scope, receive, send),
    "an instance": Instance(),
    "a method": Instance().method,
    "a static method": Instance.static,
    "options": Options(),
    "anything": Anything(),
    "a class": Endpoint,
    "forwarding": Forwarding(),
    "wraps": adapter,
    "partial": functools.partial(settings_first, {}),
    "partial by name": functools.partial(Options(), extra=True),
    "partial of a partial": functools.partial(functools.partial(settings_first), {}),
    "ours": CacheMiddleware(function),
    "mock": Mock(),
    "async mock": AsyncMock(),
}
REFUSED = {
    "two arguments": (wsgi, "WSGI"),
    "a lambda": (lambda environ, start_response: [], "WSGI"),
    "as Flask": (FlaskLike(), "WSGI"),
    "as Django": (DjangoLike(), "WSGI"),
    "a class of PEP 3333": (Iterable, "WSGI"),
    "a method": (FlaskLike().__call__, "WSGI"),
    "partial": (functools.partial(lambda settings, environ, start_response: [], {}), "WSGI"),
    "ASGI 2": (Double, "ASGI 2"),
    "no argument": (lambda: None, "no ASGI app"),
    "four": (settings_first, "no ASGI app"),
    "a name": ("shop.asgi:application", "cannot be called"),
    "None": (None, "cannot be called"),
}


@pytest.mark.parametrize("app", ASGI.values(), ids=ASGI)
def test_all_that_asgi_3_calls_passes(app: Callable[..., Any]) -> None:
    assert CacheMiddleware(app).app is app


@pytest.mark.parametrize(("app", "word"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_asgi_app_is_refused_when_built(app: Any, word: str) -> None:
    """It was a TypeError of ours at the first request: `missing 1 required positional argument: 'send'`."""
    with pytest.raises(UsageError, match=word) as refused:
        CacheMiddleware(app)
    if word == "WSGI":
        assert "a2wsgi" in str(refused.value)
        assert "penstock proxy" in str(refused.value)

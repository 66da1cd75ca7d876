"""Real apps handed to CacheMiddleware: WSGI is refused when it is built, ASGI of every framework passes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from penstock import CacheMiddleware
from penstock.errors import UsageError

pytestmark = [pytest.mark.service, pytest.mark.real]


def needed(name: str) -> Any:
    """The module; the test is skipped without."""
    return pytest.importorskip(name, reason=f"{name} is not installed: make test-real does that")


def _django(gateway: str) -> Any:
    needed("django")
    settings = importlib.import_module("django.conf").settings
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
    return getattr(importlib.import_module(f"django.core.{gateway}"), f"get_{gateway}_application")()


urlpatterns: list[Any] = []
WSGI: dict[str, Callable[[], Any]] = {
    "flask": lambda: needed("flask").Flask("shop"),
    "flask's wsgi_app": lambda: needed("flask").Flask("shop").wsgi_app,
    "django": lambda: _django("wsgi"),
}
ASGI: dict[str, Callable[[], Any]] = {
    "django": lambda: _django("asgi"),
    "starlette": lambda: needed("starlette.applications").Starlette(),
    "starlette's middleware": lambda: needed("starlette.middleware.gzip").GZipMiddleware(lambda scope: None),
    "fastapi": lambda: needed("fastapi").FastAPI(),
    "litestar": lambda: needed("litestar").Litestar(),
    "flask in a2wsgi": lambda: needed("a2wsgi").WSGIMiddleware(needed("flask").Flask("shop")),
    "flask in asgiref": lambda: needed("asgiref.wsgi").WsgiToAsgi(needed("flask").Flask("shop")),
}


@pytest.mark.parametrize("make", WSGI.values(), ids=WSGI)
def test_wsgi_is_refused(make: Callable[[], Any]) -> None:
    app = make()
    with pytest.raises(UsageError, match=r"a2wsgi.*penstock proxy"):
        CacheMiddleware(app)


@pytest.mark.parametrize("make", ASGI.values(), ids=ASGI)
def test_asgi_passes(make: Callable[[], Any]) -> None:
    CacheMiddleware(make())

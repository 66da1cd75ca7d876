"""A Django project in one file, whose views have arms. Run by servers of the tests, as a user would write it.

In the environment: `SITE_WSGI` for views without an event loop, `SITE_SYNC_MIDDLEWARE`, `SITE_ATOMIC_REQUESTS`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings

import penstock
from penstock.migrate.table import TALLIES

WSGI = bool(os.environ.get("SITE_WSGI"))
FOLDER = Path.cwd()

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="site",
    DEBUG=False,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    LOGIN_URL="/login-page",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
    },
    MIDDLEWARE=[
        *([f"{__name__}.SyncMiddleware"] if os.environ.get("SITE_SYNC_MIDDLEWARE") else []),
        f"{__name__}.who_asks",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(FOLDER / "db.sqlite3"),
            "ATOMIC_REQUESTS": bool(os.environ.get("SITE_ATOMIC_REQUESTS")),
        }
    },
)
django.setup()

# What needs the settings can be imported now.
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.exceptions import PermissionDenied  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.decorators import sync_and_async_middleware  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.decorators.http import require_GET  # noqa: E402

USER: ContextVar[str] = ContextVar("user", default="-")


class SyncMiddleware:
    """One of the old kind."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["x-sync"] = USER.get()
        return response


@sync_and_async_middleware
def who_asks(get_response: Any) -> Any:
    """Knows users by a header, and reads afterwards what the view has set."""

    def before(request: Any) -> None:
        USER.set("-")
        request.user = SimpleNamespace(is_authenticated="x-login" in request.headers)

        async def auser() -> Any:
            return request.user

        request.auser = auser

    def after(response: Any) -> Any:
        response["x-set"] = USER.get()
        return response

    async def on_a_loop(request: Any) -> Any:
        before(request)
        return after(await get_response(request))

    def in_a_thread(request: Any) -> Any:
        before(request)
        return after(get_response(request))

    return on_a_loop if iscoroutinefunction(get_response) else in_a_thread


def arms(route: str, **options: Any) -> Any:
    """As this site needs them."""
    return penstock.arms(route, **{"max_in_flight": 50, "max_waiting": 50, "wsgi": WSGI} | options)


def said(arm: str, **more: Any) -> JsonResponse:
    return JsonResponse({"arm": arm, "pid": os.getpid(), "thread": threading.current_thread().name, **more})


@arms("GET /quote", key="X-User")
def quote(request: Any, number: int) -> Any:
    USER.set(f"set by {number}")
    return said("control", number=number)


@quote.arm("client")
def _(request: Any, number: int) -> Any:
    USER.set(f"set by {number}")
    return said("client", number=number)


@quote.arm("async")
async def _(request: Any, number: int) -> Any:
    await asyncio.sleep(0)
    USER.set(f"set by {number}")
    return said("async", number=number)


class Quote(View):
    """Today's view."""

    def get(self, request: Any, number: int) -> Any:
        return said("control", number=number)

    def post(self, request: Any, number: int) -> Any:
        return said("control posted", number=number)


class AsyncQuote(View):
    """The one that comes."""

    async def get(self, request: Any, number: int) -> Any:
        await asyncio.sleep(0)
        return said("async", number=number)

    async def post(self, request: Any, number: int) -> Any:
        return said("async posted", number=number)


of_classes = csrf_exempt(arms("/class")(Quote.as_view()))
of_classes.arm("async")(AsyncQuote.as_view())


class OneMethod(View):
    """All of its handlers are armed, as all or none of them may be async."""

    @arms("GET /method", key="X-User")
    def get(self, request: Any) -> Any:
        return said("control", path=self.request.path)

    @get.arm("async")
    async def _(self, request: Any) -> Any:
        return said("async", path=self.request.path)


@login_required
@arms("GET /private")
def private(request: Any) -> Any:
    return said("control")


@csrf_exempt
@arms("POST /exempt")
def exempt(request: Any) -> Any:
    return said("control")


@require_GET
@arms("GET /only")
def only_get(request: Any) -> Any:
    return said("control")


@cache_page(60)
@arms("GET /cached")
def cached(request: Any) -> Any:
    return said("control", at=time.monotonic_ns())


@transaction.non_atomic_requests
@arms("GET /atomic")
@transaction.atomic
def atomic(request: Any) -> Any:
    return said("control", atomic=connection.in_atomic_block)


@atomic.arm("async")
async def _(request: Any) -> Any:
    @sync_to_async
    def ask() -> bool:
        with transaction.atomic():
            inside: bool = connection.in_atomic_block
        return inside

    return said("async", atomic=await ask())


@arms("GET /refuses")
def refuses(request: Any, kind: str) -> Any:
    raise {"404": Http404, "403": PermissionDenied, "500": ValueError}[kind]


@arms("GET /narrow", max_in_flight=1, max_waiting=1)
def narrow(request: Any) -> Any:
    return said("control")


@narrow.arm("client")
def _(request: Any) -> Any:
    time.sleep(1.0)
    return said("client")


@narrow.arm("async")
async def _(request: Any) -> Any:
    await asyncio.sleep(1.0)
    return said("async")


@arms("GET /sleep")
def sleep(request: Any) -> Any:
    time.sleep(0.5)
    return said("control")


@arms("GET /stream")
def stream(request: Any, kind: str) -> Any:
    if kind == "file":
        return FileResponse(Path(__file__).open("rb"))
    return StreamingHttpResponse(iter([b"piece "] * 100))


for each in (private, exempt, only_get, cached):

    @each.arm("async")
    async def _(request: Any) -> Any:
        return said("async", at=time.monotonic_ns())


def tallies(request: Any) -> Any:
    """What this process has counted."""
    names = ("in_flight", "ended", "errors", "shed", "keyless")
    found = {f"{each.route} {each.arm}": {name: getattr(each, name) for name in names} for each in TALLIES.all()}
    return JsonResponse(found)


def not_exempted(request: Any) -> Any:
    return said("control", atomic=connection.in_atomic_block)


def plain(request: Any) -> Any:
    return HttpResponse("plain")


urlpatterns = [
    path("quote/<int:number>", quote),
    path("class/<int:number>", of_classes, name="class"),
    path("method", OneMethod.as_view()),
    path("private", private),
    path("exempt", exempt),
    path("only", only_get),
    path("cached", cached),
    path("atomic", atomic),
    path("refuses/<str:kind>", refuses),
    path("narrow", narrow),
    path("stream/<str:kind>", stream),
    path("sleep", sleep),
    path("tallies", tallies),
    path("plain", plain),
]
if "SITE_ATOMIC_REQUESTS" in os.environ:
    urlpatterns.append(path("not-exempted", arms("GET /not-exempted")(not_exempted)))

bare: Any = get_wsgi_application() if WSGI else get_asgi_application()
"""Without the middleware."""
application: Any = penstock.MoveWSGIMiddleware(bare) if WSGI else penstock.MoveMiddleware(bare)
under_wsgi = penstock.MoveWSGIMiddleware(get_wsgi_application())

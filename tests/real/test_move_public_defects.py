"""Defects that others have reported, each first as it is in a plain app of today, then with arms and `carry`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import penstock
from migrate.carrying import declared

from .asking import ask
from .carried import ARMS, Pure, Upstream, run, two_arms
from .test_move_context import reason, sessions

pytestmark = [pytest.mark.service, pytest.mark.real, pytest.mark.usefixtures("own_routes")]
fastapi = pytest.importorskip("fastapi", reason=reason.format("fastapi"))
arms = pytest.mark.parametrize("arm", ARMS)
user: ContextVar[str] = ContextVar("user")


def who() -> str | None:
    return user.get(None)


def nothing() -> None:
    """A call that is not made."""


async def nothing_async() -> None:
    """The same, to be awaited."""


def sync_depends() -> None:
    user.set("ann")


async def async_depends() -> None:
    user.set("ann")


def app_of(endpoint: Any, *depends: Any) -> Any:
    app = fastapi.FastAPI()
    app.get("/", dependencies=[fastapi.Depends(each) for each in depends])(endpoint)
    return app


@arms
@pytest.mark.parametrize(("depends", "seen"), [(sync_depends, None), (async_depends, "ann")])
def test_fastapi_953_and_13453(arm: str, depends: Any, seen: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """What a sync Depends sets is lost: still so, and no wrapper of an endpoint can mend it. The log names it."""
    plain = app_of(who, depends)
    assert run(lambda: ask(plain, "/")).json() == seen
    moved = app_of(two_arms("GET /", who, nothing, nothing_async), depends)

    async def main() -> None:
        for _ in range(20):
            assert (await ask(moved, "/", arm=arm)).json() == seen

    with declared(user=user), caplog.at_level(logging.WARNING, "penstock.move"):
        run(main)
    told = [record.getMessage() for record in caplog.records if record.name == "penstock.move"]
    if seen is None:
        assert len(told) == 1
        assert "GET /: 'user' had no value in any of 20 requests" in told[0]
        assert "write it `async def`" in told[0]
    else:
        assert told == []


@arms
def test_structlog_491(arm: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same with `bind_contextvars` in a sync Depends; structlog's pages warn of it by now."""
    structlog = pytest.importorskip("structlog", reason=reason.format("structlog"))

    def bind_a() -> None:
        structlog.contextvars.bind_contextvars(a="a")

    async def bind_b() -> None:
        structlog.contextvars.bind_contextvars(b="b")

    def bound() -> Any:
        return structlog.contextvars.get_contextvars()

    def read_a() -> Any:
        return bound().get("a")

    assert run(lambda: ask(app_of(bound, bind_a, bind_b), "/")).json() == {"b": "b"}
    moved = app_of(two_arms("GET /", bound, nothing, nothing_async), bind_a, bind_b)

    async def main() -> None:
        for _ in range(20):
            await ask(moved, "/", arm=arm)

    with declared(a=read_a, b=lambda: bound().get("b")), caplog.at_level(logging.WARNING, "penstock.move"):
        run(main)
    assert "'a' had no value in any of 20 requests" in caplog.text
    assert "'b'" not in caplog.text


@arms
def test_fastapi_2776(arm: str, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """What an async Depends sets is there in the route, and gone in a ThreadPoolExecutor: still so; it is named."""
    with ThreadPoolExecutor(2) as pool:

        def work() -> Any:
            return pool.submit(who).result()

        assert run(lambda: ask(app_of(who, async_depends), "/")).json() == "ann"
        assert run(lambda: ask(app_of(work, async_depends), "/")).json() is None

        def call_there() -> Any:
            return pool.submit(upstream.http.get, "/").result().status

        def call_there_rightly() -> Any:
            context = contextvars.copy_context()
            return pool.submit(context.run, upstream.http.get, "/").result().status

        lost = app_of(two_arms("GET /lost", call_there, nothing, nothing_async), async_depends)
        kept = app_of(two_arms("GET /kept", call_there_rightly, nothing, nothing_async), async_depends)
        with declared(user=user) as found:
            assert run(lambda: ask(lost, "/", arm=arm)).json() == 200
            assert run(lambda: ask(kept, "/", arm=arm)).json() == 200
    assert found == [("GET /lost", arm, "user")]
    assert f"GET /lost, arm {arm}: 'user' was lost at a call from another thread" in caplog.text


@arms
def test_fastapi_4696(arm: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a Depends sets does not reach `@app.middleware("http")`: still so; the log says why. Pure ASGI has it."""
    seen: list[str | None] = []

    async def middleware(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        seen.append(who())
        return response

    plain = app_of(who, async_depends)
    plain.middleware("http")(middleware)
    run(lambda: ask(plain, "/"))
    assert seen == [None]

    @contextlib.contextmanager
    def looking(_: Any) -> Iterator[None]:
        yield
        seen.append(who())

    endpoint = two_arms("GET /", who, nothing, nothing_async)
    tasks_of_its_own = app_of(endpoint, async_depends)
    tasks_of_its_own.middleware("http")(middleware)
    with declared(user=user) as found:
        run(lambda: ask(penstock.MoveMiddleware(Pure(app_of(endpoint, async_depends), looking)), "/", arm=arm))
        assert seen == [None, "ann"]
        assert "penstock.move" not in caplog.text
        for _ in range(3):
            run(lambda: ask(penstock.MoveMiddleware(tasks_of_its_own), "/", arm=arm))
    assert found == []
    told = [record.getMessage() for record in caplog.records if record.name == "penstock.move"]
    assert len(told) == 1
    assert "'user' had a value in the arm and has none in MoveMiddleware" in told[0]
    assert "pure ASGI" in told[0]


def test_starlette_1258() -> None:
    """What a sync endpoint sets is gone for the middleware around, that of an async one is there: still so.

    The copy back of arms makes both the same.
    """
    applications = pytest.importorskip("starlette.applications", reason=reason.format("starlette"))
    from starlette.responses import Response
    from starlette.routing import Route

    log: list[str | None] = []

    def sync_endpoint(request: Any) -> Any:
        user.set("sync")
        return Response()

    async def async_endpoint(request: Any) -> Any:
        user.set("async")
        return Response()

    def logged(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def sending(message: Any) -> None:
                if message["type"] == "http.response.start":
                    log.append(who())
                await send(message)

            await app(scope, receive, sending)

        return middleware

    plain = logged(applications.Starlette(routes=[Route("/sync", sync_endpoint), Route("/async", async_endpoint)]))
    run(lambda: ask(plain, "/sync"))
    run(lambda: ask(plain, "/async"))
    assert log == [None, "async"]
    log.clear()
    armed = penstock.arms("GET /sync", max_in_flight=10)(sync_endpoint)
    armed.arm("async")(async_endpoint)
    moved = logged(applications.Starlette(routes=[Route("/sync", armed)]))
    with declared(user=user) as found:
        run(lambda: ask(moved, "/sync", arm="control"))
        run(lambda: ask(moved, "/sync", arm="async"))
    assert log == ["sync", "async"]
    assert found == []


def spans() -> tuple[Any, Any]:
    """A tracer, and how to read the id of the trace that is under way."""
    pytest.importorskip("opentelemetry.sdk", reason=reason.format("opentelemetry-sdk"))
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    def trace_id() -> int | None:
        return trace.get_current_span().get_span_context().trace_id or None

    return TracerProvider().get_tracer("test"), trace_id


@arms
def test_opentelemetry_1009(arm: str, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """In a ThreadPoolExecutor there is no span: named. By now a ThreadingInstrumentor, where it is used, mends it."""
    tracer, trace_id = spans()
    threading_of = pytest.importorskip(
        "opentelemetry.instrumentation.threading", reason=reason.format("opentelemetry-instrumentation-threading")
    )

    @contextlib.contextmanager
    def traced(_: Any) -> Iterator[None]:
        with tracer.start_as_current_span("served"):
            yield

    with ThreadPoolExecutor(1) as pool:

        def there() -> bool:
            return pool.submit(trace_id).result() is not None

        def call_there() -> None:
            pool.submit(upstream.http.get, "/").result()

        assert run(lambda: ask(Pure(app_of(there), traced), "/")).json() is False
        moved = Pure(app_of(two_arms("GET /", call_there, nothing, nothing_async)), traced)
        with declared(trace=trace_id) as found:
            run(lambda: ask(moved, "/", arm=arm))
            assert found == [("GET /", arm, "trace")]
            assert "'trace' was lost at a call from another thread" in caplog.text
            instrumentor = threading_of.ThreadingInstrumentor()
            instrumentor.instrument()
            try:
                assert run(lambda: ask(Pure(app_of(there), traced), "/")).json() is True
                run(lambda: ask(moved, "/", arm=arm))
            finally:
                instrumentor.uninstrument()
    assert len(found) == 1


@arms
def test_opentelemetry_3586(arm: str) -> None:
    """What a sync route attaches is gone in its background tasks, that of an async one is there: still so.

    The copy back of arms makes both the same.
    """
    pytest.importorskip("opentelemetry.sdk", reason=reason.format("opentelemetry-sdk"))
    from opentelemetry import context

    seen: list[Any] = []

    def background() -> None:
        seen.append(context.get_value("tenant"))

    def attach() -> Any:
        context.attach(context.set_value("tenant", "acme"))
        return fastapi.responses.JSONResponse(None, background=fastapi.BackgroundTasks([_task(background)]))

    async def attach_async() -> Any:
        return attach()

    run(lambda: ask(app_of(attach), "/"))
    run(lambda: ask(app_of(attach_async), "/"))
    assert seen == [None, "acme"]
    with declared(tenant=lambda: context.get_value("tenant")) as found:
        run(lambda: ask(app_of(two_arms("GET /", attach, nothing, nothing_async)), "/", arm=arm))
    assert seen[2:] == ["acme"]
    assert found == []


def _task(function: Any) -> Any:
    from starlette.background import BackgroundTask

    return BackgroundTask(function)


def test_airflow_44187(caplog: pytest.LogCaptureFixture) -> None:
    """A session of a thread serves the requests that this thread serves, one after the other: still so; it is named."""
    make = sessions()
    from sqlalchemy.orm import scoped_session

    session = scoped_session(make)

    def work() -> str:
        return f"{threading.get_ident()} {id(session())}"

    def used_twice(app: Any) -> bool:
        async def main() -> list[str]:
            return [(await ask(app, "/", arm="control")).json() for _ in range(2)]

        first, second = run(main)
        return bool(first == second)

    assert used_twice(app_of(work))
    moved = app_of(two_arms("GET /", work, nothing, nothing_async))
    with declared(own=["session"], session=lambda: session() if session.registry.has() else None) as found:
        assert used_twice(moved)
    assert {*found} == {("GET /", "control", "session")}
    assert "'session' had another value in the arm's thread, before its first line" in caplog.text


SENTRY = """
import asyncio, sys, threading, time  # 20 views one after the other would take 4 s
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop", SECRET_KEY="x", MIDDLEWARE=["shop." + sys.argv[1]])
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware
import sentry_sdk
from sentry_sdk.integrations.django import DjangoIntegration

threads = []

@sync_only_middleware
def sync_only(get_response):
    def middleware(request):
        threads.append(threading.current_thread())
        return get_response(request)
    return middleware

@async_only_middleware
def async_only(get_response):
    async def middleware(request):
        threads.append(threading.current_thread())
        return await get_response(request)
    return middleware

async def view(request):
    await asyncio.sleep(0.2)
    return HttpResponse("ok")

urlpatterns = [path("", view)]
sentry_sdk.init(
    "http://key@127.0.0.1:9/1", transport=lambda envelope: None, integrations=[DjangoIntegration()]
)
from asking import ask

async def main():
    app = get_asgi_application()
    assert (await ask(app, "/")).status == 200
    threads.clear()
    began = time.monotonic()
    told = await asyncio.gather(*[ask(app, "/") for _ in range(20)])
    assert {each.status for each in told} == {200}
    on_the_loop = sum(each is threading.main_thread() for each in threads)
    print(on_the_loop, len(threads), time.monotonic() - began < 2)

asyncio.run(main())
"""


@pytest.mark.parametrize(("middleware", "printed"), [("async_only", "20 20 True"), ("sync_only", "0 20 True")])
def test_sentry_937(middleware: str, printed: str, tmp_path: Path) -> None:
    """Sentry's wrapper made all middleware sync, and with it async views. Mended since: async middleware stays async.

    A middleware of one's own that is sync only still takes a thread for each request (but no view waits for another).
    """
    for needed in ("django", "sentry_sdk"):
        pytest.importorskip(needed, reason=reason.format(needed))
    here = Path(__file__)
    (tmp_path / "shop.py").write_text(SENTRY)
    path = os.pathsep.join(map(str, [tmp_path, here.parents[2] / "src", here.parent]))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['shop', {middleware!r}]; import shop"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stdout.decode().split("\n")[0] == printed


def test_one_after_the_other_and_at_once_nobody_gets_anothers(upstream: Upstream) -> None:
    """300 requests in either arm, interleaved, with who asked in a context variable: each sees itself."""

    @contextlib.contextmanager
    def around(scope: Any) -> Iterator[None]:
        token = user.set(dict(scope["headers"])[b"x-user"].decode())
        yield
        user.reset(token)

    endpoint = two_arms("GET /", who, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    whole = penstock.MoveMiddleware(Pure(app_of(endpoint), around))

    async def main() -> None:
        names = [f"u{n}" for n in range(600)]
        told = await asyncio.gather(
            *[ask(whole, "/", arm=ARMS[n % 2], headers={"x-user": name}) for n, name in enumerate(names)]
        )
        assert [each.json() for each in told] == names

    with declared(own=["user"], user=user, name=who) as found:
        run(main)
    assert found == []

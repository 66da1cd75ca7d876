"""One small site in four frameworks, with CacheMiddleware as each of them takes it; factories for uvicorn.

What happened in the app is at `/state`, and what happened at shutdown in the file that CACHE_APP_LOG names.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock import CacheMiddleware, SharedCache

STATE: Counter[str] = Counter()
STORED = {"cache-control": "max-age=60"}
TAGGED = STORED | {"surrogate-key": "front news"}
VARIES = STORED | {"vary": "Accept-Language"}
COOKIE = STORED | {"set-cookie": "session=secret"}
PRIVATE = {"cache-control": "private"}
NO_STORE = {"cache-control": "no-store"}


def call(name: str) -> str:
    """Count a call, and say which one it is."""
    STATE[name] += 1
    return f"{name} {STATE[name]}"


async def pieces() -> AsyncIterator[bytes]:
    """A body that comes slowly."""
    STATE["stream"] += 1
    for n in range(5):
        yield b"%d," % n
        await asyncio.sleep(0.1)


async def endless(name: str) -> AsyncIterator[bytes]:
    """A body without an end, whose client's leaving is noted."""
    STATE[name] += 1
    try:
        while True:
            yield b"data: %d\n\n" % STATE[name]
            await asyncio.sleep(0.05)
    finally:
        STATE[f"{name} ended"] += 1


async def afterwards() -> None:
    """What is done after the answer."""
    await asyncio.sleep(1.0)
    STATE["afterwards"] += 1


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Notes both ends."""
    STATE["started"] += 1
    yield
    Path(os.environ["CACHE_APP_LOG"]).write_text(f"stopped after {STATE['afterwards']}")


def starlette_app() -> Any:
    """Routes with responses of its own, `Middleware(...)`."""
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def page(request: Any) -> Any:
        name = request.path_params["name"]
        if name == "boom":
            raise ValueError(call("boom"))
        if name == "stream":
            return StreamingResponse(pieces(), headers=STORED)
        if name in ("events", "private"):
            kind = "text/event-stream" if name == "events" else "text/plain"
            return StreamingResponse(endless(name), media_type=kind, headers=PRIVATE)
        if name == "state":
            return JSONResponse(dict(STATE), headers=NO_STORE)
        if name == "vary":
            return PlainTextResponse(f"{call(name)} {request.headers.get('accept-language')}", headers=VARIES)
        after = BackgroundTask(afterwards) if name == "background" else None
        return PlainTextResponse(call(name), headers=COOKIE if name == "cookie" else TAGGED, background=after)

    async def purge(request: Any) -> Any:
        return JSONResponse(request.scope["penstock.cache"].purge_tag("news"))

    routes = [Route("/purge", purge, methods=["POST"]), Route("/{name}", page)]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(CacheMiddleware, memory="8MiB")])


def fastapi_app() -> Any:
    """`add_middleware`, and a purge in a synchronous endpoint, which runs in a thread."""
    from fastapi import BackgroundTasks, FastAPI, Header, Request, Response
    from fastapi.responses import PlainTextResponse, StreamingResponse

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(CacheMiddleware, memory="8MiB")

    async def state(response: Response) -> Any:
        response.headers.update(NO_STORE)
        return dict(STATE)

    async def boom() -> None:
        raise ValueError(call("boom"))

    async def vary(accept_language: str = Header("None")) -> Any:
        return PlainTextResponse(f"{call('vary')} {accept_language}", headers=VARIES)

    async def background(tasks: BackgroundTasks, response: Response) -> str:
        tasks.add_task(afterwards)
        response.headers.update(STORED)
        return call("background")

    async def stream() -> Any:
        return StreamingResponse(pieces(), headers=STORED)

    async def events() -> Any:
        return StreamingResponse(endless("events"), media_type="text/event-stream", headers=PRIVATE)

    async def private() -> Any:
        return StreamingResponse(endless("private"), headers=PRIVATE)

    async def cookie() -> Any:
        return PlainTextResponse(call("cookie"), headers=COOKIE)

    def front() -> Any:
        return PlainTextResponse(call("front"), headers=TAGGED)

    def purge(request: Request) -> Any:
        return request.scope["penstock.cache"].purge_tag("news")

    # The annotations are texts that name what is only known in here.
    for function in (state, boom, vary, background, stream, events, private, cookie, front, purge):
        function.__globals__.update(BackgroundTasks=BackgroundTasks, Request=Request, Response=Response, Header=Header)
        app.add_api_route(f"/{function.__name__}", function, methods=["POST" if function is purge else "GET"])
    return app


def litestar_app() -> Any:
    """`DefineMiddleware`, which Litestar makes anew for each route: they share one cache."""
    from litestar import Litestar, Request, Response, get, post
    from litestar.background_tasks import BackgroundTask
    from litestar.middleware import DefineMiddleware
    from litestar.response import Stream

    async def page(name: str, request: Request) -> Any:  # type: ignore[type-arg,unused-ignore]
        if name == "boom":
            raise ValueError(call("boom"))
        if name == "stream":
            return Stream(pieces(), headers=STORED)
        if name in ("events", "private"):
            kind = "text/event-stream" if name == "events" else "text/plain"
            return Stream(endless(name), media_type=kind, headers=PRIVATE)
        if name == "state":
            return Response(dict(STATE), headers=NO_STORE)
        text = media_type = "text/plain"
        if name == "vary":
            text = f"{call(name)} {request.headers.get('accept-language')}"
            return Response(text, headers=VARIES, media_type=media_type)
        after = BackgroundTask(afterwards) if name == "background" else None
        headers = COOKIE if name == "cookie" else TAGGED
        return Response(call(name), headers=headers, background=after, media_type=media_type)

    async def purge(request: Request) -> Any:  # type: ignore[type-arg,unused-ignore]
        return request.scope["penstock.cache"].purge_tag("news")  # type: ignore[typeddict-item,unused-ignore]

    page.__globals__.update(Request=Request)
    return Litestar(
        [get("/{name:str}")(page), post("/purge")(purge)],
        lifespan=[lifespan],
        middleware=[DefineMiddleware(CacheMiddleware, cache=SharedCache(memory="8MiB"))],  # type: ignore[arg-type,unused-ignore]  # its types of scopes are its own
    )


def django_app() -> Any:
    """Round `get_asgi_application()`, with the purge in a synchronous view. Django has no lifespan."""
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    async def page(request: Any, name: str) -> Any:
        if name == "boom":
            raise ValueError(call("boom"))
        if name == "stream":
            return StreamingHttpResponse(pieces(), headers=STORED)
        if name in ("events", "private"):
            kind = "text/event-stream" if name == "events" else "text/plain"
            return StreamingHttpResponse(endless(name), headers=PRIVATE | {"content-type": kind})
        if name == "state":
            return JsonResponse(dict(STATE), headers=NO_STORE)
        if name == "vary":
            return HttpResponse(f"{call(name)} {request.headers.get('accept-language')}", headers=VARIES)
        return HttpResponse(call(name), headers=COOKIE if name == "cookie" else TAGGED)

    def purge(request: Any) -> Any:
        return JsonResponse(request.scope["penstock.cache"].purge_tag("news"), safe=False)

    urls = type("urls", (), {"urlpatterns": [path("purge", purge), path("<name>", page)]})
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, MIDDLEWARE=[], SECRET_KEY="-")
    django.setup()
    return CacheMiddleware(get_asgi_application(), memory="8MiB")

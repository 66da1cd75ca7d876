"""One small service in FastAPI and one in Starlette, with arms and without: what a client sees must be the same.

Both give the app to the tests, and `loaded` is for uvicorn.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import penstock

DONE: Counter[str] = Counter()
USER: ContextVar[str] = ContextVar("user", default="-")
Arms = Callable[..., Callable[[Any], Any]]


class _NoArms:
    """A route that stays what it is."""

    def __call__(self, route: str, **options: Any) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            function.arm = lambda name: lambda arm: arm
            return function

        return decorate


def fastapi_app(*, armed: bool) -> Any:
    """Everything that FastAPI does round an endpoint."""
    from fastapi import APIRouter, FastAPI

    arms: Arms = penstock.arms if armed else _NoArms()
    router = APIRouter()
    for add in (_quote, _new, _stream, _broken):
        add(router, arms)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    inner = FastAPI()
    inner.include_router(router)
    app.mount("/mounted", inner)
    return app


OPTIONS: dict[str, Any] = {"key": "x-user", "max_in_flight": 10}


def session() -> Iterator[str]:
    """A dependency that ends after the answer."""
    DONE["session opened"] += 1
    try:
        yield "session"
    finally:
        DONE["session closed"] += 1


async def user(name: str = "ann") -> str:
    """A dependency that refuses one user."""
    from fastapi import HTTPException

    if name == "eve":
        raise HTTPException(403, "not you")
    return name


async def pieces() -> AsyncIterator[bytes]:
    """A body that comes in three."""
    for number in range(3):
        yield b"%d," % number
        await asyncio.sleep(0.01)


def _quote(router: Any, arms: Arms) -> None:
    from fastapi import Depends
    from pydantic import BaseModel

    class Quote(BaseModel):
        number: int
        text: str

    @router.get("/quote/{number}", response_model=Quote)
    @arms("GET /quote/{number}", **OPTIONS)
    def quote(number: int, user: str = Depends(user), session: str = Depends(session)) -> Any:
        return {"number": number, "text": f"{user} {session}", "secret": "not in the model"}

    @quote.arm("client")
    def _(number: int, user: str = Depends(user), session: str = Depends(session)) -> Any:
        return {"number": number, "text": f"{user} {session}", "secret": "not in the model"}

    @quote.arm("async")
    async def _(number: int, user: str = Depends(user), session: str = Depends(session)) -> Any:
        return {"number": number, "text": f"{user} {session}", "secret": "not in the model"}


def _new(router: Any, arms: Arms) -> None:
    from fastapi import BackgroundTasks
    from pydantic import BaseModel

    class New(BaseModel):
        text: str

    # The annotations are texts that name what is only known in here.
    globals().update(New=New, BackgroundTasks=BackgroundTasks)

    @router.post("/quotes", status_code=201)
    @arms("POST /quotes", **OPTIONS)
    def add(new: New, tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(DONE.update, [new.text])
        return {"text": new.text}

    @add.arm("async")
    async def _(new: New, tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(DONE.update, [new.text])
        return {"text": new.text}


def _stream(router: Any, arms: Arms) -> None:
    from fastapi.responses import StreamingResponse

    @router.get("/stream")
    @arms("GET /stream", **OPTIONS)
    def stream() -> Any:
        return StreamingResponse(pieces(), headers={"x-kind": "stream"})

    @stream.arm("async")
    async def _() -> Any:
        return StreamingResponse(pieces(), headers={"x-kind": "stream"})


def _broken(router: Any, arms: Arms) -> None:
    from fastapi import Depends, HTTPException

    @router.get("/broken")
    @arms("GET /broken", **OPTIONS)
    def broken(status: int = 0, session: str = Depends(session)) -> None:
        raise HTTPException(status, "as you like") if status else LookupError("no such quote")

    @broken.arm("async")
    async def _(status: int = 0, session: str = Depends(session)) -> None:
        raise HTTPException(status, "as you like") if status else LookupError("no such quote")


def starlette_app(*, armed: bool) -> Any:
    """Functions and methods."""
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    arms: Arms = penstock.arms if armed else _NoArms()

    @arms("GET /hello/{name}", key="x-user", max_in_flight=10)
    def hello(request: Any) -> Any:
        USER.set(request.path_params["name"])
        return PlainTextResponse(f"hello {request.path_params['name']}")

    @hello.arm("async")
    async def _(request: Any) -> Any:
        USER.set(request.path_params["name"])
        return PlainTextResponse(f"hello {request.path_params['name']}")

    class Cart(HTTPEndpoint):
        @arms("GET /cart", key="x-user", max_in_flight=10)
        def get(self, request: Any) -> Any:
            return PlainTextResponse("a cart")

        @get.arm("async")
        async def _(self, request: Any) -> Any:
            return PlainTextResponse("a cart")

        @arms("POST /cart", key="x-user", max_in_flight=10)
        async def post(self, request: Any) -> Any:
            return PlainTextResponse(await request.body(), status_code=202)

        @post.arm("async")
        async def _(self, request: Any) -> Any:
            return PlainTextResponse(await request.body(), status_code=202)

    routes = [Route("/hello/{name}", hello), Route("/cart", Cart)]
    return Starlette(routes=[*routes, Mount("/mounted", routes=routes)])


def loaded() -> Any:
    """For uvicorn: says which arm served, in which worker, and can be made slow."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()
    app.add_middleware(penstock.MoveMiddleware)

    def answer(arm: str) -> Any:
        DONE[arm] += 1
        return PlainTextResponse(f"{arm} {os.getpid()}")

    @app.get("/arm")
    @penstock.arms("GET /arm", max_in_flight=50, max_waiting=50)
    def arm(seconds: float = 0.0) -> Any:
        time.sleep(seconds)
        return answer("control")

    @arm.arm("async")
    async def _(seconds: float = 0.0) -> Any:
        await asyncio.sleep(seconds)
        return answer("async")

    @app.get("/narrow")
    @penstock.arms("GET /narrow", max_in_flight=1, max_waiting=1)
    def narrow(seconds: float = 0.0) -> Any:
        time.sleep(seconds)
        return answer("control")

    @narrow.arm("async")
    async def _(seconds: float = 0.0) -> Any:
        await asyncio.sleep(seconds)
        return answer("narrow")

    @app.get("/done")
    async def done() -> Any:
        return dict(DONE)

    return app

"""What tests of carried context share: a table of routes for each test, a server to call, and both arms of a route."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import penstock
from adapters.served import Replying

ARMS = ("control", "async")


class Upstream:
    """A server that keeps what it was asked, and a client of it."""

    def __init__(self, replying: Replying, http: penstock.Http) -> None:
        self.http = http
        self._replying = replying

    def fields(self, name: str) -> list[str | None]:
        """What all requests had in this field."""
        return [request.headers.get(name) for request in self._replying.requests]


def two_arms(route: str, work: Callable[[], Any], call: Callable[[], Any], aio_call: Callable[[], Any]) -> Any:
    """An endpoint that calls a server and gives what `work` does, in either colour."""

    @penstock.arms(route, max_in_flight=1000)
    def endpoint() -> Any:
        call()
        return work()

    @endpoint.arm("async")
    async def _() -> Any:
        await aio_call()
        return work()

    return endpoint


def run(main: Callable[[], Any], seconds: float = 60.0) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(seconds):
            return await main()

    return asyncio.run(bounded())


@contextlib.contextmanager
def setting(variable: Any, value: Any) -> Iterator[None]:
    """A context variable that is set within the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


class Pure:
    """A pure ASGI middleware: `around` makes a context manager from the scope."""

    def __init__(self, app: Any, around: Callable[[Any], Any]) -> None:
        self.app = app
        self.around = around

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self.around(scope):
            await self.app(scope, receive, send)

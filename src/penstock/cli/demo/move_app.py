"""The service of `penstock demo move`: pure ASGI, a route that asks ten suppliers and one that computes.

`$PENSTOCK_DEMO_SUPPLIERS` is where it asks, and while the file `$PENSTOCK_DEMO_DEFECT` is there, the async arm fails.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import threading
import urllib.parse
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...adapters.http import Http
from ...migrate.arms import arms
from ...migrate.middleware import MoveMiddleware
from ...migrate.under_way import Receive, Scope, Send
from .move_names import CALLS, DEFECT, LABEL, QUOTE, SUPPLIERS, USER

_THREADS = 40
"""As many as FastAPI and Starlette have."""
_URL = os.environ.get(SUPPLIERS, "http://127.0.0.1:9")
_DEFECT = os.environ.get(DEFECT, "")
_PATHS = [f"/price/{number}" for number in range(CALLS)]
_suppliers = Http(_URL, total_timeout=5.0)


class Connections(threading.local):
    """One of the standard library's connections for each thread, kept open."""

    def __init__(self) -> None:
        place = urllib.parse.urlsplit(_URL)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5.0)

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        self.connection.request("GET", path)
        return self.connection.getresponse().read()


_connections = Connections()


@arms(QUOTE, key=USER, max_in_flight=500, max_waiting=500)
def quote() -> dict[str, Any]:
    """As it is today: one call after the other, each in the thread that serves."""
    return {"arm": "control", "bytes": sum(len(_connections.get(path)) for path in _PATHS)}


@quote.arm("client")
def _() -> dict[str, Any]:
    return {"arm": "client", "bytes": sum(len(each.body) for each in _suppliers.gather(_PATHS))}


@quote.arm("async")
async def _() -> dict[str, Any]:
    # A look at a file in memory, which takes some microseconds.
    if os.access(_DEFECT, os.F_OK):
        raise RuntimeError("the defect that the demo plants")
    return {"arm": "async", "bytes": sum(len(each.body) for each in await _suppliers.aio.gather(_PATHS))}


@arms(LABEL, max_in_flight=500, max_waiting=500)
def label() -> dict[str, Any]:
    """Waits for nothing."""
    text = json.dumps([{"line": number, "tags": ["a", "b"]} for number in range(200)])
    for _ in range(10):
        text = hashlib.sha256(text.encode()).hexdigest() * 50
    return {"arm": "control", "digest": text[:64]}


@label.arm("async")
async def _() -> dict[str, Any]:
    return {**label.control(), "arm": "async"}


Handler = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
_ROUTES: dict[str, Handler] = {"/quote": quote, "/label": label}


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """As ASGI has it; what a handler raises is left to the server, which answers 500."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    handler = _ROUTES.get(scope["path"])
    body = json.dumps({} if handler is None else await handler()).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 404 if handler is None else 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(_THREADS) as pool:
        loop.set_default_executor(pool)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await _suppliers.aio.close()
    await send({"type": "lifespan.shutdown.complete"})


app = MoveMiddleware(serve)

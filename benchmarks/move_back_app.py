"""A plain ASGI app whose arm turns bad when a file is there: for `move_back`, and for the test beside it.

`$BAD` names the file; what is in it is the kind.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import penstock

ROUTE = "GET /quote"
_FILE = Path(os.environ.get("BAD", "bad"))


@penstock.arms(ROUTE, key="x-user-id", max_in_flight=400, max_waiting=100)
async def quote() -> int:
    """The control: 2 ms of waiting."""
    await asyncio.sleep(0.002)
    return 200


@quote.arm("async")
async def _() -> int:
    kind = _FILE.read_text() if _FILE.exists() else "good"
    if kind == "fails":
        return 500
    if kind == "raises":
        raise RuntimeError("the arm is broken")
    if kind == "sleeps":
        await asyncio.sleep(2.0)
    elif kind == "blocks":
        time.sleep(0.05)
    elif kind == "never returns":
        while True:
            time.sleep(1.0)
    else:
        await asyncio.sleep(0.002)
    return 200


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        await _lifespan(receive, send)
        return
    status = await quote() if scope["path"] == "/quote" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


app = penstock.MoveMiddleware(_app)

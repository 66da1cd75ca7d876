"""The services that `move_bench` measures: FastAPI, a route for each kind of work, with its arms.

`$MOVE_UPSTREAM` (10 ms an answer), `$MOVE_SLOW` (200 ms) and `$MOVE_DSN` (PostgreSQL) say what is behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

import penstock

ARM = os.environ.get("PENSTOCK_ARM", "control")
MOST = 10_000
"""`max_in_flight`: nothing is to be refused here, since the highest rate is looked for."""
ROUTE = os.environ.get("MOVE_ROUTE", "")
CALLS = 10
THREADS = 40
FEW_THREADS = 5
FEW_CONNECTIONS = 2
_PATHS = [f"/{number}" for number in range(CALLS)]


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Opens the pools that the route needs."""
    if ROUTE == "/threads":
        anyio.to_thread.current_default_thread_limiter().total_tokens = FEW_THREADS
    async with contextlib.AsyncExitStack() as stack:
        if ROUTE in ("/sql", "/pool"):
            size = FEW_CONNECTIONS if ROUTE == "/pool" else THREADS
            await open_pool(stack, size)
        yield


app = FastAPI(lifespan=lifespan)
pools: dict[str, Any] = {}


async def open_pool(stack: contextlib.AsyncExitStack, size: int) -> None:
    """A pool of the arm's colour."""
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    dsn = os.environ["MOVE_DSN"]
    if ARM == "async":
        pools["async"] = await stack.enter_async_context(
            AsyncConnectionPool(dsn, min_size=size, max_size=size, open=False, timeout=60)
        )
        await pools["async"].wait()
    else:
        pools["sync"] = stack.enter_context(ConnectionPool(dsn, min_size=size, max_size=size, open=True, timeout=60))
        pools["sync"].wait()


def route(path: str, control: Callable[[], Any], **others: Callable[[], Any]) -> None:
    """One route with its arms."""
    if path != ROUTE:
        return
    armed = penstock.arms(f"GET {path}", max_in_flight=MOST)(control)
    for name, function in others.items():
        armed.arm(name)(function)
    app.get(path)(armed)


def upstream(name: str) -> tuple[Any, penstock.Http]:
    """The usual client, and penstock's."""
    import requests
    from requests.adapters import HTTPAdapter

    url = os.environ.get(name, "http://127.0.0.1:1")
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    return session, penstock.Http(url)


def calls(path: str, variable: str, count: int) -> None:
    """A route of `count` calls to an upstream."""
    session, http = upstream(variable)
    url = os.environ.get(variable, "")
    paths = _PATHS[:count]

    def control() -> dict[str, int]:
        return {"bytes": sum(len(session.get(url + each, timeout=30).content) for each in paths)}

    def client() -> dict[str, int]:
        return {"bytes": sum(len(each.body) for each in http.gather(paths))}

    async def colour() -> dict[str, int]:
        return {"bytes": sum(len(each.body) for each in await http.aio.gather(paths))}

    route(path, control, client=client, **{"async": colour})


def work() -> dict[str, str]:
    """What a CPU does."""
    rows = [{"id": number, "name": f"row {number}", "tags": ["a", "b", "c"]} for number in range(200)]
    text = json.dumps(json.loads(json.dumps(rows))).encode()
    for _ in range(4):
        text = hashlib.sha256(text).hexdigest().encode() * 50
    return {"digest": hashlib.sha256(text).hexdigest()}


async def work_async() -> dict[str, str]:
    """The same, coloured."""
    return work()


def query(statement: str) -> dict[str, Callable[[], Any]]:
    """One statement in either colour."""

    def control() -> dict[str, int]:
        with pools["sync"].connection() as connection:
            return {"n": connection.execute(statement).fetchone()[0]}

    async def colour() -> dict[str, int]:
        async with pools["async"].connection() as connection:
            return {"n": (await (await connection.execute(statement)).fetchone())[0]}

    return {"control": control, "client": control, "async": colour}


def wait() -> dict[str, int]:
    """A thread that waits."""
    time.sleep(0.05)
    return {"n": 1}


async def wait_async() -> dict[str, int]:
    """The loop waits."""
    await asyncio.sleep(0.05)
    return {"n": 1}


if ROUTE == "/fan":
    calls("/fan", "MOVE_UPSTREAM", CALLS)
if ROUTE == "/slow":
    calls("/slow", "MOVE_SLOW", 1)
route("/cpu", work, **{"async": work_async})
route("/sql", **query("SELECT count(*) FROM generate_series(1, 50)"))
route("/pool", **query("SELECT 1 FROM pg_sleep(0.02)"))
route("/threads", wait, client=wait, **{"async": wait_async})

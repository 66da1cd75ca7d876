"""Who makes a large answer of a FastAPI route: a thread, or the event loop, which serves nobody else meanwhile.

`python -m benchmarks move_answers`: a response model of 10,000 rows, asked for in process; how long the longest step of
each request held the loop, the least of many requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import penstock

_ROWS = 10_000
_REQUESTS = 60
_TICK = 0.0005


async def longest_step(app: Any, path: str) -> tuple[float, float, int]:
    """Of one request: the longest time for which the loop did nothing else, the whole time, bytes of the answer."""
    longest, size = 0.0, 0
    sent = False

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_TICK)
            longest = max(longest, time.perf_counter() - before - _TICK)

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(60)
        sent = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal size
        size += len(message.get("body", b""))

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "headers": [], "root_path": ""}
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    longest, began = 0.0, time.perf_counter()
    await app(scope, receive, send)
    took = time.perf_counter() - began
    # The step that has just ended is seen when the loop comes round.
    await asyncio.sleep(0)
    await asyncio.sleep(_TICK)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return longest, took, size


def service() -> tuple[Any, dict[str, str]]:
    """An app, and what each of its paths does: the same answer, made in different places."""
    from fastapi import FastAPI
    from fastapi.responses import Response
    from pydantic import BaseModel, TypeAdapter, field_validator

    class Row(BaseModel):
        number: int
        name: str
        tags: list[str]

    class Checked(Row):
        @field_validator("name")
        @classmethod
        def not_empty(cls, name: str) -> str:
            if not name.strip():
                raise ValueError("empty")
            return name

    rows = [{"number": number, "name": f"row {number}", "tags": ["a", "b"]} for number in range(_ROWS)]
    app, ways = FastAPI(), {}

    def add(path: str, what: str, function: Callable[[], Any], model: Any = None) -> None:
        ways[path] = what
        app.get(path, response_model=model)(function)

    def answer() -> Any:
        return rows

    async def answer_async() -> Any:
        return rows

    for kind, model in (("plain", Row), ("checked", Checked)):
        whole: Any = TypeAdapter(list[model])  # type: ignore[valid-type]

        def made(whole: Any = whole) -> Response:
            return Response(whole.dump_json(whole.validate_python(rows)), media_type="application/json")

        made.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
        whole_made = penstock.arms(f"GET /made/{kind}")(made)
        add(f"/def/{kind}", f"{kind} model: def", answer, list[model])  # type: ignore[valid-type]
        add(f"/async/{kind}", f"{kind} model: async def", answer_async, list[model])  # type: ignore[valid-type]
        armed = penstock.arms(f"GET /arms/{kind}")(answer)
        add(f"/arms/{kind}", f"{kind} model: def with arms", armed, list[model])  # type: ignore[valid-type]
        add(f"/made/{kind}", f"{kind} model: def with arms, Response made in it", whole_made)
    return app, ways


async def measure() -> None:
    """A line for each way."""
    app, ways = service()
    seen: dict[str, list[tuple[float, float, int]]] = {path: [] for path in ways}
    for _ in range(_REQUESTS):
        for path, found in seen.items():
            found.append(await longest_step(app, path))
    for path, name in ways.items():
        held, took, size = (min(each[column] for each in seen[path]) for column in range(3))
        print(f"{name:50} loop held {held * 1e3:6.1f} ms   whole {took * 1e3:6.1f} ms   {size:,} bytes")


def main() -> None:
    """Print how long each way holds the loop."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PENSTOCK_ARMS"] = f"{folder}/arms.json"
        asyncio.run(measure())

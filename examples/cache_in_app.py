"""The shared cache inside an ASGI app: the app is asked once, a user's page is never shared, a tag is purged.

A server such as uvicorn would call `app`; here a few lines do, so that the program needs nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import penstock

asked = 0


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Products are for all and tagged; anything else is for one user."""
    global asked
    asked += 1
    fields = [(b"cache-control", b"private")]
    if scope["path"].startswith("/products"):
        fields = [(b"cache-control", b"s-maxage=60, stale-if-error=600"), (b"surrogate-key", b"products")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": f"made as number {asked}".encode()})


app = penstock.CacheMiddleware(shop, memory="16MiB")


async def get(path: str) -> str:
    """The body, as a client of a server would get it."""
    body = b""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": path,
        "query_string": b"",
    }
    await app({**scope, "raw_path": path.encode(), "headers": [(b"host", b"shop.example")]}, receive, send)
    return body.decode()


async def main() -> None:
    """Ask, ask again, purge, ask."""
    at_once = await asyncio.gather(*(get("/products/7") for _ in range(100)))
    assert set(at_once) == {"made as number 1"}
    assert await get("/me") != await get("/me")
    app.purge_tag("products")
    print(await get("/products/7"))
    print(f"{app.counters.requests} requests, {asked} of them reached the app")


if __name__ == "__main__":
    asyncio.run(main())

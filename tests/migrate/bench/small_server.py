"""A server that needs no package: `python -m tests.migrate.bench.small_server MODULE:APP PORT [WORKERS]`.

An app is a function from the head of a request to text. It runs in a pool of threads (`$SMALL_THREADS`),
or on the loop where it is a coroutine function.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(int(os.environ.get("SMALL_THREADS", "40")))


async def serve(name: str, port: int) -> None:
    module, _, attribute = name.partition(":")
    app = getattr(importlib.import_module(module), attribute)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await run(head)
                status = {"401": b"401 No", "201": b"201 Made"}.get(body, b"200 OK")
                data = body.encode()
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run(head: bytes) -> str:
        if inspect.iscoroutinefunction(app):
            found: str = await app(head)
            return found
        return await asyncio.get_running_loop().run_in_executor(POOL, app, head)

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))

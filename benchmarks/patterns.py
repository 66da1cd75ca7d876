"""What a user would write instead, one pattern a process: `python -m benchmarks.patterns NAME URL VECTORS DIM N`.

Prints one line of JSON: requests, wrong answers, and the seconds and CPU seconds from the first send to the last
answer. What these patterns need before that (imports, reading the file, lists of floats) is not counted against them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

IN_FLIGHT = 50
CHUNK = 1000
_JSON = {"Content-Type": "application/json"}

Run = Callable[[], Awaitable[int]]


def right(answer: Any) -> bool:
    """What the story asks: did it find the vector itself?"""
    return bool(abs(answer["similarity"] - 1.0) < 1e-5)


async def aiohttp_gather(url: str, vectors: list[list[float]]) -> int:
    """The pattern everybody writes: Semaphore, one session, gather; in chunks, so that memory survives."""
    import aiohttp

    semaphore = asyncio.Semaphore(IN_FLIGHT)
    found = 0
    async with aiohttp.ClientSession() as session:

        async def one(vector: list[float]) -> bool:
            async with semaphore, session.post(url, json={"vector": vector, "top_k": 1}) as response:
                return right(await response.json())

        for start in range(0, len(vectors), CHUNK):
            found += sum(await asyncio.gather(*(one(vector) for vector in vectors[start : start + CHUNK])))
    return found


async def aiohttp_tuned(url: str, bodies: list[bytes]) -> int:
    """The same by somebody who measures: uvloop, bodies made ahead, orjson, no second limit in the connector."""
    import aiohttp
    import orjson

    semaphore = asyncio.Semaphore(IN_FLIGHT)
    found = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(body: bytes) -> bool:
            async with semaphore, session.post(url, data=body, headers=_JSON) as response:
                return right(orjson.loads(await response.read()))

        for start in range(0, len(bodies), CHUNK):
            found += sum(await asyncio.gather(*(one(body) for body in bodies[start : start + CHUNK])))
    return found


async def httpx_gather(url: str, vectors: list[list[float]]) -> int:
    """The pattern with httpx."""
    import httpx

    semaphore = asyncio.Semaphore(IN_FLIGHT)
    found = 0
    async with httpx.AsyncClient() as client:

        async def one(vector: list[float]) -> bool:
            async with semaphore:
                response = await client.post(url, json={"vector": vector, "top_k": 1})
                return right(response.json())

        for start in range(0, len(vectors), CHUNK):
            found += sum(await asyncio.gather(*(one(vector) for vector in vectors[start : start + CHUNK])))
    return found


async def aiometer_aiohttp(url: str, vectors: list[list[float]]) -> int:
    """The pattern by a library: aiometer over aiohttp."""
    import aiohttp
    import aiometer

    found = 0
    async with aiohttp.ClientSession() as session:

        async def one(vector: list[float]) -> bool:
            async with session.post(url, json={"vector": vector, "top_k": 1}) as response:
                return right(await response.json())

        for start in range(0, len(vectors), CHUNK):
            jobs = [functools.partial(one, vector) for vector in vectors[start : start + CHUNK]]
            found += sum(await aiometer.run_all(jobs, max_at_once=IN_FLIGHT))
    return found


def _measure(name: str, url: str, path: str, dim: int, count: int) -> dict[str, Any]:
    import numpy as np
    import orjson

    rows = np.fromfile(path, dtype=np.float32, count=dim * count).reshape(-1, dim)
    # float32 as text has 1.4 KB a vector for everybody; the doubles of tolist() would have 2.7.
    bodies = [orjson.dumps({"vector": row, "top_k": 1}, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows]
    vectors = [orjson.loads(body)["vector"] for body in bodies]
    loop: Any = None
    if name == "aiohttp_tuned":
        import uvloop

        loop = uvloop.new_event_loop
    runs: dict[str, Callable[[], Any]] = {
        "aiohttp_gather": lambda: aiohttp_gather(url, vectors),
        "aiohttp_tuned": lambda: aiohttp_tuned(url, bodies),
        "httpx_gather": lambda: httpx_gather(url, vectors),
        "aiometer_aiohttp": lambda: aiometer_aiohttp(url, vectors),
    }
    with asyncio.Runner(loop_factory=loop) as runner:
        began, cpu = time.perf_counter(), time.process_time()
        found = runner.run(runs[name]())
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"requests": len(vectors), "wrong": len(vectors) - found, "seconds": seconds, "cpu": cpu}


if __name__ == "__main__":
    try:
        print(json.dumps(_measure(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
    except ImportError as missing:
        sys.exit(f"{missing.name} is missing, which {sys.argv[1]} compares with: pip install {missing.name}")

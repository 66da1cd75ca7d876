"""What a user would take instead of `penstock pull`: `python -m benchmarks.pull_patterns NAME URL OUT SIZE`.

Each drains the API at URL into the file or folder OUT, SIZE rows a page, and prints the rows that it counted, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT_ONCE = 16


async def aiohttp_loop(url: str, out: Path, size: int) -> int:
    """The loop that everybody writes first: page after page, a line of JSON a row."""
    import aiohttp

    rows = 0
    with out.open("w") as file:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(url, params={"offset": rows, "limit": size}) as response:
                    page = await response.json()
                if not page["items"]:
                    return rows
                for row in page["items"]:
                    file.write(json.dumps(row) + "\n")
                rows += len(page["items"])


async def aiohttp_tuned(url: str, out: Path, size: int) -> int:
    """The same by somebody who measures: the total is known, so pages at once; uvloop, orjson, a page a write."""
    import aiohttp
    import orjson

    semaphore = asyncio.Semaphore(AT_ONCE)
    rows = 0
    with out.open("wb") as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def page(offset: int) -> int:
                nonlocal rows
                parameters = {"offset": offset, "limit": size}
                async with semaphore, session.get(url, params=parameters) as response:
                    answer = orjson.loads(await response.read())
                file.write(b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in answer["items"]]))
                rows += len(answer["items"])
                return int(answer["total"])

            total = await page(0)
            await asyncio.gather(*(page(offset) for offset in range(size, total, size)))
    return rows


def dlt_rest_api(url: str, out: Path, size: int) -> int:
    """dlt: its rest_api source, its filesystem destination, JSON lines, no compression; all else as it comes."""
    # Read when dlt is imported. It would call home otherwise, and there is nobody.
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DATA_WRITER__DISABLE_COMPRESSION": "true"}
    os.environ |= {"DLT_DATA_DIR": str(out / "home"), "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt
    from dlt.sources.rest_api import rest_api_source

    root, _, path = url.rpartition("/")
    paginator = {"type": "offset", "limit": size, "offset_param": "offset", "limit_param": "limit"}
    endpoint = {"path": path, "data_selector": "items", "paginator": {**paginator, "total_path": "total"}}
    config: Any = {"client": {"base_url": root}, "resources": [{"name": "rows", "endpoint": endpoint}]}
    source = rest_api_source(config)
    pipeline = dlt.pipeline(
        pipeline_name="pull",
        pipelines_dir=str(out / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=str(out / "files")),
        dataset_name="data",
    )
    pipeline.run(source, loader_file_format="jsonl")
    trace = pipeline.last_trace
    if trace is None or trace.last_normalize_info is None:
        raise RuntimeError("dlt does not say how many rows it loaded")
    return int(trace.last_normalize_info.row_counts["rows"])


def _run(name: str, url: str, out: Path, size: int) -> int:
    if name == "dlt_rest_api":
        return dlt_rest_api(url, out, size)
    loop: Any = None
    if name == "aiohttp_tuned":
        import uvloop

        loop = uvloop.new_event_loop
    runs: dict[str, Callable[[], Any]] = {
        "aiohttp_loop": lambda: aiohttp_loop(url, out, size),
        "aiohttp_tuned": lambda: aiohttp_tuned(url, out, size),
    }
    with asyncio.Runner(loop_factory=loop) as runner:
        rows: int = runner.run(runs[name]())
    return rows


if __name__ == "__main__":
    try:
        print(json.dumps({"rows": _run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))}))
    except ImportError as missing:
        sys.exit(f"{missing.name} is missing, which {sys.argv[1]} compares with: pip install {missing.name}")

"""What arms cost a FastAPI sync route behind uvicorn: CPU of the server a request, in interleaved pairs."""

from __future__ import annotations

import contextlib
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .processes import ROOT, SERVER_CORE, Child, need, run
from .servers import free_port

_KEY = "x-user-id: 6f1c2a9e-41d7-4b8a-9a53-5a1d8e2c7b10"


def ratios(folder: Path, paths: tuple[str, ...], rounds: int) -> dict[str, tuple[float, float, float]]:
    """For each path: median microseconds of the bare route and of itself, and the median ratio of neighbours.

    The routes are in one process, so that a pair differs in nothing but the route.
    """
    found = {}
    with _serving(folder) as url:
        for path in ("bare", *paths):
            _cpu(url, path, folder)
        for path in paths:
            bare, own, quotients = [], [], []
            for _ in range(rounds):
                # A B B A: what drifts evenly is the same for both.
                first, second, third, fourth = [_cpu(url, each, folder) for each in ("bare", path, path, "bare")]
                bare.append((first + fourth) / 2)
                own.append((second + third) / 2)
                quotients.append((second + third) / (first + fourth))
            found[path] = statistics.median(bare), statistics.median(own), statistics.median(quotients)
    return found


def _cpu(url: str, path: str, folder: Path) -> float:
    """Microseconds of CPU a request of one second."""
    wrk = [need("wrk", "wrk"), "-t1", "-c8", f"-H{_KEY}", "-d1s", f"{url}/{path}/7"]
    before = _used(url)
    ended = run(wrk, folder=folder, timeout=60.0, name="wrk")
    cpu = _used(url) - before
    match = re.search(r"(\d+) requests in", ended.stdout)
    if match is None or "Non-2xx" in ended.stdout or "Socket errors" in ended.stdout:
        raise RuntimeError(f"wrk: {ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    return cpu / int(match[1]) * 1e6


def _used(url: str) -> float:
    with urllib.request.urlopen(f"{url}/usage", timeout=10) as response:  # noqa: S310
        return float(response.read())


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[str]:
    port = free_port()
    how = ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning", "--port", str(port)]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.move_arms_app:app",
        "--app-dir",
        ROOT,
        *how,
    ]
    with Child(command, core=SERVER_CORE, folder=folder, name="uvicorn") as child:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                _used(url)
                break
            ended = child.poll()
            if ended is not None or time.monotonic() > until:
                raise RuntimeError(f"uvicorn did not start: {ended.stderr[-2000:] if ended else ''}")
            time.sleep(0.1)
        yield url

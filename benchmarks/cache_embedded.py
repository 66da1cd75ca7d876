"""What a hit in CacheMiddleware costs: CPU of the server a request, over a bare app that answers the same."""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .processes import CLIENT_CORE, ROOT, SERVER_CORE, Child, need, run, scratch
from .report import Report
from .servers import free_port

GOAL_US = 25.0
_NAMES = {
    "bare": "bare app",
    "cached": "hit, request seen before",
    "new_value": "hit, a value that is new (`X-Asked`)",
    "new_name": "hit, a field that is new",
    "condition": "hit, a condition that is new (`If-None-Match`)",
    "by_rules": "hit, a field that matters and is new (`Authorization`)",
}
APPS = tuple(_NAMES)
_FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": "theme=dark; seen=1",
}


def _command(server: str, app: str, port: int) -> list[str | Path]:
    where = f"benchmarks.cache_embedded_app:{app}"
    if server == "uvicorn":
        how = ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--lifespan", "off", "--port", str(port)]
        return [sys.executable, "-m", "uvicorn", where, "--app-dir", ROOT, "--log-level", "warning", *how]
    how = ["--interface", "asginl", "--workers", "1", "--loop", "uvloop", "--no-log", "--port", str(port)]
    return [sys.executable, "-m", "granian", *how, where]


@contextlib.contextmanager
def _serving(server: str, app: str, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Child(_command(server, app, port), core=SERVER_CORE, folder=folder, name=server) as child:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                _get(url + "/")
                break
            ended = child.poll()
            if ended is not None or time.monotonic() > until:
                raise RuntimeError(f"{server} did not start: {ended.stderr[-2000:] if ended else ''}")
            time.sleep(0.1)
        yield url


def _get(url: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
        body: bytes = response.read()
        return body, response.headers.get("cache-status", "")


def measure(server: str, app: str, folder: Path, seconds: int) -> float:
    """Microseconds of CPU a request."""
    with _serving(server, app, folder) as url:
        hit = "hit" in _get(url + "/")[1]
        if hit != (app != "bare"):
            raise RuntimeError(f"{app} under {server}: hit is {hit}")
        fields = [f"-H{name}: {value}" for name, value in _FIELDS.items()]
        wrk = [need("wrk", "wrk"), "-t1", "-c16", *fields]
        run([*wrk, "-d1s", url + "/"], folder=folder, timeout=60.0, name="wrk")
        before = float(_get(url + "/usage")[0])
        ended = run([*wrk, f"-d{seconds}s", url + "/"], folder=folder, timeout=60.0 + seconds, name="wrk")
        cpu = float(_get(url + "/usage")[0]) - before
    match = re.search(r"(\d+) requests in", ended.stdout)
    if match is None or "Non-2xx" in ended.stdout or "Socket errors" in ended.stdout:
        raise RuntimeError(f"wrk: {ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    return cpu / int(match[1]) * 1e6


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_embedded", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", default="uvicorn,granian")
    options = parser.parse_args(arguments)
    report = Report(
        "cache_embedded", f"python -m benchmarks cache_embedded --seconds {options.seconds} --rounds {options.rounds}"
    )
    rows = []
    with scratch() as folder:
        for server in options.servers.split(","):
            cpu: dict[str, list[float]] = {app: [] for app in APPS}
            for _ in range(options.rounds):
                for app in APPS:
                    cpu[app].append(measure(server, app, folder, options.seconds))
            medians = {app: statistics.median(each) for app, each in cpu.items()}
            for app, us in medians.items():
                spread = f"{min(cpu[app]):.1f} to {max(cpu[app]):.1f}"
                rows.append((server, _NAMES[app], f"{us:.1f}", spread, f"{us - medians['bare']:+.1f}"))
            for app in APPS[1:]:
                over = medians[app] - medians["bare"]
                what = f"{_NAMES[app]}, under {server}"
                report.goal(what, f"at most {GOAL_US:g} us over bare", f"{over:+.1f} us", over <= GOAL_US)
    report.table(
        f"1 KB, wrk with 16 connections and the fields of a browser on core {CLIENT_CORE}, server on core "
        f"{SERVER_CORE}, median of {options.rounds} rounds",
        ("server", "what", "CPU us a request", "range", "over bare"),
        rows,
    )
    report.note(
        "CPU is user + system of the server's process (getrusage). The answers of the cache have Age and Cache-Status "
        "besides what the bare app sends."
    )
    return report.finish()

"""Hits while 10,000 clients hold a connection each and never finish their request (slowloris)."""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from .cache_servers import Served, cache_versions, get, nginx_cache, origin, penstock, varnish
from .cache_wrk import Wrk, milliseconds, wrk
from .processes import CLIENT_CORE, Child, scratch
from .report import Report

_STARTERS = ("penstock", "varnish", "nginx")


def main(arguments: list[str]) -> bool:
    """Whether the 99th percentile of hits is at most twice what it is without them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_slow")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=_STARTERS, action="append")
    options = parser.parse_args(arguments)
    report = Report("cache_slow", "python -m benchmarks cache_slow")
    report.facts |= cache_versions()
    report.facts["open files"] = str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    rows = []
    ratios = {}
    with scratch() as folder, origin(folder) as source:
        for name in options.only or _STARTERS:
            own = folder / name
            own.mkdir()
            with _start(name, own, source.port) as server:
                get(server.port, "/hot")
                calm, slow, herd = _measure(own, server, options)
            ratios[name] = _p99(slow) / _p99(calm)
            rows.append(_row(name, calm, slow, herd, ratios[name]))
    header = (
        "proxy",
        "hits/s without",
        "with",
        "p99 ms without",
        "with",
        "ratio",
        "open meanwhile",
        "cut off a second",
    )
    report.table(
        f"hits by wrk ({options.connections} connections) without and with {options.clients:,} slow clients, "
        f"median of {options.rounds}",
        (*header, "errors"),
        rows,
    )
    report.note("The slow clients are on wrk's core, and those that are cut off come back at once: wrk has less of it.")
    if "penstock" in ratios:
        ours = ratios["penstock"]
        report.goal("p99 of hits with slow clients / without", "at most 2x", f"{ours:.2f}x", ours <= 2)
    return report.finish()


def _start(name: str, folder: Path, to: int) -> AbstractContextManager[Served]:
    if name == "penstock":
        # The bound on connections of one address is left as it is: the slow clients have twenty addresses.
        return penstock(folder, to, "--max-connections-per-address", "1000")
    return varnish(folder, to) if name == "varnish" else nginx_cache(folder, to)


def _measure(
    folder: Path, server: Served, options: argparse.Namespace
) -> tuple[list[Wrk], list[Wrk], dict[str, float]]:
    def rounds() -> list[Wrk]:
        return [
            wrk(folder, server.port, CLIENT_CORE, seconds=options.seconds, connections=options.connections)
            for _ in range(options.rounds)
        ]

    calm = rounds()
    argv: list[str | Path] = [sys.executable, "-m", "benchmarks.cache_slow_clients", "--port", str(server.port)]
    argv += ["--clients", str(options.clients)]
    with ExitStack() as stack:
        child = stack.enter_context(Child(argv, core=CLIENT_CORE, folder=folder, name="herd"))
        _wait_for_herd(child, folder, options.clients)
        before = _herd(folder)
        began = time.monotonic()
        slow = rounds()
        took = time.monotonic() - began
        lines = _herd(folder)[len(before) :]
    cut = (lines[-1]["cut"] - before[-1]["cut"]) / took if lines else 0.0
    return calm, slow, {"open": statistics.mean(line["open"] for line in lines) if lines else 0.0, "cut": cut}


def _wait_for_herd(child: Child, folder: Path, clients: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        ended = child.poll()
        if ended is not None:
            raise RuntimeError(f"the slow clients ended: {ended.stderr[-1000:]}")
        lines = _herd(folder)
        # A server that cuts them off at once never has all of them.
        if lines and (lines[-1]["open"] >= 0.98 * clients or len(lines) > 8):
            return
        time.sleep(0.2)
    raise TimeoutError("the slow clients could not connect")


def _herd(folder: Path) -> list[dict[str, float]]:
    text = (folder / "herd.stdout").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _p99(runs: list[Wrk]) -> float:
    return statistics.median(run.p99 for run in runs)


def _row(name: str, calm: list[Wrk], slow: list[Wrk], herd: dict[str, float], ratio: float) -> tuple[object, ...]:
    return (
        name,
        f"{statistics.median(run.rate for run in calm):,.0f}",
        f"{statistics.median(run.rate for run in slow):,.0f}",
        milliseconds(_p99(calm)),
        milliseconds(_p99(slow)),
        "-" if math.isnan(ratio) else f"{ratio:.2f}x",
        f"{herd['open']:,.0f}",
        f"{herd['cut']:,.0f}",
        sum(run.errors for run in (*calm, *slow)),
    )

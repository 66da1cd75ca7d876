"""The story: 45,000 requests a second, two thirds for what was just answered, one third unique; one core for the proxy.

The rate is offered in open loop (`cache_load.py`), so a proxy that cannot keep up shows it: it answers fewer, and those
later and later. wrk then says, in closed loop, how much of the same mix each can do at most.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cache_servers import Served, cache_versions, caches, get, origin, origin_count
from .cache_wrk import SEEDS, milliseconds, wrk
from .processes import CLIENT_CORE, run, scratch
from .report import Report

_HOT = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """One proxy at one rate."""

    offered: float
    load: dict[str, Any]
    asked: int
    """Requests that reached the origin."""
    cpu: float
    """Of a core, by the proxy."""


def main(arguments: list[str]) -> bool:
    """Whether penstock carries 45,000 a second on one core, without an error, asking the origin for the unique only."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_story")
    parser.add_argument("--rates", default="10000,20000,45000", help="offered a second, the last one is the goal's")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=256)
    options = parser.parse_args(arguments)
    report = Report("cache_story", "python -m benchmarks cache_story")
    report.facts |= cache_versions()
    rates = [float(rate) for rate in options.rates.split(",")]
    runs: dict[str, list[Run]] = {}
    most: dict[str, float] = {}
    with scratch() as folder, origin(folder) as source, caches(folder, source.port) as servers:
        for server in servers:
            for number in range(_HOT):
                get(server.port, f"/hot/{number}")
        for rate in rates:
            for server in servers:
                runs.setdefault(server.name, []).append(_offer(folder, server, source, rate, options))
        for server in servers:
            found = wrk(folder, server.port, CLIENT_CORE, kind="mixed", seconds=options.seconds)
            most[server.name] = found.rate
    _table(report, runs, options)
    _most(report, most)
    _goals(report, runs["penstock"])
    return report.finish()


def _offer(folder: Path, server: Served, source: Served, rate: float, options: argparse.Namespace) -> Run:
    argv: list[str | Path] = [sys.executable, "-m", "benchmarks.cache_load", "--port", str(server.port)]
    argv += ["--rate", f"{rate:g}", "--seconds", f"{options.seconds:g}", "--hot", str(_HOT)]
    argv += ["--connections", str(options.connections), "--seed", str(SEEDS.take())]
    before, cpu = origin_count(source), server.cpu()
    ended = run(argv, folder=folder, timeout=options.seconds + 60, core=CLIENT_CORE, name="load")
    load = ended.json()
    return Run(rate, load, origin_count(source) - before - 1, (server.cpu() - cpu) / options.seconds)


def _table(report: Report, runs: dict[str, list[Run]], options: argparse.Namespace) -> None:
    rows = []
    for name, found in runs.items():
        for each in found:
            load = each.load
            rows.append(
                (
                    name,
                    f"{each.offered:,.0f}",
                    f"{load['rate']:,.0f}",
                    f"{each.asked / options.seconds:,.0f}",
                    *(_ms(load["hits"], which) for which in ("p50", "p99")),
                    *(_ms(load["misses"], which) for which in ("p50", "p99")),
                    load["bad"] + load["lost"],
                    f"{each.cpu:.0%}",
                    f"{load['client_cpu']:.0%}",
                )
            )
    header = ("proxy", "offered/s", "answered/s", "origin/s", "hit p50 ms", "hit p99 ms", "miss p50 ms", "miss p99 ms")
    report.table(
        f"two thirds hits, one third unique, 1 KB, {options.connections} connections, {options.seconds:g} s a rate, "
        "open loop; latency from the moment a request was due",
        (*header, "errors", "proxy CPU", "client CPU"),
        rows,
    )
    report.note(
        "Where less is answered than offered, the queue grows for as long as the run is, and the latencies are those "
        "of the queue. Client and origin share a core: at a client CPU near 100 % it is they who are at the end."
    )


def _most(report: Report, most: dict[str, float]) -> None:
    rows = [(name, f"{rate:,.0f}", f"{most['penstock'] / rate:.2f}x") for name, rate in most.items()]
    report.table(
        "the most of the same mix: wrk, 64 connections, closed loop", ("proxy", "requests/s", "penstock is"), rows
    )


def _goals(report: Report, runs: list[Run]) -> None:
    last = runs[-1]
    rate = float(last.load["rate"])
    report.goal(f"{last.offered:,.0f}/s on one core", "answered", f"{rate:,.0f}/s", rate >= 0.99 * last.offered)
    errors = sum(run.load["bad"] + run.load["lost"] for run in runs)
    report.goal("errors at all rates", "0", errors, not errors)
    more = sum(run.asked - run.load["unique"] for run in runs)
    report.goal("requests to the origin for what was in the cache", "0", more, more <= 0)


def _ms(percentiles: dict[str, float], which: str) -> str:
    return milliseconds(percentiles[which]) if percentiles else "-"

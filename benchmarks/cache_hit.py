"""The hit path: 1 KB from the cache on one pinned core, wrk on the other, beside Varnish and nginx."""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from .cache_servers import Served, cache_versions, caches, get, hello, origin, origin_count
from .cache_wrk import Wrk, milliseconds, wrk
from .processes import CLIENT_CORE, MissingTool, scratch
from .report import Report

_HELLO = ("uvicorn", "granian")
_TITLES = {
    "same": "the same request again and again (as monitors, bots and other services ask)",
    "varied": "heads that differ in every request (User-Agent, Accept-Language, Cookie, as browsers ask)",
}


def main(arguments: list[str]) -> bool:
    """Whether penstock is faster than nginx and Varnish where requests repeat, and nothing went wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_hit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args(arguments)
    report = Report("cache_hit", "python -m benchmarks cache_hit")
    report.facts |= cache_versions()
    with scratch() as folder, ExitStack() as stack:
        source = stack.enter_context(origin(folder))
        servers = stack.enter_context(caches(folder, source.port))
        _check_that_they_cache(report, servers, source)
        apps = _hello_worlds(report, folder, stack)
        for kind, contestants in (("same", [*servers, *apps]), ("varied", servers)):
            before = origin_count(source)
            runs, cpu = cpu_of_rounds(folder, contestants, kind, options)
            asked = origin_count(source) - before - 1
            _table(report, kind, runs, cpu, options)
            report.goal(f"requests to the origin meanwhile ({kind})", "0", asked, asked == 0)
            _goals(report, kind, runs)
    return report.finish()


def _hello_worlds(report: Report, folder: Path, stack: ExitStack) -> list[Served]:
    apps = []
    for name in _HELLO:
        try:
            apps.append(stack.enter_context(hello(folder, name)))
        except MissingTool as missing:
            report.note(f"Not measured: {missing}.")
    return apps


def _check_that_they_cache(report: Report, servers: list[Served], source: Served) -> None:
    """Each is asked twice; the second answer must not have come from the origin."""
    for server in servers:
        get(server.port, "/hot")
        time.sleep(0.05)
        before = origin_count(source)
        status, body, _ = get(server.port, "/hot")
        asked = origin_count(source) - before - 1
        fine = status == 200 and len(body) == 1024 and asked == 0
        report.goal(f"{server.name} answers from its cache", "0 requests to the origin", asked, fine)


def cpu_of_rounds(
    folder: Path, servers: list[Served], kind: str, options: argparse.Namespace
) -> tuple[dict[str, list[Wrk]], dict[str, float]]:
    """Alternating, so that a noise that lasts hits everybody: runs, and CPU seconds a request, by name."""
    runs: dict[str, list[Wrk]] = {server.name: [] for server in servers}
    spent = dict.fromkeys(runs, 0.0)
    for number in range(-1, options.rounds):
        for server in servers:
            if number < 0:
                wrk(folder, server.port, CLIENT_CORE, kind=kind, seconds=1, connections=options.connections)
                continue
            before = server.cpu()
            found = wrk(
                folder, server.port, CLIENT_CORE, kind=kind, seconds=options.seconds, connections=options.connections
            )
            spent[server.name] += server.cpu() - before
            runs[server.name].append(found)
    cpu = {name: spent[name] / max(1, sum(run.requests for run in found)) for name, found in runs.items()}
    return runs, cpu


def _table(
    report: Report, kind: str, runs: dict[str, list[Wrk]], cpu: dict[str, float], options: argparse.Namespace
) -> None:
    ours = statistics.median(run.rate for run in runs["penstock"])
    rows = []
    for name, found in runs.items():
        rates = [run.rate for run in found]
        middle = statistics.median(rates)
        rows.append(
            (
                name,
                f"{middle:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{ours / middle:.2f}x",
                milliseconds(statistics.median(run.p50 for run in found)),
                milliseconds(statistics.median(run.p99 for run in found)),
                f"{cpu[name] * 1e6:.1f}",
                sum(run.errors for run in found),
            )
        )
    header = ("server", "requests/s", "range", "penstock is", "p50 ms", "p99 ms", "CPU us/request", "errors")
    title = f"hits, 1 KB, one core, {options.connections} connections: {_TITLES[kind]}; median of {options.rounds}"
    report.table(title, header, rows)


def _goals(report: Report, kind: str, runs: dict[str, list[Wrk]]) -> None:
    rates = {name: statistics.median(run.rate for run in found) for name, found in runs.items()}
    errors = sum(run.errors for found in runs.values() for run in found)
    report.goal(f"errors ({kind})", "0", errors, not errors)
    if kind != "same":
        return
    for other in ("varnish", "nginx"):
        ratio = rates["penstock"] / rates[other]
        report.goal(f"penstock against {other} ({kind})", "faster", f"{ratio:.2f}x", ratio > 1)

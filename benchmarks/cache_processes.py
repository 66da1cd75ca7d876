"""What a hit costs with two processes against one: 1,000 URLs of 1 KB, all of the proxy on one pinned core.

Half of the requests come to the process that does not have their URL. With two cores, one of which is wrk's, it is the
CPU a request that can be compared, not the rate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .cache_servers import Served, get, origin, origin_count, penstock
from .cache_wrk import Wrk, milliseconds, wrk
from .processes import CLIENT_CORE, scratch
from .report import Report

MOST = 1.35
"""The CPU of a hit with two processes, at most so many times that with one."""


@dataclass
class Tree(Served):
    """A server with all processes that it has started."""

    def cpu(self) -> float:
        """User and system seconds so far."""
        return cpu_of_tree(self.child.pid)


def main(arguments: list[str]) -> bool:
    """Whether a hit costs no more than it may, with many connections and with two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 2])
    options = parser.parse_args(arguments)
    report = Report("cache_processes", "python -m benchmarks cache_processes")
    with scratch() as folder, ExitStack() as stack:
        source = stack.enter_context(origin(folder))
        servers = []
        for count in (1, 2):
            name = f"processes-{count}"
            made = penstock(folder, source.port, "--processes", str(count), name=name)
            served = stack.enter_context(made)
            servers.append(Tree(name, served.port, served.child))
        for server in servers:
            for number in range(1000):
                get(server.port, f"/hot/{number}")
        before = origin_count(source)
        for connections in options.connections:
            _compare(report, folder, servers, connections, options)
        asked = origin_count(source) - before - 1
        report.goal("requests to the origin meanwhile", "0", asked, asked == 0)
    return report.finish()


def _compare(report: Report, folder: Path, servers: list[Tree], connections: int, options: argparse.Namespace) -> None:
    runs: dict[str, list[Wrk]] = {server.name: [] for server in servers}
    costs: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(-1, options.rounds):
        for server in servers:
            before = server.cpu()
            seconds = options.seconds if number >= 0 else 1.0
            found = wrk(folder, server.port, CLIENT_CORE, kind="urls", seconds=seconds, connections=connections)
            if number >= 0:
                runs[server.name].append(found)
                costs[server.name].append((server.cpu() - before) / max(1, found.requests))
    rows = [
        (
            name,
            f"{statistics.median(run.rate for run in found):,.0f}",
            milliseconds(statistics.median(run.p50 for run in found)),
            milliseconds(statistics.median(run.p99 for run in found)),
            f"{statistics.median(costs[name]) * 1e6:.2f}",
            f"{min(costs[name]) * 1e6:.2f} to {max(costs[name]) * 1e6:.2f}",
            sum(run.errors for run in found),
        )
        for name, found in runs.items()
    ]
    header = ("server", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "range", "errors")
    report.table(f"{connections} connections", header, rows)
    one, two = (statistics.median(costs[server.name]) for server in servers)
    ratio = two / one
    report.goal(f"CPU of a hit, {connections} connections", f"<= {MOST}x", f"{ratio:.2f}x", ratio <= MOST)
    errors = sum(run.errors for found in runs.values() for run in found)
    report.goal(f"errors, {connections} connections", "0", errors, errors == 0)


def cpu_of_tree(pid: int) -> float:
    """User and system seconds of a living process and those that it has started."""
    ticks = 0
    ahead = [pid]
    while ahead:
        each = ahead.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            ahead += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    return ticks / os.sysconf("SC_CLK_TCK")

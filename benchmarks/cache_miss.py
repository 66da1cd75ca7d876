"""The miss path: every URL is asked for once, so the proxy does all of its work for each."""

from __future__ import annotations

import argparse
import statistics

from .cache_servers import cache_versions, caches, origin, origin_count, penstock
from .cache_wrk import Wrk, milliseconds, wrk
from .processes import CLIENT_CORE, scratch
from .report import Report


def main(arguments: list[str]) -> bool:
    """Whether every miss reached the origin once, and nothing went wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_miss")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args(arguments)
    report = Report("cache_miss", "python -m benchmarks cache_miss")
    report.facts |= cache_versions()
    runs: dict[str, list[tuple[Wrk, float]]] = {}
    with (
        scratch() as folder,
        origin(folder) as source,
        caches(folder, source.port) as several,
        penstock(folder, source.port, "--plain-path", name="penstock-plain") as general,
    ):
        # Beside it the same without its short way, so that what that brings is seen in one run.
        servers = [*several, general]
        asked = 0
        for number in range(-1, options.rounds):
            for server in servers:
                seconds = 1.0 if number < 0 else options.seconds
                before, cpu = origin_count(source), server.cpu()
                run = wrk(
                    folder, server.port, CLIENT_CORE, kind="unique", seconds=seconds, connections=options.connections
                )
                spent = (server.cpu() - cpu) / max(1, run.requests)
                # Those under way when wrk ends are not among its requests.
                missing = run.requests - (origin_count(source) - before - 1)
                asked += max(0, missing)
                if number >= 0:
                    runs.setdefault(server.name, []).append((run, spent))
        _table(report, runs, options)
        report.goal("answers without a request to the origin", "0", asked, asked == 0)
    errors = sum(run.errors for found in runs.values() for run, _ in found)
    report.goal("errors", "0", errors, not errors)
    return report.finish()


def _table(report: Report, runs: dict[str, list[tuple[Wrk, float]]], options: argparse.Namespace) -> None:
    ours = statistics.median(run.rate for run, _ in runs["penstock"])
    rows = []
    for name, found in runs.items():
        rates = [run.rate for run, _ in found]
        middle = statistics.median(rates)
        rows.append(
            (
                name,
                f"{middle:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{ours / middle:.2f}x",
                f"{statistics.median(spent for _, spent in found) * 1e6:.0f}",
                milliseconds(statistics.median(run.p50 for run, _ in found)),
                milliseconds(statistics.median(run.p99 for run, _ in found)),
                sum(run.errors for run, _ in found),
            )
        )
    header = ("proxy", "misses/s", "range", "penstock is", "CPU us/miss", "p50 ms", "p99 ms", "errors")
    report.table(
        f"misses, 1 KB, stored, {options.connections} connections; the proxy has one core, wrk and the origin the "
        f"other; median of {options.rounds}",
        header,
        rows,
    )

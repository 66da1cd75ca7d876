"""What an access log costs a hit: the proxy without one, with JSON, and with the combined format."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from .cache_hit import cpu_of_rounds
from .cache_servers import cache_versions, origin, penstock
from .processes import scratch
from .report import Report

_FORMATS = ("json", "combined")


def main(arguments: list[str]) -> bool:
    """Whether a log costs less than a hit itself does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_log")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args(arguments)
    report = Report("cache_log", "python -m benchmarks cache_log")
    report.facts |= cache_versions()
    with scratch() as folder, ExitStack() as stack:
        source = stack.enter_context(origin(folder))
        servers = []
        for name in ("none", *_FORMATS):
            own = folder / name
            own.mkdir()
            log = () if name == "none" else ("--access-log", str(own / "log"), "--access-log-format", name)
            servers.append(stack.enter_context(penstock(own, source.port, *log, name=name)))
        runs, cpu = cpu_of_rounds(folder, servers, "same", options)
        lines = {name: len((folder / name / "log").read_bytes().splitlines()) for name in _FORMATS}
    rows = [
        (name, f"{each * 1e6:.1f}", f"{each / cpu['none']:.2f}", sum(run.errors for run in runs[name]))
        for name, each in cpu.items()
    ]
    report.table("hits, 1 KB, one core", ("log", "CPU us a hit", "of none", "errors"), rows)
    for name in _FORMATS:
        asked = sum(run.requests for run in runs[name])
        report.goal(
            f"{name}: lines, of {asked:,} answers and the first second", "all", lines[name], lines[name] >= asked
        )
        report.goal(
            f"{name}: CPU a hit, of none", "at most 2", f"{cpu[name] / cpu['none']:.2f}", cpu[name] < 2 * cpu["none"]
        )
    return report.finish()

"""What `penstock move bench` says of services whose answer is known: a gain, no gain, or why nothing can be said."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .postgres import postgres
from .processes import CLIENT_CORE, PENSTOCK, SERVER_CORE, Child, MissingTool, need, run, scratch
from .report import Report
from .servers import fault_server

APP = "benchmarks.move_services:app"
ROUTES = {"fan": "/fan", "sql": "/sql", "cpu": "/cpu", "slow": "/slow"}


@dataclass(frozen=True, slots=True)
class Said:
    """One run of the command."""

    code: int
    seconds: float
    result: dict[str, Any]

    def of(self, arm: str) -> str:
        """What it said of an arm, with the reason."""
        if not self.result:
            return "no result"
        return f"{self.result['arms'][arm]['verdict']}: {self.result['arms'][arm]['why']}"


def bench(
    folder: Path, route: str, arms: Sequence[str], *, p99: str, environment: dict[str, str], max_time: str = "3m"
) -> Said:
    """`penstock move bench --json` of a route of `move_services`."""
    command: list[str | Path] = [*PENSTOCK, "move", "bench", APP, f"GET {route}", *arms, "--p99", p99, "--json"]
    began = time.monotonic()
    with set_in_environment({**environment, "MOVE_ROUTE": route}):
        ended = run([*command, "--max-time", max_time], folder=folder, timeout=900, core=None, name="bench")
    print(ended.stderr, flush=True)
    with contextlib.suppress(ValueError):
        return Said(ended.code, time.monotonic() - began, json.loads(ended.stdout))
    return Said(ended.code, time.monotonic() - began, {})


@contextlib.contextmanager
def set_in_environment(values: dict[str, str]) -> Iterator[None]:
    """For the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fan(report: Report, folder: Path) -> None:
    """Ten calls of 10 ms, one by one with requests, at once with Http, and the same in an async arm."""
    with fault_server(folder, "--latency", "0.01", core=CLIENT_CORE) as upstream:
        said = bench(
            folder, "/fan", ("control", "client", "async"), p99="200ms", environment={"MOVE_UPSTREAM": upstream.url}
        )
    table(report, "Ten calls of 10 ms", said)
    control, arm = (_held(said, name) for name in ("control", "async"))
    gain = arm / control if control else 0.0
    measured = f"{gain:.2f}x; {said.of('async')}"
    report.goal("fan-out of ten: async", "a gain, at least 1.4x the rate", measured, gain >= 1.4 and said.code == 0)


def _held(said: Said, arm: str) -> float:
    """The highest rate that an arm kept, 0 where none was found."""
    capacity = said.result.get("arms", {}).get(arm, {}).get("capacity") or {}
    return float(capacity.get("held") or 0.0)


def slow(report: Report, folder: Path) -> None:
    """One call of 200 ms: the threads are the limit, not the CPU."""
    with fault_server(folder, "--latency", "0.2", core=CLIENT_CORE) as upstream:
        said = bench(
            folder, "/slow", ("control", "client", "async"), p99="500ms", environment={"MOVE_SLOW": upstream.url}
        )
    table(report, "One call of 200 ms", said)
    limit = ((said.result.get("arms", {}).get("control") or {}).get("limit") or {}).get("why", "")
    report.goal("slow upstream: what the control stops at", "its 40 threads", limit, "40 threads" in limit)


def sql(report: Report, folder: Path) -> None:
    """One statement of 0.1 ms with psycopg's pools."""
    with postgres(folder, core=CLIENT_CORE) as dsn:
        said = bench(folder, "/sql", ("control", "async"), p99="50ms", environment={"MOVE_DSN": dsn})
    table(report, "One SQL statement", said)
    report.goal("one SQL: async", "no gain", said.of("async"), said.of("async").startswith("no gain"))


def cpu(report: Report, folder: Path) -> None:
    """JSON and hashes."""
    said = bench(folder, "/cpu", ("control", "async"), p99="100ms", environment={})
    table(report, "CPU-bound", said)
    report.goal("CPU-bound: async", "no gain", said.of("async"), said.of("async").startswith("no gain"))


def refusals(report: Report, folder: Path) -> None:
    """What has to be named instead of a number, each staged on purpose."""
    with burning(folder, SERVER_CORE):
        _refused(
            report,
            "a neighbour",
            "a neighbour was busy",
            bench(folder, "/cpu", ("control", "async"), p99="100ms", environment={}, max_time="60s"),
        )
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(burning(folder, CLIENT_CORE, str(number)))
        _refused(
            report,
            "a saturated client",
            "the client that makes the load",
            bench(folder, "/cpu", ("control", "async"), p99="30ms", environment={}, max_time="60s"),
        )
    said = bench(folder, "/threads", ("control", "client"), p99="200ms", environment={})
    _refused(report, "a thread pool of 5", "all of its 5 threads", said)
    with postgres(folder, core=CLIENT_CORE) as dsn:
        said = bench(folder, "/pool", ("control", "async"), p99="200ms", environment={"MOVE_DSN": dsn})
    _refused(report, "a database pool of 2", "2 connections to 127.0.0.1", said)


def _refused(report: Report, what: str, words: str, said: Said) -> None:
    found = next((each["why"] for each in said.result.get("arms", {}).values() if each.get("why")), "no result")
    report.goal(what, f"refused, and named: {words!r}", f"exit {said.code}: {found}", said.code == 2 and words in found)


@contextlib.contextmanager
def burning(folder: Path, core: int, name: str = "") -> Iterator[None]:
    """A process that uses all of a core that it gets."""
    with Child([sys.executable, "-c", "while True: pass"], core=core, folder=folder, name=f"burn{name}"):
        yield


def table(report: Report, title: str, said: Said) -> None:
    """A row for each arm."""
    rows = []
    for arm, found in said.result.get("arms", {}).items():
        if not found["measured"]:
            rows.append([arm, "not measured", "", "", "", ""])
            continue
        ratio, capacity = found.get("ratio"), found.get("capacity") or {}
        rows.append(
            [
                arm,
                "-" if found["cpu_s"] is None else f"{found['cpu_s'] * 1e3:.2f}",
                "" if not ratio else f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
                "-" if not capacity.get("held") else f"{capacity['held']:,.0f}",
                "-" if not found["limit"] else found["limit"]["why"],
                found.get("verdict", ""),
            ]
        )
    header = ("arm", "CPU ms a request", "control / arm", "requests/s that keep the p99", "stops at", "verdict")
    report.table(f"{title}, {said.seconds:.0f} s", header, rows)


PARTS = {"fan": fan, "slow": slow, "sql": sql, "cpu": cpu, "refusals": refusals}


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS), metavar="|".join(PARTS))
    options = parser.parse_args(arguments)
    need("taskset", "util-linux")
    report = Report("move_bench", f"python -m benchmarks move_bench {' '.join(options.parts)}")
    for part in options.parts:
        with scratch() as folder:
            try:
                PARTS[part](report, folder)
            except MissingTool as missing:
                report.goal(part, "measured", str(missing), False)
    return report.finish()

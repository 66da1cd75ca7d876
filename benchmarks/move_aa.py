"""`penstock move bench` of a route against itself, again and again: within 3 %, or refused, and never a gain."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .move_bench import bench
from .processes import CLIENT_CORE, Child, scratch
from .report import Report
from .servers import fault_server

MOST_REFUSED = 5
_BURN = """
import random, time
while True:
    time.sleep(random.uniform(1, 8))
    until = time.monotonic() + random.uniform(0.5, 3)
    while time.monotonic() < until:
        pass
"""


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_aa", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--max-time", default="3m", help="of each run")
    parser.add_argument("--neighbour", action="store_true", help="a process burns a core now and then, on any core")
    parser.add_argument("--route", choices=["/fan", "/cpu"], default="/fan")
    options = parser.parse_args(arguments)
    flags = " --neighbour" if options.neighbour else ""
    report = Report("move_aa", f"python -m benchmarks move_aa --runs {options.runs}{flags}")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        upstream = stack.enter_context(fault_server(folder, "--latency", "0.01", core=CLIENT_CORE))
        if options.neighbour:
            stack.enter_context(neighbour(folder))
        found = [
            bench(
                folder,
                options.route,
                ("control", "control"),
                p99="300ms",
                environment={"MOVE_UPSTREAM": upstream.url},
                max_time=options.max_time,
            )
            for _ in range(options.runs)
        ]
    arms = [each.result["arms"]["control#2"] for each in found if each.result]
    report.table("The control against itself", ("run", "s", "ratio", "verdict", "why"), list(rows(found)))
    judge(report, options.runs, arms, neighbour=options.neighbour)
    return report.finish()


def rows(found: list[Any]) -> Iterator[tuple[object, ...]]:
    """One for each run."""
    for number, each in enumerate(found, 1):
        nothing: dict[str, Any] = {"ratio": None, "verdict": "no result", "why": ""}
        arm = each.result["arms"]["control#2"] if each.result else nothing
        ratio = arm["ratio"]
        shown = "-" if not ratio else f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
        yield number, f"{each.seconds:.0f}", shown, arm["verdict"], arm["why"]


def judge(report: Report, runs: int, arms: list[dict[str, Any]], *, neighbour: bool) -> None:
    """The goals."""
    report.goal("runs with a result", str(runs), len(arms), len(arms) == runs)
    refused = [each for each in arms if each["verdict"] == "nothing can be said"]
    said = [each for each in arms if each not in refused]
    near = [each for each in said if abs(each["ratio"]["value"] - 1) <= 0.03]
    report.goal("within 1.00 +- 0.03, of those that are not refused", f"{len(said)}", len(near), len(near) == len(said))
    wrong = [each for each in said if each["verdict"] in ("gain", "slower")]
    report.goal("a gain or a loss that is none", "0", len(wrong), not wrong)
    if not neighbour:
        allowed = MOST_REFUSED * runs // 20
        report.goal("refused", f"at most {allowed}", len(refused), len(refused) <= allowed)


@contextlib.contextmanager
def neighbour(folder: Path) -> Iterator[None]:
    """Burns a core for some seconds, every few seconds; which one, the kernel says."""
    with Child([sys.executable, "-c", _BURN], core=None, folder=folder, name="neighbour"):
        yield

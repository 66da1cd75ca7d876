"""Twenty flips over four workers under load, the state file damaged in between: who fails, and how late is the last."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from .cache_servers import wait_for
from .move_load import DAMAGE, Load, write_share
from .processes import Child, scratch
from .report import Report
from .servers import free_port

FLIPS, WORKERS, CLIENTS, REQUESTS = 20, 4, 16, 40_000
GOAL_SECONDS = 0.5
_SETTLED = 0.7
"""Seconds after a flip in which the last answers of the other arm are waited for."""


def flip(load: Load, state: Path, number: int, damage: str) -> float:
    """One flip; the seconds after it at which the other arm answered last. Then the file is damaged for a while."""
    wanted, other = ("async", "control") if number % 2 == 0 else ("control", "async")
    written = write_share(state, 1.0 if wanted == "async" else 0.0)
    time.sleep(_SETTLED)
    DAMAGE[damage](state)
    enough = REQUESTS * (number + 1) // FLIPS
    until = time.monotonic() + 60.0
    while load.answers < enough and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    if load.latest(wanted) < written + _SETTLED:
        raise RuntimeError(f"{wanted} was not served after flip {number}")
    return max(0.0, load.latest(other) - written)


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_flips", description=__doc__)
    parser.parse_args(arguments)
    report = Report("move_flips", "python -m benchmarks move_flips")
    with scratch() as folder:
        state, port = folder / "arms.json", free_port()
        write_share(state, 0.0)
        os.environ["PENSTOCK_ARMS"] = str(state)
        options = [
            "--workers",
            str(WORKERS),
            "--port",
            str(port),
            "--no-access-log",
            "--factory",
            "--log-level",
            "warning",
        ]
        command = [sys.executable, "-m", "uvicorn", "tests.real.arms_app:loaded", *options]
        with Child(command, core=None, folder=folder, name="uvicorn") as child:
            wait_for(child, port, "uvicorn")
            with Load(port, CLIENTS) as load:
                damages = list(DAMAGE)
                late = [flip(load, state, number, damages[number % len(damages)]) for number in range(FLIPS)]
    rows = [(number + 1, f"{seconds * 1e3:.0f}", damages[number % len(damages)]) for number, seconds in enumerate(late)]
    report.table(
        f"{WORKERS} workers of uvicorn, {CLIENTS} clients, {load.answers} requests",
        ("flip", "last answer of the other arm, ms after the write", "the file after that"),
        rows,
    )
    report.goal(
        "requests that failed", f"0 of {REQUESTS:,}", f"{len(load.failed)} of {load.answers:,}", not load.failed
    )
    report.goal("all requests", f"at least {REQUESTS:,}", f"{load.answers:,}", load.answers >= REQUESTS)
    report.goal("workers that answered", str(WORKERS), len(load.workers), len(load.workers) == WORKERS)
    worst, median = max(late), statistics.median(late)
    what = f"{worst * 1e3:.0f} ms (median {median * 1e3:.0f})"
    report.goal("worst flip", f"at most {GOAL_SECONDS:g} s", what, worst <= GOAL_SECONDS)
    for failure in load.failed[:5]:
        report.note(failure)
    return report.finish()

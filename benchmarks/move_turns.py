"""How well a machine knows the ratio of a piece of work to itself, by how many pieces make a turn: A B B A.

It says whether the speed of a core changes from second to second, or within them.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time

from .processes import SERVER_CORE
from .report import Report

TURNS = (1, 2, 5, 10, 20, 40)
_PAUSE = 0.03


def work() -> float:
    """Seconds of CPU of a piece of work that is always the same, some 20 ms."""
    began = time.process_time()
    total, seen = 0, {}
    for number in range(150_000):
        total += number * number
    for number in range(20_000):
        seen[number * 7919 % 20_011] = str(number)
    return time.process_time() - began


def spread(logs: list[float], turn: int) -> tuple[int, float]:
    """How many blocks there are of so many pieces a turn, and the standard error of their mean."""
    blocks = []
    for at in range(0, len(logs) - 4 * turn + 1, 4 * turn):
        ours = logs[at : at + turn] + logs[at + 3 * turn : at + 4 * turn]
        blocks.append(statistics.fmean(ours) - statistics.fmean(logs[at + turn : at + 3 * turn]))
    return len(blocks), statistics.stdev(blocks) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.nan


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_turns", description=__doc__)
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args(arguments)
    report = Report("move_turns", f"python -m benchmarks move_turns --seconds {options.seconds:g}")
    os.sched_setaffinity(0, {SERVER_CORE})
    logs, until = [], time.monotonic() + options.seconds
    while time.monotonic() < until:
        logs.append(math.log(work()))
        time.sleep(_PAUSE)
    rows = [(turn, blocks, f"{error:.1%}") for turn in TURNS for blocks, error in [spread(logs, turn)]]
    report.table(
        f"{len(logs)} pieces of {math.exp(statistics.median(logs)) * 1e3:.0f} ms on core {SERVER_CORE}",
        ("pieces a turn", "blocks", "standard error of the ratio"),
        rows,
    )
    return report.finish()

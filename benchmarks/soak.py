"""The long runs: `python -m benchmarks.soak [--part kills|pull|power|census|memory] [--kills N] [--vectors N]`.

Correctness decides, and the figures of memory and resume time that were promised; nothing here depends on how fast the
machine is but for those two seconds. With the defaults it takes about an hour and a half, and 6 GB on disk.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable

from . import census, kills, memory, power, pull_kills
from .processes import raise_open_files
from .report import Report

PARTS = ("power", "kills", "pull", "census", "memory")


def main(arguments: list[str] | None = None) -> int:
    """0 if every goal was reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be repeated")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=20_000, help="simulated power cuts")
    parser.add_argument("--vectors", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the kills and cuts; printed")
    options = parser.parse_args(arguments)
    raise_open_files()
    small = max(1000, options.vectors // 10)
    ways: dict[str, Callable[[Report], None]] = {
        "power": lambda report: power.measure(report, options.cuts, options.seed),
        "kills": lambda report: kills.measure(report, options.kills, options.seed),
        "pull": lambda report: pull_kills.measure(report, max(5, options.kills // 5), options.seed),
        "census": lambda report: census.measure(report, options.vectors),
        "memory": lambda report: memory.measure(report, [small, options.vectors]),
    }
    sizes = f"--kills {options.kills} --cuts {options.cuts} --vectors {options.vectors} --seed {options.seed}"
    verdicts = {}
    for part in options.part or PARTS:
        print(f"\n## soak: {part}", flush=True)
        report = Report(f"soak-{part}", f"python -m benchmarks.soak --part {part} {sizes}")
        try:
            ways[part](report)
        except (RuntimeError, TimeoutError, OSError, ImportError) as error:
            traceback.print_exc()
            what = f"{type(error).__name__}: {str(error)[:500]}"
            report.goal(f"{part} runs to its end", "it does", what, passed=False)
        verdicts[part] = report.finish()
    print()
    for part, passed in verdicts.items():
        print(f"{part:8} {'PASS' if passed else 'FAIL'}")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

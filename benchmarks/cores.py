"""What `--processes` gains: `penstock send` in one and in two, on all cores, against a server that is faster."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from .processes import PENSTOCK, Ended, MissingTool, run, scratch
from .report import Report, megabytes
from .servers import fault_server, nginx

GOAL = 1.2
"""Of two cores the server has half of one."""


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cores", description=__doc__)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args(arguments)
    report = Report("cores", f"python -m benchmarks cores --items {options.items} --rounds {options.rounds}")
    with scratch() as folder:
        records = folder / "items.jsonl"
        records.write_text("".join(f'{{"n": {number}}}\n' for number in range(options.items)))
        try:
            with nginx(folder) as port:
                ended = _rounds(options.processes, options.rounds, records, f"http://127.0.0.1:{port}/", folder)
        except MissingTool as missing:
            report.note(f"{missing}; instead penstock's own fault server, which is slower than two processes.")
            with fault_server(folder) as server:
                ended = _rounds(options.processes, options.rounds, records, f"{server.url}/", folder)
    rates = {number: statistics.median(options.items / each.seconds for each in runs) for number, runs in ended.items()}
    first = options.processes[0]
    rows = [
        [
            *(number, f"{rates[number]:,.0f}", f"{rates[number] / rates[first]:.2f}"),
            f"{statistics.median(each.cpu for each in runs) / options.items * 1e6:.1f}",
            megabytes(statistics.median(each.json()["peak_rss_bytes"] for each in runs)),
        ]
        for number, runs in ended.items()
    ]
    header = ("processes", "items/s, whole process", "ratio", "CPU us an item, all processes", "MB, all processes")
    report.table(f"{options.items:,} items, no limit, nothing pinned but the server", header, rows)
    last = options.processes[-1]
    ratio = rates[last] / rates[first]
    report.goal(f"{last} processes against {first}", f"at least {GOAL}x", f"{ratio:.2f}x", ratio >= GOAL)
    return report.finish()


def _rounds(numbers: list[int], rounds: int, records: Path, url: str, folder: Path) -> dict[int, list[Ended]]:
    ended: dict[int, list[Ended]] = {number: [] for number in numbers}
    for round_ in range(rounds):
        for number in numbers:
            name = f"{number}-{round_}"
            command: list[str | Path] = [*PENSTOCK, "send", records, "--url", url, "--out", folder / f"{name}.jsonl"]
            command += ["--processes", str(number), "--json"]
            done = run(command, folder=folder, timeout=600, core=None, name=name)
            if done.code != 0:
                raise RuntimeError(f"{number} processes: exit status {done.code}: {done.stderr[-1000:]}")
            ended[number].append(done)
    return ended

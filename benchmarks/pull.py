"""A million rows from a paginated API on the other core: penstock pull, dlt, and aiohttp loops: time, CPU, memory."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .processes import CLIENT_CORE, PENSTOCK, SERVER_CORE, Ended, run, scratch
from .report import Report, megabytes
from .servers import fault_server

PENSTOCK_PULL = "penstock pull"
DLT = "dlt, rest_api to filesystem"
LOOP = "aiohttp loop"
TUNED = "aiohttp, tuned (16 pages at once, uvloop, orjson)"
PEAK_GOAL = 100e6
GROWTH_GOAL = 5e6
"""Bytes per million rows, of the resident memory in the second half of a run. A peak is a matter of how many pages
happened to be in flight at once, 200 KB each."""
LEAST_FOR_GROWTH = 500_000
"""Rows; below it a peak is that of the first pages."""
DLT_GOAL = 3.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What one client took for all rows."""

    rows: int
    ended: Ended

    @property
    def cpu_us(self) -> float:
        """CPU a row, start and imports included."""
        return self.ended.cpu / self.rows * 1e6

    @property
    def held(self) -> float:
        """Resident bytes, the median over the second half of the run."""
        return statistics.median(size for at, size in self.ended.samples if at > self.ended.seconds / 2)


Client = Callable[[str, Path, int], Ended]
"""(URL, a new path to write to, rows a page) -> how it ended."""


def penstock_pull(url: str, out: Path, page_size: int) -> Ended:
    """With its journal, its summary and its log of answers, as always; `--in-flight` is left to itself."""
    command: list[str | Path] = [*PENSTOCK, "pull", url, "--out", out.with_suffix(".jsonl"), "--paginate", "offset"]
    command += ["--page-size", str(page_size), "--rows", "items", "--total", "total", "--json"]
    return run(command, folder=out.parent, timeout=900, name="penstock")


def pattern(name: str) -> Client:
    """One of `benchmarks.pull_patterns`."""

    def drain(url: str, out: Path, page_size: int) -> Ended:
        if name == "dlt_rest_api":
            out.mkdir()
        else:
            out = out.with_suffix(".jsonl")
        argv: list[str | Path] = [sys.executable, "-m", "benchmarks.pull_patterns", name, url, out, str(page_size)]
        return run(argv, folder=out.parent, timeout=1800, name=name)

    return drain


CLIENTS: dict[str, Client] = {
    PENSTOCK_PULL: penstock_pull,
    LOOP: pattern("aiohttp_loop"),
    TUNED: pattern("aiohttp_tuned"),
    DLT: pattern("dlt_rest_api"),
}


def drain(client: Client, folder: Path, rows: int, page_size: int) -> Drained:
    """Let one client drain a server of its own, and count what it wrote. Raises RuntimeError where rows are missing."""
    place = folder / "drained"
    place.mkdir()
    try:
        options = ["--rows", str(rows), "--page-size", str(page_size)]
        with fault_server(folder, *options, module="penstock.testing.paged_server") as server:
            ended = client(f"{server.url}/rows", place / "out", page_size)
        said, written = ended.json()["rows"], _lines(place)
        if ended.code != 0 or said != rows or written != rows:
            why = f"exit status {ended.code}, {said:,} rows by its own word, {written:,} of {rows:,} in its files"
            raise RuntimeError(f"{why}: {ended.stderr[-1000:]}")
        return Drained(rows, ended)
    finally:
        shutil.rmtree(place)


def _lines(place: Path) -> int:
    """The lines with a row in all files below `place`; what a client keeps for itself has none."""
    count = 0
    for path in place.rglob("*.jsonl"):
        # dlt keeps a link or copy of what it loaded in its own folder.
        if "pipelines" in path.parts:
            continue
        with path.open("rb") as file:
            count += sum(line.startswith(b'{"id":') for line in file)
    return count


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pull", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--page-size", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    report = Report("pull", f"python -m benchmarks pull --rows {options.rows} --rounds {options.rounds}")
    drained: dict[str, list[Drained]] = {name: [] for name in CLIENTS}
    broken: dict[str, str] = {}
    double: Drained | None = None
    with scratch() as folder:
        for number in range(options.rounds):
            for name, client in CLIENTS.items():
                if name in broken:
                    continue
                try:
                    drained[name].append(drain(client, folder, options.rows, options.page_size))
                    last = drained[name][-1]
                    print(f"round {number + 1}  {name}: {last.ended.seconds:.1f} s, {last.cpu_us:.1f} us", flush=True)
                except (RuntimeError, TimeoutError) as error:
                    broken[name] = str(error)
                    print(f"round {number + 1}  {name}: FAILED: {error}", flush=True)
        try:
            double = drain(penstock_pull, folder, 2 * options.rows, options.page_size)
        except (RuntimeError, TimeoutError) as error:
            broken["twice the rows"] = str(error)
    _report(report, options.page_size, drained, broken)
    _judge(report, drained, double, broken)
    return report.finish()


def _report(report: Report, page_size: int, drained: dict[str, list[Drained]], broken: dict[str, str]) -> None:
    ours = drained[PENSTOCK_PULL]
    rows: list[list[object]] = []
    for name, runs in drained.items():
        if name in broken or not runs:
            rows.append([name, f"failed: {broken.get(name, '')[:80]}", *[""] * 6])
            continue
        seconds, cpu = _median(runs, lambda each: each.ended.seconds), _median(runs, lambda each: each.cpu_us)
        rows.append(
            [
                *(name, f"{seconds:.1f}", f"{runs[0].rows / seconds:,.0f}", f"{cpu:.1f}"),
                megabytes(max(each.ended.peak_rss for each in runs)),
                f"{seconds / _median(ours, lambda each: each.ended.seconds):.2f}x" if ours else "-",
                f"{cpu / _median(ours, lambda each: each.cpu_us):.2f}x" if ours else "-",
            ]
        )
    count = next((runs[0].rows for runs in drained.values() if runs), 0)
    header = ("client", "seconds", "rows/s", "CPU us a row", "peak MB", "time vs penstock", "CPU vs penstock")
    report.table(
        f"{count:,} rows of 200 B, {page_size:,} a page, by offset, total known; client on core {CLIENT_CORE}, "
        f"server on core {SERVER_CORE}; JSON lines on disk",
        header,
        rows,
    )
    report.note(
        "Seconds, CPU and peak memory are those of the whole process, start and imports included; rows are counted in "
        "the files. Only penstock and dlt can go on after a kill; penstock has synced its rows by then, and checks "
        "every page for repeats; dlt works out a schema and adds two fields to each row."
    )


def _judge(report: Report, drained: dict[str, list[Drained]], double: Drained | None, broken: dict[str, str]) -> None:
    ours, theirs = drained[PENSTOCK_PULL], drained[DLT]
    if ours and theirs:
        for what, of in (("time", lambda each: each.ended.seconds), ("CPU", lambda each: each.cpu_us)):
            ratio = _median(theirs, of) / _median(ours, of)
            report.goal(f"{what} against dlt", f"at least {DLT_GOAL:g}x less", f"{ratio:.1f}x", ratio >= DLT_GOAL)
    else:
        report.goal("against dlt", "both end well", str(broken)[:200], passed=False)
    if double is None or not ours:
        report.goal("memory at twice the rows", "it ends well", str(broken)[:200], passed=False)
        return
    report.note(
        f"penstock with {double.rows:,} rows: {double.ended.seconds:.1f} s, peak {megabytes(double.ended.peak_rss)} "
        f"MB; held in the second half of the run {megabytes(double.held)} MB, "
        f"with {ours[0].rows:,} rows {megabytes(_median(ours, lambda each: each.held))} MB."
    )
    if ours[0].rows < LEAST_FOR_GROWTH:
        return
    growth = (double.held - _median(ours, lambda each: each.held)) / (double.rows - ours[0].rows) * 1e6
    report.goal(
        f"growth of penstock pull, {ours[0].rows:,} to {double.rows:,} rows",
        f"at most {GROWTH_GOAL / 1e6:.0f} MB per million rows",
        f"{growth / 1e6:+.2f} MB per million",
        growth <= GROWTH_GOAL,
    )
    peak = max(each.ended.peak_rss for each in [*ours, double])
    report.goal(
        "peak of penstock pull", f"at most {megabytes(PEAK_GOAL)} MB", f"{megabytes(peak)} MB", peak <= PEAK_GOAL
    )


def _median(runs: list[Drained], of: Callable[[Drained], float]) -> float:
    return statistics.median(of(each) for each in runs)

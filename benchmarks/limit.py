"""Is the limit kept, and used? Judged by the log of arrivals of strict servers, in real time, also across kill -9."""

from __future__ import annotations

import argparse
import concurrent.futures
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .processes import CLIENT_CORE, PENSTOCK, Child, Ended, scratch
from .report import Report
from .servers import FaultProcess, fault_server

LATENCY = "uniform:0.005:0.05"


@dataclass(frozen=True, slots=True)
class Case:
    """One server, one rate, for some seconds."""

    limiter: str
    count: int
    window: float
    seconds: float
    kill: bool = False

    @property
    def items(self) -> int:
        """As many as fill the seconds."""
        return int(self.count / self.window * self.seconds)

    @property
    def text(self) -> str:
        """As on the command line."""
        return f"{self.count}/{self.window:g}s"

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.limiter}-{self.count}-{self.window:g}{'-kill' if self.kill else ''}"

    @property
    def goal(self) -> float:
        """The share of the limit that must be used."""
        return 0.98 if self.window <= 1 else 0.995


@dataclass(frozen=True, slots=True)
class Judged:
    """What the server saw."""

    case: Case
    arrivals: int
    above: int
    most: int
    refused: int
    share: float
    gap: float
    """Seconds without an arrival around the kill; 0 where there was none."""
    records: int
    distinct: int


def judge(case: Case, times: Sequence[float], refused: int, killed_at: float | None, lines: list[bytes]) -> Judged:
    """Count windows above the limit, and the share of it that was used.

    A window above the limit begins at an arrival whose count-th successor comes less than `window` later. Share:
    (arrivals - 1) / (seconds from the first to the last arrival * count / window); where the client was killed, the
    gap between the last arrival before the kill and the first one after it is taken out, with the one interval it
    stands for.
    """
    import orjson

    from penstock.testing import most_in_any_window

    above = sum(late - early < case.window for early, late in zip(times, times[case.count :], strict=False))
    span, gaps, gap = times[-1] - times[0], len(times) - 1, 0.0
    if killed_at is not None:
        before = [each for each in times if each <= killed_at]
        gap = times[len(before)] - before[-1]
        span, gaps = span - gap, gaps - 1
    keys = [orjson.loads(line)["key"] for line in lines]
    share = gaps / (span * case.count / case.window)
    most = most_in_any_window(times, case.window)
    return Judged(case, len(times), above, most, refused, share, gap, len(keys), len(set(keys)))


def carry_out(case: Case, folder: Path) -> Judged:
    """Run one case to its end."""
    records = folder / f"{case.name}.jsonl"
    records.write_text("".join(f'{{"n": {number}}}\n' for number in range(case.items)))
    out = folder / f"{case.name}-out.jsonl"
    options = ["--limit", case.text, "--limiter", case.limiter, "--latency", LATENCY]
    if case.limiter == "gcra":
        options += ["--burst", str(case.count)]
    with fault_server(folder, *options, name=f"server-{case.name}") as server:
        command: list[str | Path] = [*PENSTOCK]
        command += ["send", records, "--url", f"{server.url}/n", "--out", out, "--limit", case.text]
        argv = [*command, "--json", "--retry-on", "safe"]
        killed_at = _kill_half_way(argv, case, server, folder) if case.kill else None
        with Child(argv, core=CLIENT_CORE, folder=folder, name=f"client-{case.name}") as child:
            ended: Ended = child.wait(case.seconds * 2 + 60)
        if ended.code != 0:
            raise RuntimeError(f"{case.name}: exit status {ended.code}: {ended.stderr[-1000:]}")
        counters = server.end()
        return judge(case, server.arrivals(), counters["limit_violations"], killed_at, out.read_bytes().splitlines())


def _kill_half_way(argv: Sequence[str | Path], case: Case, server: FaultProcess, folder: Path) -> float:
    with Child(argv, core=CLIENT_CORE, folder=folder, name=f"killed-{case.name}") as child:
        while server.statistics()["requests"] < case.items / 2:
            if child.poll() is not None:
                raise RuntimeError(f"{case.name}: it ended before it could be killed")
            time.sleep(0.02)
        return child.kill()


def cases(scale: float) -> tuple[list[Case], list[Case]]:
    """(one after the other, all at once beside them): ten calls a second disturb nobody."""
    kinds = ("fixed", "sliding", "gcra")
    front = [Case(kind, 100, 1, 30 * scale) for kind in kinds] + [Case(kind, 1000, 1, 20 * scale) for kind in kinds]
    front.append(Case("sliding", 1000, 1, 20 * scale, kill=True))
    back = [Case(kind, 600, 60, 150 * scale) for kind in kinds]
    back += [Case("sliding", 600, 60, 150 * scale, kill=True), Case("sliding", 100, 1, 30 * scale, kill=True)]
    return front, back


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks limit", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the seconds; below 0.9 no 60 s window is full")
    options = parser.parse_args(arguments)
    report = Report("limit", f"python -m benchmarks limit --scale {options.scale:g}")
    front, back = cases(options.scale)
    judged: list[Judged | tuple[Case, str]] = []
    with scratch() as folder, concurrent.futures.ThreadPoolExecutor(len(back)) as pool:
        beside = [(case, pool.submit(carry_out, case, folder)) for case in back]
        for case in front:
            try:
                judged.append(carry_out(case, folder))
            except (RuntimeError, TimeoutError) as error:
                judged.append((case, str(error)))
            print(f"done: {case.name}", flush=True)
        for case, future in beside:
            try:
                judged.append(future.result())
            except (RuntimeError, TimeoutError) as error:
                judged.append((case, str(error)))
    _report(report, judged)
    return report.finish()


def _report(report: Report, judged: list[Judged | tuple[Case, str]]) -> None:
    rows: list[list[object]] = []
    for each in judged:
        if isinstance(each, tuple):
            rows.append([each[0].name, f"failed: {each[1][:120]}", *[""] * 7])
            continue
        case = each.case
        killed = f"yes, {each.gap:.2f} s gap" if case.kill else "no"
        rows.append(
            [
                *(case.limiter, case.text, killed, f"{each.arrivals:,}", each.most, each.above, each.refused),
                *(f"{each.share:.2%}", f"{each.arrivals - each.distinct:,}"),
            ]
        )
    header = ("server", "limit", "killed", "arrivals", "most in a window", "windows above", "429", "used", "repeated")
    report.table(f"penstock send against strict servers, latency {LATENCY}, by the server's log", header, rows)
    report.note(
        "Share used: (arrivals - 1) / (seconds from first to last arrival x limit). Where the client was killed, the "
        "gap between the last arrival before and the first after is taken out, with the interval it stands for. "
        "gcra has a burst of the whole limit. Repeated: calls beyond one an item."
    )
    for each in judged:
        if isinstance(each, tuple):
            report.goal(f"limit, {each[0].name}", "it ends", each[1][:200], passed=False)
            continue
        case = each.case
        name = f"{case.limiter} {case.text}{', killed and restarted' if case.kill else ''}"
        kept = each.above == 0 and each.refused == 0
        report.goal(f"kept, {name}", "0 windows above, 0 times 429", f"{each.above} and {each.refused}", kept)
        report.goal(f"used, {name}", f"at least {case.goal:.1%}", f"{each.share:.2%}", each.share >= case.goal)
        whole = each.records == each.distinct == case.items
        measured = f"{each.records:,} records, {each.distinct:,} items"
        report.goal(f"output, {name}", f"{case.items:,} records, one an item", measured, whole)

"""Several processes under one limit, `--limit 100/s@name`: is it kept and used, also when one is killed?

Judged by the log of arrivals and the 429s of a server with a strict sliding log of the same limit.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from .processes import CLIENT_CORE, PENSTOCK, Child, scratch
from .report import Report
from .servers import FaultProcess, fault_server

LATENCY = "uniform:0.005:0.05"
MOST_UNUSED = 0.03
BACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Case:
    """So many processes under one limit, for some seconds."""

    processes: int
    count: int
    window: float
    seconds: float

    @property
    def text(self) -> str:
        """The limit as on the command line."""
        return f"{self.count}/{self.window:g}s"

    @property
    def name(self) -> str:
        """For files, and the name that the processes share."""
        return f"{self.processes}-{self.count}-{self.window:g}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the server saw."""

    case: Case
    arrivals: int
    most: int
    refused: int
    share: float
    """Of the limit, from when all were there to when they were stopped; the kill is in it."""
    back: float
    """Seconds after the kill from which on the survivors used the whole limit."""


def carry_out(case: Case, folder: Path) -> Judged:
    """Start all, kill one at a third, start another at two thirds, stop all at the end."""
    source = folder / f"{case.name}.jsonl"
    items = int(case.count / case.window * case.seconds * 2)
    source.write_text("".join(f'{{"n": {number}}}\n' for number in range(items)))
    options = ["--limit", case.text, "--limiter", "sliding", "--latency", LATENCY]
    with fault_server(folder, *options, name=f"server-{case.name}") as server, contextlib.ExitStack() as stack:

        def start(number: int) -> Child:
            command: list[str | Path] = [*PENSTOCK, "send", source, "--url", f"{server.url}/n", "--quiet"]
            command += ["--limit", f"{case.text}@{case.name}", "--out", folder / f"{case.name}-{number}.out"]
            return stack.enter_context(Child(command, core=CLIENT_CORE, folder=folder, name=f"{case.name}-{number}"))

        children = [start(number) for number in range(case.processes)]
        began = _all_there(case, server)
        time.sleep(max(0.0, began + case.seconds / 3 - time.monotonic()))
        killed = children[0].kill()
        time.sleep(max(0.0, began + case.seconds * 2 / 3 - time.monotonic()))
        # The same command again: it goes on with the run that was killed.
        children[0] = start(0)
        time.sleep(max(0.0, began + case.seconds - time.monotonic()))
        ended = time.monotonic()
        for child in children:
            code = child.end(60).code
            if code != 3:
                raise RuntimeError(f"{case.name}: exit status {code}, and not 3")
        counters = server.end()
        return judge(case, list(server.arrivals()), counters["limit_violations"], began, ended, killed)


def judge(case: Case, times: list[float], refused: int, began: float, ended: float, killed: float) -> Judged:
    """Share: (arrivals - 1) / (seconds from the first to the last of them x limit), nothing taken out."""
    from penstock.testing import most_in_any_window

    inside = times[bisect_left(times, began) : bisect_left(times, ended)]
    share = (len(inside) - 1) / ((inside[-1] - inside[0]) * case.count / case.window)
    most = most_in_any_window(times, case.window)
    return Judged(case, len(times), most, refused, share, _back(case, times, killed))


def _back(case: Case, times: list[float], killed: float) -> float:
    # From when on a second (ten intervals, if that is longer) has no less than 95 % of what the limit allows.
    span = max(1.0, 10 * case.window / case.count)
    enough = 0.95 * case.count / (case.window * 1.015) * span - 1
    begin = killed
    while begin < killed + 10.0:
        if bisect_left(times, begin + span) - bisect_left(times, begin) >= enough:
            return begin - killed
        begin += 0.01
    return float("inf")


def _all_there(case: Case, server: FaultProcess) -> float:
    # Interpreters start one after the other on one core.
    time.sleep(0.3 * case.processes + 1.0)
    while not server.statistics()["requests"]:
        time.sleep(0.05)
    return time.monotonic()


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks shared_limit", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the seconds; below 0.7 no 60 s window is full")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4, 8])
    options = parser.parse_args(arguments)
    report = Report("shared_limit", f"python -m benchmarks shared_limit --scale {options.scale:g}")
    front = [Case(each, count, 1, 15 * options.scale) for count in (100, 1000) for each in options.processes]
    back = [Case(each, 600, 60, 100 * options.scale) for each in options.processes]
    judged: list[Judged | tuple[Case, str]] = []
    with scratch() as folder, concurrent.futures.ThreadPoolExecutor(len(back)) as pool:
        os.environ["PENSTOCK_LIMITS"] = str(folder / "limits")
        # Ten calls a second disturb nobody.
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
            rows.append([each[0].processes, each[0].text, f"failed: {each[1][:120]}", *[""] * 4])
            continue
        case = each.case
        rows.append(
            [
                *(case.processes, case.text, f"{each.arrivals:,}", each.most, each.refused, f"{each.share:.2%}"),
                f"{each.back:.2f} s",
            ]
        )
    header = ("processes", "limit", "arrivals", "most in a window", "429", "used", "share of the dead back after")
    report.table(f"penstock send under one shared limit, latency {LATENCY}, by the server's log", header, rows)
    report.note(
        "One process is killed (SIGKILL) at a third of the time and started again at two thirds; share used: (arrivals "
        "- 1) / (seconds from first to last arrival x limit) from when all had started, with the kill in it. Back: "
        "after the kill, the beginning of the first second that had 95 % of what the limit allows."
    )
    for each in judged:
        if isinstance(each, tuple):
            report.goal(f"shared limit, {each[0].name}", "it ends", each[1][:200], passed=False)
            continue
        name = f"{each.case.processes} processes, {each.case.text}"
        kept = each.most <= each.case.count and each.refused == 0
        report.goal(f"kept, {name}", "0 above, 0 times 429", f"{each.most} at most, {each.refused}", kept)
        unused = 1 - each.share
        report.goal(f"used, {name}", f"at most {MOST_UNUSED:.0%} unused", f"{unused:.2%}", unused <= MOST_UNUSED)
        report.goal(f"back, {name}", f"within {BACK_SECONDS:g} s", f"{each.back:.2f} s", each.back <= BACK_SECONDS)

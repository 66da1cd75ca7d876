"""A host that is down for a while: attempts, items lost, and how soon the rate is back; virtual time, then for real."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import signal
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.clock import current_clock
from penstock.errors import ConnectError, StatusError, Throttled
from penstock.testing import most_in_any_window, run_virtual

from .processes import CLIENT_CORE, PENSTOCK, Child, scratch
from .report import Report
from .servers import fault_server, free_port

RATE = 100
LATENCY = 0.2
HOUR = 3600.0
SECONDS_DOWN = 15.0


@dataclass(frozen=True, slots=True)
class Ran:
    """One run through one outage."""

    name: str
    items: int
    attempts: int
    during: int
    """Calls while the host was down."""
    ok: int
    back: float
    """Seconds from the recovery to the first second with at least 95 % of the rate."""
    most: int
    """Calls in any second."""


def seconds_until_full(times: Sequence[float], recovered: float) -> float:
    """The beginning of the first second, a tenth apart, with 95 % to 110 % of the rate; more is a backlog."""
    for step in range(600):
        begin = recovered + step / 10
        if 0.95 * RATE <= sum(begin <= each < begin + 1.0 for each in times) <= 1.1 * RATE:
            return step / 10
    return float("inf")


class Host:
    """Down from `begin` to `end`, in one way."""

    def __init__(self, begin: float, end: float, how: str) -> None:
        self._begin, self._end, self._how = begin, end, how
        self.arrivals: array[float] = array("d")

    async def __call__(self, item: int) -> int:
        """Answer, or fail."""
        clock = current_clock()
        self.arrivals.append(clock.now())
        if self._begin <= clock.now() < self._end:
            if self._how == "refused":
                raise ConnectError("refused")
            if self._how == "429":
                raise Throttled
            await clock.sleep(1e9 if self._how == "silent" else LATENCY)
            raise StatusError(status=500)
        await clock.sleep(LATENCY)
        return item


def in_virtual_time(how: str, items: int) -> Ran:
    """An hour of it in the middle of a run at 100/s."""
    import penstock

    begin = items / RATE / 2
    host = Host(begin, begin + HOUR, how)

    async def main() -> tuple[int, int]:
        ok = 0
        async with penstock.run(host, range(items), retry_on="transient", limit=f"{RATE}/s") as outcomes:
            while some := await outcomes.some():
                ok += sum(outcome.ok for outcome in some)
        return ok, outcomes.counters.attempts

    ok, attempts = run_virtual(main())
    during = sum(begin <= each < begin + HOUR for each in host.arrivals)
    back = seconds_until_full(host.arrivals, begin + HOUR)
    return Ran(f"{how}, an hour", items, attempts, during, ok, back, most_in_any_window(host.arrivals, 1.0))


def for_real(how: str, items: int, folder: Path) -> Ran:
    """`penstock send` while the server's process is killed and started again, or stopped and continued."""
    port = free_port()
    records, out = folder / f"{how}.jsonl", folder / f"{how}-out.jsonl"
    records.write_text("".join(f'{{"n": {number}}}\n' for number in range(items)))
    serve: list[str | Path] = ["--port", str(port), "--latency", f"uniform:0.05:{2 * LATENCY - 0.05:g}"]
    command: list[str | Path] = [*PENSTOCK]
    command += ["send", records, "--url", f"http://127.0.0.1:{port}/n", "--out", out, "--limit", f"{RATE}/s"]
    command += ["--retry-on", "transient", "--attempt-timeout", "2s", "--json"]
    times: list[float] = []
    with fault_server(folder, *serve, name=f"{how}-first") as server:
        with Child(command, core=CLIENT_CORE, folder=folder, name=f"{how}-client") as client:
            while server.statistics()["requests"] < items / 3:
                time.sleep(0.05)
            if how == "stopped":
                os.kill(server.child.pid, signal.SIGSTOP)
                began = time.monotonic()
                time.sleep(SECONDS_DOWN)
                recovered = time.monotonic()
                os.kill(server.child.pid, signal.SIGCONT)
                ended = client.wait(SECONDS_DOWN + items / RATE + 60)
            else:
                began = server.child.kill()
                times += server.arrivals()
                time.sleep(SECONDS_DOWN)
                with fault_server(folder, *serve, name=f"{how}-second") as again:
                    recovered = time.monotonic()
                    ended = client.wait(SECONDS_DOWN + items / RATE + 60)
                    again.end()
                    times += again.arrivals()
        if how == "stopped":
            server.end()
            times += server.arrivals()
    if ended.code != 0:
        raise RuntimeError(f"{how}: exit status {ended.code}: {ended.stderr[-1000:]}")
    attempts = json.loads(ended.stdout)["attempts"]
    ok = len({json.loads(line)["key"] for line in out.read_bytes().splitlines() if json.loads(line)["ok"]})
    during = sum(began <= each < recovered for each in times)
    back = seconds_until_full(times, recovered)
    return Ran(f"{how}, {SECONDS_DOWN:g} s, for real", items, attempts, during, ok, back, 0)


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks outage", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000, help="in virtual time")
    parser.add_argument("--real-items", type=int, default=3_000)
    options = parser.parse_args(arguments)
    report = Report("outage", f"python -m benchmarks outage --items {options.items} --real-items {options.real_items}")
    ran = [in_virtual_time(how, options.items) for how in ("refused", "500", "silent", "429")]
    with scratch() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        real = [pool.submit(for_real, how, options.real_items, folder) for how in ("killed", "stopped")]
        ran += [each.result() for each in real]
    _report(report, ran)
    return report.finish()


def _report(report: Report, ran: list[Ran]) -> None:
    rows = [
        *(
            (
                *(each.name, f"{each.items:,}", f"{each.attempts:,}", f"{each.attempts / each.items:.3f}"),
                *(f"{each.during:,}", f"{each.items - each.ok:,}", f"{each.back:.1f} s", each.most or "not counted"),
            )
            for each in ran
        ),
    ]
    header = (
        "the host is",
        "items",
        "attempts",
        "an item",
        "calls it saw",
        "lost",
        "full rate after",
        "most in a second",
    )
    report.table(f"An outage in the middle of a run at {RATE}/s, latency {LATENCY:g} s", header, rows)
    report.note(
        "Calls it saw: those that arrived while it was down (a process that is not there sees none). Full rate after: "
        "from the recovery to the first second with 95 % of the limit. 429 without Retry-After is answered with "
        "pauses of up to a minute, which no probe shortens."
    )
    for each in ran:
        share = each.attempts / each.items
        report.goal(f"attempts, {each.name}", "at most 1.2 an item", f"{share:.3f}", share <= 1.2)
        report.goal(f"lost, {each.name}", "0", each.items - each.ok, each.ok == each.items)
        if each.most:
            report.goal(f"limit, {each.name}", f"at most {RATE} in any second", each.most, each.most <= RATE)
        if not each.name.startswith("429"):
            report.goal(f"recovery, {each.name}", "full rate within 5 s", f"{each.back:.1f} s", each.back <= 5.0)

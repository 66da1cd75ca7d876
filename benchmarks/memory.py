"""Peak memory of `penstock check` and `penstock send`, and whether it grows with the number of items, or of bytes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .processes import PENSTOCK, Ended, run, scratch
from .report import Report, megabytes
from .servers import fault_server

DIM = 128
PEAK_GOAL = 60e6
GROWTH_GOAL = 1e6
"""Bytes per million items: what the bitmap of what is done and the index of lines may take, and no more."""


LARGE = 1 << 20
LARGE_ITEMS = (300, 1200)
LARGE_IN_FLIGHT = 64
LARGE_GOAL = PEAK_GOAL + 3 * LARGE_IN_FLIGHT * LARGE
"""An answer that is in flight is in memory as parts, as a whole, and as what was read from it."""

LEAST_FOR_GROWTH = 200_000
"""Below it a peak is that of the start."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one run used."""

    command: str
    items: int
    ended: Ended
    peak: int
    rate: float

    def at(self, share: float) -> int:
        """Resident bytes after this share of the run."""
        wanted = share * self.ended.seconds
        return min(self.ended.samples, key=lambda sample: abs(sample[0] - wanted), default=(0.0, 0))[1]


def check(folder: Path, items: int) -> Used:
    """A census of `items` vectors against the oracle."""
    from penstock.testing import write_vectors

    vectors, out = folder / "vectors.bin", folder / f"census-{items}"
    write_vectors(vectors, items, DIM, seed=2)
    with fault_server(folder, "--oracle", vectors, "--dim", str(DIM), start_timeout=60 + items / 5e4) as server:
        command: list[str | Path] = [*PENSTOCK]
        command += ["check", vectors, "--dim", str(DIM), "--url", f"{server.url}/search", "--out", out]
        ended = run([*command, "--in-flight", "64", "--json"], folder=folder, timeout=120 + items / 2e3)
    vectors.unlink()
    return _used("check", items, ended)


def send(folder: Path, items: int) -> Used:
    """`items` tiny records against a server that echoes."""
    records, out = folder / "records.jsonl", folder / f"out-{items}.jsonl"
    with records.open("w") as file:
        file.writelines(f'{{"n": {number}}}\n' for number in range(items))
    with fault_server(folder) as server:
        command: list[str | Path] = [*PENSTOCK, "send", records, "--url", f"{server.url}/n", "--out", out]
        ended = run([*command, "--in-flight", "64", "--json"], folder=folder, timeout=120 + items / 2e3)
    for path in (records, out):
        path.unlink(missing_ok=True)
    return _used("send", items, ended)


def send_large(folder: Path, items: int) -> Used:
    """`items` tiny records against a server that answers each with a text of `LARGE` bytes."""
    records, out = folder / "records.jsonl", folder / f"large-{items}.jsonl"
    records.write_text("".join(f'{{"n": {number}}}\n' for number in range(items)))
    with _large_answers() as url:
        command: list[str | Path] = [*PENSTOCK, "send", records, "--url", f"{url}/n", "--out", out]
        ended = run([*command, "--in-flight", str(LARGE_IN_FLIGHT), "--json"], folder=folder, timeout=120 + items / 20)
    for path in (records, out):
        path.unlink(missing_ok=True)
    return _used("send, answers of 1 MiB", items, ended)


@contextlib.contextmanager
def _large_answers() -> Iterator[str]:
    from penstock.testing import FaultServer

    body = b'"' + LARGE * b"x" + b'"'
    loop, listening, addresses = asyncio.new_event_loop(), threading.Event(), list[str]()
    ended = asyncio.Event()

    async def serve() -> None:
        async with FaultServer(answer=lambda request: body) as server:
            addresses.append(server.url)
            listening.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        listening.wait()
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def _used(command: str, items: int, ended: Ended) -> Used:
    summary = ended.json()
    if ended.code != 0 or summary["ok"] != items:
        raise RuntimeError(f"{command}: exit status {ended.code}, {summary['ok']} of {items} ok: {ended.stderr[-500:]}")
    return Used(command, items, ended, max(ended.peak_rss, summary["peak_rss_bytes"]), summary["rate_per_s"])


def measure(report: Report, sizes: list[int], commands: tuple[str, ...] = ("check", "send")) -> None:
    """Measure both commands at all sizes, and judge."""
    ways = {"check": check, "send": send}
    used: list[Used] = []
    with scratch() as folder:
        for command in commands:
            for items in sizes:
                try:
                    used.append(ways[command](folder, items))
                    print(f"done: {command} {items:,}, peak {megabytes(used[-1].peak)} MB", flush=True)
                except (RuntimeError, TimeoutError) as error:
                    report.goal(f"memory, {command} {items:,}", "it ends well", str(error)[:300], passed=False)
    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    rows = [
        [f"penstock {each.command}", f"{each.items:,}", megabytes(each.peak)]
        + [megabytes(each.at(share)) for share in shares]
        + [f"{each.rate:,.0f}", f"{each.ended.seconds:,.0f}"]
        for each in used
    ]
    header = ["command", "items", "peak MB", *(f"at {share:.0%}" for share in shares), "items/s", "seconds"]
    report.table("Resident memory, 64 in flight (VmHWM, and VmRSS over the run)", header, rows)
    report.note("items/s is against the fault server, which is the slower of the two; see `speed` for speed.")
    for command in commands:
        _judge(report, [each for each in used if each.command == command])


def measure_large(report: Report) -> None:
    """Measure `send` with large answers, at two numbers of them, and judge."""
    with scratch() as folder:
        used = [send_large(folder, items) for items in LARGE_ITEMS]
    rows = [[f"penstock {each.command}", f"{each.items:,}", megabytes(each.peak), f"{each.rate:,.0f}"] for each in used]
    header = ["command", "items", "peak MB", "items/s"]
    report.table(f"Peak memory with large answers, {LARGE_IN_FLIGHT} in flight (VmHWM)", header, rows)
    for each in used:
        report.goal(
            f"peak of penstock {each.command}, {each.items:,} items",
            f"at most {LARGE_GOAL / 1e6:.0f} MB",
            f"{megabytes(each.peak)} MB",
            each.peak <= LARGE_GOAL,
        )


def _judge(report: Report, used: list[Used]) -> None:
    if not used:
        return
    most = max(used, key=lambda each: each.items)
    goal = f"at most {PEAK_GOAL / 1e6:.0f} MB"
    report.goal(
        f"peak of penstock {most.command}, {most.items:,} items",
        goal,
        f"{megabytes(most.peak)} MB",
        most.peak <= PEAK_GOAL,
    )
    if len(used) > 1 and used[0].items >= LEAST_FOR_GROWTH:
        least = min(used, key=lambda each: each.items)
        slope = (most.peak - least.peak) / (most.items - least.items) * 1e6
        report.goal(
            f"growth of penstock {most.command}, {least.items:,} to {most.items:,}",
            f"at most {GROWTH_GOAL / 1e6:.0f} MB per million items",
            f"{slope / 1e6:+.2f} MB per million",
            slope <= GROWTH_GOAL,
        )
    # The run itself, past its first fifth: start, survey and calibration.
    steady = [sample for sample in most.ended.samples if sample[0] > 0.2 * most.ended.seconds]
    if len(steady) >= 8:
        half = len(steady) // 2
        late, early = (statistics.fmean(size for _, size in part) for part in (steady[half:], steady[:half]))
        name = f"penstock {most.command}, {most.items:,} items"
        report.note(f"{name}, from 20 % on: the second half holds {(late - early) / 1e6:+.2f} MB against the first.")


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[200_000, 1_000_000])
    options = parser.parse_args(arguments)
    report = Report("memory", f"python -m benchmarks memory --items {' '.join(map(str, options.items))}")
    measure(report, sorted(options.items))
    measure_large(report)
    return report.finish()

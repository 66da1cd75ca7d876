"""SIGKILL at random moments of real runs: what is lost, what is doubled, what is called again, how soon it goes on."""

from __future__ import annotations

import bisect
import itertools
import random
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processes import CLIENT_CORE, PENSTOCK, Child, Ended, scratch
from .report import Report
from .servers import FaultProcess, fault_server

DIM = 16
IN_FLIGHT = 64
COMMIT_SECONDS = 0.25
"""As in penstock.runs.driver; written down again, because a judge does not ask the judged."""
LATENCY = "uniform:0.001:0.010"


@dataclass
class Tally:
    """What all rounds of one command came to."""

    kills: int = 0
    rounds: int = 0
    items: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    calls: int = 0
    allowed: int = 0
    """Repeated calls that the promise allows: at each kill what was in flight, and one commit interval."""
    resumed: list[float] = field(default_factory=list)
    """Seconds from the start of a process to its first send."""
    trouble: list[str] = field(default_factory=list)

    @property
    def repeated(self) -> int:
        """Calls beyond one an item."""
        return self.calls - self.items


Check = Callable[[Path, Ended, Tally], None]


def send_round(folder: Path, items: int, options: Sequence[str]) -> tuple[list[str | Path], Path, str]:
    """(command without --url, output, path of the URL) of one `penstock send`."""
    records, out = folder / "records.jsonl", folder / "out.jsonl"
    if not records.exists():
        records.write_text("".join(f'{{"n": {number}}}\n' for number in range(items)))
    return [*PENSTOCK, "send", records, "--out", out, *options], out, "/n"


def check_send(items: int) -> Check:
    """Every record once, with the answer to that record."""

    def judge(out: Path, ended: Ended, tally: Tally) -> None:
        import orjson

        seen: dict[int, int] = {}
        for line in out.read_bytes().splitlines():
            record = orjson.loads(line)
            seen[record["key"]] = seen.get(record["key"], 0) + 1
            tally.wrong += not record["ok"] or record["value"] != {"n": record["key"]}
        tally.lost += sum(number not in seen for number in range(items))
        tally.doubled += sum(count - 1 for count in seen.values())

    return judge


def check_census(items: int) -> Check:
    """Every vector has a finding, and it is SELF."""

    def judge(out: Path, ended: Ended, tally: Tally) -> None:
        summary = ended.json()
        tally.lost += items - summary["items"]
        tally.wrong += summary["items"] - summary["verdicts"]["SELF"]
        # A record has one place in the scoreboard; it cannot be there twice, but the file could have grown.
        tally.doubled += (out / "scoreboard").stat().st_size < items * 16

    return judge


def play(
    folder: Path,
    server: FaultProcess,
    command: Sequence[str | Path],
    out: Path,
    judge: Check,
    items: int,
    kills: int,
    rng: random.Random,
    extra_calls: int = 0,
) -> Tally:
    """Rounds of one command until `kills` processes were killed. The last round goes to its end."""
    tally = Tally()
    while tally.kills < kills and len(tally.trouble) < 5:
        _clear(out)
        before = server.statistics()["requests"]
        starts: list[float] = []
        deaths: list[float] = []
        ended = _one_round(folder, command, starts, deaths, kills - tally.kills, rng)
        tally.kills += len(deaths)
        tally.rounds += 1
        if ended.code != 0:
            tally.trouble.append(f"exit status {ended.code} after {len(deaths)} kills: {ended.stderr[-500:]}")
            continue
        tally.items += items + extra_calls
        tally.calls += server.statistics()["requests"] - before
        judge(out, ended, tally)
        time.sleep(0.3)  # the log of arrivals is written every 0.2 s
        _judge_times(server.arrivals(), starts, deaths, tally)
        print(
            f"{tally.kills} kills, {tally.rounds} rounds: {tally.lost} lost, {tally.doubled} doubled, "
            f"{tally.wrong} wrong, "
            f"{tally.repeated} repeated of {tally.allowed} allowed",
            flush=True,
        )
    return tally


def _one_round(
    folder: Path,
    command: Sequence[str | Path],
    starts: list[float],
    deaths: list[float],
    most: int,
    rng: random.Random,
) -> Ended:
    while True:
        with Child(command, core=CLIENT_CORE, folder=folder, name="killed") as child:
            starts.append(child.began)
            # Evenly over start, reopening and running, so that no moment is spared.
            deadline = child.began + (rng.uniform(0.05, 1.5) if len(deaths) < most else 120.0)
            while time.monotonic() < deadline:
                ended = child.poll()
                if ended is not None:
                    return ended
                time.sleep(0.01)
            if len(deaths) >= most:
                raise TimeoutError("a run that nobody killed did not end within 120 s")
            deaths.append(child.kill())


def _judge_times(times: Sequence[float], starts: Sequence[float], deaths: Sequence[float], tally: Tally) -> None:
    for died in deaths:
        end = bisect.bisect_right(times, died + 0.01)
        recent = end - bisect.bisect_left(times, died - COMMIT_SECONDS)
        tally.allowed += recent + IN_FLIGHT
    for start, following in itertools.pairwise([*starts[1:], float("inf")]):
        first = bisect.bisect_left(times, start)
        if first < len(times) and times[first] < following:
            tally.resumed.append(times[first] - start)


def _clear(out: Path) -> None:
    for path in (out, out.with_name(out.name + ".run")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def measure(report: Report, kills: int, seed: int = 0) -> None:
    """Half of the kills to `send`, half to `check`."""
    from penstock.testing import write_vectors

    rng = random.Random(seed)
    items = 20_000
    base = ["--in-flight", str(IN_FLIGHT), "--json", "--retry-on", "transient"]
    tallies: dict[str, Tally] = {}
    with scratch() as folder:
        with fault_server(folder, "--latency", LATENCY) as server:
            command, out, path = send_round(folder, items, base)
            argv = [*command, "--url", server.url + path]
            half = max(1, kills // 2)
            tallies["send"] = play(folder, server, argv, out, check_send(items), items, half, rng)
        vectors = folder / "vectors.bin"
        write_vectors(vectors, items, DIM, seed=3)
        with fault_server(folder, "--latency", LATENCY, "--oracle", vectors, "--dim", str(DIM)) as server:
            out = folder / "census"
            url = f"{server.url}/search"
            argv = [*PENSTOCK, "check", vectors, "--dim", str(DIM), "--url", url, "--out", out, *base]
            half = max(1, kills - kills // 2)
            # The calibration asks for 256 vectors that the census asks for again.
            tallies["check"] = play(folder, server, argv, out, check_census(items), items, half, rng, 256)
    report_kills(report, tallies)


def report_kills(report: Report, tallies: dict[str, Tally]) -> None:
    """The table of what the kills came to, and the goals."""
    rows: list[Sequence[Any]] = []
    for name, each in tallies.items():
        resumed = sorted(each.resumed) or [0.0]
        rows.append(
            [
                *(f"penstock {name}", each.kills, each.rounds, f"{each.items:,}"),
                *(each.lost, each.doubled, each.wrong, f"{each.repeated:,}", f"{each.allowed:,}"),
                *(f"{statistics.median(resumed):.2f}", f"{resumed[-1]:.2f}"),
            ]
        )
    header = ["command", "kills", "runs", "items", "lost", "doubled", "wrong", "repeated", "allowed"]
    report.table(
        f"SIGKILL 0.05 to 1.5 s after the start of the process, {IN_FLIGHT} in flight",
        [*header, "resume s (median)", "(max)"],
        rows,
    )
    report.note(
        "Repeated: arrivals at the server beyond one an item (and the 256 of a calibration). Allowed: at each kill "
        f"{IN_FLIGHT} in flight and the arrivals of the last {COMMIT_SECONDS:g} s, the commit interval; both summed "
        "over all kills. Resume: from the start of the process to its first arrival."
    )
    for name, each in tallies.items():
        clean = (each.lost, each.doubled, each.wrong) == (0, 0, 0) and not each.trouble
        measured = f"{each.lost} lost, {each.doubled} doubled, {each.wrong} wrong {' '.join(each.trouble[:2])}"
        report.goal(f"{each.kills} kills of {name}", "0 lost, 0 doubled, 0 wrong", measured, clean)
        within = each.repeated <= each.allowed
        report.goal(f"repeated calls of {name}", f"at most {each.allowed:,}", f"{each.repeated:,}", within)

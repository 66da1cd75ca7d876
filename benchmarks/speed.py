"""Calls a second on one pinned core, against nginx on the other: penstock with everything on, and the others."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .processes import CLIENT_CORE, PENSTOCK, SERVER_CORE, Ended, need, run, scratch
from .report import Report, megabytes
from .servers import nginx

DIM = 128
TIMEOUT = 180.0

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = assert(io.open("{body}", "rb"))
wrk.body = file:read("*all")
file:close()
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One client in one round."""

    rate: float
    """Requests a second from the first send to the last answer, by the client's own clock."""
    whole_rate: float
    """The same over the life of its process."""
    cpu_us: float
    peak_rss: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What all clients are given."""

    folder: Path
    url: str
    vectors: Path
    records: Path
    body: Path
    items: int


Client = Callable[[Setting, int], Measured]


def penstock_check(setting: Setting, number: int) -> Measured:
    """The census with everything on."""
    out = setting.folder / f"check-{number}"
    command: list[str | Path] = [*PENSTOCK]
    command += ["check", setting.vectors, "--dim", str(DIM), "--url", setting.url, "--out", out]
    ended = run([*command, *_everything_on()], folder=setting.folder, timeout=TIMEOUT, name="check")
    return _of_penstock(ended, setting.items)


def penstock_send(setting: Setting, number: int) -> Measured:
    """The same requests from JSON lines, answers written to JSON lines."""
    out = setting.folder / f"send-{number}.jsonl"
    command: list[str | Path] = [*PENSTOCK, "send", setting.records, "--url", setting.url, "--out", out]
    options = ["--extract", "similarity", "--retry-on", "transient", *_everything_on()]
    ended = run([*command, *options], folder=setting.folder, timeout=TIMEOUT, name="send")
    out.unlink(missing_ok=True)
    return _of_penstock(ended, setting.items)


def _everything_on() -> list[str]:
    return ["--limit", "1000000/s", "--in-flight", "64", "--json"]


def _of_penstock(ended: Ended, items: int) -> Measured:
    summary = ended.json()
    if ended.code != 0 or summary["ok"] != items:
        raise RuntimeError(f"penstock ended with {ended.code}, {summary['ok']} of {items} ok: {ended.stderr[-500:]}")
    # All of its CPU: also start, reading and checking the input.
    peak = max(ended.peak_rss, summary["peak_rss_bytes"])
    return Measured(summary["rate_per_s"], items / ended.seconds, ended.cpu / items * 1e6, peak)


def pattern(name: str, share: float) -> Client:
    """A pattern of `benchmarks.patterns`, for `share` of the items: the slow ones need not do all."""

    def measure(setting: Setting, number: int) -> Measured:
        count = max(500, int(setting.items * share))
        what = [setting.url, str(setting.vectors), str(DIM), str(count)]
        argv = [sys.executable, "-m", "benchmarks.patterns", name, *what]
        ended = run(argv, folder=setting.folder, timeout=TIMEOUT, name=name)
        said = ended.json()
        if said["wrong"]:
            raise RuntimeError(f"{name}: {said['wrong']} of {said['requests']} answers were wrong")
        requests = said["requests"]
        return Measured(
            requests / said["seconds"], requests / ended.seconds, said["cpu"] / requests * 1e6, ended.peak_rss
        )

    return measure


def hey(setting: Setting, number: int) -> Measured:
    """`hey`, in Go."""
    count = max(5000, setting.items // 2)
    argv = [need("hey", "hey"), "-cpus", "1", "-n", str(count), "-c", "64", "-m", "POST"]
    argv += ["-T", "application/json", "-D", str(setting.body), setting.url]
    ended = run(argv, folder=setting.folder, timeout=TIMEOUT, name="hey")
    answered = _number(r"\[200\]\s+(\d+) responses", ended)
    rate = _number(r"Requests/sec:\s+([\d.]+)", ended)
    return Measured(rate, answered / ended.seconds, ended.cpu / answered * 1e6, ended.peak_rss)


def wrk(seconds: int) -> Client:
    """`wrk`, in C: what one core can do at most. It parses no JSON."""

    def measure(setting: Setting, number: int) -> Measured:
        script = setting.folder / "post.lua"
        script.write_text(_LUA.format(body=setting.body))
        argv = [need("wrk", "wrk"), "-t1", "-c64", f"-d{seconds}s", "-s", str(script), setting.url]
        ended = run(argv, folder=setting.folder, timeout=TIMEOUT, name="wrk")
        if "Non-2xx" in ended.stdout or "Socket errors" in ended.stdout:
            raise RuntimeError(f"wrk met errors: {ended.stdout}")
        requests = _number(r"(\d+) requests in", ended)
        rate = _number(r"Requests/sec:\s+([\d.]+)", ended)
        return Measured(rate, requests / ended.seconds, ended.cpu / requests * 1e6, ended.peak_rss)

    return measure


def _number(expression: str, ended: Ended) -> float:
    match = re.search(expression, ended.stdout)
    if match is None:
        raise RuntimeError(f"exit status {ended.code}: {ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    return float(match[1])


CLASSIC = "Semaphore(50) + aiohttp + gather"
CHECK = "penstock check"
WRK = "wrk -t1 -c64"


def clients(wrk_seconds: int) -> dict[str, Client]:
    """Everybody who is compared, by the name in the table."""
    return {
        CHECK: penstock_check,
        "penstock send": penstock_send,
        CLASSIC: pattern("aiohttp_gather", 0.1),
        "the same, tuned (uvloop, orjson, bodies made ahead)": pattern("aiohttp_tuned", 0.2),
        "Semaphore(50) + httpx + gather": pattern("httpx_gather", 0.01),
        "aiometer (50 at once) + aiohttp": pattern("aiometer_aiohttp", 0.05),
        "hey -c 64 (Go)": hey,
        WRK: wrk(wrk_seconds),
    }


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks speed", description=__doc__)
    parser.add_argument("--items", type=int, default=200_000, help="vectors for penstock; the others get a share")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wrk-seconds", type=int, default=4)
    options = parser.parse_args(arguments)
    report = Report("speed", f"python -m benchmarks speed --items {options.items} --rounds {options.rounds}")
    with scratch() as folder, nginx(folder) as port:
        setting = _setting(folder, f"http://127.0.0.1:{port}/search", options.items)
        size = setting.body.stat().st_size
        everybody = clients(options.wrk_seconds)
        measured: dict[str, list[Measured]] = {name: [] for name in everybody}
        broken: dict[str, str] = {}
        for number in range(options.rounds):
            for name, client in everybody.items():
                if name in broken:
                    continue
                try:
                    measured[name].append(client(setting, number))
                    last = measured[name][-1]
                    print(f"round {number + 1}  {name}: {last.rate:,.0f}/s, {last.cpu_us:.1f} us", flush=True)
                except (RuntimeError, TimeoutError) as error:
                    broken[name] = str(error)
                    print(f"round {number + 1}  {name}: FAILED: {error}", flush=True)
    _report(report, measured, broken, size, options.rounds)
    return report.finish()


def _report(
    report: Report, measured: dict[str, list[Measured]], broken: dict[str, str], size: int, rounds: int
) -> None:
    rates = {name: statistics.median(each.rate for each in runs) for name, runs in measured.items() if runs}
    cpus = {name: statistics.median(each.cpu_us for each in runs) for name, runs in measured.items() if runs}
    rows = []
    for name, runs in measured.items():
        if name in broken or not runs:
            rows.append([name, f"failed: {broken.get(name, '')[:80]}", *[""] * 7])
            continue
        rate = rates[name]
        rows.append(
            [
                name,
                f"{rate:,.0f}",
                f"{min(each.rate for each in runs):,.0f} to {max(each.rate for each in runs):,.0f}",
                f"{statistics.median(each.whole_rate for each in runs):,.0f}",
                f"{cpus[name]:.1f}",
                megabytes(max(each.peak_rss for each in runs)),
                _ratio(rate, rates.get(CLASSIC)),
                _ratio(rate, rates.get(WRK)),
                _ratio(cpus.get(CLASSIC, 0.0), cpus[name]),
            ]
        )
    header = (
        "client",
        "requests/s",
        "range",
        "whole process",
        "CPU us",
        "peak MB",
        "vs classic",
        "vs wrk",
        "CPU vs classic",
    )
    report.table(
        f"{size:,} B vector POST to nginx, client on core {CLIENT_CORE}, nginx on core {SERVER_CORE}, "
        f"median of {rounds} interleaved rounds",
        header,
        rows,
    )
    report.note(
        "requests/s is from the first send to the last answer by the client's own clock; whole process also has start, "
        "imports and, for penstock, reading and checking the input. CPU is user + system a request: of the whole "
        "process for penstock, hey and wrk, of the calls alone for the Python patterns. Only the Python clients parse "
        "and judge the answer. CPU vs classic is the ratio of the CPU columns, which a busy "
        "machine disturbs less. penstock has a limit (1,000,000/s), retries, timeouts, and a journal on disk."
    )
    for other, least in ((CLASSIC, 6.0), (WRK, 0.3)):
        if CHECK in rates and other in rates:
            ratio = rates[CHECK] / rates[other]
            report.goal(f"penstock check against {other}", f"at least {least:g}x", f"{ratio:.2f}x", ratio >= least)
        else:
            report.goal(f"penstock check against {other}", f"at least {least:g}x", "not measured", passed=False)


def _ratio(rate: float, other: float | None) -> str:
    return "-" if not other else f"{rate / other:.2f}x"


def _setting(folder: Path, url: str, items: int) -> Setting:
    import numpy as np
    import orjson

    from penstock.testing import write_vectors

    vectors, records, body = folder / "vectors.bin", folder / "records.jsonl", folder / "body.json"
    write_vectors(vectors, items, DIM, seed=1)
    with vectors.open("rb") as source, records.open("wb") as target:
        while block := source.read(4 * DIM * 1000):
            rows = np.frombuffer(block, dtype=np.float32).reshape(-1, DIM)
            option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
            lines = [orjson.dumps({"vector": row, "top_k": 1}, option=option) for row in rows]
            target.write(b"".join(lines))
    body.write_bytes(lines[-1].rstrip())
    assert json.loads(body.read_bytes())["top_k"] == 1
    return Setting(folder, url, vectors, records, body, items)

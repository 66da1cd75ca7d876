"""POSTs lost to servers that close kept connections without saying so: penstock, and an aiohttp loop."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .closing_server import CLOSING
from .processes import PENSTOCK, run, scratch
from .report import Report

_SERVERS: dict[str, list[str]] = {"honest": [], **CLOSING}
# The limit, how many POSTs, and the share of them that may be lost.
_RATES = ((100, 500, 0.0), (500, 3000, 0.001), (None, 3000, 0.005))
# Nothing but a use shows that a connection which lives for longer than its rest is not listened to any more.
_FOUND_OUT_BY_USE = {"after 50 ms": 1}

_AIOHTTP = """
import asyncio, json, sys, aiohttp
url, count = sys.argv[1], int(sys.argv[2])
async def main():
    numbers, lost = iter(range(count)), 0
    async def work():
        nonlocal lost
        for _ in numbers:
            try:
                async with session.post(url, data=b"{}") as answer:
                    await answer.read()
            except aiohttp.ClientError:
                lost += 1
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work() for _ in range(20)))
    print(json.dumps(lost))
asyncio.run(main())
"""


@contextmanager
def _server(options: list[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    argv = [sys.executable, "-m", "benchmarks.closing_server", *options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/", child
        finally:
            child.kill()


def _penstock(folder: Path, options: list[str], limit: int | None, count: int, number: int) -> tuple[int, int]:
    """How many of `count` were lost, and how many connections were opened."""
    records = folder / f"{count}.jsonl"
    records.write_text("".join(f'{{"id": {n}}}\n' for n in range(count)))
    with _server(options) as (url, child):
        command: list[str | Path] = [*PENSTOCK, "send", records, "--url", url, "--out", folder / f"{number}.jsonl"]
        command += ["--in-flight", "20", "--attempts", "1", "--json", "--quiet"]
        command += [] if limit is None else ["--limit", f"{limit}/s"]
        summary = run(command, folder=folder, timeout=120, name="send").json()
        counted = json.loads(child.communicate("", timeout=10)[0])
    return count - int(summary["ok"]), int(counted["connections"])


def _aiohttp(folder: Path, options: list[str], count: int) -> int:
    with _server(options) as (url, _):
        ended = run([sys.executable, "-c", _AIOHTTP, url, str(count)], folder=folder, timeout=120, name="aiohttp")
        return int(ended.stdout)


def main(arguments: list[str] | None = None) -> bool:
    """True if no share lost is above its goal."""
    argparse.ArgumentParser(prog="python -m benchmarks closing", description=__doc__).parse_args(arguments)
    report = Report("closing", "python -m benchmarks closing")
    rows: list[list[str]] = []
    with scratch() as folder:
        for server, options in _SERVERS.items():
            row = [server]
            for limit, count, most in _RATES:
                lost, connections = _penstock(folder, options, limit, count, len(rows) * len(_RATES) + len(row))
                row.append(f"{lost} of {count}, {connections:,}")
                allowed = max(int(count * most), _FOUND_OUT_BY_USE.get(server, 0))
                name = f"{server}, {'no limit' if limit is None else f'{limit}/s'}"
                report.goal(f"lost, {name}", f"at most {allowed}", lost, lost <= allowed)
            row.append(f"{_aiohttp(folder, options, 3000)} of 3000")
            rows.append(row)
    header = ("server closes", "100/s: lost, connections", "500/s", "no limit", "aiohttp, no limit: lost")
    report.table("POSTs lost, with 20 in flight", header, rows)
    return report.finish()

"""The app is down for ten minutes: real processes and sockets, everything twenty times as fast.

Ten minutes are 30 s; `max-age=60, stale-if-error=1200` is `max-age=3, stale-if-error=60`. The app is killed with
kill -9, so connections to it are refused, and started again. In a second part it hangs (SIGSTOP) instead.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .cache_cold import count, slow_origin
from .cache_servers import Served, cache_versions, caches, penstock
from .processes import scratch
from .report import Report
from .servers import free_port

_FIELDS = "Cache-Control: public, max-age=3, stale-if-error=60"
_FORBIDDEN = ("short", "must")


@dataclass
class Seen:
    """What one client got from one proxy. Times in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    forbidden: int = 0
    """Answers 200 to what may not be served any more."""
    told: int = 0
    """Answers with an error to what may not be served any more."""


class Client:
    """Asks one proxy over one connection, which it opens again when it is closed."""

    def __init__(self, server: Served, timeout: float = 20.0) -> None:
        self.server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)

    def ask(self, path: str) -> tuple[int, float]:
        """Status (0: none) and seconds."""
        began = time.monotonic()
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status, time.monotonic() - began
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, time.monotonic() - began


def main(arguments: list[str]) -> bool:
    """Whether every key within stale-if-error is served at once, and none that may not be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_outage")
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the outage")
    options = parser.parse_args(arguments)
    report = Report("cache_outage", "python -m benchmarks cache_outage")
    report.facts |= cache_versions()
    report.note(
        f"Real processes, twenty times as fast: {options.seconds:g} s stand for {options.seconds / 3:.0f} minutes, "
        "max-age=3, stale-if-error=60 for a minute and twenty. nginx has `proxy_cache_use_stale error`, without which "
        "it would serve what says stale-if-error only; Varnish knows no stale-if-error and has its 10 s of grace."
    )
    with scratch() as folder:
        _killed(report, folder, options)
        _hanging(report, folder)
    return report.finish()


def _killed(report: Report, folder: Path, options: argparse.Namespace) -> None:
    port = free_port()
    with ExitStack() as stack:
        source = stack.enter_context(slow_origin(folder, 0.0, fields=_FIELDS, port=port))
        clients = [Client(server) for server in stack.enter_context(caches(folder, port))]
        paths = [f"/key/{number}" for number in range(options.keys)]
        for client in clients:
            _fill(client, [*paths, *(f"/{each}/1" for each in _FORBIDDEN)])
        source.child.kill()
        # Past max-age of all, and past what /short/ and /must/ allow: from now on only stale answers can come.
        time.sleep(4)
        seen = {client.server.name: Seen() for client in clients}
        until = time.monotonic() + options.seconds - 4
        while time.monotonic() < until:
            for client in clients:
                _pass(client, paths, seen[client.server.name])
        again = stack.enter_context(slow_origin(folder, 0.0, fields=_FIELDS, port=port, name="again"))
        recovered = {client.server.name: _recovery(client, again, paths) for client in clients}
    rows = []
    for name, what in seen.items():
        total = what.statuses.total()
        rows.append(
            (
                name,
                f"{total:,}",
                f"{what.statuses[200]:,} ({what.statuses[200] / total:.1%})",
                f"{what.slowest * 1000:.0f} ms",
                f"{what.forbidden} of {what.forbidden + what.told}",
                f"{recovered[name]:.1f} s",
            )
        )
    header = ("proxy", "asked", "answered 200", "slowest", "served though forbidden", "asks the app again after")
    report.table(f"killed: {options.keys:,} keys, asked again and again while the app is down", header, rows)
    ours = seen["penstock"]
    lost = ours.statuses.total() - ours.statuses[200]
    report.goal("keys within stale-if-error that were not served", "0", lost, not lost)
    report.goal("stale answers that were not allowed", "0", ours.forbidden, not ours.forbidden)
    report.goal("asks the app again", "within 3 s", f"{recovered['penstock']:.1f} s", recovered["penstock"] <= 3)


def _fill(client: Client, paths: list[str]) -> None:
    wrong = [path for path in paths if client.ask(path)[0] != 200]
    if wrong:
        raise RuntimeError(f"{client.server.name} did not answer {len(wrong)} of {len(paths)}")


def _pass(client: Client, paths: list[str], seen: Seen) -> None:
    for path in paths:
        status, seconds = client.ask(path)
        seen.statuses[status] += 1
        seen.slowest = max(seen.slowest, seconds)
    for each in _FORBIDDEN:
        if client.ask(f"/{each}/1")[0] == 200:
            seen.forbidden += 1
        else:
            seen.told += 1


def _recovery(client: Client, source: Served, paths: list[str]) -> float:
    """Seconds from the first request after the start until one reached the app."""
    began = time.monotonic()
    before = count(source)
    while time.monotonic() - began < 10:
        client.ask(paths[0])
        if count(source) > before:
            break
        time.sleep(0.05)
    return time.monotonic() - began


def _hanging(report: Report, folder: Path) -> None:
    """A stopped app still takes connections, so only a timeout tells."""
    own = folder / "hanging"
    own.mkdir()
    with (
        slow_origin(own, 0.0, fields=_FIELDS) as source,
        penstock(own, source.port, "--first-byte-timeout", "1s") as server,
    ):
        client = Client(server)
        paths = [f"/key/{number}" for number in range(100)]
        _fill(client, paths)
        time.sleep(4)
        os.kill(source.child.pid, signal.SIGSTOP)
        times, wrong = [], 0
        until = time.monotonic() + 10
        with contextlib.ExitStack() as stack:
            stack.callback(os.kill, source.child.pid, signal.SIGCONT)
            while time.monotonic() < until:
                for path in paths:
                    status, seconds = client.ask(path)
                    times.append(seconds)
                    wrong += status != 200
    slow = sum(seconds > 0.5 for seconds in times)
    header = ("asked", "not 200", "waited for the timeout", "slowest")
    row = (f"{len(times):,}", wrong, slow, f"{max(times):.2f} s")
    report.table("hanging for 10 s: penstock, --first-byte-timeout 1s, one client", header, [row])
    report.goal("keys not served while the app hangs", "0", wrong, not wrong)

"""1,000 clients at once: on a key that is not in the cache, and on one whose answer may not be shared."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .cache_servers import Served, cache_versions, get, nginx_cache, penstock, varnish, wait_for
from .processes import CLIENT_CORE, Child, run, scratch
from .report import Report
from .servers import free_port

DELAY = 0.5
_DEFAULT = "penstock, 1,024 connections to the app (default)"
_WIDE = "penstock, --origin-connections 2000"


def main(arguments: list[str]) -> bool:
    """Whether one request reaches the origin, and nobody waits for others where answers may not be shared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_cold")
    parser.add_argument("--clients", type=int, default=1000)
    options = parser.parse_args(arguments)
    report = Report("cache_cold", "python -m benchmarks cache_cold")
    report.facts |= cache_versions()
    cold: list[tuple[object, ...]] = []
    private: list[tuple[object, ...]] = []
    results: dict[str, tuple[int, list[dict[str, float]]]] = {}
    with scratch() as folder, slow_origin(folder, DELAY) as source:
        for name in (_WIDE, _DEFAULT, "varnish", "nginx"):
            own = folder / name.replace(" ", "-").replace(",", "")
            own.mkdir()
            with _start(name, own, source.port) as server:
                # Opens what a proxy opens late, and lets nginx read its cache folder.
                get(server.port, "/warm")
                before = count(source)
                found = _bursts(folder, server, options.clients, ["/cold"])
                asked = count(source) - before
                found += _bursts(folder, server, options.clients, ["/private/1"] * 3)
            results[name] = (asked, found)
            cold.append((name, asked, *(f"{found[0][key]:.2f} s" for key in ("first", "slowest")), found[0]["wrong"]))
            private.append((name, *(f"{_ratio(each):.2f}x" for each in found[1:]), sum(e["wrong"] for e in found[1:])))
    header = ("proxy", "requests to the origin", "first answer", "slowest answer", "not 200")
    report.table(
        f"a cold key, {options.clients:,} clients at once, the origin takes {DELAY * 1000:.0f} ms", header, cold
    )
    header = ("proxy", "first burst: slowest/origin", "second", "third", "not 200")
    report.table(f"`private`, {options.clients:,} clients at once, three times", header, private)
    _goals(report, results)
    return report.finish()


def _goals(report: Report, results: dict[str, tuple[int, list[dict[str, float]]]]) -> None:
    asked, found = results[_WIDE]
    report.goal("requests to the origin for a cold key", "1", asked, asked == 1)
    report.goal("slowest of a cold key / origin", "below 2x", f"{_ratio(found[0]):.2f}x", _ratio(found[0]) < 2)
    report.goal(
        "first burst on `private`, slowest / origin", "below 3x", f"{_ratio(found[1]):.2f}x", _ratio(found[1]) < 3
    )
    later = max(map(_ratio, found[2:]))
    report.goal("later bursts, slowest / origin", "below 2x", f"{later:.2f}x", later < 2)
    wrong = sum(each["wrong"] for each in found)
    report.goal("answers that are not 200", "0", wrong, not wrong)


def _start(name: str, folder: Path, to: int) -> AbstractContextManager[Served]:
    if name == "varnish":
        return varnish(folder, to)
    if name == "nginx":
        return nginx_cache(folder, to)
    return penstock(folder, to, *(["--origin-connections", "2000"] if name == _WIDE else []))


def _bursts(folder: Path, server: Served, clients: int, paths: list[str]) -> list[dict[str, float]]:
    argv: list[str | Path] = [sys.executable, "-m", "benchmarks.cache_burst", "--port", str(server.port)]
    argv += ["--clients", str(clients), *(part for path in paths for part in ("--path", path))]
    found: Any = run(argv, folder=folder, timeout=180, core=CLIENT_CORE, name="burst").json()
    return [*found]


def _ratio(burst: dict[str, float]) -> float:
    return burst["slowest"] / DELAY


@contextlib.contextmanager
def slow_origin(
    folder: Path, delay: float, *, fields: str | None = None, port: int | None = None, name: str = "slow"
) -> Iterator[Served]:
    """`cache_slow_origin` on the client's core."""
    port = port or free_port()
    argv: list[str | Path] = [sys.executable, "-m", "benchmarks.cache_slow_origin", "--port", str(port)]
    argv += ["--delay", f"{delay:g}", *(["--fields", fields] if fields is not None else [])]
    with Child(argv, core=CLIENT_CORE, folder=folder, name=name) as child:
        wait_for(child, port, name)
        yield Served(name, port, child)


def count(source: Served) -> int:
    """Requests to the slow origin so far."""
    return int(get(source.port, "/_count")[1])

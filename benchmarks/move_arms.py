"""What an arm costs: the choice in microseconds, and CPU of FastAPI routes with and without, in interleaved pairs."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import penstock

from .move_arms_server import ratios
from .move_load import write_share
from .processes import MissingTool, scratch
from .report import Report

GOAL_US, GOAL_SHARE = 3.0, 0.05
_HEADERS = [
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"cookie", b"theme=dark; seen=1"),
    (b"x-user-id", b"6f1c2a9e-41d7-4b8a-9a53-5a1d8e2c7b10"),
]
_SCOPE = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"} | {
    "path": "/quote/7",
    "raw_path": b"/quote/7",
    "query_string": b"",
    "root_path": "",
    "headers": _HEADERS,
}
KINDS = ("sync", "sync with a response model", "async")
WAYS = ("bare", "arms, off", "arms, 50 % by key", "arms, MoveMiddleware, 50 % by key")
_OF_PATHS = {"off": "arms, off", "half": "arms, 50 % by key"}
_SHARE = f"at most {GOAL_SHARE:.0%}"
SHARES = {"arms, off": 0.0, "arms, 50 % by key": 0.5, "arms, MoveMiddleware, 50 % by key": 0.5}


def quote_of(way: str, kind: str) -> Any:
    """The endpoint of a route, with arms or bare."""

    def sync_quote(number: int) -> dict[str, int]:
        return {"number": number}

    async def async_quote(number: int) -> dict[str, int]:
        return {"number": number}

    own: Any = async_quote if kind == "async" else sync_quote
    quote = own
    if way != "bare":
        quote = penstock.arms(f"{way} {kind}", key="x-user-id", max_in_flight=100)(quote)
        # Of the same colour, so that a pair differs in nothing but us.
        quote.arm("async")(own)
    return quote


def app_of(way: str, kind: str) -> Any:
    """FastAPI with one route."""
    try:
        from fastapi import FastAPI
    except ImportError:
        raise MissingTool("fastapi is not there: make .venv/.bench-ready") from None
    app = FastAPI()
    model = dict[str, int] if "model" in kind else None
    app.get("/quote/{number}", response_model=model)(quote_of(way, kind))
    if "MoveMiddleware" in way:
        app.add_middleware(penstock.MoveMiddleware)
    return app


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    assert message.get("status", 200) == 200


async def cpu_of(app: Any, requests: int) -> float:
    """Seconds of CPU of this process, a request; the pool of threads is a part of it."""
    began = time.process_time()
    for _ in range(requests):
        await app(dict(_SCOPE), _receive, _send)
    return (time.process_time() - began) / requests


async def pairs(kind: str, rounds: int, requests: int) -> dict[str, tuple[float, float]]:
    """Median microseconds a request, and the median ratio to the bare route next to it."""
    apps = {way: app_of(way, kind) for way in WAYS}
    for app in apps.values():
        await cpu_of(app, requests)
    found: dict[str, tuple[float, float]] = {}
    for way in WAYS[1:]:
        cpu, ratios = [], []
        for _ in range(rounds):
            # A B B A: what drifts evenly is the same for both.
            first, second, third, fourth = [await cpu_of(apps[each], requests) for each in ("bare", way, way, "bare")]
            cpu.append((second + third) / 2)
            ratios.append((second + third) / (first + fourth))
        found[way] = (statistics.median(cpu) * 1e6, statistics.median(ratios))
    return found


def choices(folder: Path) -> dict[str, float]:
    """Microseconds for one choice, best of seven, by how it comes about."""
    from penstock.migrate.choice import ArmChoice
    from penstock.migrate.keys import KeyReader
    from penstock.migrate.under_way import UNDER_WAY, AsgiUnderWay
    from penstock.migrate.watch import WATCH

    WATCH.start()
    UNDER_WAY.set(AsgiUnderWay(dict(_SCOPE), _receive, _send))
    reader = KeyReader("GET /arm", "x-user-id")
    choice = ArmChoice("GET /arm", {"control", "async"}, lambda: None)
    found = {}
    for name, share in {"no share": 0.0, "all": 1.0, "half, by the key in a header": 0.5}.items():
        write_share(folder / "arms.json", share)
        WATCH.look()
        found[name] = _best(lambda: choice.arm(lambda: reader.read(None, (), {})))
    UNDER_WAY.set(None)
    return found


def _best(work: Callable[[], object], repeats: int = 20_000) -> float:
    times = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        times.append((time.perf_counter() - began) / repeats)
    return min(times) * 1e6


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_arms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=200, help="of each part of a pair")
    parser.add_argument("--server-rounds", type=int, default=8, help="behind uvicorn; a round is four seconds")
    options = parser.parse_args(arguments)
    command = f"python -m benchmarks move_arms --rounds {options.rounds} --requests {options.requests}"
    report = Report("move_arms", command)
    with scratch() as folder:
        os.environ["PENSTOCK_ARMS"] = str(folder / "arms.json")
        found = choices(folder)
        report.table(
            "The choice of an arm, best of seven", ("share", "us"), [(k, f"{v:.2f}") for k, v in found.items()]
        )
        worst = max(found.values())
        report.goal("the choice of an arm", f"at most {GOAL_US:g} us", f"{worst:.2f} us", worst <= GOAL_US)
        _write_shares(folder)
        for kind in KINDS:
            costs = asyncio.run(pairs(kind, options.rounds, options.requests))
            rows = [(way, f"{us:.0f}", f"{(ratio - 1) * 100:+.1f} %") for way, (us, ratio) in costs.items()]
            report.table(
                f"FastAPI, {kind}; the arm is of the same colour", ("what", "CPU us a request", "over bare"), rows
            )
            if kind == "sync":
                over = max(costs[way][1] for way in ("arms, off", "arms, 50 % by key")) - 1
                report.goal("CPU of a sync route with arms, in process", _SHARE, f"{over:+.1%}", over <= GOAL_SHARE)
        _behind_a_server(report, folder, options.server_rounds)
    report.note(
        "With a response model FastAPI sends the answer of a sync route through its pool of threads a second time, to "
        "validate it; of an async route, which one with arms is, it validates on the event loop."
    )
    return report.finish()


def _behind_a_server(report: Report, folder: Path, rounds: int) -> None:
    found = ratios(folder, ("off", "half"), rounds)
    report.table(
        "FastAPI, sync, behind uvicorn with wrk on the other core, routes in one process",
        ("what", "bare, CPU us a request", "with arms", "over bare"),
        [
            (_OF_PATHS[path], f"{bare:.0f}", f"{own:.0f}", f"{(ratio - 1) * 100:+.1f} %")
            for path, (bare, own, ratio) in found.items()
        ],
    )
    over = max(ratio for _, _, ratio in found.values()) - 1
    report.goal("CPU of a sync route with arms, behind uvicorn", _SHARE, f"{over:+.1%}", over <= GOAL_SHARE)


def _write_shares(folder: Path) -> None:
    import json

    from penstock.migrate.watch import WATCH

    routes = {f"{way} {kind}": {"arm": "async", "share": SHARES[way]} for way in WAYS[1:] for kind in KINDS}
    (folder / "arms.json").write_text(json.dumps({"version": 1, "routes": routes}))
    WATCH.look()

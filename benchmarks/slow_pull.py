"""The 100/min API that takes 8 to 30 s a page: how much of the limit does `penstock pull` use, is it ever refused?"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.messages import Headers, Request, Response
from penstock.testing import PagedApi, ServedRequest, SimulatedApi, most_in_any_window, uniform

from .processes import PENSTOCK, run, scratch
from .report import Report
from .servers import fault_server
from .slow_api import LIMIT, WINDOW, GrainedLoop

PAGE_SIZE = 10
SCALE = 60
"""In real time a minute is a second."""
GUARD = "8ms"
"""In real time. By itself penstock adds 0.25 % to a window of a minute and 1.5 % to one of a second, because jitter is
no shorter where the window is; sixty times as short as that of a minute it would be 2.5 ms, less than a busy machine's
timers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API saw of one pull, and what came of it."""

    rows: int
    wanted: int
    arrivals: Sequence[float]
    refused: int
    most: int
    in_flight: int
    window: float

    @property
    def share(self) -> float:
        """(arrivals - 1) / (seconds from the first to the last arrival x limit), from the second page on."""
        return self._share(self.arrivals[1:])

    @property
    def whole_share(self) -> float:
        """The same with the first page, which has to be waited for: only its answer tells how many there are."""
        return self._share(self.arrivals)

    def _share(self, times: Sequence[float]) -> float:
        return (len(times) - 1) / ((times[-1] - times[0]) * LIMIT / self.window)


class Wire:
    """A paged API as a client that needs no socket, slow and limited in virtual time."""

    def __init__(self, api: PagedApi, seed: int) -> None:
        self._api = api
        self.server = SimulatedApi(f"{LIMIT}/min", latency=uniform(8, 30), seed=seed, answer=self._answer)

    async def __call__(self, request: Request) -> Response:
        """Raises Throttled for what is above the limit."""
        response: Response = await self.server(request)
        return response

    def _answer(self, request: Request) -> Response:
        target = "/" + request.url.split("/", 3)[3]
        reply = self._api(ServedRequest(request.method, target.encode(), {"host": "api.test"}, b""))
        return Response(reply.status, Headers({"Content-Type": "application/json", **reply.headers}), reply.body)


def in_virtual_time(pages: int, seed: int) -> Seen:
    """`penstock.pull` with a limit and the timeout that such an API needs; nothing else is given."""
    import penstock

    api = PagedApi(rows=pages * PAGE_SIZE, page_size=PAGE_SIZE)

    async def play() -> Seen:
        wire, rows = Wire(api, seed), 0
        async with penstock.pull(
            "http://api.test/rows",
            paginate=penstock.Offset(size=PAGE_SIZE),
            rows="items",
            total="total",
            limit=f"{LIMIT}/min",
            attempt_timeout=60.0,
            client=wire,
        ) as found:
            async for page in found:
                rows += len(page.rows)
        server = wire.server
        most = most_in_any_window(server.arrivals, WINDOW)
        return Seen(rows, api.rows, server.arrivals, server.violations, most, server.max_in_flight, WINDOW)

    with asyncio.Runner(loop_factory=GrainedLoop) as runner:
        return runner.run(play())


def in_real_time(pages: int, seed: int) -> Seen:
    """`penstock pull` as a process, against a strict server on the other core, sixty times as fast."""
    window = WINDOW / SCALE
    with scratch() as folder:
        options = ["--rows", str(pages * PAGE_SIZE), "--page-size", str(PAGE_SIZE), "--seed", str(seed)]
        options += ["--limit", f"{LIMIT}/{window:g}s", "--latency", f"uniform:{8 / SCALE:.4f}:{30 / SCALE:.4f}"]
        with fault_server(folder, *options, module="penstock.testing.paged_server") as server:
            command: list[str | Path] = [*PENSTOCK, "pull", f"{server.url}/rows", "--out", folder / "out.jsonl"]
            command += ["--paginate", "offset", "--page-size", str(PAGE_SIZE), "--rows", "items", "--total", "total"]
            command += ["--limit", f"{LIMIT}/{window:g}s", "--guard", GUARD, "--json"]
            ended = run(command, folder=folder, timeout=120 + pages / LIMIT * window * 4)
            counters = server.end()
            times = server.arrivals()
        if ended.code != 0:
            raise RuntimeError(f"exit status {ended.code}: {ended.stderr[-1000:]}")
        with (folder / "out.jsonl").open("rb") as file:
            rows = sum(1 for _ in file)
        return Seen(
            rows,
            pages * PAGE_SIZE,
            times,
            counters["limit_violations"],
            most_in_any_window(times, window),
            counters["max_in_flight"],
            window,
        )


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks slow_pull", description=__doc__)
    parser.add_argument("--pages", type=int, default=10_000, help="in virtual time")
    parser.add_argument("--real-pages", type=int, nargs="+", default=[300, 1000], help="in real time, 60 times as fast")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    real = " ".join(map(str, options.real_pages))
    report = Report("slow_pull", f"python -m benchmarks slow_pull --pages {options.pages} --real-pages {real}")
    seen = {f"{options.pages:,} pages, virtual time": in_virtual_time(options.pages, options.seed)}
    for pages in options.real_pages:
        seen[f"{pages:,} pages, real time, 60 to 1"] = in_real_time(pages, options.seed)
    _report(report, seen)
    return report.finish()


def _report(report: Report, seen: dict[str, Seen]) -> None:
    rows = [
        [
            *(name, f"{each.share:.2%}", f"{each.whole_share:.2%}", f"{each.rows:,}", each.refused),
            *(f"{each.arrivals[-1] - each.arrivals[0]:,.1f}", each.most, each.in_flight),
        ]
        for name, each in seen.items()
    ]
    header = ("pull", "limit used", "with page 1", "rows", "429", "seconds", "most in a window", "in flight")
    report.table(
        f"penstock pull by offset with a total, {LIMIT} per {WINDOW:g} s kept by a sliding log, 8 to 30 s a page, "
        "in flight left to penstock",
        header,
        rows,
    )
    report.note(
        "Limit used: (arrivals - 1) / (seconds from the first to the last arrival x limit), from the second page on; "
        "the column beside it has the first page as well, which comes alone, because only its answer tells how many "
        "there are: that costs one latency, once. Most in a window: by the server's clock. In real time with a guard "
        f"of {GUARD}; the default of a window of a second takes 1.5 % of the limit, that of a minute 0.25 %."
    )
    for name, each in seen.items():
        report.goal(f"limit used, {name}", "at least 99 %", f"{each.share:.2%}", each.share >= 0.99)
        report.goal(f"refused, {name}", "0", each.refused, each.refused == 0)
        report.goal(f"rows, {name}", f"{each.wanted:,}", f"{each.rows:,}", each.rows == each.wanted)

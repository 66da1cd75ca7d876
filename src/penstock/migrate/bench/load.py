"""The process that makes the load: open loop, so that a slow server is sent as many requests as a quick one.

Each request has a moment at which it is meant to be sent, and its time counts from there: where the server, or this
process, comes late, all that waits behind is late as well, and seen to be. Moments are those of CLOCK_MONOTONIC, since
`loop.time()` moves in whole milliseconds under uvloop.

A line of JSON comes in on standard input for each slice, and one goes out. The end of the input ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...adapters.bridge import new_loop
from ...clock import SYSTEM_CLOCK
from ...errors import PenstockError
from ...messages import Request, Response
from ...observe.histogram import Histogram
from ...wire.client import Client
from .requests_file import from_wire

COMMAND = (sys.executable, "-P", "-m", "penstock.migrate.bench.load")
_IDLE_SECONDS = 3600.0
_SEND_AT_ONCE = 16
"""So many that are due are handed over before any of them is sent."""


@dataclass
class SliceSeen:
    """What became of one slice, on this side."""

    late: Histogram = field(default_factory=Histogram)
    seconds: Histogram = field(default_factory=Histogram)
    sent: int = 0
    answered: int = 0
    body_bytes: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """How many answers had which."""
    why_failed: Counter[str] = field(default_factory=Counter)
    said: str = ""
    """The beginning of the first answer that was an error."""
    was_cut: bool = False
    in_flight: int = 0
    """Requests under way, added up at each look."""
    looks: int = 0

    def take(self, response: Response) -> None:
        """Count an answer."""
        self.answered += 1
        self.body_bytes += len(response.body)
        self.statuses[response.status] += 1
        if response.status >= 400 or response.status in (301, 307, 308):
            where = response.headers.get("location")
            self.why_failed[f"HTTP {response.status}" + (f" to {where}" if where else "")] += 1
            self.said = self.said or response.text[:200]

    def as_json(self) -> dict[str, Any]:
        """For the process that asked."""
        named = {"late": self.late.as_json(), "seconds": self.seconds.as_json(), "why_failed": dict(self.why_failed)}
        counts = {"sent": self.sent, "answered": self.answered, "body_bytes": self.body_bytes}
        named["statuses"] = dict(self.statuses)
        mean = self.in_flight / self.looks if self.looks else 0.0
        return named | counts | {"said": self.said, "was_cut": self.was_cut, "in_flight": mean}


class Pacer:
    """Sends requests at their moments. A task is kept for each that is under way, and used again."""

    def __init__(self, client: Client, requests: list[Request]) -> None:
        self._client = client
        self._requests = requests
        self._next = 0
        self._idle: list[asyncio.Future[float | None]] = []
        self._in_flight = 0
        self._seen = SliceSeen()

    async def slice(self, moments: Sequence[float], most: int, drain: float) -> SliceSeen:
        """A request at each of `moments`; cut where more than `most` are under way.

        What is not answered `drain` seconds after the last was sent counts as failed.
        """
        self._seen = seen = SliceSeen()
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            for number, due in enumerate(moments):
                if (ahead := due - SYSTEM_CLOCK.now()) > 0:
                    await SYSTEM_CLOCK.sleep(ahead)
                elif number % _SEND_AT_ONCE == 0:
                    await SYSTEM_CLOCK.sleep(0)
                if self._in_flight >= most:
                    seen.was_cut, seen.in_flight, seen.looks = True, self._in_flight, 1
                    break
                self._in_flight += 1
                if 2 * number >= len(moments):
                    seen.in_flight, seen.looks = seen.in_flight + self._in_flight, seen.looks + 1
                if self._idle:
                    self._idle.pop().set_result(due)
                else:
                    tasks.append(group.create_task(self._send_from(due)))
            await self._drain(tasks, drain)
        return seen

    async def one_by_one(self, count: int, seconds: float) -> SliceSeen:
        """`count` requests, each sent when the one before is answered; fewer, where there are only `seconds`.

        That counts as failed only where none was answered.
        """
        self._seen = seen = SliceSeen()
        try:
            async with asyncio.timeout(seconds):
                for _ in range(count):
                    await self._send(SYSTEM_CLOCK.now())
        except TimeoutError:
            if not seen.seconds.count:
                seen.why_failed[f"no answer within {seconds:.1f} s"] += 1
        return seen

    async def _send_from(self, due: float) -> None:
        next_due: float | None = due
        while next_due is not None:
            try:
                await self._send(next_due)
            finally:
                self._in_flight -= 1
            waiting: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            next_due = await waiting

    async def _send(self, due: float) -> None:
        seen, request = self._seen, self._requests[self._next % len(self._requests)]
        self._next += 1
        seen.sent += 1
        seen.late.add(SYSTEM_CLOCK.now() - due)
        try:
            seen.take(await self._client(request))
        except PenstockError as error:
            seen.why_failed[f"{type(error).__name__}: {error}"[:200]] += 1
        seen.seconds.add(SYSTEM_CLOCK.now() - due)

    async def _drain(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        until = SYSTEM_CLOCK.now() + seconds
        while self._in_flight and SYSTEM_CLOCK.now() < until:
            await SYSTEM_CLOCK.sleep(0.002)
        if self._in_flight and not self._seen.was_cut:
            self._seen.why_failed[f"no answer within {seconds:.1f} s"] += self._in_flight
        for waiting in self._idle:
            waiting.set_result(None)
        self._idle.clear()
        for task in tasks:
            if self._in_flight:
                task.cancel()


async def serve() -> None:
    """One slice for each line of standard input."""
    loop = asyncio.get_running_loop()
    first = json.loads(await loop.run_in_executor(None, sys.stdin.readline) or "{}")
    pacers: dict[int, Pacer] = {}
    lines = from_wire(first.get("requests", []))
    async with contextlib.AsyncExitStack() as stack:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            for port in order["turns"]:
                if port not in pacers:
                    client = await stack.enter_async_context(Client(idle_timeout=_IDLE_SECONDS, decompress=False))
                    pacers[port] = Pacer(client, [each.at(port) for each in lines])
            seen = await _carry_out(pacers, order)
            os.write(1, json.dumps({port: each.as_json() for port, each in seen.items()}).encode() + b"\n")


async def _carry_out(pacers: dict[int, Pacer], order: dict[str, Any]) -> dict[int, SliceSeen]:
    turns: list[int] = order["turns"]
    if "one_by_one" in order:
        return {turns[0]: await pacers[turns[0]].one_by_one(order["one_by_one"], order["seconds"])}
    begin, gap, most, drain = order["begin"], order["gap"], order["most"], order["drain"]
    async with asyncio.TaskGroup() as group:
        tasks = {
            port: group.create_task(pacers[port].slice(moments(turns, port, begin, gap, order["rounds"]), most, drain))
            for port in set(turns)
        }
    return {port: task.result() for port, task in tasks.items()}


def moments(turns: Sequence[int], port: int, begin: float, gap: float, rounds: int) -> list[float]:
    """When `port` has its turn, where all of `turns` follow one another, `gap` seconds apart, so many times over."""
    mine = [place for place, each in enumerate(turns) if each == port]
    return [begin + (number * len(turns) + place) * gap for number in range(rounds) for place in mine]


def main() -> None:
    """Until standard input ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()

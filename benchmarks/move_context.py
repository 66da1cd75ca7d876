"""10,000 interleaved requests in each arm of a FastAPI route: does each keep what is its own?

That is a user, a request id, a trace, a language and a session, at the entry, after a call, in child tasks and at the
exit. And what `penstock.carry` costs a request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import penstock
from penstock.adapters.effects import before_effect
from penstock.migrate import carry
from penstock.migrate.choice import FORCED

from .processes import scratch
from .report import Report
from .servers import fault_server

NAMES = ("user", "request_id", "trace", "language", "session")
VARIABLES: dict[str, ContextVar[Any]] = {name: ContextVar(name) for name in NAMES}
OWN = ("user", "request_id", "trace", "session")
ARMS = ("control", "async")
ROUTE = "GET /item/{number}"
_of_a_thread = threading.local()


class Service:
    """An app whose one route looks at what it carries, and how often that was another's at each point."""

    def __init__(self, http: penstock.Http) -> None:
        self.wrong: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self._http = http
        self.app = penstock.MoveMiddleware(self._around(self._fastapi()))

    def _fastapi(self) -> Any:
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/item/{number}")
        @penstock.arms(ROUTE, max_in_flight=100_000)
        def item(number: int) -> int:
            self._look("entry", number, "control")
            self._http.get("/")
            self._look("after the call", number)
            return number

        @item.arm("async")
        async def _(number: int) -> int:
            self._look("entry", number, "async")
            await self._http.aio.get("/")
            self._look("after the call", number)
            await asyncio.gather(*[self._child(number) for _ in range(2)])
            return number

        return app

    async def _child(self, number: int) -> None:
        await asyncio.sleep(0)
        self._look("child task", number)

    def _around(self, app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            number = int(scope["path"].rpartition("/")[2])
            with carried(number):
                _of_a_thread.user = f"user {number}"
                await app(scope, receive, send)
                self._look("exit", number)

        return middleware

    def _look(self, place: str, number: int, arm: str | None = None) -> None:
        if arm is not None:
            self.served[arm] += 1
        wanted = values(number)
        for name, variable in VARIABLES.items():
            value = variable.get(None)
            self.wrong[place] += (value["number"] != number) if name == "session" else value != wanted[name]


def values(number: int) -> dict[str, Any]:
    """What request `number` carries; its session apart."""
    language = ("de", "en", "fr", "ja")[number % 4]
    return {
        "user": f"user {number}",
        "request_id": f"id-{number}",
        "trace": f"{number:032x}",
        "language": language,
    }


@contextlib.contextmanager
def carried(number: int) -> Iterator[None]:
    """As a middleware sets it, and takes it away again."""
    tokens = [
        (VARIABLES[name], VARIABLES[name].set(value))
        for name, value in {**values(number), "session": {"number": number}}.items()
    ]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


async def asked(service: Service, arm: str, numbers: range, at_once: int) -> None:
    """All of them in any order, so many at once, each in a task and a context of its own."""
    import httpx2

    transport = httpx2.ASGITransport(service.app)
    order = list(numbers)
    random.Random(7).shuffle(order)
    waiting = iter(order)

    async def one(number: int) -> None:
        answer = await transport.handle_async_request(httpx2.Request("GET", f"http://shop.example/item/{number}"))
        assert (answer.status_code, await answer.aread()) == (200, str(number).encode())

    async def client() -> None:
        for number in waiting:
            context = contextvars.Context()
            context.run(FORCED.set, arm)
            await asyncio.create_task(one(number), context=context)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(client())


def bleed(report: Report, service: Service, requests: int, at_once: int) -> None:
    """Nothing may be wrong, and nothing found; and what is planted must be."""
    rows = []
    for arm in ARMS:
        found: Counter[str] = Counter()
        service.wrong.clear()
        with carry.anew(lambda route, arm, name, found=found: found.update([name])):  # type: ignore[misc]
            penstock.carry(own=OWN, **VARIABLES, user_by_function=lambda: VARIABLES["user"].get(None))
            asyncio.run(asked(service, arm, range(requests), at_once))
        rows.append((arm, service.served[arm], service.wrong.total(), found.total()))
    report.table("Interleaved requests", ("arm", "requests", "values of another", "findings of carry"), rows)
    report.goal(
        "bleed over 10,000 interleaved requests in each arm",
        "0",
        sum(row[2] + row[3] for row in rows),
        all(row[1:] == (requests, 0, 0) for row in rows),
    )
    planted: dict[str, int] = {}
    for arm in ARMS:
        found = Counter()
        with carry.anew(lambda route, arm, name, found=found: found.update([name])):  # type: ignore[misc]
            penstock.carry(user=lambda: getattr(_of_a_thread, "user", None))
            asyncio.run(asked(service, arm, range(1000), at_once))
        planted[arm] = found.total()
    report.goal(
        "findings of 1,000 requests with a user in a threading.local",
        "most requests in each arm",
        planted,
        min(planted.values()) > 500,
    )


def cost(report: Report, rounds: int) -> None:
    """Microseconds of all that is looked at in one request that makes one call, in a context with five names."""
    took: dict[str, float] = {}
    declared: dict[str, dict[str, ContextVar[Any]]] = {"nothing declared": {}, "five names": VARIABLES}
    for how, names in declared.items():
        with carry.anew(lambda *_: None):
            if names:
                penstock.carry(own=(), **names)
            took[how] = min(_once(repeats=5_000) for _ in range(rounds)) * 1e6
    report.table(
        "What is looked at in one request", ("declared", "us"), [(how, f"{us:.1f}") for how, us in took.items()]
    )
    report.goal(
        "cost of five names, a request with one call",
        "<= 30 us",
        f"{took['five names']:.1f} us",
        took["five names"] <= 30,
    )


def _once(*, repeats: int) -> float:
    with carried(7):
        began = time.process_time()
        for _ in range(repeats):
            check = carry.enter(ROUTE, "control")
            carry.in_its_thread(check, before_effect)()
            carry.leave(check)
        return (time.process_time() - began) / repeats


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks move_context", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    report = Report("move_context", "python -m benchmarks move_context")
    with (
        scratch() as folder,
        fault_server(folder, "--latency", "0.002") as server,
        penstock.Http(server.url, max_in_flight=1000) as http,
    ):
        bleed(report, Service(http), options.requests, options.at_once)
    cost(report, options.rounds)
    return report.finish()

"""docs/architecture.md is held to what happens: each way is run, and goes through the functions in their order."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from benchmarks.function_counts import ProxyBench, proxy_bench

import penstock
from penstock.migrate.watch import WATCH
from penstock.outbound.pull import PullJob, open_pull
from penstock.outbound.request_template import RequestTemplate
from penstock.outbound.send import SendJob, open_send
from penstock.rules.limits.rate import parse_limit
from penstock.rules.moving.share import in_share
from penstock.rules.moving.state import ArmsState, RouteState, write_state
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow
from penstock.testing import FaultServer, PagedApi

PACKAGE = Path(penstock.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"

Step = tuple[str, str]
"""File and function."""


def way(name: str) -> list[Step]:
    """The steps of the table behind `<!-- way: name -->`."""
    table = PAGE.read_text().partition(f"<!-- way: {name} -->\n\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", table, re.MULTILINE)


@contextlib.contextmanager
def tracing(called: list[Step]) -> Iterator[None]:
    """Append to `called` what is called in this thread."""

    def note(frame: FrameType, event: str, _argument: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            called.append((str(file.relative_to(PACKAGE)), frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


async def one_item(folder: Path) -> list[Step]:
    called: list[Step] = []
    source = folder / "in.jsonl"
    source.write_text('{"id": 1}\n')
    async with FaultServer() as server:
        template = RequestTemplate(f"{server.url}/items", body='{"id": "{id}"}')
        flow = Flow(in_flight=1, limits=(parse_limit("100/s"),))
        with tracing(called), open_send(SendJob(source, folder / "out.jsonl", template, flow)) as run:
            assert (await run.carry_out())["complete"]
    return called


async def one_page(folder: Path) -> list[Step]:
    called: list[Step] = []
    async with PagedApi(rows=20, style="cursor").serve() as server:
        job = PullJob(f"{server.url}/rows", folder / "out.jsonl", Paging("cursor"), Flow(in_flight=1))
        with tracing(called), open_pull(job) as run:
            assert (await run.carry_out())["complete"]
    return called


async def through_the_proxy(ask: Callable[[ProxyBench, list[Step]], Coroutine[Any, Any, None]]) -> list[Step]:
    called: list[Step] = []
    async with proxy_bench() as bench:
        await bench.client.get("/warm", b"fwd=uri-miss")
        await ask(bench, called)
    return called


async def known_hit(bench: ProxyBench, called: list[Step]) -> None:
    await bench.client.get("/warm", b"; hit")
    with tracing(called):
        await bench.client.get("/warm", b"; hit")


async def hit(bench: ProxyBench, called: list[Step]) -> None:
    with tracing(called):
        await bench.client.get("/warm", b"; hit")


async def miss(bench: ProxyBench, called: list[Step]) -> None:
    with tracing(called):
        await bench.client.get("/new", b"stored")


async def passed_on() -> list[Step]:
    called: list[Step] = []
    # By name: to mypy each file of tests is a module of its own folder.
    crew = importlib.import_module("tests.inbound.processes.crew").crew
    fresh = importlib.import_module("tests.inbound.processes.test_crew").fresh
    async with crew(fresh) as two:
        client, target = await two.connect(0), two.target_of(1)
        for _ in range(3):
            await client.get(target)
        with tracing(called):
            await client.get(target)
    return called


async def plain_miss(bench: ProxyBench, called: list[Step]) -> None:
    for number in range(20):
        # Until the origin is one whose connections are used at once.
        await bench.client.get_plain(f"/plain/{number}", b"stored")
    with tracing(called):
        # Of two: one answer a second is looked at for the clock of the app, in the general way.
        await bench.client.get_plain("/plain/one", b"stored")
        await bench.client.get_plain("/plain/two", b"stored")


async def one_arm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    called: list[Step] = []
    state = ArmsState({"GET /way": RouteState("async", 0.5, since=1.0)})
    (folder / "arms.json").write_bytes(write_state(state))
    monkeypatch.setenv("PENSTOCK_ARMS", str(folder / "arms.json"))
    user = next(name for name in "abcdefghij" if in_share("GET /way", name, 0.5))

    @penstock.arms("GET /way", key="x-user", max_in_flight=1)
    def endpoint() -> str:
        return "control"

    @endpoint.arm("async")
    async def _() -> str:
        return "async"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        said: str = await endpoint()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said.encode()})

    async def receive() -> Any:
        raise AssertionError("nobody asks for the body")

    async def send(message: Any) -> None:
        assert message.get("body") in (None, b"async")

    await WATCH.start_aside()
    try:
        with tracing(called):
            scope = {"type": "http", "headers": [(b"x-user", user.encode())]}
            await penstock.MoveMiddleware(app)(scope, receive, send)
    finally:
        WATCH.stop()
    return called


@pytest.mark.real
@pytest.mark.parametrize("name", ["item", "page", "known hit", "hit", "passed on", "miss", "plain miss", "arm"])
def test_a_way_is_as_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the table is taken, in its order; others may lie between."""
    ways: dict[str, Callable[[], Coroutine[Any, Any, list[Step]]]] = {
        "item": lambda: one_item(tmp_path),
        "page": lambda: one_page(tmp_path),
        "known hit": lambda: through_the_proxy(known_hit),
        "hit": lambda: through_the_proxy(hit),
        "passed on": passed_on,
        "miss": lambda: through_the_proxy(miss),
        "plain miss": lambda: through_the_proxy(plain_miss),
        "arm": lambda: one_arm(tmp_path, monkeypatch),
    }
    steps = way(name)
    assert len(steps) > 1, "the page has no such table"
    called = iter(asyncio.run(ways[name]()))
    for step in steps:
        assert step in called, f"{step} is not called, or not in this place"


def test_every_file_that_the_page_names_is_there() -> None:
    """The answers to what is looked for, too."""
    named = set(re.findall(r"`([a-z_/]+\.py)`", PAGE.read_text()))
    named = {name for name in named if not name.startswith("tests/")}
    assert [name for name in sorted(named) if not (PACKAGE / name).is_file()] == []
    assert len(named) > 30


def test_every_room_is_in_the_picture() -> None:
    """A new folder of the package gets its place in it."""
    picture = PAGE.read_text().partition("```text\n")[2].partition("```")[0]
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert [room for room in rooms if not re.search(rf"\b{room}\b", picture)] == []

"""What every client is tested with: its loop, and a run that fails on anything the loop complains about."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from penstock.clients.aiohttp import AiohttpClient
from penstock.wire import Client

AnyClient = Client | AiohttpClient


class Bench:
    """A client class and the loop to run it on."""

    def __init__(self, name: str, make: Callable[..., Any], loop_factory: Callable[[], Any] | None) -> None:
        self.name = name
        self.client = make
        self._loop_factory = loop_factory

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        complaints: list[dict[str, Any]] = []

        async def bounded() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(80):
                await test()

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(bounded())
        gc.collect()
        assert not complaints


WIRE = {
    "wire-asyncio": Bench("wire-asyncio", Client, asyncio.new_event_loop),
    "wire-uvloop": Bench("wire-uvloop", Client, uvloop.new_event_loop),
}
ALL = WIRE | {"aiohttp": Bench("aiohttp", AiohttpClient, asyncio.new_event_loop)}


@pytest.fixture(params=ALL)
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each client on each of its loops."""
    return ALL[request.param]


@pytest.fixture(params=WIRE)
def wire(request: pytest.FixtureRequest) -> Bench:
    """The wire client on each loop."""
    return WIRE[request.param]

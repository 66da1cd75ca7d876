"""What the conformance tests share: the suite, and results of one run of it that several tests look at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

import pytest

from .http_client import HttpClient
from .origin import Origin
from .runner import Result, run_tests
from .suite import Suite, load_suite, suite_path

Serve: TypeAlias = Callable[[int], AbstractContextManager[int]]
"""Starts a cache in front of the origin at a port; gives the port of the cache."""


@pytest.fixture(scope="session")
def suite() -> Suite:
    """The suite; without it there is nothing to run."""
    found = load_suite()
    if found is None:
        pytest.skip(f"the conformance suite is not at {suite_path()} (see PENSTOCK_CACHE_TESTS)")
    return found


def run_through(suite: Suite, serve: Serve | None) -> dict[str, Result]:
    """All tests for proxies through a cache over sockets; straight to the origin without one. About a minute."""

    async def go(origin_port: int, cache_port: int) -> dict[str, Result]:
        async with Origin(origin_port) as origin, HttpClient("127.0.0.1", cache_port) as client:
            return await run_tests(suite.for_proxies(), client, origin.state)

    port = free_port()
    if serve is None:
        return asyncio.run(go(port, port))
    with serve(port) as cache_port:
        return asyncio.run(go(port, cache_port))


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port

"""Servers that close kept connections without saying so: what is lost is counted, never timed."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from benchmarks.closing_server import CLOSING

from penstock.errors import ConnectionLost
from penstock.messages import Request
from penstock.wire import Client

from .conftest import Bench

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
WORKERS = 20
Start = Callable[[list[str]], tuple[str, Callable[[], dict[str, int]]]]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tls")
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return ["--tls", str(folder / "certificate.pem"), str(folder / "key.pem")]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server: its origin, and what ends it and says what it has counted."""
    children: list[subprocess.Popen[str]] = []

    def begin(options: list[str]) -> tuple[str, Callable[[], dict[str, int]]]:
        argv = [sys.executable, "-m", "benchmarks.closing_server", *options]
        child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        port = int(child.stdout.readline())

        def counted() -> dict[str, int]:
            found: dict[str, int] = json.loads(child.communicate("", timeout=10)[0])
            return found

        return f"{'https' if '--tls' in options else 'http'}://127.0.0.1:{port}/", counted

    yield begin
    for child in children:
        child.kill()
        child.communicate()


async def lost_of(client: Client, url: str, count: int, *, method: str = "POST", a_second: float | None = None) -> int:
    """How many of `count` requests were lost, by twenty workers, begun `a_second` at most."""
    numbers = iter(range(count))
    began = asyncio.get_running_loop().time()
    lost = 0

    async def work() -> None:
        nonlocal lost
        for number in numbers:
            if a_second is not None:
                await asyncio.sleep(began + number / a_second - asyncio.get_running_loop().time())
            try:
                await client(Request(method, url, body=b"{}" if method == "POST" else b""))
            except ConnectionLost:
                lost += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return lost


def lost_on(wire: Bench, url: str, count: int, a_second: float | None = None, **options: Any) -> int:
    lost: list[int] = []

    async def test() -> None:
        async with wire.client(**options) as client:
            lost.append(await lost_of(client, url, count, a_second=a_second))

    wire.run(test)
    return lost[0]


@pytest.mark.parametrize("closing", CLOSING)
def test_few_posts_are_lost_however_a_server_closes(wire: Bench, start: Start, closing: str) -> None:
    """Half of all were, where it closes after each answer, and a tenth where it closes after each tenth."""
    url, _ = start(CLOSING[closing])
    assert lost_on(wire, url, 600) <= 12


@pytest.mark.parametrize("closing", ["at once", "after 5 ms", "after each 10th", "one of five"])
def test_few_posts_are_lost_with_tls(
    wire: Bench, start: Start, closing: str, ca: trustme.CA, certificate: list[str]
) -> None:
    url, _ = start([*CLOSING[closing], *certificate])
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    assert lost_on(wire, url, 200, tls=trust) <= 6


@pytest.mark.parametrize("closing", CLOSING)
@pytest.mark.parametrize(("a_second", "count"), [(100, 100), (500, 500)])
def test_few_posts_are_lost_at_a_rate(wire: Bench, start: Start, closing: str, a_second: float, count: int) -> None:
    url, _ = start(CLOSING[closing])
    # A machine that is taken away for a moment finds all its connections closed at once: more than at a steady rate.
    assert lost_on(wire, url, count, a_second) <= max(3, count // 50)


@pytest.mark.parametrize("most", [1, 5])
def test_few_posts_are_lost_where_connections_are_few(wire: Bench, start: Start, most: int) -> None:
    url, _ = start(CLOSING["at once"])
    assert lost_on(wire, url, 300, max_connections_per_origin=most) <= 6


def test_few_gets_are_sent_twice(wire: Bench, start: Start) -> None:
    url, counted = start(CLOSING["at once"])

    async def test() -> None:
        async with wire.client() as client:
            assert await lost_of(client, url, 1000, method="GET") == 0
            assert client.statistics().repeated <= 20
            assert client.statistics().died > 0

    wire.run(test)
    assert counted()["requests"] == 1000


def test_an_idle_time_that_was_not_told_is_found_out(wire: Bench, start: Start) -> None:
    """Each is sent in the very moment in which the server closes."""
    url, _ = start(CLOSING["idle for 0.3 s"])

    async def test() -> None:
        lost = 0
        async with wire.client() as client:
            for _ in range(12):
                try:
                    await client(Request("POST", url))
                except ConnectionLost:
                    lost += 1
                await asyncio.sleep(0.2995)
        assert lost <= 2

    wire.run(test)


def test_an_honest_server_sees_no_more_connections_than_calls_at_once(wire: Bench, start: Start) -> None:
    url, counted = start([])

    async def test() -> None:
        async with wire.client() as client:
            assert await lost_of(client, url, 2000) == 0
            now = client.statistics()
            assert (now.died, now.repeated) == (0, 0)
            assert now.opened <= WORKERS

    wire.run(test)
    assert counted() == {"connections": WORKERS, "requests": 2000}


@pytest.mark.parametrize(
    ("options", "headers"), [({"keep_alive": False}, {}), ({}, {"Connection": "close"})], ids=["option", "header"]
)
def test_without_keep_alive_each_request_has_a_connection_of_its_own(
    bench: Bench, start: Start, options: dict[str, Any], headers: dict[str, str]
) -> None:
    url, counted = start([])

    async def test() -> None:
        async with bench.client(**options) as client:
            for _ in range(30):
                assert (await client(Request("POST", url, headers))).status == 200

    bench.run(test)
    assert counted() == {"connections": 30, "requests": 30}

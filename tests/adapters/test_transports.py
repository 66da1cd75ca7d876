"""The limiter inside clients that people have: kept, told, refused, streamed, cancelled, and from many threads."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests

import penstock
from penstock import UsageError
from penstock.adapters import aiohttp as ours_aiohttp
from penstock.adapters import httpx as ours_httpx
from penstock.adapters import httpx2 as ours_httpx2
from penstock.adapters import requests as ours_requests
from penstock.testing import FaultServer, Reply, most_in_any_window

from .served import Raw, Replying, in_a_thread, limited_process

pytestmark = pytest.mark.real

FORKED = """
    import os, sys, threading
    import requests
    from penstock.adapters.requests import LimitAdapter

    adapter = LimitAdapter("1000/s", pool_maxsize=8)
    session = requests.Session()
    session.mount("http://", adapter)
    stop = threading.Event()

    def calls():
        while not stop.is_set():
            assert session.get(sys.argv[1]).status_code == 200

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        child = os.fork()
        if child == 0:
            # Not on the connections of the parent, which requests would share.
            adapter.init_poolmanager(1, 8)
            assert session.get(sys.argv[1]).status_code == 200
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    session.close()
    print("whole")
"""

Result = tuple[int, bytes]
Ask = Callable[[Any, str, Any], Any]


def chunks() -> Iterator[bytes]:
    yield b"stre"
    yield b"amed"


async def async_chunks() -> AsyncIterator[bytes]:
    for chunk in chunks():
        yield chunk


async def with_async_httpx(library: Any, ours: Any, urls: list[str], body: Any, **options: Any) -> list[Result]:
    content = async_chunks() if body == "stream" else body
    async with library.AsyncClient(transport=ours.AsyncLimit(**options)) as client:
        answers = await asyncio.gather(*[client.post(url, content=content) for url in urls])
    return [(each.status_code, each.content) for each in answers]


def with_sync_httpx(library: Any, ours: Any, urls: list[str], body: Any, **options: Any) -> list[Result]:
    content = chunks() if body == "stream" else body
    with library.Client(transport=ours.SyncLimit(**options)) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda url: client.post(url, content=content), urls))
    return [(each.status_code, each.content) for each in answers]


def with_requests(urls: list[str], body: Any, **options: Any) -> list[Result]:
    with requests.Session() as session, ThreadPoolExecutor(16) as pool:
        session.mount("http://", ours_requests.LimitAdapter(pool_maxsize=16, **options))
        data = chunks() if body == "stream" else body
        answers = list(pool.map(lambda url: session.post(url, data=data), urls))
    return [(each.status_code, each.content) for each in answers]


async def with_aiohttp(urls: list[str], body: Any, **options: Any) -> list[Result]:
    data = async_chunks() if body == "stream" else body

    async def post(session: aiohttp.ClientSession, url: str) -> Result:
        async with session.post(url, data=data) as answer:
            return answer.status, await answer.read()

    async with aiohttp.ClientSession(middlewares=[ours_aiohttp.LimitMiddleware(**options)]) as session:
        return list(await asyncio.gather(*[post(session, url) for url in urls]))


KINDS: dict[str, Callable[..., list[Result]]] = {
    "httpx": lambda *args, **options: asyncio.run(with_async_httpx(httpx, ours_httpx, *args, **options)),
    "httpx sync": lambda *args, **options: with_sync_httpx(httpx, ours_httpx, *args, **options),
    "httpx2": lambda *args, **options: asyncio.run(with_async_httpx(httpx2, ours_httpx2, *args, **options)),
    "httpx2 sync": lambda *args, **options: with_sync_httpx(httpx2, ours_httpx2, *args, **options),
    "requests": with_requests,
    "aiohttp": lambda *args, **options: asyncio.run(with_aiohttp(*args, **options)),
}


@pytest.fixture(params=KINDS)
def send(request: pytest.FixtureRequest) -> Callable[..., list[Result]]:
    """Each client: POST a body to each URL, as many at once as it can."""
    return KINDS[request.param]


def test_the_limit_is_kept_and_used(send: Callable[..., list[Result]], tmp_path: Path) -> None:
    """By the server's own strict count."""
    with limited_process(tmp_path, "20/s") as (url, refused):
        began = time.monotonic()
        assert send([f"{url}/{number}" for number in range(40)], b"hello", limit="20/s") == [(200, b"hello")] * 40
        assert time.monotonic() - began < 8
        # A machine that is taken away between a send and its arrival can make one too many of it.
        assert refused() <= 1


def test_a_refusal_holds_for_all_and_is_sent_again(send: Callable[..., list[Result]]) -> None:
    """With the same body; nobody is sent in the meantime."""
    replying = Replying([Reply(429, b"no", {"Retry-After": "1"}), Reply(200, b"yes")])
    times: list[float] = []

    def respond(request: Any) -> Reply:
        times.append(time.monotonic())
        return replying.respond(request)

    with in_a_thread(lambda: FaultServer(respond=respond)) as server:
        assert send([f"{server.url}/"], b"body") == [(200, b"yes")]
    assert times[1] - times[0] >= 1.0
    assert [each.body for each in replying.requests] == [b"body"] * 2


@pytest.mark.parametrize(
    ("status", "fields", "sends"),
    [(429, {}, 3), (503, {"Retry-After": "0"}, 3), (503, {}, 1), (500, {}, 1), (403, {}, 1), (404, {}, 1)],
)
def test_only_refusals_are_sent_again(
    send: Callable[..., list[Result]], status: int, fields: dict[str, str], sends: int
) -> None:
    """And no more than was said; the last answer is the caller's, whole."""
    replying = Replying([Reply(status, b"as it is", fields)])
    with in_a_thread(replying.make) as server:
        assert send([f"{server.url}/"], b"body", max_attempts=3) == [(status, b"as it is")]
    assert len(replying.requests) == sends


def test_a_streamed_request_is_sent_once(send: Callable[..., list[Result]]) -> None:
    """Its body is gone when the refusal comes; and it goes through untouched."""
    seen: list[bytes] = []
    refused = b"HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(refused)
        await writer.drain()
        writer.close()

    raw = Raw([])
    raw.serve = handle  # type: ignore[method-assign]
    with in_a_thread(raw.serving) as server:
        assert send([f"{server.url}/"], "stream") == [(429, b"no")]
    assert len(seen) == 1
    assert b"4\r\nstre\r\n4\r\named\r\n" in seen[0]


def test_told_limits_are_heard() -> None:
    """Nothing is left for a second: nobody is sent before."""
    fields = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
    replying = Replying([Reply(200, b"1", fields), Reply(200, b"2")])
    with in_a_thread(replying.make) as server, requests.Session() as session:
        session.mount("http://", ours_requests.LimitAdapter())
        began = time.monotonic()
        assert [session.get(server.url).content for _ in range(2)] == [b"1", b"2"]
        assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_streamed_answer_is_not_waited_for(library: Any) -> None:
    """The first part is there before the last is sent."""
    ours = ours_httpx if library is httpx else ours_httpx2
    go_on = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nstre"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await go_on.wait()
        writer.write(b"amed")
        writer.close()

    async def main() -> None:
        raw = Raw([])
        raw.serve = handle  # type: ignore[method-assign]
        async with (
            raw.serving() as server,
            library.AsyncClient(transport=ours.AsyncLimit("100/s")) as client,
            client.stream("GET", server.url) as answer,
        ):
            parts = answer.aiter_bytes()
            assert await anext(parts) == b"stre"
            go_on.set()
            assert [part async for part in parts] == [b"amed"]

    asyncio.run(main())


def test_a_cancelled_call_gives_its_permit_back() -> None:
    """While it waits for it."""
    with in_a_thread(FaultServer) as server:

        async def main() -> None:
            async with httpx2.AsyncClient(transport=ours_httpx2.AsyncLimit("2/s")) as client:
                await asyncio.gather(*[client.get(server.url) for _ in range(2)])
                waiting = [asyncio.create_task(client.get(server.url)) for _ in range(10)]
                await asyncio.sleep(0.05)
                for each in waiting:
                    each.cancel()
                await asyncio.wait(waiting)
                began = time.monotonic()
                await client.get(server.url)
                assert time.monotonic() - began < 1.5

        asyncio.run(main())
        assert server.statistics().requests == 3


def test_a_name_is_one_limit_for_different_clients() -> None:
    """A client with threads, and one with a loop."""
    times: list[float] = []

    def respond(_: object) -> Reply:
        times.append(time.monotonic())
        return Reply(200)

    name = f"20/500ms@transports-{time.time_ns()}"
    with in_a_thread(lambda: FaultServer(respond=respond)) as server, ThreadPoolExecutor(2) as pool:
        urls = [server.url] * 20
        for done in [pool.submit(KINDS[kind], urls, b"", limit=name) for kind in ("requests", "httpx2")]:
            done.result(30)
    assert most_in_any_window(times, 0.49) <= 20


def test_an_adapter_goes_on_in_a_fork(tmp_path: Path) -> None:
    """Its thread and its locks are the parent's."""
    script = tmp_path / "forked.py"
    script.write_text(textwrap.dedent(FORKED))
    with in_a_thread(FaultServer) as server:
        done = subprocess.run(
            [sys.executable, str(script), server.url],
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"whole\n", b"")


def test_ctrl_c_ends_the_wait_for_a_permit() -> None:
    """And the place in the queue is given back."""
    with in_a_thread(FaultServer) as server, requests.Session() as session:
        session.mount("http://", ours_requests.LimitAdapter("1/2s"))
        session.get(server.url)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            session.get(server.url)
        assert time.monotonic() - began < 1.5
        assert session.get(server.url).status_code == 200
        assert time.monotonic() - began < 4.0
    assert server.statistics().requests == 2


def test_an_adapter_in_a_notebook_blocks_as_requests_does() -> None:
    """A loop runs there in the main thread, and whoever calls requests in it blocks it anyway."""
    with in_a_thread(FaultServer) as server, requests.Session() as session:
        session.mount("http://", ours_requests.LimitAdapter("100/s"))

        async def cell() -> int:
            return session.get(server.url).status_code

        assert asyncio.run(cell()) == 200


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests", "aiohttp"])
def test_without_the_library_the_error_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where half of it is there."""
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == library and (not args or not args[3:] or args[3] == 0):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.delitem(sys.modules, f"penstock.adapters.{library}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=rf"penstock-http\[{library}\]"):
        importlib.import_module(f"penstock.adapters.{library}")


@pytest.mark.parametrize(
    "wrong", [{"limit": "often"}, {"max_attempts": 0}, {"total_timeout": 0}, {"limit_headers": "no"}]
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """Not at the first request."""
    for make in (ours_httpx2.AsyncLimit, ours_requests.LimitAdapter, ours_aiohttp.LimitMiddleware):
        with pytest.raises(UsageError):
            make(**wrong)

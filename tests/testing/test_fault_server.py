"""The fault server over real sockets: it answers, limits, delays and counts as it says."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
import uvloop

from penstock.testing import (
    FaultServer,
    FixedWindow,
    Reply,
    ServedRequest,
    SlidingLog,
    constant,
    most_in_any_window,
    read_arrivals,
    uniform,
)

from .raw_http import Answer, ask_once, connect, get, post

pytestmark = pytest.mark.real

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test on either loop, and fails where the loop itself had to report an error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def bounded(test: Coroutine[Any, Any, None]) -> None:
        complaints: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(30):
                await test

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        assert not complaints

    return bounded


def test_it_echoes_on_one_connection(run: Run) -> None:
    async def test() -> None:
        async with FaultServer() as server:
            async with connect(server) as connection:
                for n in range(50):
                    answer = await connection.ask(post(b'{"n": %d}' % n))
                    assert (answer.status, answer.body) == (200, b'{"n": %d}' % n)
                    assert answer.headers["content-type"] == "application/json"
            statistics = server.statistics()
            assert (statistics.requests, statistics.answered) == (50, 50)
            assert statistics.connections_opened == 1
        assert server.statistics().connections_open == 0

    run(test())


def test_requests_may_come_in_pieces_and_in_heaps(run: Run) -> None:
    async def test() -> None:
        async with FaultServer() as server, connect(server) as connection:
            request = post(b"x" * 3_000, "/a/long/target?with=query")
            for at in range(0, len(request), 97):
                connection.send(request[at : at + 97])
                await asyncio.sleep(0)
            assert (await connection.answer()).body == b"x" * 3_000
            big = bytes(300_000)
            assert (await connection.ask(post(big))).body == big
            connection.send(b"".join(post(b"%d" % n) for n in range(3_000)))
            for n in range(3_000):
                assert (await connection.answer()).body == b"%d" % n

    run(test())


def test_pipelined_answers_keep_their_order(run: Run) -> None:
    async def test() -> None:
        async with FaultServer(latency=uniform(0, 0.01), seed=3) as server, connect(server) as connection:
            connection.send(b"".join(post(b"%d" % n) for n in range(20)))
            assert [int((await connection.answer()).body) for _ in range(20)] == list(range(20))
            assert server.statistics().in_flight == 0
            assert server.statistics().max_in_flight > 1

    run(test())


def test_connection_close_is_kept(run: Run) -> None:
    async def test() -> None:
        async with FaultServer() as server, connect(server) as connection:
            assert (await connection.ask(post(b"1", "/", "Connection: close"))).body == b"1"
            assert await connection.reader.read() == b""

    run(test())


def test_latency_does_not_block(run: Run) -> None:
    async def test() -> None:
        async with FaultServer(latency=constant(60)) as server, contextlib.AsyncExitStack() as stack:
            for n in range(40):
                connection = await stack.enter_async_context(connect(server))
                connection.send(post(b"%d" % n))
            while server.statistics().in_flight < 40:
                await asyncio.sleep(0)
            # The server is as quick as ever for others.
            answer = await ask_once(server, get("/health"))
            assert isinstance(answer, Answer)
            assert server.statistics().max_in_flight == 41

    run(test())


def test_a_client_that_leaves_is_counted(run: Run) -> None:
    async def test() -> None:
        async with FaultServer(latency=constant(60)) as server:
            async with connect(server) as connection:
                connection.send(post(b"1") + post(b"2"))
                while server.statistics().in_flight < 2:
                    await asyncio.sleep(0)
            while server.statistics().connections_open:
                await asyncio.sleep(0)
            statistics = server.statistics()
            assert (statistics.abandoned, statistics.in_flight, statistics.answered) == (2, 0, 0)

    run(test())


def test_the_end_does_not_wait_for_anybody(run: Run) -> None:
    async def test() -> None:
        async with connect_late() as (server, connection):
            await server.__aexit__(None, None, None)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await connection.answer()

    run(test())


class connect_late:  # noqa: N801 - used as a function
    """A server whose only client waits for an answer in a minute."""

    async def __aenter__(self) -> tuple[FaultServer, Any]:
        self.server = await FaultServer(latency=constant(60)).__aenter__()
        self.connecting = connect(self.server)
        connection = await self.connecting.__aenter__()
        connection.send(post(b"1"))
        while not self.server.statistics().in_flight:
            await asyncio.sleep(0)
        return self.server, connection

    async def __aexit__(self, *error: object) -> None:
        await self.connecting.__aexit__(None, None, None)


def test_a_limiter_refuses_with_the_time_to_wait(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        log = tmp_path / "arrivals.bin"
        limiter = SlidingLog(5, 3600)
        async with FaultServer(limiter=limiter, arrivals_log=log) as server, connect(server) as connection:
            answers = [await connection.ask(post(b"%d" % n)) for n in range(8)]
            assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
            assert 3590 <= int(answers[-1].headers["retry-after"]) <= 3600
            wait = orjson.loads(answers[-1].body)["wait"]
            assert int(answers[-1].headers["retry-after"]) == math.ceil(wait)
            statistics = server.statistics()
            assert (statistics.limit_violations, statistics.injected) == (3, {})
        assert most_in_any_window(read_arrivals(log), 3600) == 8

    run(test())


def test_arrivals_can_be_read_while_it_runs(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        log = tmp_path / "arrivals.bin"
        async with FaultServer(arrivals_log=log) as server, connect(server) as connection:
            for n in range(10):
                await connection.ask(post(b"%d" % n))
            while len(read_arrivals(log)) < 10:
                await asyncio.sleep(0.01)
            await connection.ask(post(b"last"))
        times = read_arrivals(log)
        assert len(times) == 11
        assert most_in_any_window(times, 3600) == 11

    run(test())


def test_health_and_stats_are_apart(run: Run) -> None:
    async def test() -> None:
        async with FaultServer(limiter=FixedWindow(1, 3600)) as server, connect(server) as connection:
            for _ in range(5):
                assert (await connection.ask(get("/health"))).body == b'{"status":"ok"}'
            await connection.ask(post(b"{}"))
            await connection.ask(post(b"{}"))
            statistics = orjson.loads((await connection.ask(get("/stats"))).body)
            assert (statistics["requests"], statistics["limit_violations"]) == (2, 1)
            # Only GET is the server's own.
            assert (await connection.ask(post(b"{}", "/stats"))).status == 429

    run(test())


def test_what_is_not_http_is_refused(run: Run) -> None:
    async def test() -> None:
        async with FaultServer() as server:
            answer = await ask_once(server, b"\x16\x03\x01 hello\r\n\r\n")
            assert isinstance(answer, Answer)
            assert answer.status == 400
            assert server.statistics().bad_requests == 1

    run(test())


def test_an_answer_function_may_refuse(run: Run) -> None:
    def answer(body: bytes) -> bytes:
        if body == b"bad":
            raise ValueError("not like this")
        return body.upper()

    async def test() -> None:
        async with FaultServer(answer=answer) as server, connect(server) as connection:
            refused = await connection.ask(post(b"bad"))
            assert (refused.status, refused.body) == (400, b'{"error":"not like this"}')
            assert (await connection.ask(post(b"good"))).body == b"GOOD"
            statistics = server.statistics()
            assert (statistics.answered, statistics.bad_requests) == (1, 1)

    run(test())


def test_a_failing_answer_function_is_reported_to_the_loop() -> None:
    complaints: list[Any] = []

    def answer(body: bytes) -> bytes:
        raise LookupError("a bug of the test's own")

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context.get("exception")))
        async with asyncio.timeout(30), FaultServer(answer=answer) as server:
            assert await ask_once(server, post(b"x")) in ("close", "reset")

    for runner in (asyncio.run, uvloop.run):
        runner(test())
    assert [type(error) for error in complaints] == [LookupError] * 2


def test_its_state_shows() -> None:
    async def test() -> None:
        async with FaultServer() as server, connect(server) as connection:
            await connection.ask(post(b"x"))
            assert repr(server) == f"<FaultServer {server.url} requests=1 in_flight=0 connections=1>"

    asyncio.run(test())


def test_respond_sees_and_makes_everything(run: Run) -> None:
    seen: list[ServedRequest] = []

    def respond(request: ServedRequest) -> Reply:
        seen.append(request)
        if request.target == b"/missing":
            raise ValueError("no page")
        return Reply(201, b"made", {"X-Next": "/page/2", "Content-Type": "text/plain"})

    async def test() -> None:
        async with FaultServer(respond=respond) as server, connect(server) as connection:
            answer = await connection.ask(post(b"body", "/page/1", "Authorization: Bearer t"))
            assert (answer.status, answer.body, answer.headers["x-next"]) == (201, b"made", "/page/2")
            assert answer.headers["content-type"] == "text/plain"
            assert (await connection.ask(get("/missing"))).status == 400

    run(test())
    assert [(each.method, each.target, each.body) for each in seen] == [
        ("POST", b"/page/1", b"body"),
        ("GET", b"/missing", b""),
    ]
    assert repr(seen[0]) == "<ServedRequest POST b'/page/1' 4 B>"
    assert seen[0].headers["authorization"] == "Bearer t"
    assert "authorization" not in seen[1].headers


def test_it_speaks_tls(run: Run) -> None:
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)

    async def test() -> None:
        async with FaultServer(ssl_context=ours) as server, connect(server, theirs) as connection:
            assert server.url.startswith("https://127.0.0.1:")
            assert (await connection.ask(post(b"secret"))).body == b"secret"

    run(test())


def test_wrong_uses_are_refused(run: Run) -> None:
    async def test() -> None:
        async with FaultServer() as server:
            with pytest.raises(RuntimeError, match="already"):
                await server.__aenter__()
            with pytest.raises(OSError, match=r"."):
                await FaultServer(port=server.port).__aenter__()

    run(test())
    with pytest.raises(ValueError, match="not both"):
        FaultServer(answer=bytes, respond=lambda request: Reply())

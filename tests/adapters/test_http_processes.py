"""What threads, loops, forks and interruptions do to an Http: nothing waits for ever and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import penstock
from penstock.testing import FaultServer, Reply, most_in_any_window

from .served import Raw, Replying, in_a_thread

pytestmark = pytest.mark.real


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def bridge_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "penstock"]


def test_ten_thousand_calls_from_32_threads_get_their_own_answers() -> None:
    """Each thread hears what it has said."""
    with in_a_thread(FaultServer) as server, penstock.Http(server.url) as http:

        def calls(thread: int) -> int:
            right = 0
            for number in range(312 + (thread < 16)):
                said = f"{thread}-{number}"
                right += http.post("/echo", data=said).text == said
            return right

        with ThreadPoolExecutor(32) as pool:
            assert sum(pool.map(calls, range(32))) == 10_000
        statistics = http.statistics()
        assert statistics.calls == 10_000
        assert statistics.open_connections <= 32
        assert len(bridge_threads()) == 1
    assert bridge_threads() == []


def test_the_sync_face_refuses_to_block_a_loop() -> None:
    """And says what to use."""
    http = penstock.Http("http://127.0.0.1:9")

    async def main() -> None:
        for call in (lambda: http.get("/"), lambda: http.gather(["/"]), http.close):
            with pytest.raises(penstock.UsageError, match="aio"):
                call()

    asyncio.run(main())
    http.close()


def test_one_loop_after_the_other() -> None:
    """The connections end with each loop; a closed client says so."""
    http = penstock.Http()

    async def main(url: str) -> int:
        return (await http.aio.get(url)).status + len(await http.aio.gather([url, url]))

    with in_a_thread(FaultServer) as server:
        assert [asyncio.run(main(server.url)) for _ in range(3)] == [202, 202, 202]
        assert http.get(server.url).status == 200
        until(lambda: server.statistics().connections_open == 1)
        assert http.statistics().calls == 10
        http.close()
        until(lambda: server.statistics().connections_open == 0)
    with pytest.raises(penstock.UsageError, match="closed"):
        http.get(server.url)
    with pytest.raises(penstock.UsageError, match="closed"):
        asyncio.run(main(server.url))
    http.close()
    gc.collect()


def test_loops_and_threads_at_once_keep_one_limit() -> None:
    """Two loops and four threads; the limit holds for all of them together, and is used."""
    times: list[float] = []

    def respond(_: object) -> Reply:
        times.append(time.monotonic())
        return Reply()

    with in_a_thread(lambda: FaultServer(respond=respond)) as server, penstock.Http(server.url, limit="50/s") as http:

        async def many() -> None:
            await http.aio.gather(["/aio"] * 20)

        work = [lambda: asyncio.run(many())] * 2 + [lambda: [http.get("/sync") for _ in range(10)] and None] * 4
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(each) for each in work]:
                done.result(30)
    assert len(times) == 80
    assert most_in_any_window(times, 0.98) <= 50
    assert times[-1] - times[0] < 3.0


def test_the_home_of_the_limit_may_end_while_others_wait() -> None:
    """Whoever waits for a permit from a loop that ends gets it elsewhere."""
    with in_a_thread(FaultServer) as server, penstock.Http(server.url, limit="5/s") as http:

        async def short() -> None:
            await http.aio.gather(["/"] * 5)

        def waiting() -> int:
            return http.get("/").status

        asyncio.run(short())
        loop_ended = threading.Event()

        def first() -> None:
            async def home() -> None:
                await http.aio.gather(["/"] * 5)
                await asyncio.sleep(0.1)

            asyncio.run(home())
            loop_ended.set()

        with ThreadPoolExecutor(8) as pool:
            pool.submit(first)
            time.sleep(0.2)
            answers = [pool.submit(waiting) for _ in range(6)]
            assert [each.result(30) for each in answers] == [200] * 6
        assert loop_ended.is_set()


def test_gather_keeps_the_order_and_raises_the_first_error() -> None:
    """The others are cancelled; with `return_errors` errors stand in their places."""
    with (
        in_a_thread(Raw([None]).serving) as hanging,
        in_a_thread(FaultServer) as server,
        penstock.Http(server.url, max_attempts=1) as http,
    ):
        requests = [penstock.Request("POST", f"{server.url}/", body=str(number).encode()) for number in range(300)]
        assert [each.text for each in http.gather(requests)] == [str(number) for number in range(300)]
        assert http.gather([]) == []
        with in_a_thread(Raw([0.3]).serving) as closing, pytest.raises(penstock.ConnectionLost):
            http.gather([hanging.url, closing.url, "/"])
        until(lambda: hanging.closed_by_client == 1)
        assert http.statistics().in_flight == 0
        mixed = http.gather(["/a", "http://127.0.0.1:9/", "/b"], return_errors=True)
        assert [type(each).__name__ for each in mixed] == ["Response", "ConnectError", "Response"]
        with pytest.raises(penstock.UsageError, match="base"):
            penstock.Http().gather(["https://a/", "/relative"])


def test_an_interrupted_call_is_cancelled() -> None:
    """Ctrl-C in the main thread: at once, and the connection is closed."""
    with in_a_thread(Raw([None]).serving) as hanging, penstock.Http(hanging.url) as http:
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            http.get("/")
        assert time.monotonic() - began < 5
        until(lambda: hanging.closed_by_client == 1)
        assert http.statistics().in_flight == 0


@pytest.mark.parametrize("limit", [None, "1/h"])
def test_close_ends_calls_under_way(limit: str | None) -> None:
    """Those that wait for an answer, and those that wait for a permit, in both colours."""
    with in_a_thread(Raw([None]).serving) as hanging:
        http = penstock.Http(hanging.url, limit=limit)

        async def many() -> list[object]:
            return list(await asyncio.gather(*[http.aio.get("/") for _ in range(3)], return_exceptions=True))

        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(http.get, "/") for _ in range(5)]
            aio = pool.submit(asyncio.run, many())
            until(lambda: http.statistics().calls == 8)
            time.sleep(0.1)
            http.close()
            assert {type(each.exception(10)) for each in calls} <= {penstock.UsageError, penstock.ConnectionLost}
            assert {type(each) for each in aio.result(10)} <= {penstock.UsageError, penstock.ConnectionLost}
    assert bridge_threads() == []


def test_a_client_that_is_forgotten_ends_its_thread() -> None:
    """Nobody closed it."""
    with in_a_thread(FaultServer) as server:
        assert penstock.Http(server.url).get("/").status == 200
        gc.collect()
        until(lambda: not bridge_threads() and server.statistics().connections_open == 0)


def test_a_cancelled_call_gives_its_permit_back() -> None:
    """In the queue of the limit, and the connection that it held ready."""
    replying = Replying([Reply()])
    with in_a_thread(replying.make) as server:

        async def main() -> None:
            async with penstock.Http(server.url, limit="2/s") as http:
                await http.aio.gather(["/"] * 2)
                waiting = [asyncio.create_task(http.aio.get("/")) for _ in range(20)]
                await asyncio.sleep(0.05)
                for each in waiting:
                    each.cancel()
                await asyncio.wait(waiting)
                began = time.monotonic()
                assert (await http.aio.get("/")).status == 200
                assert time.monotonic() - began < 1.5
                assert http.statistics().waiting == 0
                assert [client.statistics().in_use for client in http._engines.clients()] == [0]

        asyncio.run(main())
    assert len(replying.requests) == 3


FORKED = """
    import asyncio, os, sys, threading, time
    import penstock
    http = penstock.Http(sys.argv[1], limit="1000/s")
    assert http.get("/").status == 200

    async def aio():
        return (await http.aio.get("/")).status

    stop = threading.Event()
    errors = []
    def calls():
        while not stop.is_set():
            try:
                assert http.post("/", data="x" * 100).text == "x" * 100
            except BaseException as error:
                errors.append(error)
    threads = [threading.Thread(target=calls) for _ in range(4)]
    if sys.argv[2] == "busy":
        for thread in threads:
            thread.start()
        time.sleep(0.1)
    for round in range(6):
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                assert http.post("/", data="child").text == "child"
                assert asyncio.run(aio()) == 200
                assert len(http.gather(["/"] * 10)) == 10
                http.close() if round % 2 else None
                # Normal ends take the interpreter apart, as a worker's does.
                os._exit(0) if round == 0 else sys.exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert http.get("/").status == 200
    stop.set()
    if sys.argv[2] == "busy":
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert not errors, errors
    assert asyncio.run(aio()) == 200
    print("whole")
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_fork_begins_anew(state: str, tmp_path: Path) -> None:
    """Also while calls are under way; the parent's connections stay its own."""
    script = tmp_path / "forked.py"
    script.write_text(textwrap.dedent(FORKED))
    with in_a_thread(FaultServer) as server:
        done = subprocess.run(
            [sys.executable, str(script), server.url, state],
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)},
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"whole\n", b"")


def test_the_context_of_a_thread_goes_along() -> None:
    """A deadline that is set around a call in a thread is known to the call."""
    from penstock.layers.deadline import deadline_in

    replying = Replying([Reply()])
    with in_a_thread(replying.make) as server, penstock.Http(server.url, deadline_header="x-left") as http:

        async def inner() -> None:
            with deadline_in(0.5):
                await asyncio.to_thread(http.get, "/")

        asyncio.run(inner())
    assert 100 < int(replying.requests[0].headers["x-left"]) <= 500

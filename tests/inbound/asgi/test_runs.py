"""The app in a task of its own: clients that leave or dawdle, apps that fail, work after the answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

import pytest

import penstock
from penstock.testing import run_virtual

from .clients import Client, Site

STORED = [(b"cache-control", b"max-age=60")]
PRIVATE = [(b"cache-control", b"private")]


async def start(send: Any, fields: list[tuple[bytes, bytes]], status: int = 200) -> None:
    """The head of an answer."""
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def piece(send: Any, chunk: bytes, *, more: bool = True) -> None:
    """A piece of its body."""
    await send({"type": "http.response.body", "body": chunk, "more_body": more})


def test_the_leader_leaves_and_the_fill_goes_on() -> None:
    """Whoever waits has it all, and it is stored."""
    site = Site(*[b"%d," % n for n in range(10)])
    site.pace = 1.0

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        leader, follower = Client(app), Client(app)
        async with asyncio.TaskGroup() as group:
            group.create_task(leader.go())
            await asyncio.sleep(0.5)
            group.create_task(follower.go())
            await asyncio.sleep(3)
            leader.gone.set()
        assert follower.body == b"".join(site.chunks)
        assert not leader.complete
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())
    assert site.calls == 1


def test_the_leaders_coroutine_is_cancelled_and_the_fill_goes_on() -> None:
    """As a server does that gives up on a request."""
    site = Site(*[b"%d," % n for n in range(10)])
    site.pace = 1.0

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        leader, follower = Client(app), Client(app)
        task = asyncio.create_task(leader.go())
        await asyncio.sleep(0.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.go())
            await asyncio.sleep(3)
            task.cancel()
        assert task.cancelled()
        assert follower.body == b"".join(site.chunks)

    run_virtual(scenario())
    assert site.calls == 1


def test_a_slow_leader_holds_up_nobody() -> None:
    """What is shared comes at the app's pace."""
    site = Site(*[b"x" * 100_000 for _ in range(20)])
    site.pace = 1.0

    async def scenario() -> None:
        app = penstock.CacheMiddleware(site)
        slow, quick = Client(app), Client(app)
        slow.takes.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(slow.go())
            await asyncio.sleep(0.1)
            await group.create_task(quick.go())
            assert asyncio.get_running_loop().time() == pytest.approx(20.0)
            assert quick.body == b"".join(site.chunks)
            assert slow.messages == []
            slow.takes.set()
        assert slow.body == quick.body

    run_virtual(scenario())


def test_the_client_of_a_private_answer_leaves_and_the_app_is_told() -> None:
    """Through both of its channels, as by a server; and no error is logged for that."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, PRIVATE)
        assert (await receive())["type"] == "http.request"
        message = await receive()
        told.append(message["type"])
        for n in range(3):
            try:
                await piece(send, b"%d" % n)
            except OSError:
                told.append("OSError")
                raise

    async def scenario() -> None:
        client = Client(penstock.CacheMiddleware(app))
        async with asyncio.TaskGroup() as group:
            group.create_task(client.go())
            await asyncio.sleep(5)
            assert told == []
            client.gone.set()
        await asyncio.sleep(1)

    run_virtual(scenario())
    assert told == ["http.disconnect", "OSError"]


def test_a_private_stream_waits_for_its_client() -> None:
    """An app that makes more than its client takes has to wait in `send`."""
    site = Site(*[b"x" * 65536 for _ in range(100)], fields=PRIVATE)
    site.pace = 0.001

    async def scenario() -> None:
        client = Client(penstock.CacheMiddleware(site))
        client.takes.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(client.go())
            await asyncio.sleep(60)
            assert len(site.sent) < 20
            client.takes.set()
        assert len(client.body) == 100 * 65536
        assert client.complete

    run_virtual(scenario())


def test_events_come_one_by_one_and_end_with_their_client() -> None:
    """A stream of events on its first request, before anything is known of its URL."""
    cancelled: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, [(b"content-type", b"text/event-stream"), (b"cache-control", b"max-age=9")])
        try:
            for n in range(1000):
                await piece(send, b"data: %d\n\n" % n)
                await asyncio.sleep(1)
        except OSError:
            cancelled.append(True)

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        for _ in range(2):
            client = Client(cached)
            async with asyncio.TaskGroup() as group:
                group.create_task(client.go())
                await asyncio.sleep(3.5)
                assert client.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n"
                client.gone.set()
            await asyncio.sleep(2)

    run_virtual(scenario())
    assert cancelled == [True, True]


class AppError(Exception):
    """What an app raises."""


@pytest.mark.parametrize("before", [True, False])
def test_what_the_app_raises_goes_to_the_server(before: bool, caplog: pytest.LogCaptureFixture) -> None:
    """For the one who caused the request; who came along has a run of its own, or is broken off like the first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        if not before:
            await start(send, STORED)
            await piece(send, b"part")
            await asyncio.sleep(1)
        raise AppError("mine")

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        leader, follower = Client(cached), Client(cached)
        first = asyncio.create_task(leader.go())
        await asyncio.sleep(0.5)
        second = asyncio.create_task(follower.go())
        await asyncio.wait([first, second])
        assert isinstance(first.exception(), AppError)
        if before:
            assert isinstance(second.exception(), AppError)
            assert leader.messages == follower.messages == []
        else:
            assert isinstance(second.exception(), penstock.errors.ConnectionLost)
            for client in (leader, follower):
                assert (client.body, client.complete) == (b"part", False)

    run_virtual(scenario())
    assert caplog.records == []


def test_an_app_that_raises_is_not_unreachable(caplog: pytest.LogCaptureFixture) -> None:
    """What is stale does not stand in for the exception where nobody said that it may; nor for other URLs."""
    fails = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fails and scope["path"] == "/a":
            raise AppError("mine")
        await start(send, [(b"cache-control", b"max-age=1")])
        await piece(send, b"new" if fails else b"old", more=False)

    async def scenario() -> None:
        nonlocal fails
        cached = penstock.CacheMiddleware(app)
        await Client(cached, "/a").go()
        await Client(cached, "/b").go()
        fails = True
        await asyncio.sleep(5)
        for _ in range(4):
            with pytest.raises(AppError):
                await Client(cached, "/a").go()
        assert (await Client(cached, "/b").go()).body == b"new"

    run_virtual(scenario())
    assert caplog.records == []


def test_an_app_that_is_stopped_is_answered_for() -> None:
    """Whoever cancels its task: those who wait hear of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        clients = [Client(cached), Client(cached)]
        await asyncio.gather(*(client.go() for client in clients))
        assert [client.status for client in clients] == [500, 500]

    run_virtual(scenario())


def test_a_failure_may_be_answered_with_what_is_stale(caplog: pytest.LogCaptureFixture) -> None:
    """Then the exception is in the log."""
    fails = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise AppError("mine")
        await start(send, [(b"cache-control", b"max-age=1, stale-if-error=60")])
        await piece(send, b"old", more=False)

    async def scenario() -> None:
        nonlocal fails
        cached = penstock.CacheMiddleware(app)
        await Client(cached).go()
        fails = True
        await asyncio.sleep(5)
        answer = await Client(cached).go()
        assert answer.body == b"old"
        assert "stale-if-error" in answer.cache_status

    with caplog.at_level(logging.ERROR, "penstock.cache"):
        run_virtual(scenario())
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [AppError]


def test_a_failing_refresh_is_logged_and_the_client_has_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it."""
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise AppError("mine")
        await start(send, [(b"cache-control", b"max-age=1, stale-while-revalidate=60")])
        await piece(send, b"old", more=False)

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        await Client(cached).go()
        await asyncio.sleep(5)
        assert (await Client(cached).go()).body == b"old"
        await asyncio.sleep(1)

    with caplog.at_level(logging.ERROR, "penstock.cache"):
        run_virtual(scenario())
    assert calls == 2
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [AppError]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [("start", [])],
        [("start", [(b"content-length", b"5")]), ("end", b"1234")],
        [("start", [(b"content-length", b"5")]), ("more", b"123456")],
        [("start", []), ("start", [])],
        [("more", b"1")],
    ],
)
def test_an_answer_that_is_none_is_an_error(messages: list[tuple[str, Any]]) -> None:
    """Not complete, not as long as it says, or out of order: raised for the server, and never stored."""
    broken = True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for kind, value in messages if broken else [("start", []), ("end", b"ok")]:
            await (start(send, [*value, *STORED]) if kind == "start" else piece(send, value, more=kind == "more"))

    async def scenario() -> None:
        nonlocal broken
        cached = penstock.CacheMiddleware(app)
        with pytest.raises(RuntimeError):
            await Client(cached).go()
        broken = False
        assert (await Client(cached).go()).body == b"ok"

    run_virtual(scenario())


def test_work_after_the_answer_delays_nobody_and_raises_to_the_server() -> None:
    """Background tasks run on in the app's task; the client has its answer, and so has everybody after it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, STORED)
        await piece(send, b"done", more=False)
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.sleep(100)
        raise AppError("late")

    async def scenario() -> None:
        cached = penstock.CacheMiddleware(app)
        leader = Client(cached)
        task = asyncio.create_task(leader.go())
        await asyncio.sleep(1)
        assert leader.complete
        assert "hit" in (await Client(cached).go()).cache_status
        with pytest.raises(AppError):
            await task
        assert asyncio.get_running_loop().time() == pytest.approx(100)

    run_virtual(scenario())


def test_context_variables_of_the_server_reach_the_app() -> None:
    """A request id that an outer middleware set is in the app's log lines."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        await start(send, STORED)
        await piece(send, b"", more=False)

    async def scenario() -> None:
        variable.set("r1")
        await Client(penstock.CacheMiddleware(app)).go()

    run_virtual(scenario())
    assert seen == ["r1"]


def test_the_app_gets_no_extension_that_would_go_round_the_cache() -> None:
    """A file that the server is to send would never be seen here."""
    site = Site()

    async def scenario() -> None:
        extensions: dict[str, Any] = {"http.response.pathsend": {}, "http.response.trailers": {}, "tls": {"a": 1}}
        await Client(penstock.CacheMiddleware(site), extensions=extensions).go()

    run_virtual(scenario())
    assert site.scopes[0]["extensions"] == {"tls": {"a": 1}}


def test_with_eager_tasks_as_well() -> None:
    """Python 3.12 can run a task at once; the engine must not hear of an answer before it has asked."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        return
    site = Site()

    async def scenario() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        app = penstock.CacheMiddleware(site)
        assert (await Client(app).go()).body == b"hello"
        assert "hit" in (await Client(app).go()).cache_status

    run_virtual(scenario())

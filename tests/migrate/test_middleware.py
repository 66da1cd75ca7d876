"""MoveMiddleware with apps of our own: what counts, when a request has ended, and what is not touched."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.errors import ArmsBusy
from penstock.migrate import under_way
from penstock.migrate.under_way import UNDER_WAY, App, Message, Receive, Scope, Send
from penstock.testing import ManualClock
from penstock.testing.virtual_loop import run_virtual

from .routes import ROUTE, counts, tally, write

START = {"type": "http.response.start", "status": 200, "headers": []}
REQUEST = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def body(text: bytes = b"x", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


class Client:
    """What a server does for one request."""

    def __init__(self, app: App, headers: Iterable[tuple[bytes, bytes]] = (), *, messages: Iterable[Any] = ()) -> None:
        self.app = app
        self.scope: Scope = {"type": "http", "headers": list(headers), "method": "GET", "path": "/"}
        self.sent: list[Message] = []
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        for each in messages or [REQUEST]:
            self.messages.put_nowait(each)
        self.gone = False

    async def receive(self) -> Message:
        message = await self.messages.get()
        if isinstance(message, Exception):
            raise message
        found: Message = message
        return found

    async def send(self, message: Message) -> None:
        if self.gone:
            raise OSError("the client has gone")
        self.sent.append(message)

    async def ask(self) -> list[Message]:
        await self.app(self.scope, self.receive, self.send)
        return self.sent


def answering(*messages: Message, then: Callable[[], Any] | None = None) -> App:
    """An app with one route, whose control or arm is called before it answers."""

    @penstock.arms(ROUTE, key="x-user", max_in_flight=1, max_waiting=1)
    async def quote() -> str:
        return "control"

    @quote.arm("async")
    async def _() -> str:
        await asyncio.sleep(1.0)
        return "async"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await quote()
        for message in messages:
            await send(message)
        if then is not None:
            await then()

    return penstock.MoveMiddleware(app)


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (404, 0), (500, 1), (503, 1)])
def test_the_final_status_counts(status: int, errors: int) -> None:
    app = answering(START | {"status": status}, body())
    run_virtual(Client(app).ask())
    assert counts("control") == {"ended": 1} | ({"errors": errors} if errors else {})


def test_an_exception_that_no_answer_came_of_is_a_failure() -> None:
    async def broken() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        run_virtual(Client(answering(then=broken)).ask())
    assert counts("control") == {"ended": 1, "errors": 1}


def test_an_answer_that_breaks_off_is_a_failure() -> None:
    async def broken() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        run_virtual(Client(answering(START, body(more=True), then=broken)).ask())
    assert counts("control") == {"ended": 1, "errors": 1}


def test_what_is_done_after_the_answer_is_not_the_answer() -> None:
    """Background tasks: neither their time nor their exceptions."""

    async def later() -> None:
        assert counts("control") == {"ended": 1}
        raise LookupError("x")

    with pytest.raises(LookupError):
        run_virtual(Client(answering(START, body(), then=later)).ask())
    assert counts("control") == {"ended": 1}


@pytest.mark.parametrize("streamed", [True, False])
def test_it_takes_until_the_last_byte(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    monkeypatch.setattr(under_way, "SYSTEM_CLOCK", clock)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        clock.advance(1.0)
        await quote()
        await send(START)
        if streamed:
            await send(body(more=True))
        clock.advance(2.0)
        assert counts("control") == {"in_flight": 1}
        await send(body())
        clock.advance(4.0)

    @penstock.arms(ROUTE)
    async def quote() -> None: ...

    run_virtual(Client(penstock.MoveMiddleware(slow)).ask())
    assert tally("control").seconds.total == pytest.approx(3.0)


def test_a_client_that_cannot_be_sent_to_has_gone_and_nothing_failed() -> None:
    client = Client(answering(START, body(more=True), body()))
    client.gone = True
    with pytest.raises(OSError, match="has gone"):
        run_virtual(client.ask())
    assert counts("control") == {"ended": 1}


def test_a_client_that_leaves_ends_the_request_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await quote()
        while (await receive())["type"] != "http.disconnect":
            assert counts("control") == {"in_flight": 1}
        assert counts("control") == {"ended": 1}
        raise LookupError("what is raised for nobody is no failure")

    @penstock.arms(ROUTE)
    async def quote() -> None: ...

    with pytest.raises(LookupError):
        run_virtual(Client(penstock.MoveMiddleware(app), messages=[REQUEST, GONE]).ask())
    assert counts("control") == {"ended": 1}


def test_streams_go_through_message_by_message() -> None:
    messages = [START, body(b"1", more=True), body(b"2", more=True), body(b"", more=False)]
    assert run_virtual(Client(answering(*messages)).ask()) == messages


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "other"])
def test_what_is_not_http_is_not_touched(kind: str) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)
        assert UNDER_WAY.get() is None

    client = Client(penstock.MoveMiddleware(app))
    client.scope = {"type": kind}
    run_virtual(client.ask())
    assert seen == [client.scope, client.receive, client.send]


def test_an_arm_within_the_request_of_another_counts_for_itself() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await outer()
        await send(START | {"status": 500})
        await send(body())

    @penstock.arms("GET /inner")
    async def inner() -> None: ...

    @penstock.arms(ROUTE)
    async def outer() -> None:
        await inner()

    run_virtual(Client(penstock.MoveMiddleware(app)).ask())
    assert counts("control") == {"ended": 1, "errors": 1}
    assert tally("control", "GET /inner").ended == 1
    assert tally("control", "GET /inner").errors == 0


def test_the_request_says_which_arm_it_got(state_file: Path) -> None:
    write(state_file, 1.0)
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = UNDER_WAY.get()
        assert request is not None
        seen.append((request.route, request.arm))
        await quote()
        seen.append((request.route, request.arm))

    @penstock.arms(ROUTE, max_in_flight=1)
    async def quote() -> None: ...

    @quote.arm("async")
    async def _() -> None: ...

    run_virtual(Client(penstock.MoveMiddleware(app)).ask())
    assert seen == [(None, None), (ROUTE, "async")]
    assert UNDER_WAY.get() is None


def test_the_key_is_found_in_the_scope(state_file: Path) -> None:
    """Without any request among the arguments."""
    write(state_file, 0.5)
    app = answering(START, body())

    async def ask(user: int) -> None:
        await Client(app, [(b"host", b"x"), (b"x-user", b"%d" % user)]).ask()

    for user in range(20):
        run_virtual(ask(user))
    assert counts("control")["ended"] + counts("async")["ended"] == 20
    assert "keyless" not in counts("control")
    assert counts("async")["ended"] > 3
    run_virtual(Client(app).ask())
    assert counts("control")["keyless"] == 1


async def _started(*clients: Client) -> list[asyncio.Task[list[Message]]]:
    tasks = []
    for client in clients:
        tasks.append(asyncio.ensure_future(client.ask()))
        await asyncio.sleep(0.1)
    return tasks


def test_what_is_too_much_gets_503(state_file: Path) -> None:
    write(state_file, 1.0)

    async def main() -> list[Message]:
        app = answering(START, body())
        tasks = await _started(Client(app), Client(app))
        sent = await Client(app).ask()
        assert [len(await task) for task in tasks] == [2, 2]
        return sent

    start, end = run_virtual(main())
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert ROUTE.encode() in end["body"]
    assert counts("async") == {"ended": 2, "shed": 1}


def test_a_client_that_leaves_while_it_waits_gives_its_place_back(state_file: Path) -> None:
    write(state_file, 1.0)

    async def main() -> None:
        app = answering(START, body())
        first, second = Client(app), Client(app)
        tasks = await _started(first, second)
        second.messages.put_nowait(GONE)
        await asyncio.sleep(0.1)
        assert tasks[1].done()
        third = Client(app)
        assert (await third.ask())[0] == START
        await tasks[0]

    run_virtual(main())
    assert counts("async") == {"ended": 2}, "it was neither served nor refused"


@pytest.mark.parametrize("leaves", [False, True])
def test_a_place_is_held_until_the_last_byte_and_until_the_arm_has_returned(state_file: Path, leaves: bool) -> None:
    """Of a stream the arm returns the beginning; and who leaves has not ended the arm."""
    write(state_file, 1.0)

    @penstock.arms(ROUTE, max_in_flight=1)
    def quote(receive: Receive) -> None: ...

    @quote.arm("async")
    async def _(receive: Receive) -> None:
        if leaves:
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            await asyncio.sleep(1.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await quote(receive)
        await send(START)
        if not leaves:
            await send(body(more=True))
            await asyncio.sleep(1.0)
        await send(body())
        await asyncio.sleep(1.0)

    async def main() -> list[int]:
        wrapped = penstock.MoveMiddleware(app)
        first = asyncio.ensure_future(Client(wrapped, messages=[REQUEST, GONE]).ask())
        seen = []
        for _ in range(2):
            await asyncio.sleep(0.6)
            seen.append((await Client(wrapped, messages=[REQUEST, GONE]).ask())[0]["status"])
        await first
        return seen

    assert run_virtual(main()) == [503, 200]


def test_what_was_heard_while_waiting_is_still_there_for_the_arm(state_file: Path) -> None:
    write(state_file, 1.0)
    heard = []
    upload = [REQUEST | {"body": b"1", "more_body": True}, REQUEST | {"body": b"2", "more_body": True}, REQUEST]

    @penstock.arms(ROUTE, max_in_flight=1, max_waiting=2)
    def quote(receive: Receive) -> None: ...

    @quote.arm("async")
    async def _(receive: Receive) -> None:
        await asyncio.sleep(1.0)
        while (message := await receive())["type"] == "http.request":
            heard.append(message["body"])
            if not message["more_body"]:
                break

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await quote(receive)
        await send(START)
        await send(body())

    async def main() -> None:
        wrapped = penstock.MoveMiddleware(app)
        clients = [Client(wrapped), Client(wrapped, messages=upload), Client(wrapped)]
        await asyncio.gather(*await _started(*clients))

    run_virtual(main())
    assert heard == [b"", b"1", b"2", b"", b""]


def test_a_server_that_repeats_itself_does_not_take_the_loop(state_file: Path) -> None:
    write(state_file, 1.0)

    class Repeating(Client):
        async def receive(self) -> Message:
            return REQUEST

    async def main() -> None:
        app = answering(START, body())
        await asyncio.gather(*await _started(Repeating(app), Repeating(app)))

    run_virtual(main())
    assert counts("async") == {"ended": 2}


def test_a_server_that_cannot_say_who_leaves_changes_nothing(state_file: Path) -> None:
    write(state_file, 1.0)

    async def main() -> None:
        app = answering(START, body())
        second = Client(app, messages=[REQUEST, RuntimeError("receive was called twice")])
        await asyncio.gather(*await _started(Client(app), second))

    run_virtual(main())
    assert counts("async") == {"ended": 2}


def test_an_app_that_listens_for_itself_is_left_alone(state_file: Path) -> None:
    """As Django does, which cancels its view when the client leaves: a server is never asked twice at once."""
    write(state_file, 1.0)
    quote = _narrow()

    asked_at_once: list[int] = []

    class OneAtATime(Client):
        asked = 0

        async def receive(self) -> Message:
            self.asked += 1
            asked_at_once.append(self.asked)
            try:
                return await super().receive()
            finally:
                self.asked -= 1

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == REQUEST
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0.01)
        view = asyncio.ensure_future(quote())
        await asyncio.wait((listening, view), return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, view):
            task.cancel()
        await asyncio.wait((listening, view))
        if not view.cancelled():
            await send(START)
            await send(body())

    async def main() -> None:
        wrapped = penstock.MoveMiddleware(app)
        first, second, third = OneAtATime(wrapped), OneAtATime(wrapped), OneAtATime(wrapped)
        tasks = await _started(first, second)
        second.messages.put_nowait(GONE)
        await asyncio.sleep(0.1)
        assert tasks[1].done()
        assert (await third.ask())[0] == START
        await tasks[0]
        assert second.sent == []

    run_virtual(main())
    assert max(asked_at_once) == 1
    assert counts("async") == {"ended": 2}


def _narrow() -> Any:
    @penstock.arms(ROUTE, max_in_flight=1, max_waiting=1)
    def quote() -> None: ...

    @quote.arm("async")
    async def _() -> None:
        await asyncio.sleep(1.0)

    return quote


@pytest.mark.parametrize("within", ["an arm", "a route without arms"])
def test_a_request_that_calls_an_arm_twice_does_not_wait_for_itself(state_file: Path, within: str) -> None:
    """The place of the first call would be held until the answer, which the second one is needed for."""
    write(state_file, 1.0)

    @penstock.arms(ROUTE, max_in_flight=1, max_waiting=1)
    def quote() -> str:
        return "control"

    @quote.arm("async")
    async def _() -> str:
        return "async"

    async def both() -> None:
        assert (await quote(), await quote()) == ("async", "async")

    called = penstock.arms("GET /both")(both) if within == "an arm" else both

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await called()
        await send(START)
        await send(body())

    async def main() -> None:
        async with asyncio.timeout(1):
            for _ in range(2):
                assert len(await Client(penstock.MoveMiddleware(app)).ask()) == 2

    run_virtual(main())
    assert counts("async") == {"ended": 4}


def test_work_after_the_answer_waits_for_a_place_as_others_do(state_file: Path) -> None:
    """Its client has its answer, and has not left."""
    write(state_file, 1.0)
    done: list[str] = []

    @penstock.arms(ROUTE, max_in_flight=1, max_waiting=1)
    def quote() -> str:
        return "control"

    @quote.arm("async")
    async def _() -> str:
        await asyncio.sleep(1.0)
        return "async"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body())
        done.append(await quote())

    async def main() -> None:
        await asyncio.gather(*(Client(penstock.MoveMiddleware(app)).ask() for _ in range(2)))

    run_virtual(main())
    assert done == ["async", "async"]


def test_an_answer_that_breaks_off_for_the_ceiling_is_a_failure() -> None:
    """Its client has the half of it."""

    def refuse() -> None:
        raise ArmsBusy("full", route="GET /other")

    with pytest.raises(ArmsBusy):
        run_virtual(Client(answering(START, body(more=True), then=refuse)).ask())
    assert counts("control") == {"ended": 1, "errors": 1}


def test_a_request_may_be_thrown_away_in_another_context() -> None:
    """As the garbage of a loop that was closed is: that would be an error in a place where nobody can mend it."""

    class Waits:
        def __await__(self) -> Any:
            yield

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await Waits()

    client = Client(waiting)
    coroutine: Any = penstock.MoveMiddleware(waiting)(client.scope, client.receive, client.send)
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()

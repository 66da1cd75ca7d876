"""What a request carries is looked at from its entry to its exit, in either arm."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import penstock
from penstock import UsageError
from penstock.adapters import effects
from penstock.migrate import carry
from penstock.migrate.threads import in_thread

from .carrying import ROUTE, call, declared, serve

user: ContextVar[str] = ContextVar("user")
local = threading.local()


@pytest.fixture(autouse=True)
def _nobody() -> Iterator[None]:
    local.__dict__.clear()
    yield
    local.__dict__.clear()


def sync_arm(work: Callable[[], object]) -> Callable[[], Any]:
    def arm() -> object:
        return work()

    return arm


def async_arm(work: Callable[[], object]) -> Callable[[], Any]:
    async def arm() -> object:
        await asyncio.sleep(0)
        result = work()
        await asyncio.sleep(0)
        return result

    return arm


both = pytest.mark.parametrize("colour", [sync_arm, async_arm], ids=["sync", "async"])


def run(main: Callable[[], Any]) -> Any:
    """In a context of its own, as a server runs a request."""
    return contextvars.Context().run(asyncio.run, main())


@both
def test_what_stays_is_no_finding(colour: Any) -> None:
    async def main() -> None:
        user.set("ann")
        await serve(colour(call))

    with declared(user=user, name=lambda: user.get(None)) as found:
        run(main)
    assert found == []


@both
def test_what_the_arm_sets_is_seen_around_it_and_no_finding(colour: Any) -> None:
    async def main() -> str:
        user.set("ann")
        await serve(colour(lambda: (call(), user.set("bob"), call())))
        return user.get()

    with declared(user=user, name=lambda: user.get(None)) as found:
        assert run(main) == "bob"
    assert found == []


@both
def test_what_the_arm_takes_away_is_lost(colour: Any) -> None:
    def forget() -> None:
        user.set(None)  # type: ignore[arg-type]
        call()

    async def main() -> None:
        user.set("ann")
        await serve(colour(forget))

    with declared(user=user) as found:
        run(main)
    assert set(found) == {(ROUTE, "control" if colour is sync_arm else "async", "user")}


@both
def test_a_child_task_has_what_the_arm_had(colour: Any) -> None:
    async def child() -> None:
        call()
        user.set("of the child")
        call()

    async def parent() -> None:
        await asyncio.gather(child(), child())
        call()

    def in_a_thread() -> None:
        asyncio.run(parent())

    async def main() -> None:
        user.set("ann")
        await serve(parent if colour is async_arm else in_a_thread)

    with declared(user=user, name=lambda: user.get(None)) as found:
        run(main)
    assert found == []


@both
def test_an_executor_without_the_context_is_named(colour: Any, caplog: pytest.LogCaptureFixture) -> None:
    """fastapi#2776 and otel#1009: what runs in a pool of threads has the context of nobody."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        async def main() -> None:
            user.set("ann")
            await serve(colour(lambda: pool.submit(call).result()))
            assert found.names == ["user"]
            await serve(colour(lambda: pool.submit(contextvars.copy_context().run, call).result()))

        with declared(user=user) as found, caplog.at_level(logging.WARNING, "penstock.move"):
            run(main)
    assert found == [(ROUTE, "control" if colour is sync_arm else "async", "user")]
    assert "'user' was lost at a call from another thread" in caplog.text
    assert "copy_context().run" in caplog.text
    assert "ann" not in caplog.text


def test_a_thread_without_the_context_is_named() -> None:
    async def main() -> None:
        user.set("ann")
        await serve(work)

    def work() -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    with declared(user=user) as found:
        run(main)
    assert found.names == ["user"]


def test_a_stranger_among_several_arms_is_nobodys() -> None:
    def other_thread() -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    async def main() -> None:
        user.set("ann")
        meanwhile = asyncio.Event()
        waiting = asyncio.create_task(serve(meanwhile.wait, route="GET /other"))
        await asyncio.sleep(0)
        await serve(other_thread)
        meanwhile.set()
        await waiting

    with declared(user=user) as found:
        run(main)
    assert found == [("(unknown)", "(unknown)", "user")]


def test_work_of_no_request_is_no_finding() -> None:
    """A thread of its own while nothing is asked; a task of the app while something is; a job that has a name."""

    async def main() -> None:
        house = asyncio.create_task(of_the_house())
        await asyncio.sleep(0)
        user.set("ann")
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        await serve(named)
        await house

    async def of_the_house() -> None:
        for _ in range(5):
            call()
            await asyncio.sleep(0)

    def job() -> None:
        user.set("the system")
        call()

    async def named() -> None:
        await asyncio.sleep(0)
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()

    with declared(user=user) as found:
        run(main)
    assert found == []


def test_what_goes_on_after_the_exit_is_looked_at_and_no_stranger() -> None:
    """A task that the arm has begun, and what the framework runs for the request afterwards."""
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await go_on.wait()
        call()
        user.set(None)  # type: ignore[arg-type]
        call()

    async def begins() -> None:
        tasks.append(asyncio.create_task(later()))

    async def main() -> None:
        user.set("ann")
        await serve(begins)
        call()
        await asyncio.to_thread(call)
        assert found == []
        go_on.set()
        await asyncio.gather(*tasks)

    go_on = asyncio.Event()
    with declared(user=user) as found:
        run(main)
    assert found.names == ["user"]


def test_what_a_request_without_a_name_does_afterwards_is_no_stranger() -> None:
    """Its threads have its context, and nobody is missing there, whoever else is under way."""

    async def main() -> None:
        meanwhile = asyncio.Event()
        waiting = asyncio.create_task(serve(meanwhile.wait))
        await asyncio.sleep(0)
        await serve(sync_arm(call))
        await asyncio.to_thread(call)
        meanwhile.set()
        await waiting

    with declared(user=user) as found:
        run(main)
    assert found == []


def test_what_is_used_after_the_exit_is_not_held_for_ever() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await go_on.wait()
        call()

    async def begins() -> None:
        tasks.append(asyncio.create_task(later()))

    async def main() -> None:
        user.set("ann")
        await serve(begins)
        go_on.set()
        await asyncio.gather(*tasks)
        await serve(async_arm(call))

    go_on = asyncio.Event()
    with declared(own=["user"], user=user) as found:
        run(main)
    assert found == []


def test_a_body_that_is_generated_after_the_exit_is_no_finding() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        call()
        yield b"a"
        call()

    def sync_pieces() -> Iterator[bytes]:
        call()
        yield b"a"
        call()

    async def main() -> None:
        token = user.set("ann")
        body = await serve(async_arm(pieces))
        assert [piece async for piece in body] == [b"a"]
        other = await serve(sync_arm(sync_pieces))
        assert await asyncio.to_thread(list, other) == [b"a"]
        user.reset(token)
        call()

    with declared(user=user) as found:
        run(main)
    assert found == []


def test_a_value_of_the_thread_is_found_in_a_sync_arm(caplog: pytest.LogCaptureFixture) -> None:
    """airflow#44187: the loop's thread has it, the arm's has none, or that of the request before."""

    async def main() -> None:
        local.user = "ann"
        await serve(call_and_set)
        await serve(call_and_set)

    def call_and_set() -> None:
        call()
        local.user = "left behind"

    with declared(user=lambda: getattr(local, "user", None)) as found, caplog.at_level(logging.WARNING):
        run(main)
    assert (ROUTE, "control", "user") in found
    assert "in the arm's thread, before its first line. It is kept for a thread" in caplog.text
    assert "left behind" not in caplog.text


def test_a_leftover_of_the_thread_is_found_where_the_request_has_none() -> None:
    def leave_it() -> None:
        local.user = "left behind"

    async def main() -> None:
        # The pool gives its last thread first.
        await in_thread(leave_it, (), {})
        await serve(call)

    with declared(user=lambda: getattr(local, "user", None)) as found:
        run(main)
    assert found.names[0] == "user"


def test_what_a_sync_arm_keeps_for_its_thread_does_not_come_out() -> None:
    def arm() -> None:
        local.user = "ann"

    with declared(user=lambda: getattr(local, "user", None)) as found:
        run(lambda: serve(arm))
    assert found.names == ["user"]


def test_a_value_that_changes_while_the_arm_waits_is_anothers() -> None:
    async def arm() -> str:
        await asyncio.sleep(0)
        return str(local.user)

    async def request(name: str) -> str:
        local.user = name
        return str(await serve(arm))

    async def main() -> list[str]:
        return [*await asyncio.gather(request("ann"), request("bob"))]

    with declared(user=lambda: getattr(local, "user", None)) as found:
        assert run(main) == ["bob", "bob"]
    assert found.names == ["user"]


def test_a_value_that_the_arm_itself_changes_between_waits_is_its_own() -> None:
    async def arm() -> None:
        for name in ("ann", "bob"):
            local.user = name
            await asyncio.sleep(0)
            call()

    with declared(user=lambda: getattr(local, "user", None)) as found:
        run(lambda: serve(arm))
    assert found == []


@both
def test_what_no_two_may_have_is_found_when_they_are_there_at_once(colour: Any) -> None:
    shared = object()
    barrier = threading.Barrier(2)

    async def main() -> None:
        if colour is sync_arm:
            await asyncio.gather(request(barrier.wait), request(barrier.wait))
        else:
            await asyncio.gather(request(call), request(call))

    async def request(work: Callable[[], object]) -> None:
        session.set(shared)
        await serve(colour(work))

    session: ContextVar[object] = ContextVar("session")
    with declared(own=["session"], session=session, user=user) as found:
        run(main)
    assert set(found.names) == {"session"}


@both
def test_what_each_has_for_itself_is_no_finding(colour: Any) -> None:
    async def request() -> None:
        session.set({})
        await serve(colour(call))

    async def main() -> None:
        await asyncio.gather(*[request() for _ in range(20)])
        again: dict[str, str] = {}
        for _ in range(3):
            session.set(again)
            await serve(colour(call))

    session: ContextVar[dict[str, str]] = ContextVar("session")
    with declared(own=["session"], session=session) as found:
        run(main)
    assert found == []


def test_a_name_that_never_has_a_value_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """What a sync Depends sets (fastapi#953) is never seen: all that can be seen is that there is none."""

    async def main() -> None:
        for _ in range(100):
            await serve(sync_arm(call))

    with declared(user=user, other=lambda: "there") as found, caplog.at_level(logging.WARNING, "penstock.move"):
        run(main)
    assert found == []
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "GET /thing: 'user' had no value in any of 20 requests" in told[0]
    assert "async def" in told[0]


def test_a_finding_is_counted_each_time_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def forget() -> None:
        user.set(None)  # type: ignore[arg-type]
        call()

    async def main() -> None:
        for _ in range(10):
            user.set("ann")
            await serve(sync_arm(forget))

    with declared(user=user) as found, caplog.at_level(logging.WARNING, "penstock.move"):
        run(main)
    assert len(found) == 10
    assert len(caplog.records) == 1
    assert f"{__file__}:" in caplog.text
    assert "in forget" in caplog.text


def test_an_arm_that_raises_or_is_cancelled_leaves() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        user.set("ann")
        with pytest.raises(KeyError):
            await serve(fail)
        task = asyncio.create_task(serve(hang))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    with declared(own=["user"], user=user) as found:
        run(main)
    assert found == []


def test_an_arm_within_an_arm_is_a_request_of_its_own() -> None:
    def forget() -> None:
        user.set(None)  # type: ignore[arg-type]
        call()

    async def inner() -> None:
        await serve(call, route="GET /inner")

    async def outer() -> None:
        await inner()
        forget()
        user.set("ann")

    async def main() -> None:
        user.set("ann")
        await serve(outer)

    with declared(own=["user"], user=user) as found:
        run(main)
    assert found == [(ROUTE, "async", "user")]


def test_a_host_without_a_loop_has_the_same_looks() -> None:
    work: list[Callable[[], object]] = [call, lambda: user.set(None)]  # type: ignore[arg-type]

    @penstock.arms("GET /plain", wsgi=True)
    def plain() -> object:
        return work.pop(0)()

    def request() -> None:
        user.set("ann")
        plain()

    with declared(user=user) as found:
        contextvars.Context().run(request)
        assert found == []
        contextvars.Context().run(request)
    assert found == [("GET /plain", "control", "user")]


def test_values_that_cannot_be_compared_or_hashed_are_told_by_where_they_are() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("not with me")

    async def main() -> None:
        odd.set(Odd())
        await serve(sync_arm(call))

    odd: ContextVar[Odd] = ContextVar("odd")
    with declared(own=["odd"], odd=odd) as found:
        run(main)
    assert found == []


def test_a_function_that_raises_is_no_value_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    def outside() -> str:
        raise LookupError("secret")

    with declared(tenant=outside) as found, caplog.at_level(logging.WARNING, "penstock.move"):
        assert run(lambda: serve(sync_arm(lambda: 7))) == 7
    assert found == []
    assert "the function for 'tenant' raised LookupError" in caplog.text
    assert "secret" not in caplog.text


async def _no_function() -> str:
    return ""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "at least one name"),
        ({"user": "ann"}, "must be a ContextVar or a function, not str"),
        ({"user": lambda request: request}, "must need no arguments"),
        ({"user": _no_function}, "must not be async"),
        ({"user": user, "own": ["session"]}, "own is a list of names that are given here"),
        ({"user": user, "own": "user"}, "own is a list of names that are given here"),
    ],
)
def test_wrong_declarations_are_refused_at_import(given: dict[str, Any], says: str) -> None:
    with carry.anew(lambda *_: None), pytest.raises(UsageError, match=says):
        penstock.carry(**given)


def test_a_name_is_declared_once() -> None:
    with declared(user=user):
        penstock.carry(user=user)
        with pytest.raises(UsageError, match="'user' was declared before"):
            penstock.carry(user=lambda: "ann")


def test_without_a_declaration_nothing_is_done() -> None:
    with carry.anew(lambda *_: None):
        assert carry.enter(ROUTE, "async") is None
        carry.leave(None)
        assert carry.in_its_thread(None, call) is call
    assert effects._told == []

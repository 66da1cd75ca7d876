"""The decorator: what it refuses at import, which arm serves, and what it leaves as it was."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.errors import UsageError
from penstock.migrate.choice import FORCED, read_anew
from penstock.migrate.watch import WATCH
from penstock.testing.virtual_loop import run_virtual

from .routes import ROUTE, FakeRequest, counts, write

USER: ContextVar[str] = ContextVar("user", default="-")


def route_of_two(**options: Any) -> Any:
    """A control in a thread, and an arm on the loop."""

    @penstock.arms(ROUTE, max_in_flight=2, **options)
    def quote(request: FakeRequest, name: str = "1") -> str:
        return f"control {name} {threading.current_thread() is threading.main_thread()}"

    @quote.arm("async")
    async def _(request: FakeRequest, name: str = "1") -> str:
        await asyncio.sleep(1)
        return f"async {name} {threading.current_thread() is threading.main_thread()}"

    return quote


def test_without_a_state_the_control_serves_in_a_thread() -> None:
    quote = route_of_two()
    assert run_virtual(quote(FakeRequest(), name="7")) == "control 7 False"
    assert counts("control") == {"ended": 1}
    assert counts("async") == {}


def test_at_a_share_of_1_nobody_needs_a_key(state_file: Path) -> None:
    write(state_file, 1.0)
    assert run_virtual(route_of_two()(FakeRequest())) == "async 1 True"
    assert counts("async") == {"ended": 1}
    assert counts("control") == {}


def test_a_part_of_the_users_gets_the_arm_the_same_each_time(state_file: Path) -> None:
    write(state_file, 0.3)
    quote = route_of_two(key="X-User")

    async def ask(user: int) -> str:
        said: str = await quote(FakeRequest({"X-User": str(user)}))
        return said.split()[0]

    first = [run_virtual(ask(user)) for user in range(60)]
    assert [run_virtual(ask(user)) for user in range(60)] == first
    assert 8 <= first.count("async") <= 30
    assert counts("async") == {"ended": 2 * first.count("async")}


@pytest.mark.parametrize("headers", [{}, {"X-User": ""}])
def test_who_has_no_key_gets_the_control_and_is_counted(state_file: Path, headers: dict[str, str]) -> None:
    write(state_file, 0.99)
    quote = route_of_two(key="X-User")
    assert all(run_virtual(quote(FakeRequest(headers))).startswith("control") for _ in range(20))
    assert counts("control") == {"ended": 20, "keyless": 20}


def test_without_a_key_at_all_a_part_is_nobody(state_file: Path) -> None:
    write(state_file, 0.99)
    quote = route_of_two()
    assert run_virtual(quote(FakeRequest({"X-User": "ann"}))).startswith("control")
    assert counts("control") == {"ended": 1, "keyless": 1}


def test_the_key_may_be_what_a_function_says(state_file: Path) -> None:
    write(state_file, 0.5)
    quote = route_of_two(key=lambda request: request.headers.get("user", None))
    said = {run_virtual(quote(FakeRequest({"user": str(n)}))).split()[0] for n in range(20)}
    assert said == {"control", "async"}
    assert run_virtual(quote(FakeRequest())).startswith("control")
    assert counts("control")["keyless"] == 1


def test_a_key_function_that_raises_fails_no_request(state_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(state_file, 0.99)
    quote = route_of_two(key=lambda request: request.headers["user"])
    assert all(run_virtual(quote(FakeRequest())).startswith("control") for _ in range(3))
    assert [each.message for each in caplog.records] == [
        f"the key of {ROUTE} cannot be told, so its control serves; said once"
    ]
    assert counts("control") == {"ended": 3, "keyless": 3}


def test_an_arm_that_is_not_there_is_the_control_and_said_once(
    state_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(state_file, 1.0, arm="grpc")
    quote = route_of_two()
    with caplog.at_level(logging.WARNING, "penstock.move"):
        assert all(run_virtual(quote(FakeRequest())).startswith("control") for _ in range(3))
    assert len(caplog.records) == 1
    assert "'grpc'" in caplog.text


def test_forced_comes_before_the_process_and_that_before_the_state(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(state_file, 1.0)
    quote = route_of_two()

    async def forced(arm: str) -> str:
        FORCED.set(arm)
        said: str = await quote(FakeRequest())
        return said.split()[0]

    monkeypatch.setenv("PENSTOCK_ARM", "control")
    read_anew()
    assert run_virtual(quote(FakeRequest())).startswith("control")
    assert run_virtual(forced("async")) == "async"
    monkeypatch.setenv("PENSTOCK_ARM", "async")
    read_anew()
    assert run_virtual(forced("control")) == "control"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_an_arm_sets_is_there_for_who_is_round_it(state_file: Path, share: float) -> None:
    """As Starlette runs it, a name that a sync endpoint sets is gone afterwards: for logs, for middleware."""
    write(state_file, share)

    @penstock.arms(ROUTE, max_in_flight=1)
    def quote() -> str:
        before = USER.get()
        USER.set("ann")
        return before

    @quote.arm("async")
    async def _() -> str:
        before = USER.get()
        USER.set("ann")
        return before

    async def request() -> tuple[str, str]:
        USER.set("nobody")
        return await quote(), USER.get()

    assert run_virtual(request()) == ("nobody", "ann")


def test_what_is_set_is_there_also_where_the_arm_raises() -> None:
    @penstock.arms(ROUTE)
    def quote() -> None:
        USER.set("ann")
        raise LookupError("no such quote")

    async def request() -> str:
        with pytest.raises(LookupError):
            await quote()
        return USER.get()

    assert run_virtual(request()) == "ann"
    assert counts("control") == {"ended": 1, "errors": 1}


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (404, 0), (499, 0), (500, 1), (503, 1)])
@pytest.mark.parametrize("raised", [True, False])
def test_without_the_middleware_a_status_tells_what_failed(status: int, errors: int, raised: bool) -> None:
    class Answer(Exception):
        status_code = status

    @penstock.arms(ROUTE)
    async def quote() -> Any:
        if raised:
            raise Answer
        return Answer()

    async def request() -> None:
        if raised:
            with pytest.raises(Answer):
                await quote()
        else:
            await quote()

    run_virtual(request())
    assert counts("control") == {"ended": 1} | ({"errors": errors} if errors else {})


def test_a_request_that_is_cancelled_is_over_and_not_failed(state_file: Path) -> None:
    write(state_file, 1.0)
    quote = route_of_two()

    async def request() -> None:
        task = asyncio.ensure_future(quote(FakeRequest()))
        await asyncio.sleep(0.5)
        assert counts("async") == {"in_flight": 1}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(request())
    assert counts("async") == {"ended": 1}


def test_a_framework_sees_the_control() -> None:
    quote = route_of_two()
    assert quote.__name__ == "quote"
    assert list(inspect.signature(quote).parameters) == ["request", "name"]
    assert inspect.iscoroutinefunction(quote)
    assert quote.control(FakeRequest(), "2").startswith("control 2")


def test_methods_have_arms_too(state_file: Path) -> None:
    class Quotes:
        """As Starlette's HTTPEndpoint."""

        name = "here"

        @penstock.arms(ROUTE, max_in_flight=1)
        def get(self, request: FakeRequest) -> str:
            return f"control {self.name}"

        @get.arm("async")
        async def _(self, request: FakeRequest) -> str:
            return f"async {self.name}"

    assert run_virtual(Quotes().get(FakeRequest())) == "control here"


def test_an_arm_stays_the_function_that_it_is() -> None:
    @penstock.arms(ROUTE, max_in_flight=1)
    def quote() -> str:
        return "control"

    @quote.arm("async")
    async def fast() -> str:
        return "async"

    assert run_virtual(fast()) == "async"


def test_an_object_that_is_called_may_be_an_arm(state_file: Path) -> None:
    write(state_file, 1.0)

    class Later:
        async def __call__(self, name: str) -> str:
            return f"object {name}"

    async def partly(prefix: str, name: str) -> str:
        return f"{prefix} {name}"

    @penstock.arms(ROUTE, max_in_flight=1)
    def quote(name: str) -> str:
        return "control"

    quote.arm("async")(Later())
    quote.arm("partial")(functools.partial(partly, "partial"))
    assert run_virtual(quote(name="3")) == "object 3"
    FORCED.set("partial")
    try:
        assert run_virtual(quote(name="3")) == "partial 3"
    finally:
        FORCED.set(None)


def test_a_plain_wrapper_for_hosts_without_a_loop(state_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(state_file, 1.0, arm="client")

    @penstock.arms(ROUTE, key="X-User", wsgi=True)
    def quote(request: FakeRequest) -> str:
        return "control"

    @quote.arm("client")
    def _(request: FakeRequest) -> str:
        return "client"

    @quote.arm("async")
    async def _(request: FakeRequest) -> str:
        return "async"

    said: Any = quote(FakeRequest())
    assert said == "client"
    assert counts("client") == {"ended": 1}
    FORCED.set("async")
    try:
        assert [quote(FakeRequest()) for _ in range(2)] == ["control", "control"]
    finally:
        FORCED.set(None)
    assert len(caplog.records) == 1, "said once"


def takes_nothing() -> None: ...
def takes_name(name: str) -> None: ...
def takes_other(key: str) -> None: ...
def takes_default(name: str = "1") -> None: ...
def takes_another_default(name: str = "2") -> None: ...
def takes_keyword(*, name: str) -> None: ...
def takes_number(name: int) -> None: ...
def takes_unsaid(name) -> None: ...  # type: ignore[no-untyped-def]
def yields(name: str) -> Iterator[str]:
    yield name


async def yields_later(name: str) -> AsyncIterator[str]:
    yield name


@pytest.mark.parametrize(
    ("control", "arm", "why"),
    [
        (takes_name, takes_nothing, r"takes \(\), and the control \(name\)"),
        (takes_name, takes_other, r"takes \(key\), and the control \(name\)"),
        (takes_name, takes_default, "another default of name than the control: name: 'str' = '1', not name: 'str'"),
        (takes_default, takes_another_default, "another default of name"),
        (takes_name, takes_keyword, "another kind of name"),
        (takes_name, takes_number, "another annotation of name"),
        (takes_name, takes_unsaid, "another annotation of name"),
        (takes_name, yields, "yields; return a streaming response"),
        (takes_name, yields_later, "yields; return a streaming response"),
    ],
)
def test_an_arm_is_called_as_the_control_is(control: Any, arm: Any, why: str) -> None:
    quote = penstock.arms(ROUTE)(control)
    with pytest.raises(UsageError, match=f"the arm 'client' of {ROUTE.replace('{', '.').replace('}', '.')}.*{why}"):
        quote.arm("client")(arm)


@pytest.mark.parametrize(
    ("one", "other"), [("dict[str, int]", "dict[str,int]"), (str, "str"), ("str", str), (str, str)]
)
def test_annotations_may_be_written_in_two_ways(one: Any, other: Any) -> None:
    """With `from __future__ import annotations` in one of two modules they are texts there."""

    def function(annotation: object) -> Any:
        def takes(name: str) -> None: ...

        takes.__annotations__["name"] = annotation
        return takes

    penstock.arms(ROUTE)(function(one)).arm("client")(function(other))


def test_defaults_that_look_alike_are_alike_and_others_are_not() -> None:
    class Depends:
        def __init__(self, name: str) -> None:
            self.name = name

        def __repr__(self) -> str:
            return f"Depends({self.name})"

    def function(default: object) -> Callable[..., Any]:
        def takes(user: Any = default) -> None: ...

        return takes

    quote = penstock.arms(ROUTE)(function(Depends("user")))
    quote.arm("client")(function(Depends("user")))
    with pytest.raises(UsageError, match=r"Depends\(admin\), not user: 'Any' = Depends\(user\)"):
        quote.arm("other")(function(Depends("admin")))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("control", "'control' of .* is what the function under penstock.arms is called"),
        ("client", "'client' of .* is there already"),
        ("", "'' is no name of an arm"),
        (None, "None is no name of an arm"),
        ("x" * 65, "x' is no name of an arm .* up to 64 bytes"),
        ("ü" * 33, "ü' is no name of an arm .* up to 64 bytes"),
    ],
)
def test_names_of_arms(name: Any, why: str) -> None:
    quote = penstock.arms(ROUTE)(takes_name)
    quote.arm("client")(takes_name)
    with pytest.raises(UsageError, match=why):
        quote.arm(name)(takes_name)


def test_what_cannot_be_called_is_no_arm() -> None:
    with pytest.raises(UsageError, match=r"the arm 'control' of .* is no function, but 3"):
        penstock.arms(ROUTE)(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"the arm 'client' of .* is no function, but 3"):
        penstock.arms(ROUTE)(takes_name).arm("client")(3)  # type: ignore[type-var]


def test_an_async_arm_needs_a_ceiling_and_others_do_not() -> None:
    async def later(name: str) -> None: ...

    quote = penstock.arms(ROUTE)(takes_name)
    quote.arm("client")(takes_name)
    with pytest.raises(UsageError, match="max_in_flight="):
        quote.arm("async")(later)
    penstock.arms("GET /other", max_in_flight=1)(takes_name).arm("async")(later)


def test_an_async_control_needs_none() -> None:
    async def later(name: str) -> None: ...

    penstock.arms(ROUTE)(later)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_in_flight": 0}, "max_in_flight must be at least 1, not 0"),
        ({"max_in_flight": 1, "max_waiting": -1}, "max_waiting must be at least 0, not -1"),
        ({"max_waiting": 1}, "max_waiting says nothing without max_in_flight"),
        ({"key": ""}, "key='' of .* is neither the name of a header nor a function"),
        ({"key": 3}, "key=3 of .* is neither"),
    ],
)
def test_options_that_say_nothing(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        penstock.arms(ROUTE, **options)(takes_name)


@pytest.mark.parametrize("route", ["", "  ", None, takes_name])
def test_a_route_has_a_name(route: Any) -> None:
    with pytest.raises(UsageError, match="names no route; write one such as"):
        penstock.arms(route)


def test_two_functions_cannot_be_one_route() -> None:
    penstock.arms(ROUTE)(takes_name)
    with pytest.raises(UsageError, match=r"is the route of .*takes_name.*: give .*takes_other.* another name"):
        penstock.arms(ROUTE)(takes_other)


def test_nor_can_two_of_one_name() -> None:
    def first() -> Any:
        def quote() -> None: ...

        return quote

    one = first()

    def quote() -> None: ...

    quote.__qualname__ = one.__qualname__
    penstock.arms(ROUTE)(one)
    with pytest.raises(UsageError, match="another name"):
        penstock.arms(ROUTE)(quote)


def test_an_app_may_be_made_twice() -> None:
    for _ in range(2):
        route_of_two()


def test_an_async_control_without_a_loop_is_refused() -> None:
    async def later(name: str) -> None: ...

    with pytest.raises(UsageError, match="no event loop"):
        penstock.arms(ROUTE, wsgi=True)(later)


class Unspeakable:
    """A key that cannot be told."""

    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize("key", ["\ud800", Unspeakable()], ids=["half a character", "an object"])
def test_no_key_fails_a_request(state_file: Path, key: object) -> None:
    write(state_file, 0.5)
    quote = route_of_two(key=lambda request: key)
    assert run_virtual(quote(FakeRequest())).startswith(("control", "async"))


def test_a_key_function_is_plain() -> None:
    """Of a coroutine nobody could tell who asks: each one would be another user."""

    async def who(request: FakeRequest) -> str:
        return "ann"

    with pytest.raises(UsageError, match="is async: it is asked where nothing can wait"):
        penstock.arms(ROUTE, key=who)(takes_name)


def plainly(function: Any) -> Any:
    """A decorator that many have written."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return wrapper


@pytest.mark.parametrize("decorator", [plainly, staticmethod], ids=["plainly", "staticmethod"])
def test_a_decorator_may_hide_that_a_function_is_async(state_file: Path, decorator: Any) -> None:
    """FastAPI awaits what such a function gives, so a route must not break by having arms."""

    async def control(name: str) -> str:
        await asyncio.sleep(1)
        return f"control {name}"

    async def other(name: str) -> str:
        await asyncio.sleep(1)
        return f"async {name}"

    quote = penstock.arms(ROUTE, max_in_flight=1)(decorator(control))
    quote.arm("async")(decorator(other))
    assert run_virtual(quote("1")) == "control 1"
    write(state_file, 1.0)
    WATCH.look()
    assert run_virtual(quote("1")) == "async 1"
    assert counts("async") == {"ended": 1}


def test_what_others_set_while_a_thread_works_stays() -> None:
    """Two tasks may have one context."""
    seen, there = threading.Event(), threading.Event()

    @penstock.arms(ROUTE)
    def quote() -> None:
        seen.set()
        there.wait(10)

    async def request() -> str:
        USER.set("nobody")
        context = contextvars.copy_context()
        task = asyncio.get_running_loop().create_task(quote(), context=context)
        while not seen.is_set():
            await asyncio.sleep(0)
        context.run(USER.set, "ann")
        there.set()
        await task
        return context[USER]

    assert asyncio.run(request()) == "ann"

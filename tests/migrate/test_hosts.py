"""What arms know of frameworks, with stand-ins for these: whose request it is, what fails, how one is refused."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import penstock
from penstock.errors import ArmsBusy, UsageError
from penstock.migrate import table
from penstock.migrate.statuses import is_failed_answer, is_failed_error
from penstock.migrate.table import register
from penstock.testing.virtual_loop import run_virtual

from .routes import ROUTE, FakeRequest, counts, write


class HttpRequest(FakeRequest):
    """Django's."""


class DjangoResponse:
    """Django's."""

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.body, self.status_code, self.headers = body, status, headers


class Http404(Exception):
    """Django's."""


class PermissionDenied(Exception):
    """Django's."""


class HTTPException(Exception):
    """Werkzeug's."""

    def __init__(self, code: int | None = None, response: Any = None) -> None:
        self.code, self.response = code, response


class ServiceUnavailable(HTTPException):
    """Werkzeug's."""

    def __init__(self, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(503)
        self.retry_after = retry_after


def sync_to_async(function: Callable[..., Any], *, thread_sensitive: bool) -> Any:
    async def call(*arguments: Any) -> Any:
        assert thread_sensitive
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    return call


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> None:
    http = SimpleNamespace(HttpRequest=HttpRequest, HttpResponse=DjangoResponse, Http404=Http404)
    errors = SimpleNamespace(
        PermissionDenied=PermissionDenied, SuspiciousOperation=PermissionDenied, BadRequest=PermissionDenied
    )
    monkeypatch.setitem(sys.modules, "django.http", http)
    monkeypatch.setitem(sys.modules, "django.core.exceptions", errors)
    monkeypatch.setitem(sys.modules, "asgiref.sync", SimpleNamespace(sync_to_async=sync_to_async))


@pytest.fixture
def flask(monkeypatch: pytest.MonkeyPatch) -> Any:
    made: Any = SimpleNamespace(request=FakeRequest())
    made.has_request_context = lambda: made.request is not None
    monkeypatch.setitem(sys.modules, "flask", made)
    errors = SimpleNamespace(HTTPException=HTTPException, ServiceUnavailable=ServiceUnavailable)
    monkeypatch.setitem(sys.modules, "werkzeug.exceptions", errors)
    return made


def plain(**options: Any) -> Any:
    @penstock.arms(ROUTE, wsgi=True, **options)
    def quote(*arguments: Any) -> Any:
        return "control"

    @quote.arm("client")
    def _(*arguments: Any) -> Any:
        return arguments[0]() if arguments and callable(arguments[0]) else "client"

    return quote


ANSWERS: dict[str, tuple[Any, bool]] = {
    "status 500": (SimpleNamespace(status_code=500), True),
    "status 499": (SimpleNamespace(status_code=499), False),
    "text": ("500", False),
    "tuple": (("x", 503), True),
    "tuple with fields": (("x", 503, {}), True),
    "tuple with a text": (("x", "503 Busy"), True),
    "tuple that is fine": (("x", 404), False),
    "tuple of fields": (("x", {}), False),
    "tuple of no status": (("x", "oops"), False),
    "tuple of an empty status": (("x", ""), False),
    "tuple of one": (("x",), False),
}


@pytest.mark.parametrize(("answer", "failed"), ANSWERS.values(), ids=ANSWERS)
def test_which_answers_of_flask_are_failures(flask: Any, answer: Any, failed: bool) -> None:
    assert is_failed_answer(answer) is failed
    flask.request = None
    assert is_failed_answer(answer) is (failed and not isinstance(answer, tuple)), "elsewhere a tuple is data"


ERRORS: dict[str, tuple[BaseException | None, bool]] = {
    "none": (None, False),
    "any": (ValueError(), True),
    "a cancellation": (asyncio.CancelledError(), False),
    "django 404": (Http404(), False),
    "django 403": (PermissionDenied(), False),
    "werkzeug 404": (HTTPException(404), False),
    "werkzeug 503": (HTTPException(503), True),
    "werkzeug without a code": (HTTPException(), True),
    "abort(response)": (HTTPException(None, SimpleNamespace(status_code=410)), False),
    "abort(bad response)": (HTTPException(404, SimpleNamespace(status_code=500)), True),
}


@pytest.mark.usefixtures("django", "flask")
@pytest.mark.parametrize(("error", "failed"), ERRORS.values(), ids=ERRORS)
def test_which_exceptions_are_failures(error: BaseException | None, failed: bool) -> None:
    assert is_failed_error(error) is failed


def test_without_a_framework_every_exception_is_one() -> None:
    assert is_failed_error(Http404()) is True


@pytest.mark.usefixtures("django")
def test_a_sync_arm_of_django_runs_as_django_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the thread that has the connections of the request; and nothing else does."""
    used: list[Any] = []

    def noted(function: Any, *, thread_sensitive: bool) -> Any:
        used.append(function)
        return sync_to_async(function, thread_sensitive=thread_sensitive)

    monkeypatch.setattr(sys.modules["asgiref.sync"], "sync_to_async", noted)

    @penstock.arms(ROUTE)
    def quote(request: Any) -> str:
        return threading.current_thread().name

    assert run_virtual(quote(HttpRequest())) != threading.current_thread().name
    assert len(used) == 1
    run_virtual(quote(FakeRequest()))
    run_virtual(quote(SimpleNamespace(_request=HttpRequest())))
    assert len(used) == 2, "a request of Django REST framework has Django's"


@pytest.mark.usefixtures("django")
@pytest.mark.parametrize("wsgi", [True, False])
def test_django_is_refused_by_a_response(state_file: Path, wsgi: bool) -> None:
    """It would make 500 of an exception."""
    write(state_file, 1.0, "client")
    answers: list[Any] = []

    @penstock.arms(ROUTE, max_in_flight=1, wsgi=wsgi)
    def quote(request: Any, inner: bool = False) -> str:
        return "control"

    def refused() -> None:
        answer = quote(HttpRequest(), inner=True)
        answers.append(answer if wsgi else asyncio.run(answer))

    @quote.arm("client")
    def _(request: Any, inner: bool = False) -> str:
        refused()
        return "client"

    answer = quote(HttpRequest())
    assert (answer if wsgi else run_virtual(answer)) == "client"
    (busy,) = answers
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    assert ROUTE in busy.body.decode()
    assert counts("client") == {"ended": 1, "shed": 1}


@pytest.mark.parametrize("host", ["flask", None])
def test_elsewhere_an_exception_says_it(state_file: Path, host: str | None, request: pytest.FixtureRequest) -> None:
    if host is not None:
        request.getfixturevalue(host)
    write(state_file, 1.0, "client")
    quote = plain(max_in_flight=1)
    with pytest.raises(ArmsBusy, match=r"GET /quote.*1 of 1") as busy:
        quote(quote)
    assert busy.value.retry_after == 1
    assert isinstance(busy.value, ServiceUnavailable) is (host == "flask")


def test_the_request_of_flask_has_the_key(flask: Any, state_file: Path) -> None:
    write(state_file, 0.5, "client")
    by_header = plain(key="X-User")
    said = []
    for user in range(20):
        flask.request = FakeRequest({"X-User": str(user)})
        said.append(by_header("1"))
    assert {*said} == {"control", "client"}
    flask.request = None
    assert by_header("1") == "control"
    assert counts("control")["keyless"] == 1


def test_the_request_of_flask_is_what_a_function_gets(flask: Any, state_file: Path) -> None:
    write(state_file, 0.5, "client")
    seen: list[Any] = []
    quote = plain(key=seen.append)
    assert quote() == "control"
    assert seen == [flask.request]


def test_an_async_arm_is_not_told_where_it_cannot_serve(state_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So who rolls it out is warned: no worker knows it."""
    write(state_file, 1.0, "async")
    quote = plain()

    async def other(*arguments: Any) -> str:
        return "async"

    quote.arm("async")(other)
    threads = [threading.Thread(target=quote) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts("control") == {"ended": 8}
    assert len(caplog.records) == 1
    assert [each.arm for each in table.TALLIES.all()] == ["control", "client"]


def _as_view(name: str) -> Any:
    """What Django's and Flask's `as_view` give: always the same function, which says whose it is."""

    def view(request: Any) -> str:
        return name

    view.view_class = type(name, (), {"__module__": "shop"})  # type: ignore[attr-defined]
    return view


def test_views_of_two_classes_are_two_functions() -> None:
    register(SimpleNamespace(name="GET /a", control=_as_view("A"), arm_names=[]))
    register(SimpleNamespace(name="GET /a", control=_as_view("A"), arm_names=[]))
    with pytest.raises(UsageError, match=r"shop\.A .*shop\.B"):
        register(SimpleNamespace(name="GET /a", control=_as_view("B"), arm_names=[]))


def test_the_mark_of_an_async_class_is_seen(state_file: Path) -> None:
    """Django marks what is no coroutine function, and gives a coroutine."""
    write(state_file, 1.0)

    def view(request: Any) -> Any:
        async def answer() -> str:
            await asyncio.sleep(0)
            return "async"

        return answer()

    _mark(view)

    @penstock.arms(ROUTE, max_in_flight=1)
    def quote(request: Any) -> str:
        return "control"

    quote.arm("async")(view)
    assert run_virtual(quote(FakeRequest())) == "async"
    with pytest.raises(UsageError, match="leave that out"):
        penstock.arms("GET /other", wsgi=True)(view)


def _mark(function: Any) -> None:
    """As asgiref does."""
    import inspect

    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(function)
    else:
        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


class Proxy:
    """Of what is not there, as those of Flask and Django are outside of a request."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of a request")


def test_an_argument_that_cannot_be_asked_fails_no_request(state_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the arguments the request is looked for."""
    write(state_file, 0.5)
    monkeypatch.setitem(sys.modules, "django.http", SimpleNamespace(HttpRequest=HttpRequest))

    @penstock.arms(ROUTE, key="x-user")
    def quote(proxy: Any, request: Any) -> str:
        return "control"

    assert run_virtual(quote(Proxy(), FakeRequest())) == "control"

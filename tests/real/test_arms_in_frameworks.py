"""FastAPI and Starlette with arms: a client sees what it saw without, whichever arm serves."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest

import penstock
from penstock.errors import ArmsBusy
from penstock.migrate import choice, table
from penstock.migrate.tally import Tallies
from penstock.migrate.watch import WATCH

from . import arms_app
from .arms_app import DONE, USER, fastapi_app, starlette_app

pytestmark = [pytest.mark.service, pytest.mark.real]
ARMS = ("control", "client", "async")


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("fastapi", reason="fastapi is not installed: make test-real does that")
    monkeypatch.setenv("PENSTOCK_ARMS", str(tmp_path / "arms.json"))
    monkeypatch.setattr(table, "ROUTES", {})
    monkeypatch.setattr(table, "TALLIES", Tallies())
    DONE.clear()
    yield
    WATCH.stop()
    choice.read_anew()


def forced(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ARM", arm)
    choice.read_anew()


def client(app: Any, **options: Any) -> Any:
    return importlib.import_module("starlette.testclient").TestClient(app, **options)


def seen(response: Any) -> tuple[int, dict[str, str], bytes]:
    """All that a client sees."""
    return response.status_code, dict(response.headers), response.content


FASTAPI: dict[str, Callable[[Any], Any]] = {
    "answer": lambda http: http.get("/v1/quote/7"),
    "dependency": lambda http: http.get("/v1/quote/7?name=bob"),
    "422": lambda http: http.get("/v1/quote/seven"),
    "403": lambda http: http.get("/v1/quote/7?name=eve"),
    "404": lambda http: http.get("/v1/nothing"),
    "405": lambda http: http.delete("/v1/quote/7"),
    "post": lambda http: http.post("/v1/quotes", json={"text": "later"}),
    "post 422": lambda http: http.post("/v1/quotes", json={}),
    "stream": lambda http: http.get("/v1/stream"),
    "status": lambda http: http.get("/v1/broken?status=409"),
    "500": lambda http: http.get("/v1/broken"),
    "mount": lambda http: http.get("/mounted/quote/7"),
    "openapi": lambda http: http.get("/openapi.json"),
    "openapi of a mount": lambda http: http.get("/mounted/openapi.json"),
}
STARLETTE: dict[str, Callable[[Any], Any]] = {
    "function": lambda http: http.get("/hello/ann"),
    "head": lambda http: http.head("/hello/ann"),
    "method": lambda http: http.get("/cart"),
    "method with a body": lambda http: http.post("/cart", content=b"x" * 100_000),
    "405": lambda http: http.put("/cart"),
    "mount": lambda http: http.get("/mounted/hello/ann"),
}
CASES = [(fastapi_app, name, ask) for name, ask in FASTAPI.items()]
CASES += [(starlette_app, name, ask) for name, ask in STARLETTE.items()]


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("move", [True, False], ids=["with the middleware", "without"])
@pytest.mark.parametrize(("make", "name", "ask"), CASES, ids=[f"{make.__name__} {name}" for make, name, _ in CASES])
def test_nothing_is_changed(
    make: Any, name: str, ask: Callable[[Any], Any], move: bool, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, fields and body, what dependencies and background tasks do, and the OpenAPI document."""
    forced(arm, monkeypatch)
    with client(make(armed=False), raise_server_exceptions=False) as http:
        plain = seen(ask(http))
    done, armed = dict(DONE), make(armed=True)
    DONE.clear()
    if move:
        armed.add_middleware(penstock.MoveMiddleware)
    with client(armed, raise_server_exceptions=False) as http:
        assert seen(ask(http)) == plain
    assert done == dict(DONE)


def test_the_arms_that_should_have_served_have_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before this one would be content with a control that always serves."""
    for make, route, ask in (
        (fastapi_app, "GET /quote/{number}", FASTAPI["answer"]),
        (starlette_app, "GET /cart", STARLETTE["method"]),
    ):
        forced("async", monkeypatch)
        with client(make(armed=True)) as http:
            ask(http)
        assert table.tally_of(route, "async").ended == 1
        assert table.tally_of(route, "control").ended == 0


@pytest.mark.parametrize("arm", ["control", "async"])
def test_an_arm_that_raises_raises_what_it_raised(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For handlers of exceptions, for yield dependencies, and for tests."""
    forced(arm, monkeypatch)
    app = fastapi_app(armed=True)
    app.add_middleware(penstock.MoveMiddleware)
    with client(app) as http, pytest.raises(LookupError, match="no such quote"):
        http.get("/v1/broken")
    assert dict(DONE) == {"session opened": 1, "session closed": 1}
    tally = table.tally_of("GET /broken", arm)
    assert (tally.ended, tally.errors) == (1, 1)

    @app.exception_handler(LookupError)
    async def handled(_request: Any, _error: LookupError) -> Any:
        return importlib.import_module("starlette.responses").PlainTextResponse("handled", status_code=410)

    app.middleware_stack = None
    with client(app) as http:
        assert seen(http.get("/v1/broken"))[0] == 410
    assert (tally.ended, tally.errors) == (2, 1), "the final status counts"


@pytest.mark.parametrize("arm", ["control", "async"])
def test_what_an_endpoint_sets_is_seen_by_middleware(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """starlette#1258 and its kin: without arms a sync endpoint's context variable is gone (seen here with `-`)."""
    forced(arm, monkeypatch)
    names = []

    class Names:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            if scope["type"] == "http":
                names.append(USER.get())

    for armed in (False, True):
        app = starlette_app(armed=armed)
        app.add_middleware(Names)
        with client(app) as http:
            http.get("/hello/ann")
    assert names == ["-", "ann"]


@pytest.mark.parametrize("arm", ["control", "async"])
def test_what_middleware_makes_of_an_answer_counts(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Starlette's BaseHTTPMiddleware, which runs what is within it in a task of its own."""
    forced(arm, monkeypatch)
    app = fastapi_app(armed=True)

    async def broken(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.status_code = 502
        return response

    app.middleware("http")(broken)
    app.add_middleware(penstock.MoveMiddleware)
    with client(app) as http:
        assert http.get("/v1/quote/7").status_code == 502
    tally = table.tally_of("GET /quote/{number}", arm)
    assert (tally.in_flight, tally.ended, tally.errors) == (0, 1, 1)


def test_a_part_of_the_users_is_found_by_fastapi_without_the_middleware(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_ARM", raising=False)
    choice.read_anew()
    (tmp_path / "arms.json").write_text(
        '{"version": 1, "routes": {"GET /quote/{number}": {"arm": "async", "share": 0.5}}}'
    )
    with client(fastapi_app(armed=True)) as http:
        for _ in range(2):
            for user in range(20):
                assert http.get("/v1/quote/7", headers={"X-User": str(user)}).status_code == 200
    moved, stayed = table.tally_of("GET /quote/{number}", "async"), table.tally_of("GET /quote/{number}", "control")
    assert moved.ended + stayed.ended == 40
    assert moved.ended % 2 == 0
    assert 8 <= moved.ended <= 32
    assert stayed.keyless == 0


class Full:
    """An app whose route has no place left."""

    def __init__(self, place: str, handler: bool) -> None:
        fastapi = importlib.import_module("fastapi")
        self.app: Any = fastapi.FastAPI()

        @self.app.get("/full")
        @penstock.arms("GET /full", max_in_flight=1)
        def full() -> None: ...

        @full.arm("async")
        async def _() -> None:
            if len(self.inner) < 1:
                response = await self.asked()
                self.inner.append(response)

        if handler:

            @self.app.exception_handler(ArmsBusy)
            async def busy(_request: Any, error: ArmsBusy) -> Any:
                return fastapi.responses.JSONResponse({"again in": error.retry_after}, status_code=529)

        self.inner: list[Any] = []
        self.served = self.app
        if place == "added":
            self.app.add_middleware(penstock.MoveMiddleware)
        elif place == "round":
            self.served = penstock.MoveMiddleware(self.app)

    async def asked(self) -> Any:
        """A second request, while the first one is in its arm."""
        httpx2 = importlib.import_module("httpx2")
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self.served), base_url="http://x") as second:
            return await second.get("/full")


@pytest.mark.parametrize("place", ["added", "round", "none"])
@pytest.mark.parametrize("handler", [False, True])
def test_what_is_too_much_is_503_wherever_the_middleware_is(
    place: str, handler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced("async", monkeypatch)
    full = Full(place, handler)
    with client(full.served) as http:
        assert http.get("/full").status_code == 200
    (refused,) = full.inner
    if handler:
        assert (refused.status_code, refused.json()) == (529, {"again in": 1})
    else:
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    tally = table.tally_of("GET /full", "async")
    assert (tally.ended, tally.shed, tally.errors) == (1, 1, 0)


class Letter:
    """What a dependency gives, with headers of its own."""

    def __init__(self) -> None:
        self.headers = {"x-user": ""}


def _app_with_the_request(annotation: Any, key: Any) -> Any:
    fastapi = importlib.import_module("fastapi")
    app = fastapi.FastAPI()

    letter_first = fastapi.Depends(Letter)

    def told(letter: Any = letter_first, *, request: Any) -> str:
        return f"{request.method} {request.headers['x-user']}"

    async def told_later(letter: Any = letter_first, *, request: Any) -> str:
        return told(letter, request=request)

    for function in (told, told_later):
        function.__annotations__ = {"request": annotation}
    route = penstock.arms("POST /told", key=key, max_in_flight=5)(told)
    route.arm("client")(told)
    route.arm("async")(told_later)
    app.post("/told")(route)
    return app


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("spelt", ["type", "annotated", "text"])
@pytest.mark.parametrize("key", [None, "x-user", lambda request: request.headers["x-user"]])
def test_an_endpoint_that_takes_the_request_still_gets_it(
    arm: str, spelt: str, key: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI has one place for it, so the arms must not ask for a second; and the key is read from it."""
    fastapi = importlib.import_module("fastapi")
    monkeypatch.setitem(globals(), "Request", fastapi.Request)
    kinds = {"type": fastapi.Request, "annotated": Annotated[fastapi.Request, "it"], "text": "Request"}
    app = _app_with_the_request(kinds[spelt], key)
    share = 0 if arm == "control" else 1 if key is None else 0.999999
    rolled = {"POST /told": {"arm": arm, "share": share}} if share else {}
    (tmp_path / "arms.json").write_text(json.dumps({"version": 1, "routes": rolled}))
    monkeypatch.delenv("PENSTOCK_ARM", raising=False)
    choice.read_anew()
    with client(app) as http:
        answer = http.post("/told", headers={"x-user": "ann"})
    assert (answer.status_code, answer.json()) == (200, "POST ann")
    assert table.tally_of("POST /told", arm).ended == 1
    assert "penstock" not in str(app.openapi())


def test_the_app_for_uvicorn_is_one() -> None:
    with client(arms_app.loaded()) as http:
        assert http.get("/arm").text.startswith("control ")

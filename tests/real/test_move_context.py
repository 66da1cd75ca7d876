"""Authentication, logs, traces, metrics, locale and sessions in a FastAPI app, in either arm of a route."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import locale
import logging
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import penstock
from migrate.carrying import declared
from penstock.migrate.under_way import UNDER_WAY

from .asking import ask
from .carried import ARMS, Pure, Upstream, run, setting, two_arms

pytestmark = [pytest.mark.service, pytest.mark.real, pytest.mark.usefixtures("own_routes")]
reason = "{} is not installed: make test-real does that"
fastapi = pytest.importorskip("fastapi", reason=reason.format("fastapi"))
arms = pytest.mark.parametrize("arm", ARMS)

user: ContextVar[str] = ContextVar("user")
request_id: ContextVar[str] = ContextVar("request_id")
language: ContextVar[str] = ContextVar("language", default="en")


def who() -> str | None:
    return user.get(None)


def bearer(scope: Any) -> str | None:
    """The user of a bearer token."""
    field = dict(scope["headers"]).get(b"authorization", b"").decode()
    return field.removeprefix("Bearer ").removesuffix("-token") if field.startswith("Bearer ") else None


# Authentication


async def by_async_depends(authorization: str = fastapi.Header("")) -> None:
    if not authorization.startswith("Bearer "):
        raise fastapi.HTTPException(401)
    user.set(authorization.removeprefix("Bearer ").removesuffix("-token"))


@arms
def test_an_async_depends_that_sets_the_user(arm: str, upstream: Upstream) -> None:
    seen_around: list[str | None] = []
    endpoint = two_arms("GET /me", who, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/me", dependencies=[fastapi.Depends(by_async_depends)])(endpoint)

    @contextlib.contextmanager
    def looking(_: Any) -> Iterator[None]:
        yield
        seen_around.append(who())

    async def main() -> None:
        whole = penstock.MoveMiddleware(Pure(app, looking))
        told = await ask(whole, "/me", arm=arm, headers={"Authorization": "Bearer ann-token"})
        assert (told.status, told.json()) == (200, "ann")
        assert (await ask(whole, "/me", arm=arm)).status == 401

    with declared(user=user) as found:
        run(main)
    assert seen_around == ["ann", None]
    assert found == []
    assert upstream.fields("host")


@arms
def test_a_middleware_that_sets_the_user(arm: str, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = two_arms("GET /me", who, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/me")(endpoint)
    whole = penstock.MoveMiddleware(Pure(app, lambda scope: setting(user, bearer(scope))))

    async def main() -> None:
        names = [f"user{each}" for each in range(50)]
        told = await asyncio.gather(
            *[ask(whole, "/me", arm=arm, headers={"Authorization": f"Bearer {name}-token"}) for name in names]
        )
        assert [each.json() for each in told] == names

    with declared(user=user) as found:
        run(main)
    assert found == []
    assert "penstock.move" not in caplog.text, "that it is taken away again afterwards is as it should be"


@arms
def test_a_handler_that_logs_somebody_in(arm: str, upstream: Upstream) -> None:
    """What it sets is there for the middleware around it, in either colour."""
    seen_around: list[str | None] = []

    def log_in() -> None:
        user.set("ann")

    endpoint = two_arms("GET /login", log_in, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/login")(endpoint)

    @contextlib.contextmanager
    def looking(_: Any) -> Iterator[None]:
        yield
        seen_around.append(who())

    with declared(user=user) as found:
        run(lambda: ask(penstock.MoveMiddleware(Pure(app, looking)), "/login", arm=arm))
    assert seen_around == ["ann"]
    assert found == []


# Logs


@arms
def test_a_filter_of_logging_sees_who_asked(arm: str, upstream: Upstream) -> None:
    out = io.StringIO()
    logger = logging.getLogger("shop.of.this.test")
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(user)s %(request_id)s %(message)s"))

    class WhoAsked(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.user, record.request_id = user.get("-"), request_id.get("-")
            return True

    handler.addFilter(WhoAsked())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    endpoint = two_arms(
        "GET /log", lambda: logger.info("served"), lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/")
    )
    app = fastapi.FastAPI()
    app.get("/log")(endpoint)

    @contextlib.contextmanager
    def around(scope: Any) -> Iterator[None]:
        with setting(user, bearer(scope)), setting(request_id, f"id-{bearer(scope)}"):
            yield
            logger.info("answered")

    whole = penstock.MoveMiddleware(Pure(app, around))

    async def main() -> None:
        await asyncio.gather(
            *[ask(whole, "/log", arm=arm, headers={"Authorization": f"Bearer u{n}-token"}) for n in range(20)]
        )

    with declared(user=user, request_id=request_id) as found:
        run(main)
    logger.removeHandler(handler)
    wanted = [f"u{n} id-u{n} {what}" for n in range(20) for what in ("answered", "served")]
    assert sorted(out.getvalue().splitlines()) == sorted(wanted)
    assert found == []


@arms
def test_structlog_binds_in_either_arm(arm: str, upstream: Upstream) -> None:
    structlog = pytest.importorskip("structlog", reason=reason.format("structlog"))
    lines: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: dict[str, Any]) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[structlog.contextvars.merge_contextvars, keep])

    def work() -> None:
        structlog.contextvars.bind_contextvars(rows=3)
        log.info("served")

    endpoint = two_arms("GET /log", work, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/log")(endpoint)

    @contextlib.contextmanager
    def around(scope: Any) -> Iterator[None]:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(user=bearer(scope))
        yield
        log.info("answered")

    whole = penstock.MoveMiddleware(Pure(app, around))

    async def main() -> None:
        await asyncio.gather(
            *[ask(whole, "/log", arm=arm, headers={"Authorization": f"Bearer u{n}-token"}) for n in range(20)]
        )

    with declared(user=lambda: structlog.contextvars.get_contextvars().get("user")) as found:
        run(main)
    assert found == []
    assert sorted((each["user"], each["event"], each.get("rows")) for each in lines) == sorted(
        (f"u{n}", what, 3) for n in range(20) for what in ("answered", "served")
    )


# Traces


@arms
def test_a_trace_goes_through_either_arm(arm: str, upstream: Upstream) -> None:
    """The server's span is that of the arm's thread, and the parent of the span of the call, whose id travels on."""
    for needed in ("opentelemetry.sdk", "opentelemetry.instrumentation.fastapi"):
        pytest.importorskip(needed, reason=reason.format(needed))
    from opentelemetry import propagate, trace
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    def trace_id() -> int | None:
        return trace.get_current_span().get_span_context().trace_id or None

    @contextlib.contextmanager
    def calling() -> Iterator[dict[str, str]]:
        with tracer.start_as_current_span("call"):
            fields: dict[str, str] = {}
            propagate.inject(fields)
            yield fields

    def call() -> None:
        with calling() as fields:
            upstream.http.get("/", headers=fields)

    async def aio_call() -> None:
        with calling() as fields:
            await upstream.http.aio.get("/", headers=fields)

    app = fastapi.FastAPI()
    app.get("/traced")(two_arms("GET /traced", lambda: f"{trace_id():032x}", call, aio_call))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, exclude_spans=["receive", "send"])
    came = f"00-{7:032x}-{9:016x}-01"
    try:
        with declared(trace=trace_id) as found:
            told = run(lambda: ask(penstock.MoveMiddleware(app), "/traced", arm=arm, headers={"traceparent": came}))
    finally:
        FastAPIInstrumentor.uninstrument_app(app)
    assert told.json() == f"{7:032x}"
    assert found == []
    spans = {span.name: span for span in exporter.get_finished_spans()}
    served, called = spans["GET /traced"], spans["call"]
    assert [span.parent.span_id for span in (served, called) if span.parent] == [9, served.context.span_id]
    assert upstream.fields("traceparent") == [f"00-{7:032x}-{called.context.span_id:016x}-01"]


# Metrics


def test_metrics_of_the_app_count_both_arms_with_their_names(upstream: Upstream) -> None:
    prometheus = pytest.importorskip("prometheus_client", reason=reason.format("prometheus-client"))
    registry = prometheus.CollectorRegistry()
    served = prometheus.Counter("served", "Requests.", ["route", "arm"], registry=registry)
    rows = prometheus.Counter("rows", "Rows.", registry=registry)
    endpoint = two_arms("GET /rows", rows.inc, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/rows")(endpoint)

    @contextlib.contextmanager
    def around(_: Any) -> Iterator[None]:
        yield
        request = UNDER_WAY.get()
        assert request is not None
        served.labels(request.route, request.arm).inc()

    whole = penstock.MoveMiddleware(Pure(app, around))

    async def main() -> None:
        await asyncio.gather(*[ask(whole, "/rows", arm=arm) for arm in ["control"] * 30 + ["async"] * 20])

    run(main)
    assert registry.get_sample_value("served_total", {"route": "GET /rows", "arm": "control"}) == 30
    assert registry.get_sample_value("served_total", {"route": "GET /rows", "arm": "async"}) == 20
    assert registry.get_sample_value("rows_total") == 50


# Locale


@arms
def test_a_language_in_a_context_variable_is_each_requests_own(arm: str, upstream: Upstream) -> None:
    endpoint = two_arms("GET /hi", language.get, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/hi")(endpoint)
    whole = Pure(app, lambda scope: setting(language, dict(scope["headers"])[b"accept-language"].decode()))

    async def main() -> None:
        wanted = ["de", "fr", "en", "ja"] * 10
        told = await asyncio.gather(*[ask(whole, "/hi", arm=arm, headers={"Accept-Language": each}) for each in wanted])
        assert [each.json() for each in told] == wanted

    with declared(language=language) as found:
        run(main)
    assert found == []


def test_the_locale_of_the_process_is_found(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """`locale.setlocale` holds for all requests: one that waits goes on in the language of another."""
    before = locale.setlocale(locale.LC_TIME)
    endpoint = two_arms(
        "GET /hi",
        lambda: locale.setlocale(locale.LC_TIME),
        lambda: upstream.http.get("/"),
        lambda: upstream.http.aio.get("/"),
    )
    app = fastapi.FastAPI()
    app.get("/hi")(endpoint)

    @contextlib.contextmanager
    def around(scope: Any) -> Iterator[None]:
        locale.setlocale(locale.LC_TIME, dict(scope["headers"])[b"accept-language"].decode())
        yield

    async def main() -> None:
        whole = Pure(app, around)
        await asyncio.gather(
            *[ask(whole, "/hi", arm="async", headers={"Accept-Language": each}) for each in ("C", "C.UTF-8")]
        )

    try:
        locale.setlocale(locale.LC_TIME, "C.UTF-8")
        with declared(language=lambda: locale.setlocale(locale.LC_TIME)) as found:
            run(main)
    except locale.Error:
        pytest.skip("this machine has no second locale")
    finally:
        locale.setlocale(locale.LC_TIME, before)
    assert set(found.names) == {"language"}
    assert "'language' had another value after the arm had waited" in caplog.text


# Sessions of a database


def sessions(**options: Any) -> Any:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason=reason.format("sqlalchemy"))
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy.pool import StaticPool

    engine = sqlalchemy.create_engine(
        "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool, **options
    )
    return sessionmaker(engine)


@arms
def test_a_scoped_session_is_found_in_either_arm(
    arm: str, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """It is of a thread: the loop's is shared by all requests, and a `def` arm has not even that."""
    make = sessions()
    from sqlalchemy.orm import scoped_session

    session = scoped_session(make)
    endpoint = two_arms(
        "GET /rows", lambda: str(id(session())), lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/")
    )
    app = fastapi.FastAPI()
    app.get("/rows")(endpoint)

    @contextlib.contextmanager
    def around(_: Any) -> Iterator[None]:
        session()
        yield

    async def main() -> list[str]:
        whole = penstock.MoveMiddleware(Pure(app, around))
        return [each.json() for each in await asyncio.gather(*[ask(whole, "/rows", arm=arm) for _ in range(5)])]

    with declared(own=["session"], session=lambda: session() if session.registry.has() else None) as found:
        used = run(main)
    if arm == "async":
        assert len(set(used)) == 1, "one session for all five"
    assert len(found) >= 4
    assert set(found.names) == {"session"}
    assert f"GET /rows, arm {arm}: 'session' was that of another request" in caplog.text


@arms
@pytest.mark.parametrize("made", ["in a middleware", "in a dependency"])
def test_a_session_in_a_context_variable_is_each_requests_own(arm: str, made: str, upstream: Upstream) -> None:
    make = sessions()
    current: ContextVar[Any] = ContextVar("session")
    endpoint = two_arms(
        "GET /rows", lambda: str(id(current.get())), lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/")
    )

    @contextlib.contextmanager
    def around(_: Any) -> Iterator[None]:
        with make() as session, setting(current, session):
            yield

    async def dependency() -> AsyncIterator[None]:
        with make() as session, setting(current, session):
            yield

    app = fastapi.FastAPI()
    in_a_middleware = made == "in a middleware"
    app.get("/rows", dependencies=[] if in_a_middleware else [fastapi.Depends(dependency)])(endpoint)

    async def main() -> list[str]:
        whole = penstock.MoveMiddleware(Pure(app, around) if in_a_middleware else app)
        return [each.json() for each in await asyncio.gather(*[ask(whole, "/rows", arm=arm) for _ in range(5)])]

    with declared(own=["session"], session=current) as found:
        used = run(main)
    assert len(set(used)) == 5
    assert found == []


def test_findings_are_counted_where_status_and_metrics_read_them(upstream: Upstream) -> None:
    from penstock.migrate import carry
    from penstock.migrate.table import TALLIES

    def forget() -> None:
        user.set(None)  # type: ignore[arg-type]

    endpoint = two_arms("GET /counted", forget, lambda: upstream.http.get("/"), lambda: upstream.http.aio.get("/"))
    app = fastapi.FastAPI()
    app.get("/counted")(endpoint)
    whole = Pure(app, lambda scope: setting(user, "ann"))
    with carry.anew(carry._count):
        penstock.carry(user=user)
        for _ in range(3):
            run(lambda: ask(whole, "/counted", arm="async"))
    assert TALLIES.of("GET /counted", "async").lost == {"user": 3}
    assert json.dumps(TALLIES.of("GET /counted", "async").lost)

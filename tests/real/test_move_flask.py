"""Arms in Flask, and in Django under WSGI: gunicorn with processes and with threads, forked before and after."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.testing import FaultServer

from .move_serving import SEEN, Site, at_once, flip, load, site

pytestmark = [pytest.mark.service, pytest.mark.real]

THREADS = ("--worker-class", "gthread", "--threads", "8")
PROCESSES = ("--workers", "2")
ROUTE = "GET /shop/quote"


def needed(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: make test-real does that")


@pytest.fixture(scope="module", params=["application", "bare"])
def flask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """In one process with threads, so that its counts are all; with the middleware and without."""
    needed("flask", "gunicorn")
    with site("flask_site", "gunicorn", tmp_path_factory.mktemp("flask"), *THREADS, app=request.param) as running:
        yield running


@contextmanager
def upstream() -> Iterator[str]:
    """A server to ask, on a loop of its own."""
    told: list[str] = []
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with FaultServer() as server:
            told.append(server.url)
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield told[0]
    finally:
        end.set()
        thread.join()


def test_sync_arms_serve_within_the_request(flask: Site) -> None:
    for arm in ("control", "client"):
        flask.gets(ROUTE, arm)
        reply = flask.ask("/shop/quote/7", X_User="ann")
        assert (reply.arm, reply.json["user"], reply.json["number"]) == (arm, "ann", 7)
        assert reply.json["url"] == "/shop/quote/7"


def test_a_blueprint_keeps_its_endpoints_and_methods(flask: Site) -> None:
    assert {"shop.quote /shop/quote/<int:number>", "shop.both /shop/both"} <= {*flask.ask("/endpoints").json}
    for arm in ("control", "client"):
        flask.gets("/shop/both", arm)
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        reply = flask.ask("/shop/both", "POST", b"sent=this", **form)
        assert (reply.json["method"], reply.json.get("sent")) == ("POST", "this" if arm == "client" else None)
        assert "session=" in reply.fields["set-cookie"]
        assert flask.ask("/shop/both").arm == arm
        assert flask.ask("/shop/both", "PUT").status == 405
    assert flask.ask("/shop/quote/7", "POST").status == 405


def test_a_part_of_the_users_the_same_each_time(flask: Site) -> None:
    for route, path, fields in ((ROUTE, "/shop/quote/1", True), ("/shop/both", "/shop/both?user=", False)):
        flask.gets(route, "client", 0.5)

        def ask(user: str, path: str = path, fields: bool = fields) -> str:
            return flask.ask(path, X_User=user).arm if fields else flask.ask(path + user).arm

        first = [ask(str(user)) for user in range(20)]
        assert [ask(str(user)) for user in range(20)] == first
        assert {*first} == {"control", "client"}
        assert ask("") == "control"
        assert flask.counts(route, "control")["keyless"] >= 1


def test_an_async_arm_is_never_served_and_said_once(flask: Site) -> None:
    flask.gets(ROUTE, "async")
    with load(flask, "/shop/quote/1", clients=8) as asked:
        time.sleep(0.3)
    assert asked.failed() == []
    assert {reply.arm for _, _, reply in asked.replies} == {"control"}
    assert flask.log.read_text().count("has no arm 'async' that can serve here") == 1
    assert f"{ROUTE} async" not in flask.ask("/tallies").json, "so that who rolls it out is told"
    assert f"{ROUTE} client" in flask.ask("/tallies").json


def test_only_failures_are_errors(flask: Site) -> None:
    fine = {"404": 404, "aborted": 410}
    failures = {"raises": 500, "503": 503, "tuple": 503, "text": 502, "response": 500}
    for kind, status in (fine | failures).items():
        assert flask.ask(f"/refuses/{kind}").status == status
    assert flask.counts("GET /refuses", "control") == {"ended": len(fine) + len(failures), "errors": len(failures)}


def test_what_is_too_much_waits_in_its_thread_and_then_gets_503(flask: Site) -> None:
    flask.gets("GET /narrow", "client")
    replies = at_once(flask, "/narrow", 3)
    assert [reply.status for reply in replies] == [200, 200, 503]
    assert replies[2].fields["retry-after"] == "1"
    assert flask.counts("GET /narrow", "client") == {"ended": 2, "shed": 1}


def test_streams_and_files_are_whole(flask: Site) -> None:
    before = flask.counts("GET /stream", "control").get("ended", 0)
    assert flask.ask("/stream/pieces").body == b"piece " * 20_000
    assert b"A Flask app whose routes have arms" in flask.ask("/stream/file").body
    assert flask.counts("GET /stream", "control")["ended"] == before + 2


@pytest.mark.parametrize("flask", ["application"], indirect=True)
def test_a_stream_counts_until_its_end(flask: Site) -> None:
    before = flask.counts("GET /stream", "control")
    with pytest.raises(http.client.IncompleteRead):
        flask.ask("/stream/breaks")
    with socket.create_connection(("127.0.0.1", flask.port), timeout=10) as left:
        left.sendall(b"GET /stream/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert left.recv(100)
        assert flask.ask("/tallies").json["GET /stream control"]["in_flight"] == 1
    after = flask.counts("GET /stream", "control")
    assert after["ended"] - before.get("ended", 0) == 2
    assert after["errors"] - before.get("errors", 0) == 1, "a client that leaves is nobody's failure"
    assert "in_flight" not in after


HOSTS = {
    "sync": PROCESSES,
    "gthread": (*PROCESSES, *THREADS),
    "sync, preload": (*PROCESSES, "--preload"),
    "gthread, preload": (*PROCESSES, *THREADS, "--preload"),
}


@pytest.mark.parametrize("options", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("name", ["flask_site", "django_site"])
def test_a_flip_is_seen_by_all_workers_and_fails_nothing(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """The parent has served a request before it forked: the thread that watches is that of each child."""
    needed(name.removesuffix("_site"), "gunicorn")
    route, path = {"flask_site": (ROUTE, "/shop/quote/1"), "django_site": ("GET /quote", "/quote/1")}[name]
    more = {"SITE_WSGI": "1"}
    if "--preload" in options and name == "flask_site":
        more["SITE_SERVED_BEFORE_FORK"] = "1"
    with site(name, "gunicorn", tmp_path, *options, **more) as running:
        flips = flip(running, route, path, "client")
    assert flips.load.failed() == []
    assert len(flips.load.pids()) == 2
    assert flips.latest < SEEN


@pytest.mark.parametrize("options", HOSTS.values(), ids=HOSTS)
def test_an_http_of_the_parent_works_in_its_children(options: tuple[str, ...], tmp_path: Path) -> None:
    needed("flask", "gunicorn")
    with upstream() as url:
        more = {"SITE_UPSTREAM": url, "SITE_SERVED_BEFORE_FORK": "1"}
        with site("flask_site", "gunicorn", tmp_path, *options, **more) as running:
            running.gets("GET /upstream", "client")
            with load(running, "/upstream") as asked:
                time.sleep(0.7)
    assert asked.failed() == []
    assert len(asked.pids()) == 2
    assert all(reply.json["statuses"] == [200, 200] for _, _, reply in asked.replies)


@pytest.fixture(scope="module", params=["application", "bare"])
def django(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Django, its views as they are under WSGI."""
    needed("django", "gunicorn")
    folder = tmp_path_factory.mktemp("django")
    with site("django_site", "gunicorn", folder, *THREADS, app=request.param, SITE_WSGI="1") as running:
        yield running


def test_django_under_wsgi(django: Site) -> None:
    for arm in ("control", "client"):
        django.gets("GET /quote", arm)
        reply = django.ask("/quote/7")
        assert (reply.arm, reply.json["number"], reply.fields["x-set"]) == (arm, 7, "set by 7")
    django.gets("GET /quote", "client", 0.5)
    assert {django.ask("/quote/1", X_User=str(user)).arm for user in range(20)} == {"control", "client"}
    assert django.counts("GET /quote", "client")["ended"] > 1
    for path in ("/class/3", "/method", "/only", "/cached", "/atomic", "/stream/file", "/stream/pieces"):
        assert django.ask(path).status == 200
    for status in (404, 403, 500):
        assert django.ask(f"/refuses/{status}").status == status
    assert django.counts("GET /refuses", "control") == {"ended": 3, "errors": 1}


def test_django_under_wsgi_refuses_what_is_too_much(django: Site) -> None:
    django.gets("GET /narrow", "client")
    replies = at_once(django, "/narrow", 3)
    assert [reply.status for reply in replies] == [200, 200, 503]
    assert (replies[2].fields["retry-after"], replies[2].fields["x-set"]) == ("1", "-")
    assert django.counts("GET /narrow", "client") == {"ended": 2, "shed": 1}


def test_django_without_wsgi_in_its_routes_serves_async_arms_under_wsgi_too(tmp_path: Path) -> None:
    """Django makes a loop for each request then: nothing is gained, and nothing lost."""
    needed("django", "gunicorn")
    with site("django_site", "gunicorn", tmp_path, *THREADS, app="under_wsgi") as running:
        for arm in ("control", "async"):
            running.gets("GET /quote", arm)
            reply = running.ask("/quote/7")
            assert (reply.arm, reply.fields["x-set"]) == (arm, "set by 7")
        running.gets("GET /narrow", "async")
        assert [reply.status for reply in at_once(running, "/narrow", 3)] == [200, 200, 503]
        assert running.counts("GET /narrow", "async") == {"ended": 2, "shed": 1}


def test_atomic_requests_work_under_wsgi(tmp_path: Path) -> None:
    needed("django", "gunicorn")
    with site("django_site", "gunicorn", tmp_path, SITE_WSGI="1", SITE_ATOMIC_REQUESTS="1") as running:
        reply = running.ask("/not-exempted")
        assert (reply.arm, reply.json["atomic"]) == ("control", True)

"""Arms in Django on ASGI: function and class-based views, decorators, databases, middleware of both colours."""

from __future__ import annotations

import http.client
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .move_serving import SEEN, Site, at_once, flip, site

pytestmark = [pytest.mark.service, pytest.mark.real]

SERVERS = ("uvicorn", "granian")
HOSTS = [*((server, app) for server in SERVERS for app in ("application", "bare"))]


def needed(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: make test-real does that")


@pytest.fixture(scope="module", params=HOSTS, ids="-".join)
def django(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site with the middleware and without."""
    server, app = request.param
    needed("django", server)
    with site("django_site", server, tmp_path_factory.mktemp("django"), app=app) as running:
        yield running


def test_each_arm_serves_and_what_it_sets_is_there_for_middleware(django: Site) -> None:
    for arm in ("control", "client", "async"):
        django.gets("GET /quote", arm)
        reply = django.ask("/quote/7")
        assert (reply.status, reply.json["arm"], reply.json["number"]) == (200, arm, 7)
        assert reply.fields["x-set"] == "set by 7", arm


def test_a_part_of_the_users_the_same_each_time(django: Site) -> None:
    django.gets("GET /quote", "async", 0.5)
    keyless = django.counts("GET /quote", "control").get("keyless", 0)
    first = [django.ask("/quote/1", X_User=str(user)).arm for user in range(20)]
    assert [django.ask("/quote/1", X_User=str(user)).arm for user in range(20)] == first
    assert {*first} == {"control", "async"}
    assert django.ask("/quote/1").arm == "control"
    assert django.counts("GET /quote", "control")["keyless"] == keyless + 1


def test_class_based_views(django: Site) -> None:
    for route, path in (("/class", "/class/3"), ("GET /method", "/method")):
        assert django.ask(path).arm == "control"
        django.gets(route, "async")
        assert django.ask(path).arm == "async"
    django.gets("/class", "async")
    assert django.ask("/class/3", "POST").arm == "async posted"
    assert django.ask("/class/3", "PUT").status == 405


def test_decorators(django: Site) -> None:
    for arm in ("control", "async"):
        django.gets("GET /private", arm)
        stranger = django.ask("/private")
        assert (stranger.status, stranger.fields["location"]) == (302, "/login-page?next=/private")
        assert django.ask("/private", X_Login="1").arm == arm
        django.gets("POST /exempt", arm)
        assert django.ask("/exempt", "POST", b"").arm == arm
        django.gets("GET /only", arm)
        assert (django.ask("/only").arm, django.ask("/only", "HEAD").status) == (arm, 405)


def test_cache_page_is_round_all_arms(django: Site) -> None:
    first = django.ask("/cached?1")
    django.gets("GET /cached", "async")
    assert django.ask("/cached?1").body == first.body, "that of the control"
    assert (first.arm, django.ask("/cached?2").arm) == ("control", "async")


def test_a_transaction_is_that_of_the_control(django: Site) -> None:
    for arm in ("control", "async"):
        django.gets("GET /atomic", arm)
        assert django.ask("/atomic").json | {"pid": 0, "thread": ""} == {
            "arm": arm,
            "atomic": True,
            "pid": 0,
            "thread": "",
        }


def test_only_failures_are_errors(django: Site) -> None:
    for status in (404, 403, 500):
        assert django.ask(f"/refuses/{status}").status == status
    assert django.counts("GET /refuses", "control") == {"ended": 3, "errors": 1}


def test_streams_and_files_are_whole(django: Site) -> None:
    assert django.ask("/stream/pieces").body == b"piece " * 100
    assert b"A Django project in one file" in django.ask("/stream/file").body
    assert django.counts("GET /stream", "control") == {"ended": 2}


@pytest.mark.parametrize("arm", ["client", "async"])
def test_what_is_too_much_waits_and_then_gets_503(django: Site, arm: str) -> None:
    django.gets("GET /narrow", arm)
    before = django.counts("GET /narrow", arm)
    replies = at_once(django, "/narrow", 3)
    assert [reply.status for reply in replies] == [200, 200, 503]
    assert replies[2].fields["retry-after"] == "1"
    assert "x-set" in replies[2].fields, "Django's own answer, through its middleware"
    after = django.counts("GET /narrow", arm)
    assert after["ended"] - before.get("ended", 0) == 2
    assert after["shed"] - before.get("shed", 0) == 1
    assert "errors" not in after


def test_a_client_that_leaves_while_it_waits_gives_its_place_back(django: Site) -> None:
    django.gets("GET /narrow", "async")
    connections = [http.client.HTTPConnection("127.0.0.1", django.port, timeout=10) for _ in range(2)]
    for each in connections:
        each.request("GET", "/narrow")
        time.sleep(0.2)
    connections[1].close()
    time.sleep(0.2)
    assert django.ask("/narrow").arm == "async"
    assert connections[0].getresponse().status == 200
    connections[0].close()


def test_flips_fail_nothing(django: Site) -> None:
    flips = flip(django, "GET /quote", "/quote/1", "async")
    assert flips.load.failed() == []
    assert flips.latest < SEEN


def test_controls_run_at_once(django: Site) -> None:
    """Each request has a thread of its own, as in any sync view of Django."""
    began = time.monotonic()
    replies = at_once(django, "/sleep", 10, apart=0.0)
    assert {reply.arm for reply in replies} == {"control"}
    assert time.monotonic() - began < 2.0, "one after the other it is 5 s"


@pytest.mark.parametrize("server", SERVERS)
def test_sync_middleware_round_it(server: str, tmp_path: Path) -> None:
    """Django then runs the whole in a thread, and the arm on the loop all the same."""
    needed("django", server)
    with site("django_site", server, tmp_path, SITE_SYNC_MIDDLEWARE="1") as running:
        for arm in ("control", "async"):
            running.gets("GET /quote", arm)
            reply = running.ask("/quote/5")
            assert (reply.arm, reply.fields["x-sync"], reply.fields["x-set"]) == (arm, "set by 5", "set by 5")


def test_atomic_requests(tmp_path: Path) -> None:
    """Django refuses them for every async view, so for a route with arms; `non_atomic_requests` takes it out."""
    needed("django", "uvicorn")
    with site("django_site", "uvicorn", tmp_path, SITE_ATOMIC_REQUESTS="1") as running:
        assert running.ask("/not-exempted").status == 500
        assert "You cannot use ATOMIC_REQUESTS with async views" in running.log.read_text()
        for arm in ("control", "async"):
            running.gets("GET /atomic", arm)
            assert running.ask("/atomic").json["atomic"] is True

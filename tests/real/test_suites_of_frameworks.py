"""`pytest --penstock-arm` with the test clients of frameworks, on suites that know nothing of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import penstock

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.real, pytest.mark.service, pytest.mark.slow]


@dataclass(frozen=True)
class UserSuite:
    """An app, its tests, and what a run with an arm says of them."""

    needs: tuple[str, ...]
    app: str
    tests: str
    in_async: dict[str, int]
    says_async: tuple[str, ...]
    in_broken: dict[str, int]
    blind: tuple[str, ...]
    options: tuple[str, ...] = field(default=())


# Each route has an arm "async" with another answer, and `seen` stays as it is.
ROUTES = """
import asyncio
import penstock
import requests

http = penstock.Http("http://127.0.0.1:9", max_attempts=1)

@penstock.arms("GET /price", max_in_flight=5)
def price():
    return {"price": requests.get("http://prices.example/").json()}

@price.arm("async")
async def _():
    return {"price": (await http.aio.get("/")).json()}

@penstock.arms("GET /seen", max_in_flight=5)
def seen():
    return {"seen": 1}

@seen.arm("async")
async def _():
    await asyncio.sleep(0)
    return {"seen": 1}

@penstock.arms("GET /stock", max_in_flight=5)
def stock():
    return {"stock": 3}

@stock.arm("async")
async def _():
    return {"stock": "3"}
"""
FASTAPI = (
    ROUTES
    + """
from fastapi import FastAPI
app = FastAPI()
app.get("/price")(price)
app.get("/seen")(seen)
app.get("/stock")(stock)
"""
)
TEST_CLIENT = """
from unittest import mock
import pytest
from fastapi.testclient import TestClient
from app import app

@pytest.fixture(scope="module", params=["one by one", "one portal"])
def client(request):
    if request.param == "one by one":
        yield TestClient(app)
    else:
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

def test_mock_of_the_old_client(client):
    with mock.patch("requests.get") as get:
        get.return_value.json.return_value = 7
        assert client.get("/price").json() == {"price": 7}

def test_wrong_answer(client):
    assert client.get("/stock").json() == {"stock": 3}

def test_right_answer(client):
    assert client.get("/seen").json() == {"seen": 1}

def test_cannot_fail(client):
    try:
        client.get("/seen")
    except Exception:
        pass
"""
ASYNCIO = """
import httpx
import pytest
import pytest_asyncio
from app import app

@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def client():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        yield client

@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def known(client):
    return (await client.get("/seen")).json()

@pytest.mark.asyncio(loop_scope="session")
async def test_wrong_answer(client):
    assert (await client.get("/stock")).json() == {"stock": 3}

@pytest.mark.asyncio(loop_scope="session")
async def test_known(known):
    assert known == {"seen": 1}

@pytest.mark.asyncio
async def test_with_a_loop_of_its_own():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.get("/seen")).json() == {"seen": 1}

@pytest.mark.asyncio(loop_scope="session")
async def test_cannot_fail(client):
    with pytest.raises(Exception):
        await client.get("/seen")
        raise KeyError
"""
ANYIO = """
import anyio
import httpx
import pytest
from app import app

pytestmark = pytest.mark.anyio

@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="module")
async def client(anyio_backend):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        yield client

async def test_wrong_answer(client):
    assert (await client.get("/stock")).json() == {"stock": 3}

async def test_two_at_once(client):
    async with anyio.create_task_group() as group:
        group.start_soon(client.get, "/seen")
        group.start_soon(client.get, "/seen")

async def test_cannot_fail(client):
    try:
        await client.get("/seen")
    except Exception:
        pass
"""
DJANGO = (
    ROUTES
    + """
import django
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

settings.configure(ROOT_URLCONF="app", ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)
django.setup()

@penstock.arms("GET /offer", max_in_flight=5)
def offer(request):
    return JsonResponse({"offer": 1})

@offer.arm("async")
async def _(request):
    return JsonResponse({"offer": 2})

urlpatterns = [path("offer", offer)]
"""
)
DJANGO_TESTS = """
import app
from django.test import AsyncClient, Client, SimpleTestCase

class TestOffer(SimpleTestCase):
    def test_wrong_answer(self):
        assert self.client.get("/offer").json() == {"offer": 1}

    async def test_wrong_answer_with_the_async_client(self):
        assert (await self.async_client.get("/offer")).json() == {"offer": 1}

    def test_cannot_fail(self):
        assert Client(raise_request_exception=False).get("/offer").status_code
"""
FLASK = """
import flask
import penstock
app = flask.Flask("app")

@app.get("/offer")
@penstock.arms("GET /offer", wsgi=True)
def offer():
    return {"offer": 1}

@offer.arm("client")
def _():
    return {"offer": 1}

@offer.arm("async")
async def _():
    return {"offer": 2}
"""
FLASK_TESTS = """
from app import app

def test_with_exceptions():
    app.testing = True
    assert app.test_client().get("/offer").json == {"offer": 1}

def test_with_statuses():
    app.testing = False
    assert app.test_client().get("/offer").status_code == 200

def test_cannot_fail():
    app.testing = False
    assert app.test_client().get("/offer").status_code
"""
ALL_SERVED = ("GET /price: no test called it",)
SUITES = {
    "FastAPI TestClient": UserSuite(
        ("fastapi", "httpx", "requests"), FASTAPI, TEST_CLIENT,
        {"passed": 4, "failed": 4},
        ("FAILED test_app.py::test_mock_of_the_old_client*", "FAILED *::test_wrong_answer*"),
        {"passed": 2, "xfailed": 6}, ("test_app.py::test_cannot_fail[[]*] never looks at the answer of GET /seen",),
    ),
    "pytest-asyncio": UserSuite(
        ("fastapi", "httpx", "pytest_asyncio", "requests"), FASTAPI, ASYNCIO,
        {"passed": 3, "failed": 1}, (*ALL_SERVED, "FAILED test_app.py::test_wrong_answer*"),
        {"passed": 1, "xfailed": 3}, ("test_app.py::test_cannot_fail never looks at the answer of GET /seen",),
        ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"),
    ),
    "anyio": UserSuite(
        ("fastapi", "httpx", "anyio", "requests"), FASTAPI, ANYIO,
        {"passed": 2, "failed": 1}, (*ALL_SERVED, "FAILED test_app.py::test_wrong_answer*"),
        {"passed": 1, "xfailed": 2}, ("test_app.py::test_cannot_fail never looks at the answer of GET /seen",),
        ("-p", "anyio"),
    ),
    "Django": UserSuite(
        ("django", "requests"), DJANGO, DJANGO_TESTS,
        {"passed": 1, "failed": 2}, (*ALL_SERVED, "FAILED test_app.py::TestOffer::test_wrong_answer *"),
        {"passed": 1, "xfailed": 2},
        ("test_app.py::TestOffer::test_cannot_fail never looks at the answer of GET /offer",),
    ),
    "Flask": UserSuite(
        ("flask",), FLASK, FLASK_TESTS,
        {"passed": 3}, ("GET /offer has no arm async that can serve here: tested with control",),
        {"passed": 1, "xfailed": 2}, ("test_app.py::test_cannot_fail never looks at the answer of GET /offer",),
    ),
}  # fmt: skip


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Only plugins that are named are loaded."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(penstock.__file__).parents[1]), str(pytester.path)]))
    for name in [name for name in os.environ if name.startswith(("PYTEST_XDIST", "PENSTOCK_ARM"))]:
        monkeypatch.delenv(name)
    return pytester


def run(folder: pytest.Pytester, suite: UserSuite, arm: str) -> pytest.RunResult:
    for package in suite.needs:
        pytest.importorskip(package)
    folder.makepyfile(app=suite.app, test_app=suite.tests)
    return folder.runpytest_subprocess("-p", "penstock.migrate.pytest_plugin", *suite.options, "--penstock-arm", arm)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_control_is_as_it_was(folder: pytest.Pytester, suite: UserSuite) -> None:
    """All green."""
    done = run(folder, suite, "control")
    done.assert_outcomes(passed=sum(suite.in_async.values()))
    assert done.ret == 0


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_what_another_arm_answers_is_found(folder: pytest.Pytester, suite: UserSuite) -> None:
    """A wrong answer, and a mock that does not apply any more."""
    done = run(folder, suite, "async")
    done.assert_outcomes(**suite.in_async)
    done.stdout.fnmatch_lines(list(suite.says_async))
    assert done.ret == ("failed" in suite.in_async)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_tests_that_cannot_fail_are_found(folder: pytest.Pytester, suite: UserSuite) -> None:
    """And no others, whether the client raises or answers 500."""
    done = run(folder, suite, "broken")
    done.assert_outcomes(**suite.in_broken)
    done.stdout.fnmatch_lines(list(suite.blind))
    assert len([line for line in done.outlines if "never looks" in line]) == suite.in_broken["passed"]
    assert done.ret == 1

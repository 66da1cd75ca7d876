"""CacheMiddleware in FastAPI, Starlette, Litestar and Django, under uvicorn."""

from __future__ import annotations

import http.client
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from .serving import SRC, free_port, serving

pytestmark = [pytest.mark.service, pytest.mark.real]

FRAMEWORKS = ("starlette", "fastapi", "litestar", "django")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def cache_status(self) -> str:
        """What penstock says."""
        return self.fields.get("cache-status", "")


@dataclass(frozen=True)
class Served:
    """A running app."""

    name: str
    address: str
    log: Path

    def get(self, path: str, method: str = "GET", **fields: str) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, headers={key.replace("_", "-"): value for key, value in fields.items()})
            response = connection.getresponse()
            headers: dict[str, str] = {}
            for name, value in response.getheaders():
                # A field that came twice is to be seen.
                headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    @property
    def state(self) -> dict[str, int]:
        """What happened in the app."""
        state: dict[str, int] = orjson.loads(self.get("/state").body)
        return state

    def comes(self, name: str, count: int = 1) -> bool:
        """Whether something happens soon."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            if self.state.get(name, 0) >= count:
                return True
            time.sleep(0.05)
        return False


def command(name: str, port: int) -> list[str | Path]:
    """How uvicorn is started with it."""
    tests = Path(__file__).parents[1]
    app: list[str | Path] = ["--factory", f"real.cache_apps:{name}_app", "--app-dir", tests]
    return [sys.executable, "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(port)]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each framework once for all tests."""
    name: str = request.param
    for needed in ("uvicorn", name):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: make test-real does that")
    log = tmp_path_factory.mktemp(name) / "server.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CACHE_APP_LOG", str(log.with_name("stopped")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")]))
        port = free_port()
        with serving(command(name, port), port, "/state", log) as root:
            yield Served(name, urlsplit(root).netloc, log)
    if name != "django":
        # The background task had its second: lifespan shutdown came after it.
        assert log.with_name("stopped").read_text().startswith("stopped after ")


def test_a_hit_and_its_purge_by_tag(served: Served) -> None:
    """One Date, one length; the purge is effective before its answer is out."""
    first = served.get("/front")
    assert first.cache_status == "penstock; fwd=uri-miss; stored"
    for _ in range(3):
        again = served.get("/front")
        assert (again.status, again.body) == (200, first.body)
        assert "hit" in again.cache_status
        assert again.fields["content-length"] == str(len(first.body))
        assert "," not in again.fields["content-length"]
        assert again.fields["date"].count("GMT") == 1
        if served.name == "litestar":
            # Its middleware is behind its routing, which knows no HEAD where there is a GET.
            continue
        head = served.get("/front", "HEAD")
        assert (head.body, head.fields["content-length"]) == (b"", str(len(first.body)))
    assert served.get("/purge", "POST").status < 300
    new = served.get("/front")
    assert "stored" in new.cache_status
    assert new.body != first.body


def test_a_cookie_is_for_one_client(served: Served) -> None:
    """Set-Cookie is not stored in the safe profile."""
    bodies = {served.get("/cookie").body for _ in range(3)}
    assert len(bodies) == 3
    assert served.get("/cookie").fields["set-cookie"].startswith("session=secret")


def test_vary(served: Served) -> None:
    """Each language once."""
    for language in ("de", "fr", "de", "fr", "de", "fr"):
        answer = served.get("/vary", Accept_Language=language)
        assert answer.body.decode().endswith(language)
    assert served.state["vary"] == 2


def test_a_stream_is_shared_while_it_comes(served: Served) -> None:
    """Ten at once, one run."""
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(served.get("/stream"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.body for answer in answers} == {b"0,1,2,3,4,"}
    assert served.state["stream"] == 1
    assert "hit" in served.get("/stream").cache_status


@pytest.mark.parametrize("path", ["events", "private"])
def test_a_stream_without_end_comes_at_once_and_ends_with_its_client(served: Served, path: str) -> None:
    """The first time, when nothing is known of it, and the second, when it goes straight through."""
    for n in (1, 2):
        connection = http.client.HTTPConnection(served.address, timeout=30)
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        expected = b"data: %d\n\n" % n
        assert response.read(len(expected)) == expected
        response.close()
        connection.close()
        assert served.comes(f"{path} ended", n)


def test_an_exception_is_a_500_and_not_remembered(served: Served) -> None:
    """With its traceback in the server's log."""
    count = served.state.get("boom", 0)
    for n in (1, 2):
        assert served.get("/boom").status == 500
        assert served.state["boom"] == count + n
    if served.name in ("starlette", "fastapi"):
        assert "ValueError: boom" in served.log.read_text()


@pytest.mark.parametrize("served", [name for name in FRAMEWORKS if name != "django"], indirect=True, scope="module")
def test_work_after_the_answer_delays_nobody(served: Served) -> None:
    """The answer is there before the work is done, and so is a hit. Django has no background tasks."""
    before = served.state.get("afterwards", 0)
    assert served.get("/background").status == 200
    assert "hit" in served.get("/background").cache_status
    assert served.state.get("afterwards", 0) == before
    assert served.comes("afterwards", before + 1)


def test_a_client_that_leaves_in_mid_stream_does_not_stop_the_others(served: Served) -> None:
    """What is to be stored is fetched to its end."""
    served.get("/purge", "POST")
    path = "/stream?other"
    connection = http.client.HTTPConnection(served.address, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.read(2) == b"0,"
    response.close()
    connection.close()
    assert served.get(path).body == b"0,1,2,3,4,"
    hit: Any = served.get(path)
    assert (hit.body, "hit" in hit.cache_status) == (b"0,1,2,3,4,", True)

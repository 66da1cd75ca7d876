"""penstock purge, explain and top against a real proxy and a real app, and what they say where it goes wrong."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.cli.main import run_command

pytestmark = pytest.mark.real

TOKEN = "a-token-of-many-characters"
VARIABLE = "PENSTOCK_ADMIN_TOKEN"
FIELDS = {
    "/fresh": [("Cache-Control", "max-age=600"), ("Surrogate-Key", "fresh both")],
    "/other": [("Cache-Control", "max-age=600"), ("Cache-Tag", "other, both")],
    "/private": [("Cache-Control", "private")],
    "/cookie": [("Cache-Control", "max-age=600"), ("Set-Cookie", "session=secret")],
    "/language": [("Cache-Control", "max-age=600"), ("Vary", "Accept-Language")],
    "/checked": [("Cache-Control", "max-age=600, must-revalidate")],
    "/always": [("Cache-Control", "no-cache"), ("ETag", '"1"')],
    "/silent": [],
    "/tracked": [("Set-Cookie", "_ga=1")],
    "/cors": [("Cache-Control", "max-age=600"), ("Content-Type", "text/plain")],
}


class App:
    """Counts what it is asked, and numbers its answers."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                app.asked[path] += 1
                body = f"{path} {app.asked[path]}".encode()
                self.send_response(200 if path in FIELDS else 404)
                if path == "/cors" and self.headers["Origin"]:
                    self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
                    self.send_header("Vary", "Origin")
                for name, value in FIELDS.get(path, []):
                    self.send_header(name, value)
                if path == "/endless":
                    self.send_header("Cache-Control", "no-store")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        while True:
                            self.wfile.write(b"x" * 1000)
                else:
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RunningProxy:
    """`penstock proxy` as a process."""

    def __init__(self, app: App, folder: Path) -> None:
        token = folder / "token"
        token.write_text(TOKEN + "\n")
        self.token_file = str(token)
        start = [sys.executable, "-c", "from penstock.cli.main import main; main()"]
        addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        environment = {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)}
        self.process = subprocess.Popen(
            [*start, "proxy", "--origin", app.url, *addresses, "--admin-token-file", self.token_file],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stderr is not None
        lines = [self.process.stderr.readline() for _ in range(3)]
        self.admin, self.metrics, self.url = (re.findall(r"http://[\d.:]+", line)[0] for line in lines)

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0
        assert self.process.stderr is not None
        self.process.stderr.close()

    def get(self, path: str, **fields: str) -> tuple[str, str]:
        """The body and Cache-Status."""
        request = urllib.request.Request(self.url + path, headers={n.replace("_", "-"): v for n, v in fields.items()})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode(), answer.headers["Cache-Status"]


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """For all tests here."""
    app = App()
    yield app
    app.close()


@pytest.fixture(scope="module")
def proxy(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """For all tests here: each cleans up before it begins."""
    proxy = RunningProxy(app, tmp_path_factory.mktemp("proxy"))
    yield proxy
    proxy.close()


class Command:
    """Runs commands with the token in the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = run_command(arguments)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Within this process."""
    monkeypatch.setenv(VARIABLE, TOKEN)
    return Command(capsys)


def settled(proxy: RunningProxy, path: str, body: str) -> None:
    """Wait until a refresh in the background is done."""
    until = time.monotonic() + 10
    while proxy.get(path)[0] != body:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["--url", "--tag", "--all"])
@pytest.mark.parametrize("soft", [False, True])
def test_purge(proxy: RunningProxy, app: App, command: Command, what: str, soft: bool) -> None:
    """By URL and tag others stay; soft sends the old one once more and fetches a new one behind it."""
    assert command("purge", "--admin", proxy.admin, "--all")[0] == 0
    (before, _), (other, _) = proxy.get("/fresh"), proxy.get("/other")
    name = {"--url": [f"{proxy.url}/fresh"], "--tag": ["fresh"], "--all": []}[what]
    options = ["--soft"] if soft else []
    code, out, _ = command("purge", "--admin", proxy.admin, what, *name, *options, "--json")
    assert code == 0
    assert orjson.loads(out)["purged"] == (2 if what == "--all" else 1)
    asked = app.asked["/fresh"]
    after, status = proxy.get("/fresh")
    new = f"/fresh {asked + 1}"
    if soft:
        assert after == before
        assert "detail=stale-while-revalidate" in status
        settled(proxy, "/fresh", new)
    else:
        assert after == new
    assert app.asked["/fresh"] == asked + 1
    assert (proxy.get("/other")[0] == other) is (what != "--all" or soft)


def test_purge_of_several_at_once(proxy: RunningProxy, command: Command) -> None:
    """Words for people, and a hint where nothing was there."""
    command("purge", "--admin", proxy.admin, "--all")
    proxy.get("/fresh")
    proxy.get("/other")
    urls = ["--url", f"{proxy.url}/fresh", "--url", f"{proxy.url}/never"]
    code, out, _ = command("purge", "--admin", proxy.admin, *urls, "--tag", "other")
    assert code == 0
    assert out.startswith("purged 2 stored responses in ")
    assert "The host must be the one" in command("purge", "--admin", proxy.admin, *urls)[1]


def test_purge_of_more_than_fits_into_one_request(proxy: RunningProxy, command: Command) -> None:
    """It is done in parts, and reaches the last of them."""
    command("purge", "--admin", proxy.admin, "--all")
    proxy.get("/fresh")
    tags = [word for number in range(1500) for word in ("--tag", f"t{number}-{'x' * 60}")]
    code, out, _ = command("purge", "--admin", proxy.admin, *tags, "--tag", "fresh", "--json")
    assert (code, orjson.loads(out)["purged"]) == (0, 1)


def call(url: str, fields: dict[str, str], method: str = "GET", body: bytes | None = None) -> int:
    """The status of one request."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data=body, method=method, headers=fields), timeout=10
        ) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_nothing_without_the_token(proxy: RunningProxy, app: App) -> None:
    """Neither at the admin address, nor anywhere else; clients cannot purge at all."""
    proxy.get("/fresh")
    asked = app.asked["/fresh"]
    everything = b'{"all": true}'
    json = {"Content-Type": "application/json"}
    right, wrong = ({"Authorization": f"Bearer {token}"} for token in (TOKEN, "wrong"))
    for path in ("/stats", "/metrics", "/explain?url=http://a/", "/"):
        assert call(proxy.admin + path, {}) == 401
    assert call(f"{proxy.admin}/purge", json, "POST", everything) == 401
    assert call(f"{proxy.admin}/purge", json | wrong, "POST", everything) == 401
    assert call(f"{proxy.metrics}/purge", json, "POST", everything) == 404
    assert call(f"{proxy.url}/purge", json | right, "POST", everything) == 501
    assert call(f"{proxy.url}/fresh", right, "PURGE") == 501
    assert call(f"{proxy.admin}/stats", right) == 200
    proxy.get("/fresh")
    assert app.asked["/fresh"] == asked


def test_explain_asks_the_running_proxy(proxy: RunningProxy, app: App, command: Command) -> None:
    """Stored or not, why, by which clause, how long, key and tags; the app is not asked."""
    command("purge", "--admin", proxy.admin, "--all")
    for path in ("/fresh", "/private", "/language"):
        proxy.get(path)
    asked = app.asked.total()

    def explain(path: str, *options: str) -> str:
        code, out, _ = command("explain", f"{proxy.url}{path}", "--admin", proxy.admin, *options)
        assert code == 0
        return out

    text = explain("/fresh")
    assert f"key       {proxy.url}/fresh\n" in text
    assert "is answered from the store" in text
    assert "RFC 9111, 5.2.2.1 (max-age)" in text
    assert "fresh   for 10 min" in text
    assert "tags    fresh both" in text
    text = explain("/private")
    assert "stored    nothing" in text
    assert "[private; RFC 9111, 5.2.2.7]" in text
    assert "Nothing is stored for it." in explain("/never")
    text = explain("/language", "--header", "Accept-Language: de")
    assert "goes to the app" in text
    assert "accept-language: (absent)" in text
    assert "say with --header" in text
    assert orjson.loads(explain("/fresh", "--json"))["would"] == "hit"
    assert app.asked.total() == asked


def test_explain_asks_the_app(app: App, command: Command, tmp_path: Path) -> None:
    """One GET, and what the proxy would make of its answer; cookies are not shown."""

    def explain(path: str, *options: str) -> str:
        asked = app.asked[path]
        code, out, err = command("explain", f"{app.url}{path}", "--once", *options)
        assert code == 0, err
        assert app.asked[path] == asked + 1
        return out

    text = explain("/fresh")
    assert "cache-control: max-age=600" in text
    assert "stored    yes: 200" in text
    assert "fresh   for 10 min" in text
    assert "tags    fresh both" in text
    assert "next      the same request is answered from the store" in text
    assert "stored    no: The response says private" in explain("/private")
    text = explain("/cookie")
    assert "[set-cookie; RFC 9111, 7.3]" in text
    assert "secret" not in text
    assert "stored    yes" in explain("/cookie", "--profile", "rfc")
    cookie = ("--header", "Cookie: session=secret")
    assert "[request-cookie; RFC 9111, 7.3]" in explain("/checked", *cookie)
    assert "stored    yes" in explain("/checked", *cookie, "--profile", "rfc")
    assert "stored    yes" in explain("/checked", "--header", "Authorization: Basic eA==")
    text = explain("/always")
    assert "each use must be confirmed" in text
    assert "fresh   never" in text
    assert "accept-language: de" in explain("/language", "--header", "Accept-Language: de")
    assert "[no-freshness; RFC 9111, 3]" in explain("/silent")
    assert "[no-store; RFC 9111, 5.2.2.5]" in explain("/endless")
    policy = tmp_path / "cache.toml"
    policy.write_text('[[path]]\nmatch = "/silent*"\nttl = "5m"\ntags = ["given"]\n')
    text = explain("/silent", "--policy", str(policy))
    assert "fresh   for 5 min" in text
    assert "tags    given" in text
    code, out, _ = command("explain", "http://shop.example/fresh", "--origin", app.url, "--json")
    found = orjson.loads(out)
    assert (code, found["stored"], found["key"]) == (0, True, "http://shop.example/fresh")


def test_explain_ends_with_what_to_write(app: App, proxy: RunningProxy, command: Command, tmp_path: Path) -> None:
    """For the app, in Django and FastAPI, and for the policy; what is written there then stores it."""
    code, out, _ = command("explain", f"{app.url}/silent")
    assert (code, out.partition("to store it: ")[2]) == (
        0,
        "Say how long it holds, in the app or in the policy. [no-freshness]\n"
        "  header  Cache-Control: max-age=60\n"
        "  django  @cache_control(max_age=60)\n"
        '  fastapi response.headers["Cache-Control"] = "max-age=60"\n'
        "  policy  [[path]]\n"
        '          match = "/silent"\n'
        '          ttl = "60s"\n',
    )
    policy = tmp_path / "cache.toml"
    policy.write_text("\n".join(line[10:] for line in out.splitlines()[-3:]))
    code, out, _ = command("explain", f"{app.url}/silent", "--policy", str(policy))
    assert "stored    yes" in out
    assert f'policy    match = "/silent" [{policy}:2]\n  ttl: 60 s' in out
    assert "to store it" not in out
    _, out, _ = command("explain", f"{app.url}/tracked", "--policy", str(policy), "--json")
    (said,) = orjson.loads(out)["to_store"]
    assert (said["reason"], said["header"]) == ("set-cookie", None)
    assert 'strip_set_cookie = ["_ga"]\nttl = "60s"' in said["policy"]
    _, out, _ = command("explain", f"{app.url}/cookie")
    assert "to store it: Nothing should be: it sets session," in out
    proxy.get("/silent")
    _, out, _ = command("explain", f"{proxy.url}/silent", "--admin", proxy.admin)
    assert "  header  Cache-Control: max-age=60\n" in out


def test_explain_tries_whether_vary_is_missing(app: App, command: Command) -> None:
    """With two requests more at most, and none with --once or for what is not stored."""
    for path, options, requests in (
        ("/cors", (), 3),
        ("/cors", ("--once",), 1),
        ("/cors", ("--header", "Origin: http://a"), 3),
        ("/private", (), 1),
    ):
        asked = app.asked[path]
        code, out, err = command("explain", f"{app.url}{path}", *options)
        assert code == 0, err
        assert app.asked[path] == asked + requests
        assert ("careful: With " in out) is (requests == 3)
    _, out, _ = command("explain", f"{app.url}/cors", "--json")
    found = orjson.loads(out)["vary"]
    assert found["tried"] == [f"Origin: {app.url}", "Accept-Encoding: gzip"]
    assert [each["header"] for each in found["missing"]] == ["Vary: Origin"]


def test_explain_of_a_proxy_as_if_it_were_the_app(app: App, proxy: RunningProxy, command: Command) -> None:
    """The answer is then that of the cache, which is said before the rest."""
    for path in ("/fresh", "/fresh", "/silent"):
        code, out, _ = command("explain", f"{proxy.url}{path}", "--once")
        assert code == 0
        assert out.startswith("careful   this answer comes from a penstock proxy")
        assert "--admin" in out.split("answer    200", 1)[0]
        assert "--origin" in out.split("answer    200", 1)[0]
    _, out, _ = command("explain", f"{proxy.url}/fresh", "--once", "--json")
    assert orjson.loads(out)["from_penstock"] is True
    _, out, _ = command("explain", f"{proxy.url}/fresh", "--origin", app.url, "--once", "--json")
    assert orjson.loads(out)["from_penstock"] is False
    _, out, _ = command("explain", f"{app.url}/fresh", "--once")
    assert "penstock" not in out


def test_top_once(proxy: RunningProxy, command: Command) -> None:
    """Rates of one second, and rows with their reasons; queries are hidden unless they are asked for."""
    command("purge", "--admin", proxy.admin, "--all")
    proxy.get("/fresh")
    proxy.get("/fresh")
    proxy.get("/private?session=secret")
    code, out, _ = command("top", "--admin", proxy.admin, "--once")
    assert code == 0
    assert "hit rate" in out
    assert "/fresh" in out
    assert "private" in out
    assert "secret" not in out
    code, out, _ = command("top", "--admin", proxy.admin, "--once", "--json", "--with-query", "--rows", "50")
    found = orjson.loads(out)
    assert code == 0
    assert found["requests"] >= 3
    assert found["budget_bytes"] == 256 << 20
    urls = {row["url"]: row for row in found["top_urls"]}
    assert urls[f"{proxy.url}/private?session=secret"]["requests"] >= 1
    reasons = {row["url"]: row["not_stored"] for row in found["top_misses"]}
    assert reasons[f"{proxy.url}/private?session=secret"] == "private"


def test_metrics_have_an_address_of_their_own(proxy: RunningProxy) -> None:
    """What Prometheus gets."""
    proxy.get("/fresh")
    with urllib.request.urlopen(f"{proxy.metrics}/metrics", timeout=10) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    assert families["penstock_cache_requests"].samples[0].value >= 1
    assert families["penstock_cache_budget_bytes"].samples[0].value == 256 << 20
    assert {"penstock_cache_origin_seconds", "penstock_cache_misses", "process_cpu_seconds"} <= families.keys()


def free_port() -> int:
    """One where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("arguments", [["purge", "--all"], ["explain", "http://a/"], ["top", "--once"]])
def test_an_admin_address_that_is_none(
    proxy: RunningProxy, app: App, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """One clear line and exit code 2: nobody there, somebody else there, a wrong token, none, or a bad one."""

    def refused(url: str) -> str:
        code, out, err = command(*arguments, "--admin", url)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        return err

    assert "cannot be reached" in refused(f"http://127.0.0.1:{free_port()}")
    asked = app.asked.total()
    for url in (proxy.url, proxy.metrics):
        assert "no admin address" in refused(url)
    # The token was not handed on to the app, and a first look is all that it got.
    assert app.asked.total() <= asked + 1
    assert "no path" in refused(f"{proxy.admin}/purge")
    assert "only http" in refused("ftp://127.0.0.1")
    monkeypatch.setenv(VARIABLE, "wrong" * 5)
    assert "refuses the token" in refused(proxy.admin)
    monkeypatch.setenv(VARIABLE, "short")
    assert "16 or more" in refused(proxy.admin)
    monkeypatch.delenv(VARIABLE)
    assert "--admin-token-file" in refused(proxy.admin)
    assert command(*arguments, "--admin", proxy.admin, "--admin-token-file", proxy.token_file)[0] == 0
    assert command(*arguments, "--admin", proxy.admin, "--admin-token-file", "/nowhere")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["purge", "--all"], "--admin"),
        (["top"], "--admin"),
        (["purge", "--admin", "x"], "--url or --tag"),
        (["purge", "--admin", "x", "--all", "--tag", "a"], "--all alone"),
        (["purge", "--admin", "x", "--url", "/path"], "absolute URL"),
        (["purge", "--admin", "x", "--tag", "a b"], "no tag"),
        (["explain"], "URL"),
        (["explain", "nonsense"], "absolute URL"),
        (["explain", "127.0.0.1:8000/"], "write http://127.0.0.1:8000/"),
        (["purge", "--admin", "x", "--url", "shop.example/a"], "write http://shop.example/a"),
        (["explain", "unix:/run/app.sock"], "--origin unix:/run/app.sock"),
        (["explain", "http://a/", "--policy", "nowhere.toml"], "nowhere.toml"),
        (["explain", "http://a/", "--header", "nonsense"], "Name: value"),
        (["explain", "http://a/", "--admin", "x", "--policy", "y"], "exclude each other"),
        (["explain", "http://a/", "--origin", "http://b/path"], "without a path"),
        (["explain", "http://a/", "--timeout", "-1s"], "--timeout"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], says: str) -> None:
    """One line that says which option, exit code 2, and nothing is sent."""
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("by", ["url", "origin", "socket"])
def test_explain_of_an_app_that_is_not_there(command: Command, tmp_path: Path, by: str) -> None:
    """The same, with the reason in the words of the proxy, and what to do."""
    url = f"http://127.0.0.1:{free_port()}"
    socket_url = f"unix:{tmp_path}/app.sock"
    arguments = {
        "url": [f"{url}/x"],
        "origin": ["http://shop.example/x", "--origin", f"{url}/"],
        "socket": ["http://shop.example/x", "--origin", socket_url],
    }[by]
    why = "no such file or directory" if by == "socket" else "connection refused"
    said = f"{socket_url if by == 'socket' else url} does not answer: no connection ({why})"
    code, out, err = command("explain", *arguments)
    assert (code, out) == (2, "")
    assert f"nothing to explain: {said}; start the app" in err
    assert "--origin where it listens" in err
    assert err.count("\n") == 1


def test_a_proxy_that_cannot_have_what_it_needs(
    proxy: RunningProxy, app: App, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A port that is taken, an admin address without a token, a bad policy: a clear line and exit code 2."""
    start = ["proxy", "--origin", app.url, "--listen", "127.0.0.1:0"]

    def refused(*options: str) -> str:
        code, out, err = command(*start, *options)
        assert (code, out) == (2, "")
        return err.splitlines()[-1]

    taken = proxy.admin.removeprefix("http://")
    assert "address already in use" in refused("--admin", taken)
    assert "address already in use" in refused("--metrics", taken)
    bad = tmp_path / "bad.toml"
    bad.write_text("[[path]]\nmatch = 7\n")
    assert "bad.toml:2" in refused("--policy", str(bad))
    assert "--admin-token-file needs --admin" in refused("--admin-token-file", proxy.token_file)
    monkeypatch.delenv(VARIABLE)
    assert VARIABLE in refused("--admin", "127.0.0.1:0")
    monkeypatch.setenv(VARIABLE, "short")
    assert "16 or more" in refused("--admin", "127.0.0.1:0")

"""The policy of `penstock proxy`: looked at beforehand, warned about at the start, and read again by SIGHUP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import penstock
from penstock.cli.main import run_command
from penstock.cli.proxy_admin import TOKEN_VARIABLE

from .test_proxy_admin import App

ORIGIN = ("proxy", "--origin", "http://127.0.0.1:9")
DOUBTFUL = '[[path]]\nmatch = "/silent"\nttl = "5m"\nstrip_set_cookie = ["*"]\n'
WARNED = ":4: strip_set_cookie: takes sessionid away too"


def check(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    code = run_command([*ORIGIN, "--check-config", *options])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_configuration_is_looked_at_and_nothing_is_served(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line for each entry, as the file has it."""
    file = tmp_path / "cache.toml"
    file.write_text(
        'ignore_cookies = ["_ga*"]\n[[path]]\nprefix = "/shop/"\nquery = []\nttl_by_status = { 404 = "10s" }\n'
        "public = false\n[[path]]\nmatch = '/admin/*'\nbypass = true\n[[path]]\nmatch = '/api/*'\n"
    )
    code, out, err = check(capsys, "--policy", str(file), "--listen", "127.0.0.1:8088")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "origin    http://127.0.0.1:9",
        "listen    http://127.0.0.1:8088",
        "memory    268,435,456 bytes",
        f"policy    {file}: 3 [[path]]",
        f'  {file}:3: prefix = "/shop/", query = []: ttl_by_status 404 10 s, public false',
        f'  {file}:8: match = "/admin/*": bypass',
        f'  {file}:11: match = "/api/*": nothing but what the app says',
        f"  {file}: all paths without an entry: ignore_cookies _ga*",
    ]


def test_without_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys)
    assert (code, err) == (0, "")
    assert "policy    none" in out


def test_what_is_doubtful_is_warned_about(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "cache.toml"
    file.write_text(DOUBTFUL)
    code, out, err = check(capsys, "--policy", str(file))
    assert code == 0
    assert err.startswith(f"penstock: warning: {file}{WARNED}")
    assert len(err.splitlines()) == 1
    assert "1 [[path]]" in out


def test_what_a_start_would_refuse_of_listen_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The proxy itself as its app, by an address or a Unix socket; a mode without a file."""
    assert check(capsys, "--listen", f"unix:{tmp_path}/p.sock", "--listen-mode", "660")[0] == 0
    assert f"listen    unix:{tmp_path}/p.sock" in check(capsys, "--listen", f"unix:{tmp_path}/p.sock")[1]
    code, _, err = check(capsys, "--listen", "127.0.0.1:9")
    assert (code, "this proxy itself" in err) == (2, True)
    code, _, err = check(capsys, "--listen-mode", "660")
    assert (code, "--listen-mode is for" in err) == (2, True)
    code = run_command(
        ["proxy", "--check-config", "--origin", f"unix:{tmp_path}/p.sock", "--listen", f"unix:{tmp_path}/p.sock"]
    )
    assert (code, "this proxy itself" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (
            "[[path]]\nmatch = '/x?y=1'\n",
            (),
            'cache.toml:2: match: it is compared with the path alone; write match = "/x"',
        ),
        ("[[path]]\nmatch = '/x'\nttl = 1\nbypass = true", (), "cache.toml:3: ttl: nothing is stored"),
        ("ttl = 1", ("--cert", "nowhere.pem"), "nowhere.pem"),
        ("ttl = 1", ("--key", "nowhere.pem"), "--key needs --cert"),
        ("ttl = 1", ("--admin-token-file", "nowhere"), "--admin-token-file needs --admin"),
        ("ttl = 1", ("--memory", "lots"), "lots"),
        ("ttl = 1", ("--origin", "127.0.0.1:9"), "--origin is given 2 times"),
    ],
)
def test_what_a_start_would_refuse_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, options: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "cache.toml"
    file.write_text(text)
    code, out, err = check(capsys, "--policy", str(file), *options)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--access-log", "{dir}/none/x"), "--access-log {dir}/none/x cannot be opened: no such file"),
        (("--access-log", "{dir}"), "cannot be opened: is a directory"),
        (("--access-log", "{dir}/file/x"), "cannot be opened: not a directory"),
        (("--access-log", "{dir}/link"), "cannot be opened: no such file"),
        (("--listen", "unix:{dir}/none/x.sock"), "cannot listen on unix:{dir}/none/x.sock: no such file"),
        (("--listen", "unix:{dir}/file/x.sock"), "not a directory"),
        (("--listen", "unix:{dir}/file"), "it is no socket"),
        (("--admin", "127.0.0.1:8080"), "--admin 127.0.0.1:8080 is taken by --listen"),
        (("--metrics", ":8080"), "--metrics 0.0.0.0:8080 is taken by --listen"),
        (("--listen", "[::1]:81", "--metrics", "[::]:81"), "--metrics [::]:81 is taken by --listen"),
        (("--admin", "127.0.0.1:81", "--metrics", "127.0.0.1:81"), "--metrics 127.0.0.1:81 is taken by --admin"),
        (("--listen", "unix:{dir}/x.sock", "--admin", ":81", "--metrics", ":81"), "is taken by --admin"),
    ],
)
def test_places_that_a_start_would_refuse_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    says: str,
) -> None:
    """And nothing is made or removed by the look."""
    monkeypatch.setenv(TOKEN_VARIABLE, "t" * 16)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "none" / "x")
    code, out, err = check(capsys, *(each.format(dir=tmp_path) for each in options))
    assert (code, out) == (2, "")
    assert says.format(dir=tmp_path) in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "link"]
    assert (tmp_path / "file").read_text() == "kept"


def test_metrics_without_their_library_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.observe.exposition.importlib.util.find_spec", lambda name: None)
    code, out, err = check(capsys, "--metrics", "127.0.0.1:9464")
    assert (code, out) == (2, "")
    assert "metrics need prometheus_client" in err


def test_places_that_a_start_would_take_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A socket that is left over is not removed, and a log that is not there is not made."""
    monkeypatch.setenv(TOKEN_VARIABLE, "t" * 16)
    left_over = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(left_over))
    places = ("--listen", f"unix:{left_over}", "--admin", "127.0.0.1:8081", "--metrics", "[::1]:8081")
    code, out, err = check(capsys, *places, "--access-log", f"{tmp_path}/access.jsonl")
    assert (code, err) == (0, "")
    assert out.splitlines()[3:6] == [
        "admin     http://127.0.0.1:8081",
        "metrics   http://[::1]:8081/metrics",
        f"log       {tmp_path}/access.jsonl",
    ]
    assert [*tmp_path.iterdir()] == [left_over]
    assert check(capsys, "--listen", ":0", "--admin", ":0", "--metrics", ":0", "--access-log", "-")[0] == 0


@contextmanager
def running(app: App, policy: Path) -> Iterator[tuple[subprocess.Popen[str], IO[str], str]]:
    """The proxy as a process, what it says, and where it listens."""
    start = [sys.executable, "-c", "from penstock.cli.main import main; main()", "proxy", "--origin", app.url]
    environment = {**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parent.parent)}
    process = subprocess.Popen(
        [*start, "--listen", "127.0.0.1:0", "--policy", str(policy)], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        yield process, process.stderr, re.findall(r"http://[\d.:]+", line)[0]
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stderr.close()


def cache_status(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        answer.read()
        return str(answer.headers["Cache-Status"])


@pytest.mark.real
def test_a_policy_that_is_refused_leaves_the_old_one(tmp_path: Path) -> None:
    """Each time it says so, and each time it warns."""
    policy = tmp_path / "cache.toml"
    policy.write_text(DOUBTFUL)
    app = App()
    try:
        with running(app, policy) as (process, said, url):
            assert WARNED in said.readline()
            assert "stored" in cache_status(f"{url}/silent")
            policy.write_text("[[path]]\nmatch = '/silent'\nttl = 'soon'\n")
            process.send_signal(signal.SIGHUP)
            assert "not reloaded" in (line := said.readline())
            assert "cache.toml:3: ttl: 'soon' is not a duration" in line
            assert "hit" in cache_status(f"{url}/silent")
            policy.write_text("bypass_cookies = ['a']\nignore_cookies = ['csrftoken']\n")
            process.send_signal(signal.SIGHUP)
            assert said.readline() == "penstock: reloaded\n"
            assert "warning" in (line := said.readline())
            assert "cache.toml:2: ignore_cookies: keeps csrftoken" in line
            policy.write_text("[[path]]\nmatch = '/silent'\nbypass = true\n")
            process.send_signal(signal.SIGHUP)
            assert said.readline() == "penstock: reloaded\n"
            assert "fwd=bypass" in cache_status(f"{url}/silent")
    finally:
        app.close()

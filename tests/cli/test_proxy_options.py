"""What the options of `penstock proxy` ask for, and what it refuses before it starts."""

from __future__ import annotations

from typing import Any

import click
import orjson
import pytest

from penstock.cli.main import run_command
from penstock.cli.proxy import proxy
from penstock.cli.proxy_serving import read_settings
from penstock.errors import UsageError
from penstock.inbound.proxy.proxy import ProxySettings

ORIGIN = ("--origin", "http://127.0.0.1:8000")


def settings(*typed: str) -> ProxySettings:
    """As the command reads them. Raises UsageError."""
    context: click.Context = proxy.make_context("proxy", [*ORIGIN, *typed])
    found: dict[str, Any] = context.params
    return read_settings(found)


@pytest.mark.parametrize(
    ("typed", "targeted"),
    [
        ((), (b"cdn-cache-control",)),
        (("--no-targeted",), ()),
        (("--targeted", "Shop-Cache-Control"), (b"shop-cache-control",)),
        (
            ("--targeted", "A-Cache-Control", "--targeted", "CDN-Cache-Control"),
            (b"a-cache-control", b"cdn-cache-control"),
        ),
    ],
)
def test_which_targeted_fields_are_obeyed(typed: tuple[str, ...], targeted: tuple[bytes, ...]) -> None:
    assert settings(*typed).options.targeted == targeted


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--targeted", "A", "--no-targeted"), "exclude each other"),
        (("--targeted", "a b"), "write the name of a field"),
        (("--targeted", ""), "write the name of a field"),
        (("--targeted", "Cache-Control"), "are none"),
        (("--targeted", "café"), "write the name of a field"),
    ],
)
def test_what_cannot_be_meant_is_refused(typed: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(*typed)


def test_explain_takes_the_same_and_not_with_a_running_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["explain", "http://127.0.0.1:9/", "--admin", "http://127.0.0.1:9", "--no-targeted"]
    assert run_command(command) == 2
    assert "--no-targeted and --admin exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--origin", "http://127.0.0.1:8001"), "--origin is given 2 times, and a proxy has one; several apps"),
        (("--origin=http://a", "--origin", "http://b"), "--origin is given 3 times"),
        (("--listen", ":80", "--listen", ":81"), "--listen is given 2 times, and a proxy has one."),
        (("--policy", "a", "--policy", "b"), "--policy is given 2 times"),
        (("--admin", ":1", "--admin", ":2"), "--admin is given 2 times"),
        (("--access-log", "a", "--access-log", "b"), "--access-log is given 2 times"),
        (("--memory", "10"), "'10' is 10 bytes, and a cache needs 1MiB at least: did you mean 10MiB?"),
        (("--memory", "1"), "did you mean 1MiB?"),
        (("--memory", "0"), "'0' is 0 bytes, and a cache needs 1MiB at least"),
        (("--memory", "1000kB"), "'1000kB' is 1,000,000 bytes, and a cache needs 1MiB at least"),
        (("--memory", "much"), "is not a size"),
        (("--access-log-format", "combined"), "need --access-log"),
        (("--access-log-query",), "need --access-log"),
    ],
)
def test_a_mistake_is_one_line_and_not_a_start(
    capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], words: str
) -> None:
    """All but the last two started without a word."""
    assert run_command(["proxy", *ORIGIN, *typed]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("127.0.0.1:8000", "'127.0.0.1:8000' has no scheme; write http://127.0.0.1:8000"),
        ("localhost:8000/", "write http://localhost:8000 ("),
        ("[::1]:8000", "write http://[::1]:8000"),
        ("app.internal", "write http://app.internal"),
        (":8000", "write http://127.0.0.1:8000"),
        ("8000", "write http://127.0.0.1:8000"),
        ("ftp://127.0.0.1", "only http and https"),
        ("http://127.0.0.1:8000/shop", "without a path"),
        ("http://127.0.0.1:99999", "is not between 1 and 65535"),
        ("unix:", "write unix:/run/app.sock"),
    ],
)
def test_an_origin_that_is_none_names_the_option_and_what_to_write(
    capsys: pytest.CaptureFixture[str], origin: str, words: str
) -> None:
    assert run_command(["proxy", "--check-config", "--origin", origin]) == 2
    said = capsys.readouterr().err
    assert "'--origin'" in said
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        (["proxy", "--orgin", "http://127.0.0.1:8000"], "'--orgin'. Did you mean --origin or"),
        (["proxy", "--memroy", "1GiB"], "'--memroy'. Did you mean --memory or"),
        (["prxy"], "'prxy'. Did you mean proxy?"),
    ],
)
def test_what_is_most_alike_is_proposed_first(
    capsys: pytest.CaptureFixture[str], typed: list[str], proposed: str
) -> None:
    assert run_command(typed) == 2
    assert proposed in capsys.readouterr().err


def test_a_number_may_come_again() -> None:
    """For scripts that append to what they were given."""
    assert settings("--memory", "1MiB", "--memory", "2MiB").memory == 2 << 20


def test_what_is_refused_is_an_event_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["proxy", *ORIGIN, "--memory", "10", "--log", "json"]) == 2
    line = orjson.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["exit_code"], line["command"]) == ("error", "error", 2, "proxy")
    assert "did you mean 10MiB?" in line["message"]


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        (("--processes", "2"), 0, "processes 2"),
        (("--processes", "1"), 0, ""),
        (("--processes", "0"), 2, "'0' is neither a number from 1 to 64 nor auto"),
        (("--processes", "65"), 2, "'65' is neither a number from 1 to 64 nor auto"),
        (("--processes", "all"), 2, "'all' is neither a number from 1 to 64 nor auto"),
        (("--processes", "4", "--max-connections", "3"), 2, "--max-connections 3 is divided among --processes 4"),
        (("--processes", "4", "--max-connections-per-address", "0"), 0, "processes 4"),
    ],
)
def test_how_many_processes(typed: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["proxy", *ORIGIN, "--check-config", *typed]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert ("processes" in said.out) == (code == 0 and words != "")


def test_auto_is_as_many_as_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes in (({0}, 1), ({0, 3, 5}, 3), (set(range(100)), 64)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        context: click.Context = proxy.make_context("proxy", [*ORIGIN, "--processes", "auto"])
        assert context.params["processes"] == processes

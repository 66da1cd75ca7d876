"""`--token-command`, over real sockets and with real processes: the server and the command count by themselves."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock import Request, UsageError
from penstock.cli.main import run_command
from penstock.runs.secrets import token_process
from penstock.runs.secrets.token_command import TokenCommand

from .guarded_api import COUNT, GuardedApi

pytestmark = pytest.mark.real

EACH_ONCE = dict.fromkeys(range(COUNT), 1)
PLACES = {
    "header": ("/x", ("--header", "Authorization: Bearer ${TOKEN}"), ()),
    "URL": ("/x?key=${TOKEN}", (), ()),
    "body": ("/x", (), ("--body", '{"id": "{id}", "key": "${TOKEN}"}')),
}
Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a command of a shell script; each of its runs leaves a line in `runs`."""

    def make(text: str) -> str:
        path = tmp_path / "get token.sh"
        path.write_text(f"cd '{tmp_path}'\necho >> runs\nn=$(wc -l < runs | tr -d ' ')\n{text}\n")
        return f"sh '{path}'"

    return make


def runs(tmp_path: Path) -> int:
    """How often the command was run."""
    path = tmp_path / "runs"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def send(api: GuardedApi, records: Path, command: str, place: str = "header", *more: str) -> list[str]:
    """The command line."""
    path, header, body = PLACES[place]
    out = ("--out", str(records.parent / "out.jsonl"))
    return ["send", str(records), "--url", api.url + path, *out, "--token-command", command, *header, *body, *more]


def ids(api: GuardedApi) -> Counter[int]:
    """What was let pass, by its id."""
    return Counter(orjson.loads(body)["id"] for body in api.passed)


@pytest.mark.parametrize("place", PLACES)
def test_a_new_token_goes_into_every_place(
    api: GuardedApi, records: Path, script: Script, place: str, tmp_path: Path
) -> None:
    """Also one that must be written in another way there."""
    api.prefix, api.expiries = 'a+b/"=token-', [1000]
    command = script("echo 'a+b/\"=token-'$n")
    assert run_command(send(api, records, command, place)) == 0
    assert ids(api) == EACH_ONCE
    assert runs(tmp_path) == 2
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if "run" in str(path) and path.is_file())
    assert b"=token-" not in written


def test_a_thousand_in_flight_have_one_renewal(
    api: GuardedApi, records: Path, script: Script, tmp_path: Path, capsys: Any
) -> None:
    """Whose answers all come at once."""
    api.slow, api.expiries = 0.3, [100]
    command = script("sleep 0.3; echo token-$n")
    assert run_command(send(api, records, command, "header", "--in-flight", "1000", "--attempts", "1", "--json")) == 0
    assert runs(tmp_path) == 2
    assert ids(api) == EACH_ONCE
    summary = orjson.loads(capsys.readouterr().out)
    assert (summary["ok"], summary["attempts"]) == (COUNT, COUNT + len(api.refused))


def test_tokens_that_are_all_refused_end_the_run(
    api: GuardedApi, records: Path, script: Script, tmp_path: Path, capsys: Any
) -> None:
    """After forty calls, and no token is shown, not even those that came later."""
    assert run_command(send(api, records, script("echo dead-token-number-$n"))) == 3
    assert api.calls <= 40
    assert runs(tmp_path) <= 3
    assert "dead-token" not in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_processes_ask_for_themselves(
    api: GuardedApi, records: Path, script: Script, tmp_path: Path, processes: str
) -> None:
    """A run of the command for each process that was refused."""
    api.expiries = [1000]
    command = script("echo token-$n")
    assert run_command(send(api, records, command, "header", "--processes", processes)) == 0
    assert ids(api) == EACH_ONCE
    assert 2 <= runs(tmp_path) <= 1 + int(processes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "echo the password secret-word-1 is wrong >&2; exit 4",
            "it failed with exit status 4: the password ${MY_SECRET} is",
        ),
        ("true", "it printed nothing"),
        ("echo one; echo two", "it printed several lines"),
        ("echo x", "it printed what is no token"),
        ("printf 'a\\001bcdef'", "it printed what is no token"),
        ("sleep 600 & sleep 600", "it was not done after 1 s"),
    ],
)
def test_a_command_that_gives_no_token_is_said_before_anything_is_sent(
    api: GuardedApi, records: Path, script: Script, capsys: Any, monkeypatch: Any, text: str, says: str
) -> None:
    """With what it said itself, but for secrets."""
    monkeypatch.setenv("MY_SECRET", "secret-word-1")
    monkeypatch.setattr(token_process, "LONGEST_SECONDS", 1.0)
    assert run_command(send(api, records, script(text))) == 2
    assert f"--token-command: {says}" in capsys.readouterr().err
    assert api.calls == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("/no/such/command", "/no/such/command cannot be run: there is no such program"),
        ("'", "it is no command"),
        (" ", "no command"),
    ],
)
def test_what_is_no_command_is_said(api: GuardedApi, records: Path, capsys: Any, command: str, says: str) -> None:
    """In words."""
    assert run_command(send(api, records, command)) == 2
    assert says in capsys.readouterr().err


def test_a_token_that_stands_nowhere_is_said(api: GuardedApi, records: Path, script: Script, capsys: Any) -> None:
    """It would be fetched for nothing."""
    command = ["send", str(records), "--url", api.url, "--out", str(records.parent / "o"), "--token-command"]
    assert run_command([*command, script("echo token-good")]) == 2
    assert "which stands nowhere" in capsys.readouterr().err


def test_a_command_that_fails_in_the_middle_stops_the_run(
    api: GuardedApi, records: Path, script: Script, tmp_path: Path, capsys: Any
) -> None:
    """The same command goes on."""
    api.lasts = 1000
    command = script("test $n != 2 || { echo closed >&2; exit 7; }; echo token-good")
    assert run_command(send(api, records, command, "header", "--in-flight", "10")) == 3
    assert "it failed with exit status 7: closed; no item is lost" in capsys.readouterr().err
    assert len(api.refused) <= 30
    api.lasts = None
    assert run_command(send(api, records, command)) == 0
    assert ids(api) == EACH_ONCE


def test_who_keeps_the_pipes_open_keeps_nobody_waiting() -> None:
    """A process that has left the group of the command, and outlives it."""

    async def go() -> float:
        command = "setsid sleep 8 & echo ready; sleep 600"
        task = asyncio.create_task(token_process.output_of(shlex.join(["sh", "-c", command])))
        await asyncio.sleep(0.5)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(go()) < 0.9


def test_a_command_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """Nor do those that it has started."""

    async def go() -> None:
        script = f"echo $$ > '{tmp_path}/one'; sh -c 'echo $$ > \"{tmp_path}/two\"; sleep 600'"
        task = asyncio.create_task(token_process.output_of(shlex.join(["sh", "-c", script])))
        ends = time.monotonic() + 10
        while not ((tmp_path / "two").exists() and (tmp_path / "two").read_text().strip()):
            assert time.monotonic() < ends
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    for name in ("one", "two"):
        assert _is_gone(int((tmp_path / name).read_text()))


def _is_gone(pid: int) -> bool:
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            # Nobody but the first process of the machine can reap a child of a child.
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", '{"key":"a\\"b-old"}', '{"key":"x\\"y&z-new"}'),
        ("application/x-www-form-urlencoded", "key=a%22b-old&n=1", "key=x%22y%26z-new&n=1"),
        ("text/plain", 'key a"b-old', 'key x"y&z-new'),
        ("text/plain", 'not-a"b-older', 'not-a"b-older'),
    ],
)
def test_a_request_is_filled_as_its_place_asks_for(kind: str, body: str, expected: str) -> None:
    """And nothing else of it is touched."""

    async def go() -> Request:
        token = await TokenCommand.first("echo 'a\"b-old'")
        request = Request("POST", "http://h/a%22b-old?k=a%22b-old&x=a", [("Content-Type", kind)], body.encode())
        assert token.fill(request) is request
        token._command = "echo 'x\"y&z-new'"
        await token.renew()
        return token.fill(request)

    filled = asyncio.run(go())
    assert filled.url == "http://h/x%22y%26z-new?k=x%22y%26z-new&x=a"
    assert filled.body.decode() == expected


def test_no_token_is_in_what_is_said_of_a_later_failure() -> None:
    """What the command had printed before may be in what it says now."""

    async def go() -> None:
        token = await TokenCommand.first("echo first-token")
        token._command = "sh -c 'echo no more first-token >&2; exit 1'"
        with pytest.raises(UsageError, match=r"status 1: no more \$\{TOKEN\}"):
            await token.renew()

    asyncio.run(go())

"""`penstock move roll`, `back` and `status`: with no app at all, and with workers that serve."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import run_command
from penstock.clock import SYSTEM_CLOCK
from penstock.migrate.state_file import change_state, load_state, with_route, workers_folder
from penstock.migrate.tally import Tallies
from penstock.migrate.worker_file import OwnFile
from penstock.rules.moving.state import ArmsState, BackLimits, RouteState

ROUTE = "GET /quote/{id}"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the state is, by the variable."""
    monkeypatch.setenv("PENSTOCK_ARMS", str(tmp_path / "arms.json"))
    return tmp_path / "arms.json"


@pytest.fixture
def tallies(path: Path) -> Iterator[Tallies]:
    """A worker in this process, with a route that has an arm."""
    made = Tallies()
    made.of(ROUTE, "control")
    made.of(ROUTE, "async")
    own = OwnFile(workers_folder(path), made, SYSTEM_CLOCK)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.1):
            own.beat()

    beating = threading.Thread(target=beat)
    beating.start()
    yield made
    ended.set()
    beating.join()
    own.close()


def route_in(path: Path) -> RouteState:
    """What is written."""
    return load_state(path).routes[ROUTE]


def test_one_share_is_written_at_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No app has to run."""
    assert run_command(["move", "roll", ROUTE, "async", "10%"]) == 0
    found = route_in(path)
    assert (found.arm, found.share, found.stage, found.by) == ("async", 0.1, 1, "roll")
    assert found.limits == BackLimits()
    assert abs(found.since - time.time()) < 60
    out = capsys.readouterr()
    assert out.out == f"{ROUTE}: async has 10%\n"
    assert out.err == (
        "warning: no worker was seen yet; one that runs and looks at this file has the share within 0.2 s, others need "
        "its path in $PENSTOCK_ARMS\n"
    )


def test_a_later_share_is_a_later_stage(path: Path) -> None:
    """Of the same arm; another begins anew."""
    for share in ("1%", "2.5%", "100%"):
        assert run_command(["move", "roll", ROUTE, "async", share]) == 0
    assert (route_in(path).share, route_in(path).stage) == (1.0, 3)
    assert run_command(["move", "roll", ROUTE, "client", "0%"]) == 0
    assert (route_in(path).arm, route_in(path).share, route_in(path).stage) == ("client", 0.0, 1)


def test_the_file_can_be_named(path: Path, tmp_path: Path) -> None:
    """And then the variable is nothing."""
    other = tmp_path / "other.json"
    assert run_command(["move", "roll", ROUTE, "async", "10%", "--arms", str(other)]) == 0
    assert route_in(other).share == 0.1
    assert not path.exists()
    assert run_command(["move", "back", "--arms", str(other)]) == 0
    assert route_in(other).share == 0.0


LIMITS: dict[str, tuple[list[str], BackLimits]] = {
    "factor": (["--p99", "2x"], BackLimits(p99_factor=2.0)),
    "seconds": (["--p99", "300ms"], BackLimits(p99_factor=None, p99_seconds=0.3)),
    "both": (["--p99", "1.2x", "--p99", "2s"], BackLimits(p99_factor=1.2, p99_seconds=2.0)),
    "others": (
        ["--errors", "1%", "--blocked", "50%", "--shed", "0%"],
        BackLimits(errors=0.01, blocked=0.5, shed=0.0),
    ),
    "none": (["--no-back"], BackLimits(None, None, None, None, None)),
}


@pytest.mark.parametrize(("options", "limits"), LIMITS.values(), ids=LIMITS)
def test_limits_are_written_for_the_workers(path: Path, options: list[str], limits: BackLimits) -> None:
    """They judge."""
    assert run_command(["move", "roll", ROUTE, "async", "10%", *options]) == 0
    assert route_in(path).limits == limits


REFUSED: dict[str, tuple[list[str], str]] = {
    "no share": (["roll", ROUTE, "async"], "Missing argument 'SHARE...'"),
    "no sign": (["roll", ROUTE, "async", "10"], "'10' is not a share"),
    "above all": (["roll", ROUTE, "async", "101%"], "'101%' is not a share"),
    "below nothing": (["roll", ROUTE, "async", "--", "-1%"], "'-1%' is not a share"),
    "nan": (["roll", ROUTE, "async", "nan%"], "'nan%' is not a share"),
    "second one is none": (["roll", ROUTE, "async", "1%", "2", "--hold", "1s"], "'2' is not a share"),
    "several without a time": (["roll", ROUTE, "async", "1%", "2%"], "several shares need --hold"),
    "a time of nothing": (["roll", ROUTE, "async", "1%", "--hold", "0s"], "not a duration"),
    "the control": (["roll", ROUTE, "control", "1%"], "penstock move back"),
    "no route": (["roll", " ", "async", "1%"], "must not be empty"),
    "a route that is no text": (["roll", "GET /\udcff", "async", "1%"], "holds a character that cannot be printed"),
    "an arm of two lines": (["roll", ROUTE, "a\nb", "1%"], "holds a character that cannot be printed"),
    "no arm": (["roll", ROUTE, "", "1%"], "must not be empty"),
    "p99 of a bench without a unit": (
        ["bench", "a:b", "GET /a", "control", "x", "--p99", "500"],
        "write 500ms or 500s",
    ),
    "p99 without a unit": (["roll", ROUTE, "async", "1%", "--p99", "1.5"], "no bound of a p99"),
    "p99 below the control": (["roll", ROUTE, "async", "1%", "--p99", "0.5x"], "no bound of a p99"),
    "p99 in words": (["roll", ROUTE, "async", "1%", "--p99", "fast"], "no bound of a p99"),
    "errors without a sign": (["roll", ROUTE, "async", "1%", "--errors", "0.1"], "'0.1' is not a share"),
    "a limit and none": (["roll", ROUTE, "async", "1%", "--no-back", "--shed", "1%"], "leave one of them out"),
    "unknown option": (["roll", ROUTE, "async", "1%", "--fast"], "No such option"),
    "unknown command": (["rol"], "No such command 'rol'"),
    "two routes": (["back", ROUTE, "GET /b"], "unexpected extra argument"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_told_and_nothing_is_written(
    path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    assert run_command(["move", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not path.exists()


COMMANDS = {
    "roll": ["roll", ROUTE, "async", "10%"],
    "roll --hold": ["roll", ROUTE, "async", "10%", "--hold", "1s"],
    "back": ["back"],
    "back ROUTE": ["back", ROUTE],
}


@pytest.mark.parametrize("text", ["", "{", '{"version": 2, "routes": {}}', "[]"])
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_state_that_cannot_be_read_is_not_written_over(
    path: Path, text: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and it is as it was."""
    path.write_text(text)
    assert run_command(["move", *arguments]) == 2
    assert "arms.json cannot be read: " in capsys.readouterr().err
    assert path.read_text() == text


def test_a_route_that_no_worker_has_told_of_is_a_warning(
    path: Path, tallies: Tallies, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written all the same: the app may be about to start."""
    assert run_command(["move", "roll", "GET /qoute/{id}", "async", "10%"]) == 0
    assert "no worker has told of 'GET /qoute/{id}' yet; is it spelt as in the app?" in capsys.readouterr().err
    assert run_command(["move", "roll", ROUTE, "asinc", "10%"]) == 0
    assert "no worker has an arm 'asinc'" in capsys.readouterr().err
    assert run_command(["move", "roll", ROUTE, "async", "10%"]) == 0
    assert capsys.readouterr().err == ""


def test_back_takes_one_or_all(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what it took."""
    for name in ("GET /a", "GET /b", "GET /c"):
        run_command(["move", "roll", name, "async", "25%"])
    capsys.readouterr()
    assert run_command(["move", "back", "GET /b"]) == 0
    assert capsys.readouterr().out == "GET /b: async had 25% and has 0%\n"
    assert [route.share for route in load_state(path).routes.values()] == [0.25, 0.0, 0.25]
    assert run_command(["move", "back"]) == 0
    assert capsys.readouterr().out == "GET /a: async had 25% and has 0%\nGET /c: async had 25% and has 0%\n"
    assert [route.back for route in load_state(path).routes.values()] == ["by hand"] * 3


@pytest.mark.parametrize("route", [[], ["GET /a"], ["GET /b"]])
def test_nothing_to_take_back_is_no_error(path: Path, route: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Who is in a hurry types it twice."""
    assert run_command(["move", "back", *route]) == 0
    assert capsys.readouterr().out.startswith("nothing to take back: ")
    run_command(["move", "roll", "GET /a", "async", "0%"])
    before = path.read_bytes()
    assert run_command(["move", "back", *route]) == 0
    assert path.read_bytes() == before


def test_shares_are_held_one_after_the_other(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each for its time."""
    seen: list[float] = []

    def look() -> None:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            share = load_state(path).routes.get(ROUTE)
            if share is not None and share.share not in seen:
                seen.append(share.share)
            time.sleep(0.01)

    looking = threading.Thread(target=look)
    looking.start()
    began = time.monotonic()
    assert run_command(["move", "roll", ROUTE, "async", "1%", "10%", "100%", "--hold", "300ms"]) == 0
    assert time.monotonic() - began >= 0.9
    looking.join()
    assert seen == [0.01, 0.1, 1.0]
    assert route_in(path).stage == 3
    assert capsys.readouterr().out.splitlines() == [
        f"{ROUTE}: async has 1%, for 300 ms",
        f"{ROUTE}: async has 10%, for 300 ms",
        f"{ROUTE}: async has 100%, for 300 ms",
        f"{ROUTE}: async keeps 100%; every share was held",
    ]


def later(seconds: float, path: Path, route: RouteState | None) -> threading.Thread:
    """Somebody else changes the route meanwhile; None: it goes."""

    def change() -> None:
        time.sleep(seconds)
        new = ArmsState() if route is None else with_route(load_state(path), ROUTE, route)
        change_state(path, lambda state: new)

    thread = threading.Thread(target=change)
    thread.start()
    return thread


MEANWHILE: dict[str, tuple[RouteState | None, int, str]] = {
    "back by itself": (RouteState("async", 0.0, 5.0, "back", 1, back="errors: all"), 1, "was taken back: errors: all"),
    "back by hand": (RouteState("async", 0.0, 5.0, "hand", 1, back="by hand"), 1, "was taken back: by hand"),
    "another share": (RouteState("async", 0.7, 5.0, "roll", 2), 3, "somebody else has given async 70% meanwhile"),
    "another arm": (RouteState("client", 0.7, 5.0, "roll", 1), 3, "somebody else has given client 70% meanwhile"),
    "gone": (None, 3, "somebody else has given nothing meanwhile"),
}


@pytest.mark.parametrize(("route", "code", "said"), MEANWHILE.values(), ids=MEANWHILE)
def test_who_changes_the_share_meanwhile_ends_the_command(
    path: Path, route: RouteState | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they wrote stays."""
    thread = later(0.5, path, route)
    assert run_command(["move", "roll", ROUTE, "async", "1%", "10%", "--hold", "20s"]) == code
    thread.join()
    assert said in capsys.readouterr().err
    assert load_state(path).routes.get(ROUTE) == route


def test_an_arm_that_was_taken_back_between_two_stages_gets_no_next_share(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker writes after the last look of the command, and before its next share."""

    async def back(*_: object) -> None:
        taken = RouteState("async", 0.0, 5.0, "back", 1, back="p99: slow")
        change_state(path, lambda state: with_route(state, ROUTE, taken))

    monkeypatch.setattr(sys.modules["penstock.cli.move.roll"], "_held", back)
    assert run_command(["move", "roll", ROUTE, "async", "1%", "10%", "--hold", "1s"]) == 1
    assert route_in(path).share == 0.0
    assert "was taken back: p99: slow" in capsys.readouterr().err


def test_a_state_that_breaks_meanwhile_is_waited_for(path: Path) -> None:
    """The workers keep what they know, too."""

    def damage() -> None:
        time.sleep(0.3)
        data = path.read_bytes()
        path.write_bytes(data[:20])
        time.sleep(0.5)
        path.write_bytes(data)

    thread = threading.Thread(target=damage)
    thread.start()
    assert run_command(["move", "roll", ROUTE, "async", "1%", "--hold", "1200ms"]) == 0
    thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupt_leaves_the_share(path: Path, number: int) -> None:
    """And says how to take it back."""
    command = [sys.executable, "-m", "penstock", "move", "roll", ROUTE, "async", "10%", "50%", "--hold", "1m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{ROUTE}: async has 10%, for 1 min\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert said.endswith(
        f'interrupted: {ROUTE} stays as it is, async has 10%; to take it back:\npenstock move back "{ROUTE}"\n'
    )
    assert route_in(path).share == 0.1


def test_an_interrupt_while_the_state_is_broken_ends_as_any_other(path: Path) -> None:
    """It is for such moments that one presses Ctrl-C."""
    command = [sys.executable, "-m", "penstock", "move", "roll", ROUTE, "async", "10%", "50%", "--hold", "1m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        path.write_text("{")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "async has the share that the workers know, since " in said
    assert said.endswith(f'to take it back:\npenstock move back "{ROUTE}"\n')


def test_status_without_anything(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has done anything."""
    assert run_command(["move", "status"]) == 0
    assert capsys.readouterr().out == (
        f"{path}: no worker was seen\n  nothing is known of any route; "
        "workers show once this file is there, a route once it had a request\n"
    )
    assert run_command(["move", "status", ROUTE]) == 0
    assert f"nothing is known of {ROUTE}" in capsys.readouterr().out


def test_status_tells_of_each_arm(path: Path, tallies: Tallies, capsys: pytest.CaptureFixture[str]) -> None:
    """What the workers counted, and what the state says."""
    run_command(["move", "roll", ROUTE, "async", "10%"])
    capsys.readouterr()
    arm, control = tallies.of(ROUTE, "async"), tallies.of(ROUTE, "control")
    for _ in range(100):
        arm.begin()
        arm.end(0.05, failed=True)
        control.begin()
        control.end(0.01, failed=False)
    arm.begin()
    arm.refuse()
    control.without_key()
    arm.lose("user")
    assert run_command(["move", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problem"] is None
    assert [each["pid"] for each in told["workers"]] == [os.getpid()]
    (route,) = told["routes"]
    assert route["state"]["share"] == 0.1
    first, second = route["arms"]
    assert (first["arm"], first["share"], first["requests"], first["keyless"]) == ("control", 0.9, 100, 1)
    assert (second["arm"], second["share"], second["errors_in_all"], second["in_flight"]) == ("async", 0.1, 100, 1)
    assert (second["shed_in_all"], second["lost"]) == (1, {"user": 1})
    assert run_command(["move", "status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("arms.json: 1 worker")
    assert re.fullmatch(rf"{re.escape(ROUTE)}   stage 1: async has 10% for .+, by roll", lines[2])
    assert lines[4].split()[:2] == ["control", "90%"]
    assert lines[5].split()[:2] == ["async", "10%"]
    assert lines[5].endswith("user 1")


def test_status_names_a_worker_that_does_not_go_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has its lock, and no heartbeat."""
    own = OwnFile(workers_folder(path), Tallies(), SYSTEM_CLOCK)
    time.sleep(1.5)
    assert run_command(["move", "status"]) == 0
    assert f"worker {os.getpid()} does not go on" in capsys.readouterr().out
    own.close()


def test_status_tells_why_an_arm_was_taken_back(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the worker that did."""
    taken = RouteState("async", 0.0, time.time() - 90, "back", 1, back="errors: 20.0% of 50 requests failed")
    change_state(path, lambda state: with_route(state, ROUTE, taken))
    assert run_command(["move", "status", ROUTE]) == 0
    said = capsys.readouterr().out
    assert "async was taken back 1 min 30 s ago, errors: 20.0% of 50 requests failed" in said


@pytest.mark.parametrize("text", ["", "{", '{"version": 2, "routes": {}}'])
@pytest.mark.parametrize("as_json", [False, True])
def test_status_of_a_state_that_cannot_be_read(
    path: Path, text: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and what is wrong."""
    path.write_text(text)
    assert run_command(["move", "status", *(["--json"] if as_json else [])]) == 1
    said = capsys.readouterr().out
    assert "arms.json cannot be read: " in (json.loads(said)["problem"] if as_json else said)


def test_status_of_a_file_whose_name_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files are bytes. JSON is text."""
    assert run_command(["move", "status", "--json", "--arms", str(tmp_path / "arms\udcff.json")]) == 0
    assert json.loads(capsys.readouterr().out)["arms"].endswith("arms\ufffd.json")


STRANGE = {
    "a route that is no text": {"routes": {"GET /\ud800": {"arm": "async", "share": 0.1}}},
    "an arm that is no text": {"routes": {"GET /a": {"arm": "\ud800", "share": 0.1}}},
    "a reason that is no text": {"routes": {"GET /a": {"arm": "async", "share": 0, "back": "\ud800"}}},
    "a stage of many digits": {"routes": {"GET /a": {"arm": "async", "share": 0.1, "stage": 10**30}}},
    "long ago": {"routes": {"GET /a": {"arm": "async", "share": 0.1, "since": -1e308}}},
    "a cursor that moves": {"routes": {"GET /a": {"arm": "async", "share": 0, "back": "\x1b[2J\n", "by": "\x1b[2J"}}},
}


@pytest.mark.parametrize("document", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["back"]])
def test_a_strange_state_is_told_and_nothing_breaks(
    path: Path, document: dict[str, Any], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Any tool may have written it."""
    path.write_text(json.dumps({"version": 1, **document}))
    assert run_command(["move", *command]) in (0, 1, 2)
    said = capsys.readouterr()
    assert said.out + said.err
    assert "\x1b" not in said.out + said.err
    assert len(said.out) < 3000
    if "--json" in command:
        json.loads(said.out)


def test_a_state_that_is_gone_is_told(path: Path, tallies: Tallies, capsys: pytest.CaptureFixture[str]) -> None:
    """The workers keep the share: the control has not all, and there is something to take back."""
    tallies.of(ROUTE, "async")
    run_command(["move", "roll", ROUTE, "async", "100%"])
    path.unlink()
    capsys.readouterr()
    assert run_command(["move", "status"]) == 1
    said = capsys.readouterr().out
    assert "arms.json is gone" in said
    assert "its shares are those that each worker knew" in said
    assert "nobody has rolled it" not in said
    assert run_command(["move", "back"]) == 2
    assert "penstock move roll ROUTE ARM 0%" in capsys.readouterr().err
    assert run_command(["move", "roll", ROUTE, "async", "0%"]) == 0
    assert run_command(["move", "status"]) == 0


@pytest.mark.parametrize(
    ("route", "arm", "told"),
    [
        (ROUTE, "async", "async has 50%, by hand"),
        (ROUTE, "asnyc", "asnyc has 50%, by hand; no worker has an arm 'asnyc', so the control serves"),
        ("GET /qoute", "async", "async has 50%, by hand; no worker has told of this route yet"),
    ],
)
def test_a_state_that_was_written_by_hand(
    path: Path, tallies: Tallies, route: str, arm: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a time and a stage; and what is misspelt in it is named."""
    for each in ("control", "async"):
        tallies.of(ROUTE, each)
    path.write_text(json.dumps({"version": 1, "routes": {route: {"arm": arm, "share": 0.5}}}))
    assert run_command(["move", "status", route]) == 0
    assert f"\n{route}   {told}\n" in capsys.readouterr().out


def test_status_can_be_watched_on_a_terminal(path: Path) -> None:
    """It draws over itself, and Ctrl-C ends it with 0."""
    run_command(["move", "roll", ROUTE, "async", "10%"])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "penstock", "move", "status", "--watch"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"async has 10%") < 3:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    os.close(ours)
    assert re.search(rb"\x1b\[\d+F\x1b\[J", shown)

"""The bench on real processes: what stands in the way of it, what limits a server, and that none is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.main import penstock as group
from penstock.errors import UsageError
from penstock.migrate.bench import stage as stage_module
from penstock.migrate.bench.cores import kept_to, place
from penstock.migrate.bench.load import moments
from penstock.migrate.bench.load_client import LoadClient
from penstock.migrate.bench.look import look
from penstock.migrate.bench.processes import connections, cpu_seconds, descendants, listens
from penstock.migrate.bench.requests_file import RequestLine
from penstock.migrate.bench.servers import ArmServer, free_port
from penstock.migrate.bench.stage import BenchStage
from penstock.rules.moving.bottleneck import Bottleneck, StopsAt

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[3]
SERVER = f"{sys.executable} -m tests.migrate.bench.small_server {{app}} {{port}}"
APPS = "tests.migrate.bench.small_apps"


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def bench(*arguments: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    ended = CliRunner().invoke(group, ["move", "bench", *arguments], standalone_mode=False)
    if ended.exception is not None:
        if not isinstance(ended.exception, UsageError):
            raise ended.exception
        return 2, str(ended.exception)
    code: int = ended.return_value
    return code, ended.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # What cannot be imported: the last line of its own code.
        (("tests.migrate.bench.broken_app:app", "GET /"), 'json.loads("{")'),
        (("tests.migrate.bench.broken_app:app", "GET /"), "JSONDecodeError"),
        (("nowhere:app", "GET /"), "nowhere:app cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ((f"{APPS}:nothing", "GET /"), "has no 'nothing'"),
        ((APPS, "GET /"), "names no app; write module:app, or module:make()"),
        ((f"{APPS}:DATABASE", "GET /"), "is int, which is no app"),
        ((f"{APPS}:works", "GET /a/{id}"), "has parameters: give --requests FILE"),
        ((f"{APPS}:works", "nothing"), "is no route"),
        ((f"{APPS}:works", "GET /", "--requests", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
        ((f"{APPS}:works", "GET /", "--p99", "soon"), "'soon' is not a duration"),
        ((f"{APPS}:works", "GET /", "--precision", "3"), "write a percentage"),
        ((f"{APPS}:works", "GET /", "--cost", "0.17/h"), "--cost goes with --peak"),
        ((f"{APPS}:works", "GET /", "--peak", "10000"), "write 10000/s"),
        ((f"{APPS}:works", "GET /", "--server", "nothing-there {app} {port}"), "there is no program 'nothing-there'"),
        ((f"{APPS}:works", "GET /", "--server", "granian {app} --port 80"), "has no {port}"),
        ((f"{APPS}:works", "GET /", "--server", "granian 'x {app} {port}"), "cannot be read"),
        ((f"{APPS}:works", "GET /", "--server", "false {app} {port}"), "did not start"),
        (
            (f"{APPS}:works", "GET /", "--server", f"{sys.executable} -c 1/0 {{app}} {{port}}"),
            "did not start (",
        ),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str) -> None:
    """One sentence, and exit code 2."""
    app, route, *options = arguments
    usual = ["--p99", "200ms", "--max-time", "2s", "--server", SERVER, "--quiet"]
    code, said = bench(app, route, "control", "async", *usual, *options)
    assert code == 2
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        (("async",), "the first arm to name is 'control'"),
        (("control",), "name the arms to compare with the control"),
        (("control", "async", "async"), "named twice"),
        (("control", "control", "control"), "named twice"),
        (("control", "control#2"), "named twice"),
    ],
)
def test_arms_that_cannot_be(arms: tuple[str, ...], words: str) -> None:
    code, said = bench(f"{APPS}:works", "GET /", *arms, "--p99", "1s", "--server", SERVER)
    assert code == 2
    assert words in said


@pytest.mark.parametrize(
    ("app", "target", "words"),
    [
        ("sleeps", "20ms", "no rate keeps it: one request alone takes 5"),
        ("denies", "1s", "errors in the control: 20 of 20 (20 x HTTP 401); it says '401'; does it need a login?"),
    ],
)
def test_nothing_can_be_said(app: str, target: str, words: str) -> None:
    usual = ["--max-time", "5s", "--server", SERVER, "--quiet"]
    code, said = bench(f"{APPS}:{app}", "GET /", "control", "async", "--p99", target, *usual)
    assert code == 2
    assert words in said


@pytest.mark.slow
@pytest.mark.parametrize("app", ["works", "make", "make()"])
def test_a_whole_comparison_as_json(app: str) -> None:
    """Also of an app that a function makes. Beside others it may be refused; what is there is there all the same."""
    usual = ["--p99", "1s", "--max-time", "12s", "--server", SERVER, "--quiet", "--json", "--peak", "1000/s"]
    code, said = bench(f"{APPS}:{app}", "GET /", "control", "async", *usual)
    made = json.loads(said)
    assert code == made["exit_code"]
    arms = made["arms"]
    assert arms["client"] == {"measured": False}
    assert arms["control"]["alone_s"] > 0.004
    if arms["async"]["verdict"] == "nothing can be said":
        assert code == 2
        assert arms["async"]["why"]
    else:
        assert (code, arms["async"]["verdict"]) == (0, "gain")
    if arms["async"]["cpu_s"] is not None:
        assert arms["control"]["cpu_s"] > 1.5 * arms["async"]["cpu_s"]
    assert "taken on trust" in "\n".join(made["head"])


def alive(pids: list[int]) -> list[int]:
    """Those that have not ended. Whoever is dead and not waited for has."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def until(condition: object, seconds: float = 15.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_no_server_is_left(number: signal.Signals) -> None:
    """Whatever ends the command: the guard of each server sees it."""
    command = [sys.executable, "-m", "penstock", "move", "bench", f"{APPS}:works", "GET /", "control", "async"]
    usual = ["--p99", "1s", "--max-time", "60s", "--server", SERVER]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen([*command, *usual], stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})
    try:
        # Two guards with their servers, and the client.
        assert until(lambda: len(descendants(process.pid)) >= 5, 30)
        below = descendants(process.pid)
        process.send_signal(number)
        process.wait(20)
        assert until(lambda: not alive(below)), [Path(f"/proc/{pid}/cmdline").read_text() for pid in alive(below)]
    finally:
        process.kill()
        _, said = process.communicate()
    if number is signal.SIGINT:
        assert process.returncode == 3
        assert b"interrupted; nothing is said, and no server is left" in said


DAEMON = (
    "import os, sys, time\n"
    "if not os.fork():\n"
    "    os.setsid()\n"
    "    if not os.fork():\n"
    "        os.execv(sys.executable, [sys.executable, '-m', 'tests.migrate.bench.small_server', *sys.argv[1:]])\n"
    "    os._exit(0)\n"
    "os.wait()\n"
)


@pytest.mark.parametrize("stays", [True, False])
def test_a_server_that_makes_itself_a_daemon_is_not_left(stays: bool) -> None:
    """It is in another session, and no child of what was started. While that stays, it serves."""
    port = free_port()
    program = DAEMON + ("time.sleep(60)" if stays else "")
    server = ArmServer([sys.executable, "-c", program, f"{APPS}:works", str(port)], "control", port, (), os.environ)
    with server:
        if stays:
            server.wait_until_ready()
        else:
            with pytest.raises(UsageError, match="did not start"):
                server.wait_until_ready()
    name = f"{APPS}:works\0{port}\0".encode()
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if name in cmdline(each)]


def cmdline(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_a_guard_that_is_told_twice_ends_its_server_all_the_same() -> None:
    """As when a container stops: the server takes its time, and who stops it loses patience."""
    port = free_port()
    program = "import signal, sys, time\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(60)"
    server = ArmServer([sys.executable, "-c", program, "penstock-stubborn"], "control", port, (), os.environ)
    with server:
        assert until(lambda: "here" in server.last_words())
        below = server.pids()
        for _ in range(3):
            os.kill(server.guard_pid, signal.SIGTERM)
            time.sleep(0.5)
        assert until(lambda: not alive(below), 10)


def test_a_port_that_is_taken_is_no_server_of_ours() -> None:
    """Its answers would be taken for those of the arm."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "tests.migrate.bench.small_server", f"{APPS}:works", str(port)]
        server = ArmServer(command, "control", port, (), os.environ)
        with server, pytest.raises(UsageError, match=r"did not start .*in use"):
            server.wait_until_ready()


@contextlib.contextmanager
def staged(app: str, arms: tuple[str, ...] = ("control",), **environment: str) -> Iterator[BenchStage]:
    command = [part.replace("{app}", f"{APPS}:{app}") for part in SERVER.split()]
    made = BenchStage(
        command,
        arms,
        [RequestLine("GET", "/")],
        workers=1,
        target=0.2,
        placing=place(1),
        environment=os.environ | environment,
    )
    with made:
        yield made


class _Database(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(1):
            time.sleep(0.02)
            self.request.sendall(b"row")


@pytest.fixture
def database() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Database) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def limit(stage: BenchStage, arm: str, rate: float) -> Bottleneck:
    stage.alone(arm, 2)
    return stage.limit(arm, rate, 1.0)


def test_a_pool_of_five_threads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 50 ms each: it stops at 100 a second."""
    monkeypatch.setattr(stage_module, "MOST_NEIGHBOURS", 10.0)
    with staged("sleeps", SMALL_THREADS="5") as stage:
        found = limit(stage, "control", 300)
    assert found.stop is StopsAt.THREADS
    assert "all of its 5 threads are taken" in found.why


def test_a_pool_of_two_connections_is_named(monkeypatch: pytest.MonkeyPatch, database: int) -> None:
    """Of 20 ms each: it stops at 100 a second, and forty threads wait."""
    monkeypatch.setattr(stage_module, "MOST_NEIGHBOURS", 10.0)
    with staged("asks", SMALL_DATABASE=str(database)) as stage:
        found = limit(stage, "control", 300)
    assert found.stop is StopsAt.CONNECTIONS
    assert f"2 connections to 127.0.0.1:{database}" in found.why


def test_load_is_open_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes one request at a time, 50 ms each, at 40 a second: who comes last waits for all before."""
    with staged("sleeps", SMALL_THREADS="1") as stage:
        stage.alone("control", 1)
        made = stage.slice("control", 40, 0.5)
    assert made.sent == 20
    assert made.answered == 20
    assert made.p99 is not None
    assert made.p99 > 0.4
    assert not made.keeps(0.3)


def test_a_slice_that_no_target_can_come_of_is_cut() -> None:
    with staged("sleeps", SMALL_THREADS="1") as stage:
        stage.alone("control", 1)
        made = stage.slice("control", 400, 5.0)
    assert made.was_cut
    assert made.sent - made.answered <= 2 * 400 * 0.2
    assert made.sent < 400 * 5


def test_cpu_is_that_of_all_processes_and_of_those_that_have_ended() -> None:
    """An app that starts a process a request."""
    with staged("starts_others") as stage:
        stage.alone("control", 1)
        _, cpu = stage.alone("control", 5)
    assert cpu > 0.008


def test_what_is_seen_of_processes() -> None:
    program = (
        "import socket, sys, time\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "made = socket.create_connection(listening.getsockname())\n"
        "print(listening.getsockname()[1], flush=True)\n"
        "until = time.process_time() + 0.2\n"
        "while time.process_time() < until: pass\n"
        "print('worked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.stdout.readline()
        assert process.pid in descendants(os.getpid())
        assert 0.2 <= cpu_seconds([process.pid]) < 5
        assert listens([process.pid], port)
        assert not listens([process.pid], 1)
        assert connections([process.pid], but_port=port) == {f"127.0.0.1:{port}": 1}
        assert process.stdin is not None
        process.stdin.close()
    assert cpu_seconds([process.pid]) == 0.0


def test_the_bench_goes_back_to_where_it_ran() -> None:
    before = os.sched_getaffinity(0)
    with kept_to(sorted(before)[:1]):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_several_processes_share_a_slice() -> None:
    """Each sends every second request; together they send all."""
    port = free_port()
    command = [sys.executable, "-m", "tests.migrate.bench.small_server", f"{APPS}:works", str(port)]
    cores = sorted(os.sched_getaffinity(0))
    with (
        ArmServer(command, "async", port, (), os.environ | {"PENSTOCK_ARM": "async"}) as server,
        LoadClient([RequestLine("GET", "/")], cores, 2, os.environ) as client,
    ):
        server.wait_until_ready()
        made = client.slice(port, 100, 1.0, 1000, 5.0)
        assert (made.sent, made.answered, made.why_failed) == (100, 100, {})
        assert client.one_by_one(port, 3).answered == 3


def test_arms_are_asked_in_turn_at_the_same_time() -> None:
    """Each by its own moments, and each seen for itself: the slow one does not make the quick one slow."""
    with staged("in_turn", ("control", "async")) as stage:
        control, other = stage.together(["control", "async", "async", "control"], 40, 1.0)
    assert (control.arm, other.arm) == ("control", "async")
    assert [(each.rate, each.sent, each.answered) for each in (control, other)] == [(20, 20, 20)] * 2
    assert (control.statuses, other.statuses) == ({200: 20}, {201: 20})
    assert control.server_cpu < 0.5 * other.server_cpu
    assert control.other_cpu == other.other_cpu == 0.0


@pytest.mark.parametrize(
    ("port", "expected"),
    [(1, [5.0, 5.3, 5.4, 5.7]), (2, [5.1, 5.2, 5.5, 5.6]), (3, [])],
)
def test_the_moments_of_a_turn(port: int, expected: list[float]) -> None:
    assert moments([1, 2, 2, 1], port, 5.0, 0.1, 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("app", "answered", "why"), [("sleeps", range(2, 11), {}), ("hangs", range(1), {"no answer within 0.5 s": 1})]
)
def test_requests_one_by_one_end_in_time(app: str, answered: range, why: dict[str, int]) -> None:
    """Twenty of a route that takes seconds would take minutes; that it is slow is known before. 50 ms each, 0.5 s."""
    port = free_port()
    command = [sys.executable, "-m", "tests.migrate.bench.small_server", f"{APPS}:{app}", str(port)]
    cores = sorted(os.sched_getaffinity(0))
    with (
        ArmServer(command, "control", port, (), os.environ) as server,
        LoadClient([RequestLine("GET", "/")], cores, 1, os.environ) as client,
    ):
        server.wait_until_ready()
        made = client.one_by_one(port, 100, 0.5)
        assert made.answered in answered
        assert made.why_failed == why
        # What was given up has left nothing behind in the process that sent it.
        assert client.slice(port, 4, 0.5, 10, 0.1).sent == 2


def test_what_a_server_does_after_its_turn_is_seen() -> None:
    """Twenty requests of 4 ms each, a second late."""
    with staged("puts_off", ("control", "async")) as stage:
        made = stage.slice("control", 40, 0.5)
        assert made.statuses == {200: 20}
        assert made.other_cpu < 0.05
        assert 0.05 < stage.slice("async", 10, 3.0).other_cpu < 0.5


@pytest.mark.parametrize(("arm", "serves"), [("control", "control"), ("control#2", "control"), ("async#2", "async#2")])
def test_which_arm_a_server_is_told(arm: str, serves: str) -> None:
    """Names of arms are the app's own, but for the control's second row."""
    with staged("works", (arm,)) as stage:
        (pid,) = stage.servers[arm].pids()
        assert f"PENSTOCK_ARM={serves}" in Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_what_an_app_starts_when_it_is_imported_ends_with_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the output of the look, which is not waited for."""
    (tmp_path / "starting.py").write_text(
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(50)'])\n"
        "Path('pid').write_text(str(child.pid))\n"
        "print('much ' * 100_000)\n"
        "async def app(scope, receive, send): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    assert not look("starting:app", os.environ).error
    assert time.monotonic() - began < 30
    assert until(lambda: not alive([int((tmp_path / "pid").read_text())]))

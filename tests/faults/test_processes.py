"""`penstock send --processes N` for real: killed, interrupted and limited, with one record per item all the same."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.errors import PenstockError
from penstock.runs.done_set import DoneSet
from penstock.runs.examples import SLOWEST
from penstock.scale.local.crew import Crew
from penstock.scale.local.ranges import Ranges
from penstock.testing import most_in_any_window, read_arrivals

from .processes import ENVIRONMENT, fault_server, finish, records, run_send, start_send, wait_until, write_items

pytestmark = pytest.mark.real


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Shared limits in a place of the test's own."""
    return ENVIRONMENT | {"PENSTOCK_LIMITS": str(tmp_path / "limits")}


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that are still there."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_children(process: subprocess.Popen[bytes]) -> list[int]:
    """At least two."""
    wait_until(lambda: process.poll() is not None or len(children_of(process.pid)) >= 2)
    return children_of(process.pid)


def wait_until_gone(pids: list[int]) -> None:
    """Wait for the end of processes that are not our own."""
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def keys(out: Path) -> list[Any]:
    """The keys in an output, in order."""
    return sorted(record["key"] for record in records(out))


def test_three_processes_do_the_work_of_one_under_one_limit(tmp_path: Path, environment: dict[str, str]) -> None:
    """A plain --limit holds for all together; output, counters and figures are those of one run."""
    with fault_server(tmp_path, "--limit", "400/s", "--latency", "uniform:0.005:0.05") as server:
        source, out = write_items(tmp_path / "items.jsonl", 1000), tmp_path / "out.jsonl"
        options = ["--limit", "400/s", "--guard", "0.2s", "--processes", "3", "--attempts", "1", "--json"]
        ended = run_send(source, "--url", f"{server.url}/n", "--out", out, *options, env=environment)
        statistics = server.end()
    assert ended.code == 0, ended
    assert statistics["limit_violations"] == 0
    assert most_in_any_window(read_arrivals(server.arrivals), 1.0) <= 400
    assert keys(out) == list(range(1000))
    summary = ended.summary
    assert (summary["processes"], summary["items"], summary["ok"], summary["attempts"]) == (3, 1000, 1000, 1000)
    assert summary["limits"][0]["limit"] == "400/s"
    assert summary["limits"][0]["used"] > 0.5


def test_killed_parents_and_children_lose_and_double_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """SIGKILL to the parent or to a child at random moments, with another number of processes each time."""
    chance = random.Random(11)
    with fault_server(tmp_path, "--latency", "uniform:0.005:0.05") as server:
        source, out = write_items(tmp_path / "items.jsonl", 4000), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "1000/s", "--quiet"]
        for round_ in range(6):
            process = start_send([*command, "--processes", str(2 + round_ % 3)], env=environment)
            orphans = wait_for_children(process)
            time.sleep(chance.uniform(0.2, 0.9))
            if round_ % 2:
                os.kill(chance.choice(orphans), signal.SIGKILL)
                time.sleep(0.5)
            process.kill()
            finish(process)
            # They see that nobody is there any more, and do not go on calling.
            wait_until_gone(orphans)
        ended = run_send(*command, "--processes", "2", env=environment)
        assert ended.code == 0, ended
        requests = server.statistics()["requests"]
    assert keys(out) == list(range(4000))
    # What was finished and not yet handed over and committed, or in flight, is called again, and no more than that.
    assert requests <= 4000 + 12 * 1000


def test_a_child_that_dies_is_replaced_once(tmp_path: Path, environment: dict[str, str]) -> None:
    """After a kill the run goes on by itself to its end; after many it stops with one line that says so, resumable."""
    with fault_server(tmp_path, "--latency", "0.02") as server:
        source, out = write_items(tmp_path / "items.jsonl", 600), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "200/s", "--quiet", "--processes", "2"]
        process = start_send(command, env=environment)
        wait_until(lambda: server.statistics()["requests"] > 50)
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        ended = finish(process)
        assert ended.code == 0, ended
        assert keys(out) == list(range(600))
        process = start_send([*command, "--fresh"], env=environment)
        while process.poll() is None:
            for pid in children_of(process.pid) if process.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        ended = finish(process)
    assert ended.code == 3, ended
    assert "died twice (exit status -9); the same command goes on" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize("times", [1, 2])
def test_interrupts_end_it_in_order(tmp_path: Path, environment: dict[str, str], times: int) -> None:
    """One Ctrl-C lets what is in flight end, two do not; what is finished is recorded, and the same command goes on."""
    with fault_server(tmp_path, "--latency", "0.5") as server:
        source, out = write_items(tmp_path / "items.jsonl", 40), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "8", "--json", "--processes", "2"]
        process = start_send(command, env=environment)
        wait_until(lambda: server.statistics()["requests"] >= 12)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        ended = finish(process)
        statistics = server.statistics()
        assert ended.code == 3, ended
        done = len(records(out))
        assert done == ended.summary["items"] < 40
        if times == 1:
            assert done == statistics["requests"]
            assert statistics["abandoned"] == 0
        again = run_send(*command, env=environment)
        assert (again.code, again.summary["ok"], again.summary["resumed"]) == (0, 40, done)
    assert keys(out) == list(range(40))


def test_a_pause_holds_for_all_processes_also_without_a_limit(tmp_path: Path, environment: dict[str, str]) -> None:
    """A Retry-After that one process is told keeps the others from sending, though no limit is given."""
    with fault_server(tmp_path, "--fault", "429=0.01", "--retry-after", "2", "--latency", "0.05") as server:
        source, out = write_items(tmp_path / "items.jsonl", 300), tmp_path / "out.jsonl"
        options = ["--in-flight", "8", "--processes", "3", "--json"]
        ended = run_send(source, "--url", f"{server.url}/n", "--out", out, *options, env=environment)
        refused = server.end()["injected"]["429"]
        times = list(read_arrivals(server.arrivals))
    assert ended.code == 0, ended
    assert keys(out) == list(range(300))
    assert refused > 0
    assert ended.summary["throttled"] == refused
    # After each pause begins nothing comes for nearly two seconds: there are as many gaps as pauses.
    gaps = sum(late - early > 1.5 for early, late in itertools.pairwise(times))
    assert 1 <= gaps <= refused


def test_a_pause_outlasts_the_session(tmp_path: Path, environment: dict[str, str]) -> None:
    """What is left of a Retry-After when the run is stopped is waited for by every process that goes on with it."""
    with fault_server(tmp_path, "--fault", "429=1", "--retry-after", "4") as server:
        source, out = write_items(tmp_path / "items.jsonl", 20), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "2", "--quiet"]
        process = start_send(command, env=environment)
        wait_until(lambda: server.statistics()["requests"] >= 1)
        for _ in range(2):
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        finish(process)
        before = server.statistics()["requests"]
        process = start_send([*command, "--processes", "2"], env=environment)
        wait_until(lambda: server.statistics()["requests"] > before or process.poll() is not None)
        process.kill()
        finish(process)
        server.end()
        times = list(read_arrivals(server.arrivals))
    assert len(times) > before
    assert times[before] - times[before - 1] > 3.0


def test_a_disk_that_is_full_stops_all_and_nothing_is_lost(tmp_path: Path, environment: dict[str, str]) -> None:
    """The parent cannot write: exit 3, one line, no process stays, and the same command goes on to the end."""

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    with fault_server(tmp_path, "--latency", "0.01") as server:
        source, out = write_items(tmp_path / "items.jsonl", 3000), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--quiet", "--processes", "2"]
        process = start_send(command, env=environment, preexec_fn=little_room)
        children = wait_for_children(process)
        ended = finish(process)
        wait_until_gone(children)
        assert ended.code == 3, ended
        assert "File too large" in ended.errors
        assert "Traceback" not in ended.errors
        assert run_send(*command, env=environment).code == 0
    assert keys(out) == list(range(3000))


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_is_stopped_does_not_keep_the_run_from_ending(
    tmp_path: Path, environment: dict[str, str], times: int
) -> None:
    """With a second Ctrl-C one that does not answer is ended after some seconds; after the first it is waited for."""
    with fault_server(tmp_path, "--latency", "0.05") as server:
        source, out = write_items(tmp_path / "items.jsonl", 400), tmp_path / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "8", "--quiet", "--processes", "2"]
        process = start_send(command, env=environment)
        wait_until(lambda: server.statistics()["requests"] >= 50)
        children = children_of(process.pid)
        os.kill(children[0], signal.SIGSTOP)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        if times == 1:
            os.kill(children[0], signal.SIGCONT)
        ended = finish(process)
        wait_until_gone(children)
        assert ended.code == 3, ended
        assert "Traceback" not in ended.errors
        assert run_send(*command, env=environment).code == 0
    assert keys(out) == list(range(400))


def test_a_failure_also_ends_processes_that_are_only_starting() -> None:
    """One that is started, or started again, while another says that it cannot go on must not wait for ever."""

    async def attempt() -> None:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        ranges = Ranges(10, DoneSet(), 2)
        async with asyncio.timeout(30), Crew(command, [b"", b""], ranges, {}, lambda _: None, lambda _: None) as crew:
            crew._fail(PenstockError("the disk is full"))
            await crew.some()

    with pytest.raises(PenstockError, match="the disk is full"):
        asyncio.run(attempt())


def test_a_process_that_cannot_be_started_is_an_error_in_one_line() -> None:
    """Where the system has no room for another process the run stops, resumable."""

    async def attempt() -> None:
        ranges = Ranges(10, DoneSet(), 2)
        async with Crew(["/nowhere/python"], [b""], ranges, {}, lambda _: None, lambda _: None) as crew:
            await crew.some()

    with pytest.raises(PenstockError, match="cannot start process 1 of the run: No such file or directory"):
        asyncio.run(attempt())


def test_what_is_shown_of_several_processes_is_what_is_shown_of_one(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """The used share of the limit was 0 for Prometheus, and the report named none of the items that had failed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def used() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return False
        return any(line.startswith('penstock_limit_used_ratio{limit="200/s"}') and line[-3:] != "0.0" for line in lines)

    with fault_server(tmp_path, "--latency", "0.02", "--lasting", "404=0.05", "--seed", "3") as server:
        source, out = write_items(tmp_path / "items.jsonl", 1000), tmp_path / "out.jsonl"
        options = ["--limit", "200/s", "--processes", "2", "--metrics", address, "--quiet"]
        process = start_send([source, "--url", f"{server.url}/n", "--out", out, *options], env=environment)
        wait_until(lambda: used() or process.poll() is not None)
        assert process.poll() is None
        finish(process)
    failed = {record["key"] for record in records(out) if not record["ok"]}
    kept = orjson.loads((tmp_path / "out.jsonl.run" / "examples.json").read_bytes())
    shown = [each["key"] for some in kept["failed"].values() for each in (*some["first"], *some["last"])]
    assert set(shown) <= failed
    assert len(shown) == len(set(shown)) == 10
    assert len(kept["slowest"]) == SLOWEST
    slowest = sorted((record["service_ms"] for record in records(out)), reverse=True)[:SLOWEST]
    assert [each["service_s"] * 1000 for each in kept["slowest"]] == pytest.approx(slowest, abs=0.01)


def test_failed_items_and_standard_input(tmp_path: Path, environment: dict[str, str]) -> None:
    """--retry-failed does just the failed ones again, and records that came over a pipe are read by all processes."""
    with fault_server(tmp_path, "--lasting", "404=0.1", "--seed", "3") as server:
        source, out = write_items(tmp_path / "items.jsonl", 500), tmp_path / "out.jsonl"
        command = ["-", "--url", f"{server.url}/n", "--out", out, "--json", "--processes", "2"]
        with source.open("rb") as pipe:
            ended = run_send(*command, env=environment, stdin=pipe)
        failed = ended.summary["failed"]
        assert (ended.code, ended.summary["items"], ended.summary["by_kind"]) == (1, 500, {"http_4xx": failed})
        again = run_send(*command, "--retry-failed", env=environment, stdin=-3)
        assert (again.code, again.summary["items"], again.summary["failed"]) == (1, 500, failed)
        assert server.statistics()["requests"] == 500 + failed
    assert keys(out) == list(range(500))


@pytest.mark.parametrize("options", [["--in-flight", "2"], ["--limit-by", "host"]])
def test_what_several_processes_cannot_do_is_said(tmp_path: Path, options: list[str]) -> None:
    """One line, exit 2, nothing sent."""
    source = write_items(tmp_path / "items.jsonl", 5)
    command = [source, "--url", "http://127.0.0.1:9/", "--out", tmp_path / "out.jsonl", "--processes", "3"]
    ended = run_send(*command, *options)
    assert ended.code == 2, ended
    assert "--processes" in ended.errors

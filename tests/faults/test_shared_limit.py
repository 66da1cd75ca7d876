"""One limit for several real processes: exact while they come, go, are killed and stopped, and back at once."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.testing import most_in_any_window, read_arrivals

from .processes import (
    ENVIRONMENT,
    PATIENCE,
    fault_server,
    finish,
    records,
    run_send,
    start_send,
    wait_until,
    write_items,
)

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def senders(folder: Path, limit: str) -> Iterator[Callable[[], tuple[subprocess.Popen[bytes], Path]]]:
    """What starts one more process that sends as fast as `limit` allows; all are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []
    environment = ENVIRONMENT | {"PENSTOCK_LIMITS": str(folder / "limits")}

    def start() -> tuple[subprocess.Popen[bytes], Path]:
        log = folder / f"sends-{len(started)}"
        command = [sys.executable, "-m", "tests.faults.limited_process", limit, str(log), "32"]
        started.append(subprocess.Popen(command, env=environment, cwd=ROOT))
        return started[-1], log

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait(PATIENCE)


def sends_in(logs: list[Path]) -> list[float]:
    """The moments of all sends, in order."""
    return sorted(time for log in logs if log.exists() for time in read_arrivals(log))


@pytest.mark.parametrize(("limit", "count"), [("100/s@x", 100), ("2000/s@x", 2000)])
def test_killed_stopped_and_started_they_keep_the_limit_together(tmp_path: Path, limit: str, count: int) -> None:
    """Three processes, one killed, stopped or started every tenth of a second: never more than the limit in a window.

    And not much less in all, though somebody is always dead or asleep.
    """
    chance, logs = random.Random(5), []
    with senders(tmp_path, limit) as start:
        processes = []
        for _ in range(3):
            process, log = start()
            processes.append(process)
            logs.append(log)
        wait_until(lambda: all(log.exists() and log.stat().st_size for log in logs))
        for _ in range(35):
            time.sleep(0.1)
            victim = chance.randrange(3)
            if chance.random() < 0.2:
                processes[victim].kill()
                processes[victim].wait(PATIENCE)
                processes[victim], log = start()
                logs.append(log)
            else:
                processes[victim].send_signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0, 0.1))
                processes[victim].send_signal(signal.SIGCONT)
    sends = sends_in(logs)
    assert len(logs) > 5
    assert most_in_any_window(sends, 1.0) <= count
    # No time is asserted, only that the dead and the sleeping did not hold everybody up for long.
    assert len(sends) > 0.2 * count * (sends[-1] - sends[0])


def test_the_share_of_the_dead_is_back_at_once(tmp_path: Path) -> None:
    """One of two is killed; the other has the whole limit long before two seconds are over."""
    with senders(tmp_path, "50/s@x") as start:
        (one, first), (_, second) = start(), start()
        wait_until(lambda: all(log.exists() and log.stat().st_size > 8 * 20 for log in (first, second)))
        one.kill()
        one.wait(PATIENCE)
        killed = time.monotonic()
        wait_until(lambda: sum(each > killed for each in sends_in([second])) > 120)
        later = [each for each in sends_in([second]) if each > killed]
    assert sum(each < killed + 2.0 for each in later) > 60
    assert most_in_any_window(sends_in([first, second]), 1.0) <= 50


def test_two_runs_share_a_limit_at_a_strict_server(tmp_path: Path) -> None:
    """Two `penstock send` with one name, one of them killed and started again: no answer is 429, none is missing."""
    environment = ENVIRONMENT | {"PENSTOCK_LIMITS": str(tmp_path / "limits")}
    with fault_server(tmp_path, "--limit", "400/2s", "--latency", "uniform:0.005:0.05") as server:

        def command(name: str) -> list[object]:
            source = write_items(tmp_path / f"{name}.jsonl", 500)
            options = ["--limit", "400/2s@api", "--guard", "0.3s", "--attempts", "1", "--json"]
            return [source, "--url", f"{server.url}/n", "--out", tmp_path / f"{name}-out.jsonl", *options]

        one, other = start_send(command("one"), env=environment), start_send(command("other"), env=environment)
        wait_until(lambda: server.statistics()["requests"] > 300)
        one.kill()
        finish(one)
        again = run_send(*command("one"), env=environment)
        ended = finish(other)
        statistics = server.end()
    assert (again.code, ended.code) == (0, 0), (again, ended)
    assert statistics["limit_violations"] == 0
    assert most_in_any_window(read_arrivals(server.arrivals), 2.0) <= 400
    for name in ("one", "other"):
        assert sorted(record["key"] for record in records(tmp_path / f"{name}-out.jsonl")) == list(range(500))
    assert ended.summary["limits"][0]["limit"] == "400/2s@api"


def test_another_limit_under_a_name_in_use_is_refused(tmp_path: Path) -> None:
    """One line that says what the name stands for and who has it, exit 2; nothing was sent."""
    with senders(tmp_path, "50/s@api") as start, fault_server(tmp_path) as server:
        process, log = start()
        wait_until(lambda: log.exists() and log.stat().st_size)
        source = write_items(tmp_path / "items.jsonl", 5)
        environment = ENVIRONMENT | {"PENSTOCK_LIMITS": str(tmp_path / "limits")}
        options = ["--url", server.url, "--out", tmp_path / "out.jsonl", "--limit", "60/s@api"]
        ended = run_send(source, *options, env=environment)
        assert ended.code == 2, ended
        assert f"'api' stands for 50/1s in process {process.pid}, not for 60/1s" in ended.errors
        assert server.statistics()["requests"] == 0

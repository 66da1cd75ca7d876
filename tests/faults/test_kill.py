"""`penstock send` killed and interrupted for real: nothing lost, nothing doubled, the limit kept, resumable."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .kill_many import COUNT, kill_many
from .processes import Server, fault_server, finish, records, run_send, start_send, wait_until, write_items

pytestmark = pytest.mark.real


def test_killed_twenty_times_it_finishes_with_one_record_per_item(tmp_path: Path) -> None:
    """SIGKILL at random moments: one record for each item, few repeated calls, the limit kept across the restarts."""
    result = kill_many(20, 7, tmp_path)
    assert result.kills >= 15
    assert (result.lost, result.doubled) == (0, 0)
    assert result.repeated <= result.allowed
    assert result.most_in_window <= COUNT


def _interrupted(tmp_path: Path, server: Server, signals: list[int], *options: str, sent: int = 5) -> Any:
    source, out = write_items(tmp_path / "items.jsonl", 20), tmp_path / "out.jsonl"
    command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", "5", "--json", *options]
    process = start_send(command)
    wait_until(lambda: server.statistics()["requests"] >= sent)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    return command, out, finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_lets_what_is_in_flight_end(tmp_path: Path, number: int) -> None:
    """After one Ctrl-C or SIGTERM nothing new is sent, what was sent is recorded, and the same command goes on."""
    with fault_server(tmp_path, "--latency", "0.5") as server:
        command, out, ended = _interrupted(tmp_path, server, [number])
        statistics = server.statistics()
        assert ended.code == 3, ended
        assert not ended.summary["complete"]
        assert statistics["abandoned"] == statistics["in_flight"] == 0
        assert len(records(out)) == statistics["requests"] == ended.summary["items"] < 20
        again = run_send(*command)
        assert (again.code, again.summary["ok"], again.summary["resumed"]) == (0, 20, statistics["requests"])
        assert server.statistics()["requests"] == 20
    assert sorted(record["key"] for record in records(out)) == list(range(20))


def test_two_interrupts_end_it_at_once_and_resumable(tmp_path: Path) -> None:
    """The second Ctrl-C does not wait for answers that take a minute; what was finished is kept."""
    with fault_server(tmp_path, "--latency", "60") as server:
        began = time.monotonic()
        _, out, ended = _interrupted(tmp_path, server, [signal.SIGINT, signal.SIGINT])
        assert ended.code == 3, ended
        assert time.monotonic() - began < 50
        assert records(out) == []
    folder = tmp_path / "second"
    folder.mkdir()
    with fault_server(folder, "--port", server.url.rpartition(":")[2]) as server:
        again = run_send(tmp_path / "items.jsonl", "--url", f"{server.url}/n", "--out", out, "--in-flight", "5")
        assert again.code == 0, again
    assert sorted(record["key"] for record in records(out)) == list(range(20))


def test_an_interrupt_during_a_long_pause_ends_it(tmp_path: Path) -> None:
    """While everybody waits for a Retry-After of an hour, Ctrl-C ends the run at once; a failure record is not made."""
    with fault_server(tmp_path, "--fault", "429=1", "--retry-after", "300") as server:
        _, out, ended = _interrupted(tmp_path, server, [signal.SIGINT], "--retry-on", "safe", sent=1)
        assert ended.code == 3, ended
        assert records(out) == []


def test_faults_of_every_kind_are_survived(tmp_path: Path) -> None:
    """With faults of every kind, each item ends in one record, and retries make good what was no lasting failure."""
    kinds = ["429", "500", "503", "503_retry_after", "reset", "close", "truncated", "garbage_json", "html", "slow_body"]
    faults = [each for kind in kinds for each in ("--fault", f"{kind}=0.02")]
    options = ["--retry-after", "0", "--slow-body-seconds", "0.2", "--lasting", "404=0.05", "--seed", "3"]
    with fault_server(tmp_path, *faults, *options) as server:
        source, out = write_items(tmp_path / "items.jsonl", 400), tmp_path / "out.jsonl"
        # With a limit, because 429 by chance tells nothing of a pace.
        command = [source, "--url", f"{server.url}/n", "--out", out, "--json", "--retry-on", "transient"]
        command += ["--limit", "500/s"]
        ended = run_send(*command)
        statistics = server.statistics()
        assert ended.code == 1, ended
        assert set(ended.summary["by_kind"]) == {"http_4xx"}
        assert ended.summary["failed"] == statistics["injected"]["404"] > 5
        assert ended.summary["attempts"] == statistics["requests"]
        assert sorted(record["key"] for record in records(out)) == list(range(400))
        again = run_send(*command, "--retry-failed")
        assert (again.code, again.summary["failed"]) == (1, ended.summary["failed"])
        assert server.statistics()["requests"] == statistics["requests"] + ended.summary["failed"]
    assert sorted(record["key"] for record in records(out)) == list(range(400))

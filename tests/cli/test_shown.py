"""`--log json` and `--metrics` as a user meets them."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from penstock.cli.main import run_command

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The fault server, 20 to 60 ms an answer."""
    command = [sys.executable, "-m", "penstock.testing.fault_server", "--latency", "uniform:0.02:0.06"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": n}) + b"\n" for n in range(300)))
    return path


def test_log_json_makes_every_line_of_standard_error_an_event(url: str, jsonl: Path, tmp_path: Path) -> None:
    """Started first, finished with the summary last, and nothing for people between them."""
    command = [*COMMAND, "send", str(jsonl), "--url", url, "--out", str(tmp_path / "out.jsonl"), "--log", "json"]
    done = subprocess.run(command, capture_output=True, check=True)
    events = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["started", "finished"]
    assert events[-1]["summary"]["items"] == 300
    assert all({"at", "level", "event", "command"} <= event.keys() for event in events)


def test_log_json_says_errors_as_events_too(jsonl: Path, tmp_path: Path) -> None:
    """Bad input: one JSON line with the message and the exit code, which stays 2."""
    command = [*COMMAND, "send", str(jsonl), "--url", "ftp://x", "--out", str(tmp_path / "o.jsonl"), "--log", "json"]
    done = subprocess.run(command, capture_output=True, check=False)
    [event] = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, event["event"], event["exit_code"]) == (2, "error", 2)
    assert "ftp" in event["message"]


def test_metrics_can_be_scraped_while_a_run_goes_on(url: str, jsonl: Path, tmp_path: Path) -> None:
    """The counters grow between two scrapes of one run, and the endpoint is gone after it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*COMMAND, "send", str(jsonl), "--url", url, "--out", str(tmp_path / "out.jsonl"), "--quiet"]
    process = subprocess.Popen([*command, "--limit", "100/s", "--metrics", f"127.0.0.1:{port}"])
    seen: list[float] = []
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:  # not there yet, or no longer
            continue
        seen += [float(line.split()[-1]) for line in lines if line.startswith("penstock_attempts_total ")]
    assert process.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_metrics_port_that_is_taken_is_said_before_anything_is_sent(
    url: str, jsonl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the address, exit 2, and no run folder."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        out = tmp_path / "out.jsonl"
        code = run_command(["send", str(jsonl), "--url", url, "--out", str(out), "--metrics", address])
    assert code == 2
    assert address in capsys.readouterr().err
    assert not out.with_name("out.jsonl.run").exists()

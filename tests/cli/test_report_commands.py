"""`penstock report` and `penstock status` beside a real run, from another process's point of view."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.cli.main import run_command

pytestmark = pytest.mark.real

COMMAND = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The fault server, as a process of its own, that takes 50 ms an answer."""
    server = [sys.executable, "-m", "penstock.testing.fault_server", "--latency", "0.05"]
    process = subprocess.Popen(server, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def running(command: list[str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A send that has done something; killed at the end if it still runs."""
    process = subprocess.Popen([*COMMAND, *command])
    try:
        series = out.with_name(out.name + ".run") / "series.jsonl"
        until = time.monotonic() + 30
        while not (series.exists() and series.read_bytes().count(b"\n") > 2):
            assert process.poll() is None, "the run ended too early"
            assert time.monotonic() < until, "the run did not begin"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def as_json(capsys: Any, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and object of a status."""
    capsys.readouterr()
    code = run_command(["status", *arguments, "--json"])
    found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    return code, found


def test_a_run_is_seen_while_it_runs_when_killed_and_when_finished(url: str, tmp_path: Path, capsys: Any) -> None:
    """One run with a kill -9 in the middle; looking at it changes nothing, and its secret is nowhere."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"id": n}) + b"\n" for n in range(400)))
    command = ["send", str(source), "--url", f"{url}/?api_key=s3cr3t", "--header", "Authorization: Bearer s3cr3t"]
    command += ["--out", str(out), "--limit", "100/s", "--quiet"]
    with running(command, out) as process:
        code, state = as_json(capsys, str(out))
        assert (code, state["state"], state["pid"], state["total"]) == (0, "running", process.pid, 400)
        assert 0 < state["items"] < 400
        assert run_command(["report", str(out), "--html", str(tmp_path / "running.html")]) == 0
        assert process.poll() is None
        # Samples are a second apart, commits a quarter.
        time.sleep(0.6)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        code, state = as_json(capsys, str(out))
        assert (code, state["state"], state["pid"]) == (3, "killed", None)

    assert run_command(command) == 0
    sessions = [
        orjson.loads(line) for line in (tmp_path / "out.jsonl.run" / "sessions.jsonl").read_bytes().splitlines()
    ]
    assert state["items"] == sessions[1]["resumed_at"], "what is committed, and the next session goes on from"
    assert state["ok"] == state["items"] <= state["attempts"]
    code, state = as_json(capsys, f"{out}.run")
    assert (code, state["state"], state["items"], state["sessions"]) == (0, "complete", 400, 2)
    assert run_command(["report", str(out)]) == 0
    assert "Killed once, and resumed with the same command" in capsys.readouterr().out
    page = (tmp_path / "out.jsonl.report.html").read_text()
    assert "still running" in (tmp_path / "running.html").read_text()
    assert "--limit 100/s" in page.replace("\n", " ")
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"s3cr3t" not in everything


def test_watching_ends_with_the_run(url: str, tmp_path: Path) -> None:
    """A line a second, until the last one says that it is finished; failures make exit code 1."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"id": n}) + b"\n" for n in range(700)))
    command = ["send", str(source), "--url", url, "--out", str(out), "--limit", "100/s", "--quiet"]
    with running([*command, "--expect", "id != `7`"], out):
        watch = [*COMMAND, "status", str(out), "--watch", "--json"]
        done = subprocess.run(watch, capture_output=True, timeout=60, check=False)
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["state"] == "running"
    assert (lines[-1]["state"], lines[-1]["by_kind"]) == ("complete", {"unexpected": 1})
    assert done.returncode == 1


def test_the_picture_is_a_png(url: str, tmp_path: Path) -> None:
    """With everything in it that a run can have had."""
    source, out, picture = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "out.png"
    source.write_bytes(b"".join(orjson.dumps({"id": n, "name": "$x^{"}) + b"\n" for n in range(150)))
    command = ["send", str(source), "--url", url, "--out", str(out), "--limit", "100/s", "--quiet"]
    assert run_command([*command, "--expect", "id != `7`"]) == 1
    assert run_command(["report", str(out), "--png", str(picture), "--quiet"]) == 0
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(data[16:20]) > 1500


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "{tmp}/none.jsonl"], "there is no run at"),
        (["status", "{tmp}/none.jsonl"], "there is no run at"),
        (["status", "{tmp}/plain.jsonl"], "is not the output of a run"),
        (["report", "{tmp}/plain.jsonl"], "is not the output of a run"),
        (["status"], "OUT"),
    ],
)
def test_what_is_no_run_is_one_clear_line(arguments: list[str], words: str, tmp_path: Path, capsys: Any) -> None:
    """Exit code 2, and what to give instead."""
    (tmp_path / "plain.jsonl").write_text("{}\n")
    assert run_command([each.format(tmp=tmp_path) for each in arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path, capsys: Any) -> None:
    """With the path that was given."""
    folder = tmp_path / "out.jsonl.run"
    folder.mkdir()
    (folder / "series.jsonl").write_bytes(b"")
    assert run_command(["report", str(folder), "--html", str(tmp_path / "no" / "x.html")]) == 2
    assert "no/x.html" in capsys.readouterr().err

"""`penstock send` and its files, for real: full disks, two processes, changed commands, secrets."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .processes import (
    ENVIRONMENT,
    PENSTOCK,
    Server,
    fault_server,
    finish,
    records,
    run_send,
    start_send,
    wait_until,
    write_items,
)

pytestmark = pytest.mark.real


def wide_items(path: Path, count: int) -> Path:
    """Records whose echoes fill a disk."""
    path.write_text("".join(json.dumps({"n": number, "pad": "x" * 3000}) + "\n" for number in range(count)))
    return path


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own of this size, where that is allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs mount(8) and root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_later(tmp_path: Path) -> None:
    """A full disk in the middle: one line, exit 3; with room again the same command ends with one record per item."""
    source, disk = wide_items(tmp_path / "items.jsonl", 300), tmp_path / "disk"
    with small_disk(disk, 400), fault_server(tmp_path, "--latency", "0.02") as server:
        out = disk / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "1000/s", "--json"]
        for _ in range(2):
            ended = run_send(*command)
            assert ended.code == 3, ended
            assert ended.errors.strip().count("\n") <= 1, ended.errors
            assert "No space left on device" in ended.errors
            assert "goes on" in ended.errors
            assert "Traceback" not in ended.errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        ended = run_send(*command)
        assert ended.code == 0, ended
        assert sorted(record["key"] for record in records(out)) == list(range(300))


@pytest.mark.parametrize("kilobytes", [4, 12, 24, 40])
def test_a_disk_that_is_full_at_the_start_is_said_in_one_line(tmp_path: Path, kilobytes: int) -> None:
    """Too little room to begin: one line, no traceback, exit 2 or 3; with room again the same command works."""
    source, disk = write_items(tmp_path / "items.jsonl", 50), tmp_path / "disk"
    with small_disk(disk, kilobytes), fault_server(tmp_path) as server:
        out = disk / "out.jsonl"
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "1000/s", "--key", "n", "--quiet"]
        ended = run_send(*command)
        assert ended.code in (0, 2, 3), ended
        assert "Traceback" not in ended.errors
        if ended.code:
            assert "No space left on device" in ended.errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        ended = run_send(*command)
        assert ended.code == 0, ended
        assert sorted(record["key"] for record in records(out)) == list(range(50))


def test_a_file_size_limit_is_like_a_full_disk(tmp_path: Path) -> None:
    """The operating system's own limit on file sizes stops the run the same way."""
    source, out = wide_items(tmp_path / "items.jsonl", 100), tmp_path / "out.jsonl"
    with fault_server(tmp_path, "--latency", "0.01") as server:
        command = [*PENSTOCK, "send", source, "--url", f"{server.url}/n", "--out", out, "--quiet"]
        limited = ["sh", "-c", 'ulimit -f 128; exec "$@"', "sh", *map(str, command)]
        ended = finish(subprocess.Popen(limited, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        assert ended.code == 3, ended
        assert "File too large" in ended.errors
        assert "Traceback" not in ended.errors
        assert run_send(*command[len(PENSTOCK) + 1 :]).code == 0
    assert sorted(record["key"] for record in records(out)) == list(range(100))


def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    """While one works on an output, another is told so, with its process number; the first is not disturbed."""
    source, out = write_items(tmp_path / "items.jsonl", 8), tmp_path / "out.jsonl"
    with fault_server(tmp_path, "--latency", "4") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out]
        first = start_send(command)
        wait_until(lambda: server.statistics()["requests"] > 0)
        for extra in ([], ["--fresh"]):
            second = run_send(*command, *extra)
            assert second.code == 2
            assert f"in use by process {first.pid}" in second.errors
        assert finish(first).code == 0
    assert len(records(out)) == 8


def test_secrets_never_reach_the_run_folder(tmp_path: Path) -> None:
    """Header values, a key in the URL, the environment and the body's text: in no byte of the run folder."""
    secrets = {"header": "s3cr3t-header", "url": "s3cr3t-url", "env": "s3cr3t-env", "body": "s3cr3t-body"}
    source, out = write_items(tmp_path / "items.jsonl", 30), tmp_path / "out.jsonl"
    with fault_server(tmp_path, "--fault", "500=0.3", "--fault", "reset=0.2") as server:
        command: list[object] = [source, "--out", out, "--limit", "500/s", "--retry-on", "transient"]
        command += ["--url", f"{server.url}/n?api_key={secrets['url']}", "--header", f"X-Key: {secrets['header']}"]
        command += ["--header", "Authorization: Bearer ${TOKEN}", "--idempotency-key", "Idempotency-Key"]
        command += ["--body", json.dumps({"token": secrets["body"], "n": "{n}"})]
        environment = {**ENVIRONMENT, "TOKEN": secrets["env"]}
        ended = run_send(*command, env=environment)
        assert ended.code == 0, ended
        changed = run_send(*command, "--header", f"Other: {secrets['header']}2", env=environment)
        assert changed.code == 2
        assert "--header names" in changed.errors
    folder = tmp_path / "out.jsonl.run"
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {"run.json", "journal", "input.index", "series.jsonl", "lock"} <= {path.name for path in written}
    kept = b"".join(path.read_bytes() for path in written) + ended.errors.encode() + changed.errors.encode()
    for secret in secrets.values():
        assert secret.encode() not in kept


def begun(tmp_path: Path, url: str, **options: Any) -> tuple[list[object], Path]:
    source, out = write_items(tmp_path / "items.jsonl", 10), tmp_path / "out.jsonl"
    command: list[object] = [source, "--url", f"{url}/n", "--out", out]
    ended = run_send(*command, **options)
    assert ended.code == 0, ended
    return command, out


@dataclass(frozen=True)
class Finished:
    """A run that is complete, and the server that it was sent to."""

    command: list[object]
    out: Path
    server: Server


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One for all tests that only look whether it is left as it is."""
    folder = tmp_path_factory.mktemp("finished")
    with fault_server(folder) as server:
        yield Finished(*begun(folder, server.url), server)


@pytest.mark.parametrize(
    ("extra", "differs"),
    [
        (["--method", "PUT"], "--method"),
        (["--header", "X-New: 1"], "--header names"),
        (["--key", "n"], "--key"),
        (["--extract", "n"], "--extract"),
        (["--expect", "n"], "--expect"),
        (["--answer", "text"], "--answer"),
        (["--body", '{"m": "{n}"}'], "--body"),
        (["--idempotency-key", "Key"], "--idempotency-key"),
        (["--on-bad-record", "skip"], "--on-bad-record"),
        (["--url", "http://127.0.0.1:1/other"], "--url"),
    ],
)
def test_another_command_on_the_same_output_is_refused(finished: Finished, extra: list[str], differs: str) -> None:
    """What differs is named, with the way to start afresh; the output is left as it is."""
    before = finished.out.read_bytes()
    ended = run_send(*finished.command, *extra)
    assert ended.code == 2
    assert differs in ended.errors
    assert "--fresh" in ended.errors
    assert finished.out.read_bytes() == before
    assert run_send(*finished.command, "--quiet").code == 0
    assert finished.server.statistics()["requests"] == 10


def test_a_changed_input_is_refused_and_fresh_starts_again(tmp_path: Path) -> None:
    """A run belongs to its input: one byte more or less or other is refused until --fresh says so."""
    with fault_server(tmp_path) as server:
        command, out = begun(tmp_path, server.url)
        source = Path(str(command[0]))
        whole = source.read_text()
        for changed in (whole + '{"n": 10}\n', whole.replace("3", "4"), whole[: whole.index('{"n": 9')]):
            source.write_text(changed)
            ended = run_send(*command)
            assert ended.code == 2
            assert "input" in ended.errors
            assert "--fresh" in ended.errors
        ended = run_send(*command, "--fresh", "--json")
        assert (ended.code, ended.summary["items"], ended.summary["resumed"]) == (0, 9, 0)
    assert len(records(out)) == 9


def test_an_output_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    """A file that is there already, with no run beside it, is refused and left alone."""
    source, out = write_items(tmp_path / "items.jsonl", 3), tmp_path / "out.jsonl"
    out.write_text("precious\n")
    ended = run_send(source, "--url", "http://127.0.0.1:9/", "--out", out)
    assert ended.code == 2
    assert "not the output of a run" in ended.errors
    assert out.read_text() == "precious\n"


def test_an_output_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    """Where not even root may make a folder, it is one line and exit 2."""
    source = write_items(tmp_path / "items.jsonl", 3)
    ended = run_send(source, "--url", "http://127.0.0.1:9/", "--out", "/proc/out.jsonl")
    assert ended.code == 2
    assert "cannot write" in ended.errors


def test_an_unreachable_host_is_said_at_the_start_and_the_mended_command_works(tmp_path: Path) -> None:
    """Nobody listens: exit 2, nothing sent; with the right address the same output can be used."""
    source, out = write_items(tmp_path / "items.jsonl", 3), tmp_path / "out.jsonl"
    ended = run_send(source, "--url", "http://127.0.0.1:9/n", "--out", out)
    assert ended.code == 2
    assert "nothing was sent" in ended.errors
    with fault_server(tmp_path) as server:
        assert run_send(source, "--url", f"{server.url}/n", "--out", out, "--quiet").code == 0
    assert len(records(out)) == 3


def test_a_damaged_run_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A run.json or journal that cannot be read is one line that names --fresh, and nothing is overwritten."""
    with fault_server(tmp_path) as server:
        command, out = begun(tmp_path, server.url)
        before = out.read_bytes()
        for name in ("journal", "run.json", "input.index"):
            path = tmp_path / "out.jsonl.run" / name
            whole = path.read_bytes()
            path.write_bytes(b"\xff" * 7)
            ended = run_send(*command)
            assert ended.code == 2, (name, ended)
            assert "--fresh" in ended.errors
            assert "Traceback" not in ended.errors
            assert out.read_bytes() == before
            path.write_bytes(whole)
        assert run_send(*command, "--quiet").code == 0


def test_standard_input_is_kept_for_the_next_start(tmp_path: Path) -> None:
    """A run fed by a pipe goes on without it, with the same one, and refuses another."""
    out = tmp_path / "out.jsonl"
    data = b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'
    with fault_server(tmp_path) as server:
        command = [*PENSTOCK, "send", "-", "--url", f"{server.url}/n", "--out", str(out), "--quiet"]

        def piped(text: bytes) -> int:
            return subprocess.run(command, input=text, env=ENVIRONMENT, capture_output=True, check=False).returncode

        assert [piped(data), piped(data), piped(b""), piped(data + data)] == [0, 0, 0, 2]
    assert len(records(out)) == 3

"""An input that is changed after a kill -9, for real: refused with a line that says what to do, and nothing is lost."""

from __future__ import annotations

import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .processes import ENVIRONMENT, PENSTOCK, Ended, Server, fault_server, finish, records, run_send, wait_until

pytestmark = pytest.mark.real

COUNT = 6_000
COMMIT = b"PNC1"
"""With which a frame of the journal begins."""
PAD = "x" * 2_000


def text_of(suffix: str) -> bytes:
    """12 MB of records, in which the samples of a fingerprint see a third."""
    if suffix == ".csv":
        return ("n,p\n" + "".join(f"{number:05},{PAD}\n" for number in range(COUNT))).encode()
    return "".join(f'{{"n":"{number:05}","p":"{PAD}"}}\n' for number in range(COUNT)).encode()


def killed(server: Server, source: Path, out: Path, *options: str) -> list[object]:
    """A run that was killed when a sixth was done; the command that goes on with it."""
    command: list[object] = [
        source,
        "--url",
        f"{server.url}/n",
        "--out",
        out,
        "--key",
        "n",
        "--extract",
        "n",
        "--quiet",
    ]
    command += ["--in-flight", "32", "--retry-on", "transient", *options]
    slow = [*PENSTOCK, "send", *map(str, command), "--limit", "2000/s"]
    process = subprocess.Popen(slow, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    journal = out.with_name(f"{out.name}.run") / "journal"
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") > COUNT // 6 and COMMIT in journal.read_bytes())
    process.send_signal(signal.SIGKILL)
    finish(process)
    return command


def swapped(data: bytes, out: Path) -> bytes:
    """One record that is done and one that is not have changed places."""
    lines = data.splitlines(keepends=True)
    head = len(lines) - COUNT
    done = {int(record["key"]) for record in records(out)}
    undone = [number for number in range(COUNT) if number not in done]
    step = len(data) // 64
    # Where no sample was taken.
    hidden = [number for number in range(COUNT) if 70_000 < number * len(lines[-1]) % step < step - 5_000]
    first = random.Random(1).choice([number for number in hidden if number in done])
    second = random.Random(2).choice([number for number in hidden if number in set(undone[len(undone) // 2 :])])
    lines[head + first], lines[head + second] = lines[head + second], lines[head + first]
    return b"".join(lines)


def check_all(ended: Ended, out: Path) -> None:
    assert ended.code == 0, ended
    found = records(out)
    assert sorted(record["key"] for record in found) == [f"{number:05}" for number in range(COUNT)]
    assert all(record["value"] == record["key"] for record in found)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".jsonl", []), (".csv", []), (".jsonl", ["--processes", "2"])], ids=["jsonl", "csv", "two"]
)
def test_a_swap_after_a_kill_is_refused_and_the_old_content_goes_on(
    tmp_path: Path, suffix: str, options: list[str]
) -> None:
    """It ended well, with one record lost and one called twice: the samples had not seen it."""
    source, out = tmp_path / f"items{suffix}", tmp_path / "out.jsonl"
    source.write_bytes(text_of(suffix))
    with fault_server(tmp_path) as server:
        command = killed(server, source, out, *options)
        before = out.read_bytes()
        source.write_bytes(swapped(source.read_bytes(), out))
        asked = server.statistics()["requests"]
        ended = run_send(*command)
        assert ended.code == 2, ended
        assert "input differs" in ended.errors
        assert "--fresh" in ended.errors
        assert out.read_bytes() == before
        assert server.statistics()["requests"] == asked
        source.write_bytes(text_of(suffix))
        check_all(run_send(*command), out)


@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["one", "two"])
def test_a_swap_while_it_runs_ends_the_run(tmp_path: Path, options: list[str]) -> None:
    """The block is refused when it is read: exit 2, one line, what was done is kept, and the old content goes on."""
    source, out = tmp_path / "items.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(text_of(".jsonl"))
    with fault_server(tmp_path) as server:
        command: list[object] = [source, "--url", f"{server.url}/n", "--out", out, "--key", "n", "--extract", "n"]
        command += ["--quiet", *options]
        slow = [*PENSTOCK, "send", *map(str, command), "--limit", "1000/s"]
        process = subprocess.Popen(slow, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") > 100)
        with source.open("r+b") as file:
            file.write(swapped(text_of(".jsonl"), out))
        ended = finish(process)
        assert ended.code == 2, ended
        assert "was changed since this run read it first" in ended.errors
        assert "Traceback" not in ended.errors
        with source.open("r+b") as file:
            file.write(text_of(".jsonl"))
        check_all(run_send(*command), out)


def test_standard_input_that_was_kept_and_then_edited_is_refused(tmp_path: Path) -> None:
    """What is kept in the run folder is an input like any other."""
    out = tmp_path / "out.jsonl"
    with fault_server(tmp_path) as server:
        command = [*PENSTOCK, "send", "-", "--url", f"{server.url}/n", "--out", str(out), "--key", "n", "--quiet"]
        given = text_of(".jsonl")
        process = subprocess.Popen([*command, "--limit", "2000/s"], env=ENVIRONMENT, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") > COUNT // 6)
        process.kill()
        process.wait()
        kept = tmp_path / "out.jsonl.run" / "stdin"
        kept.write_bytes(swapped(given, out))
        again = subprocess.run(command, env=ENVIRONMENT, input=b"", capture_output=True, check=False)
        assert again.returncode == 2, again
        assert b"input differs" in again.stderr
        kept.write_bytes(given)
        again = subprocess.run(command, env=ENVIRONMENT, input=b"", capture_output=True, check=False)
        assert again.returncode == 0, again
    assert len({record["key"] for record in records(out)}) == len(records(out)) == COUNT


def test_a_flipped_bit_in_the_journal_is_refused_and_mending_it_goes_on(tmp_path: Path) -> None:
    """It was taken for a torn end, and half of all items were called again without a word."""
    source, out = tmp_path / "items.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(text_of(".jsonl"))
    with fault_server(tmp_path) as server:
        command = killed(server, source, out)
        before = out.read_bytes()
        journal = tmp_path / "out.jsonl.run" / "journal"
        whole = journal.read_bytes()
        # A busy disk may have made few large frames: the bit is before one that is whole, whatever their number.
        frames = [found.start() for found in re.finditer(re.escape(COMMIT), whole)]
        place = frames[len(frames) // 2] - 4
        journal.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        asked = server.statistics()["requests"]
        ended = run_send(*command)
        assert ended.code == 2, ended
        assert "is damaged" in ended.errors
        assert "--fresh" in ended.errors
        assert server.statistics()["requests"] == asked
        assert out.read_bytes() == before
        journal.write_bytes(whole)
        check_all(run_send(*command), out)
